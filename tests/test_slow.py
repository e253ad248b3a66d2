"""Minutes, not seconds: the README's commands, the demo page in a browser, an hour of playing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.slow


def commands(text: str) -> list[str]:
    """Return the lines of the README's shell blocks, without the two make commands (CI runs those themselves)."""
    blocks = re.findall(r"```(?:sh|bash|shell)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "make ", "pip ", "git ", "cd "))]


def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """Every command, in order, in one folder; training is shortened, `my-album` is made of procedural songs."""
    import os

    from noizenet.corpus.synthetic import build_synthetic

    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) >= 6
    made = build_synthetic(tmp_path / "songs", minutes=3)
    shutil.copytree(made.folder / "source", tmp_path / "my-album")
    shutil.copy(next((tmp_path / "my-album" / "waltz").glob("*.flac")), tmp_path / "song.flac")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in found:
        short = re.sub(r"--minutes [\d.]+", "--minutes 0.2", command)
        short = re.sub(r"--seconds (\d+)", "--seconds 3", short)
        short = re.sub(r"play model$", "play model --seconds 3", short)
        # The studio serves until it is interrupted.
        short = re.sub(r"studio$", "studio --port 0 --data studio-data & sleep 6; kill -INT $!; wait $!", short)
        short = re.sub(r"evaluate model .*", r"\g<0> --streams 4 --seconds 6 --real-seconds 10", short)
        done = subprocess.run(
            ["bash", "-c", short], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        if command == "noizenet studio":
            assert "The studio is at http://127.0.0.1:" in done.stderr
            continue
        if command == "noizenet play model" and done.returncode != 0:  # no sound card here
            assert done.returncode in (1, 2), done.stderr
            assert "sound card" in done.stderr
            continue
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), str(out), "--minutes", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert str(out / "demo.html") in done.stdout
    return out


def test_the_demo_page_is_self_contained(demo: Path) -> None:
    page = (demo / "demo.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(s.startswith("data:") for s in sources)
    assert page.count("<audio") >= 6


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_demo_page_in_a_browser(demo: Path, tmp_path: Path) -> None:
    """The page loads, every picture and every sound is decoded, and nothing is fetched from elsewhere."""
    page = (demo / "demo.html").read_text(encoding="utf-8")
    probe = """<script>
    window.addEventListener('load', async () => {
      const players = [...document.querySelectorAll('audio')];
      await Promise.all(players.map(a => new Promise(done => {
        a.addEventListener('loadedmetadata', done, {once: true}); a.addEventListener('error', done, {once: true});
        a.preload = 'auto'; a.load(); })));
      const images = [...document.images].filter(i => i.naturalWidth > 100).length;
      document.title = `images ${images} of ${document.images.length}, sounds `
        + players.filter(a => a.duration > 1).length + ` of ${players.length}, width `
        + (document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'overflows');
    });</script></body>"""
    (tmp_path / "probe.html").write_text(page.replace("</body>", probe), encoding="utf-8")
    for width in (1200, 500):  # headless chromium's narrowest window
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=20000",
            "--dump-dom", f"file://{tmp_path / 'probe.html'}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        assert title is not None, done.stderr[-2000:]
        assert title[1] == "images 3 of 3, sounds 13 of 13, width fits"
