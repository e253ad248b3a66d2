"""The studio's pages in a browser, served by the command, with the bundled model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, FLAGS, Visit, try_figures
from studio_server import Server, command

import noizenet
import noizenet.api

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as p:
        rule = "--host-resolver-rules=MAP studio.test 127.0.0.1"  # a host name that browsers do not trust without HTTPS
        browser = p.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rule])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with command(tmp_path_factory.mktemp("studio"), 0) as (server, _):
        yield server


@pytest.fixture
def visit(browser: object, server: Server) -> Iterator[Visit]:
    visit = Visit(browser, server.home)
    yield visit
    visit.close()


@pytest.mark.parametrize("model", noizenet.bundled_models())
def test_the_page_plays_the_output_of_generate(visit: Visit, server: Server, tmp_path: Path, model: str) -> None:
    sound = noizenet.load_model(model).representation
    visit.until("document.querySelectorAll('#model option').length")
    visit.page.select_option("#model", model)
    visit.page.fill("#seed", "11")
    visit.play()
    played = visit.wait_for_audio(5 * sound.sample_rate * sound.channels)
    visit.page.click("#play")
    seconds = len(played) / sound.channels / sound.sample_rate + 2
    noizenet.api.generate(model, tmp_path / "g.wav", noizenet.Controls(seconds=seconds, seed=11))
    written, rate = soundfile.read(tmp_path / "g.wav", dtype="int16", always_2d=True)
    assert (rate, written.shape[1]) == (sound.sample_rate, sound.channels)
    assert np.array_equal(played, written.ravel()[: len(played)])
    assert visit.text("status") == "stopped"
    assert all(url.startswith((server.home, "data:", "blob:")) for url in visit.requested)


def test_playback_starts_soon_and_displays_are_drawn(visit: Visit) -> None:
    visit.play()
    visit.wait_for_audio(22_050)
    visit.page.click("#play")
    visit.play()
    assert (
        float(str(visit.until("document.getElementById('status').dataset.first"))) < 5000
    )  # a target of 1 s: benchmarks/
    visit.page.wait_for_timeout(2500)
    for canvas in ("wave", "spectrogram", "envelope", "gates", "pad"):
        colours = visit.page.evaluate(
            f"""(() => {{ const c = document.getElementById('{canvas}');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const s = new Set();
            for (let i = 0; i < d.length; i += 4) s.add(d[i] << 16 | d[i+1] << 8 | d[i+2]); return s.size; }})()"""
        )
        assert colours > 2, canvas
    assert "ms" in visit.text("buffered")


def test_controls_by_mouse_and_keyboard(visit: Visit) -> None:
    visit.play()
    visit.wait_for_audio(10_000)
    visit.page.focus("#pad")
    visit.page.keyboard.press("3")
    visit.until("document.getElementById('mix').textContent.startsWith('electronic')")
    visit.page.keyboard.press("ArrowLeft")
    visit.page.focus("#sliders input")
    for _ in range(5):
        visit.page.keyboard.press("ArrowRight")
    visit.page.click("#mark")
    visit.until("document.querySelectorAll('#marks button').length == 1")
    visit.page.click("#surprise")
    visit.page.click("#marks button")
    visit.until("document.getElementById('status').textContent.startsWith('restored snapshot 1')")
    moved = [json.loads(m)["move"] for m in visit.sockets[-1] if isinstance(m, str) and '"moved"' in m]
    assert [k for m in moved for k in m if k != "set"] == ["mark", "surprise", "return"]
    assert any("electronic" in m.get("set", {}).get("genre", "") for m in moved)
    visit.page.select_option("#format", "flac")
    visit.page.click("#record")
    visit.until("document.getElementById('record').getAttribute('aria-pressed') == 'true'")
    visit.wait_for_audio(len(visit.sound()) + 22_050)
    visit.page.click("#record")
    visit.until("document.querySelectorAll('#recordings li').length == 1")
    assert "flac" in visit.text("recordings")
    visit.page.click("#recordings li >> text=render again")
    visit.until("document.getElementById('notice').textContent.includes('the same bytes')")
    visit.page.click("#freeze")
    visit.page.wait_for_timeout(800)
    still = len(visit.sound())
    visit.page.wait_for_timeout(800)
    assert len(visit.sound()) == still
    visit.page.click("#freeze")
    visit.wait_for_audio(still + 22_050)


def test_an_audio_prompt_is_uploaded_and_shown(visit: Visit, tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    noizenet.write(tmp_path / "tune.wav", noizenet.Waveform(g.normal(0, 0.1, 6 * 22_050).astype(np.float32), 22_050))
    (tmp_path / "not a tune.wav").write_bytes(b"nothing")
    visit.until("document.querySelectorAll('#model option').length")  # the page is ready
    visit.page.select_option("#begin", "song")
    visit.page.set_input_files("#song", tmp_path / "not a tune.wav")
    visit.until(
        "document.getElementById('notice').textContent.includes('not a tune.wav') || document.getElementById('notice').textContent"
    )
    visit.problems.clear()  # the console reports a refused request as an error
    visit.page.set_input_files("#song", tmp_path / "tune.wav")
    visit.until("document.getElementById('status').textContent.includes('press play')")
    visit.page.click("#play")
    visit.wait_for_audio(22_050)
    assert not visit.page.evaluate("document.getElementById('seedview').hidden")
    visit.page.click("#play")
    visit.page.select_option("#begin", "perlin")
    visit.until("!document.getElementById('seedview').hidden")


def test_two_tabs_and_a_reload(browser: object, server: Server) -> None:
    a, b = Visit(browser, server.home), Visit(browser, server.home)
    a.play()
    b.play()
    first, second = a.wait_for_audio(20_000), b.wait_for_audio(20_000)
    n = min(len(first), len(second))
    assert np.array_equal(first[:n], second[:n])
    a.page.reload()
    a.play()
    b.wait_for_audio(len(b.sound()) + 20_000)
    a.wait_for_audio(20_000)
    a.close()
    b.close()


def test_the_page_reconnects_after_a_restart_of_the_studio(browser: object, tmp_path: Path) -> None:
    with command(tmp_path, 0) as (server, process):
        visit = Visit(browser, server.home)
        visit.play()
        begun = len(visit.wait_for_audio(10_000))
        visit.page.click("#record")
        visit.until("document.getElementById('record').textContent == 'stop recording'")
        given = len(visit.wait_for_audio(begun + 40_000)) - begun
        process.kill()
        process.wait()
        visit.until("document.getElementById('status').textContent.startsWith('connection lost')")
    with command(tmp_path, server.port):
        visit.until("document.getElementById('status').textContent == 'playing'")
        visit.until("document.getElementById('record').textContent == 'record'")
        visit.until("document.getElementById('recordings').textContent.includes('recovered')")
        (take,) = (tmp_path / "recordings").glob("*.wav")
        assert soundfile.info(take).frames >= given - 2 * 22_050  # some samples came before the recording began
        before = len(visit.sound())
        visit.wait_for_audio(before + 20_000)
    assert any("ERR_CONNECTION" in p or "WebSocket" in p for p in visit.problems)
    visit.close(quiet=False)


def test_training_from_uploads(visit: Visit, tmp_path: Path) -> None:
    for i in range(3):
        t = np.arange(15 * 22_050) / 22_050
        sound = (0.3 * np.sin(2 * np.pi * 220 * 2 ** (i / 12) * t)).astype(np.float32)
        noizenet.write(tmp_path / f"{i}.wav", noizenet.Waveform(sound, 22_050))
    (tmp_path / "x.wav").write_bytes(b"nothing")
    visit.page.click('nav a[href="#train"]')
    visit.page.fill("#collection", "three tunes")
    visit.page.set_input_files("#files", [tmp_path / f"{n}.wav" for n in (0, 1, 2, "x")])
    visit.until("document.getElementById('uploading').textContent.includes('3 of 4 accepted')")
    assert "x.wav" in visit.text("uploaded")
    assert "1 refused: x.wav" in visit.text("uploading")
    visit.problems.clear()
    visit.page.set_input_files("#files", [tmp_path / "0.wav"])
    visit.until("document.getElementById('uploading').textContent.includes('1 already uploaded')")
    visit.page.select_option("#recipe", "paper-lstm")
    visit.page.fill("#minutes", "0.2")
    visit.page.fill("#trainname", "tuned")
    visit.page.click("#trainform button")
    visit.until("document.querySelector('.job p')?.textContent.startsWith('running')", 60)
    visit.until("document.querySelector('.job p')?.textContent.startsWith('done')", 180)
    visit.page.click(".job >> text=play this model")
    visit.until("!document.getElementById('page-radio').hidden && document.getElementById('model').value == 'tuned'")
    visit.page.click("#play")
    visit.until("document.getElementById('status').textContent == 'playing'")
    assert '"model":"tuned"' in next(m for m in visit.sockets[-1] if isinstance(m, str)).replace(" ", "")


def test_blind_ab_test(visit: Visit) -> None:
    visit.page.click('nav a[href="#judge"]')
    visit.until("document.querySelectorAll('#duela option').length")
    visit.page.click("#duelform button")
    visit.until("document.querySelectorAll('#duel audio').length == 2", 60)
    assert "token-lstm" not in visit.text("duel")
    visit.page.click("#duel button >> nth=0")
    visit.until("document.getElementById('duel').textContent.includes('token-lstm')")
    visit.until("document.querySelectorAll('#tally tbody tr').length == 1")


def test_the_live_figures_react(visit: Visit) -> None:
    visit.page.click('nav a[href="#learn"]')
    visit.until("document.querySelector('[data-figure=gates]').dataset.ready", 60)
    try_figures(visit, "[data-figure={}]")
    pixel = "document.querySelector('[data-figure=gates] canvas').toDataURL()"
    light = visit.page.evaluate(pixel)
    visit.page.click("#theme")
    visit.until(f"{pixel} != {json.dumps(light)}")


@pytest.mark.parametrize("page", ["radio", "train", "judge", "learn"])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_and_have_contrast_and_labels(browser: object, server: Server, page: str, dark: bool) -> None:
    visit = Visit(browser, server.home, f"/#{page}", 390, 844)
    if dark:
        visit.page.click("#theme")
    visit.page.wait_for_timeout(1500)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    found = visit.page.evaluate(CONTRAST)
    assert found == [], found
    unnamed = visit.page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, audio')].filter(e => e.offsetParent
        && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.closest('label'))).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    visit.close()


CONTRAST = """(() => {
  const rgb = (s) => (s.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => c.slice(0, 3).map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
    .reduce((a, v, i) => a + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll('h1, h2, p, a, button, label, span, figcaption, th, td, summary, output, select, input')) {
    if (!e.offsetParent || e.disabled || !e.textContent.trim()) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(background(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName} ${e.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return bad;
})()"""


def test_settings_chosen_before_playback_are_applied(visit: Visit) -> None:
    visit.until("document.querySelectorAll('#model option').length")
    visit.page.focus("#pad")
    visit.page.keyboard.press("3")
    visit.page.locator("#sliders input").nth(0).fill("1.4")
    visit.play()
    visit.wait_for_audio(10_000)
    frames = visit.sockets[-1]
    moved = next(i for i, m in enumerate(frames) if isinstance(m, str) and '"moved"' in m)
    assert not any(isinstance(m, bytes) for m in frames[:moved])
    settings = json.loads(frames[moved])["settings"]
    assert settings["temperature"] == 1.4
    assert settings["genre"].startswith("electronic")
    visit.page.click("#play")
    visit.play()
    visit.wait_for_audio(5000)
    assert '"moved"' in "".join(
        m for m in visit.sockets[-1] if isinstance(m, str)
    )  # the displayed settings are sent again
    assert visit.text("mix").startswith("electronic")


def test_the_folders_of_an_upload_are_kept(visit: Visit, server: Server, tmp_path: Path) -> None:
    paths = ["рок/01 песня.wav", "поп/01 весна.wav", "rock/CD1/01.wav", "rock/CD2/01.wav"]
    for i, path in enumerate(paths):
        (tmp_path / "al" / path).parent.mkdir(parents=True, exist_ok=True)
        t = np.arange(22_050) / 22_050
        sound = (0.3 * np.sin(2 * np.pi * (200 + 20 * i) * t)).astype(np.float32)
        noizenet.write(tmp_path / "al" / path, noizenet.Waveform(sound, 22_050))
    visit.page.click('nav a[href="#train"]')
    visit.page.fill("#collection", "альбом ♫")
    visit.page.set_input_files("#folder", tmp_path / "al")
    visit.until("document.getElementById('uploading').textContent.includes('4 of 4 accepted')")
    assert all(path in visit.text("uploaded") for path in paths)
    (found,) = [c for c in server.ask("GET", "/api/collections").json() if c["name"] == "альбом ♫"]
    assert found["files"] == 4
    assert sorted(found["genres"]) == ["rock", "поп", "рок"]


def test_playback_on_a_network_address_without_https(browser: object, tmp_path: Path) -> None:
    """Browsers have no AudioWorklet there; the page's audio output is measured."""
    secret = "long-enough-secret"
    with command(tmp_path, 0, "--host", "0.0.0.0", "--token", secret) as (server, _):
        visit = Visit(browser, f"http://studio.test:{server.port}", f"/?token={secret}")
        assert visit.page.evaluate("!window.isSecureContext && !('audioWorklet' in AudioContext.prototype)")
        visit.play()
        visit.wait_for_audio(60_000)
        loud = """import('./radio.js').then(({player}) => { const d = new Float32Array(1024);
            player.analyser.getFloatTimeDomainData(d); return Math.max(...d.map(Math.abs)); })"""
        assert max(float(str(visit.page.evaluate(loud))) for _ in range(20)) > 0.001
        assert "ms" in visit.text("buffered")
        assert int(visit.text("gaps")) < 50
        visit.page.click("#freeze")
        visit.page.wait_for_timeout(800)
        still = len(visit.sound())
        visit.page.wait_for_timeout(800)
        assert len(visit.sound()) == still
        visit.page.click("#freeze")
        visit.wait_for_audio(still + 22_050)
        visit.page.click("#play")
        visit.play()
        visit.wait_for_audio(10_000)
        visit.close()
