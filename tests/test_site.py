"""Checks of the documentation: equations name tests, terms are explained before they are used, examples run."""

from __future__ import annotations

import functools
import http.server
import importlib
import inspect
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import noizenet
from noizenet.audio.waveform import Waveform

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LESSONS = sorted((DOCS / "course").glob("*.md"))
HOWTOS = sorted((DOCS / "howto").glob("*.md"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without log output."""

    def log_message(self, *_: object) -> None:
        pass


def lesson_module(page: Path) -> str:
    return page.stem.split("-")[1]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", LESSONS, ids=lambda p: p.stem)
class TestLessons:
    def test_every_equation_names_existing_code_and_tests(self, page: Path) -> None:
        tests = importlib.import_module("test_course")
        rows = re.findall(
            r"^\| .* \| `([\w.=()]+)` \| `(\w+)::(\w+)` \|$", page.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert rows
        for code, group, test in rows:
            assert callable(getattr(getattr(tests, group), test))
            module, *names = re.sub(r"\(.*\)", "", code).split(".")
            package = "noizenet." if module == "figures" else "noizenet.course."
            if module == "figures":
                module, names = f"figures.{names[0]}", names[1:]
            found: object = importlib.import_module(package + module)
            for name in names:
                found = getattr(found, name)
            assert callable(found)

    def test_every_equation_of_the_text_is_in_the_table(self, page: Path) -> None:
        """The table has at least as many rows as there are displayed equations: each needs a test."""
        text = importlib.import_module(f"noizenet.course.{lesson_module(page)}").__doc__
        assert text is not None
        displayed = len(re.findall(r"::\n\n", text))
        assert page.read_text(encoding="utf-8").count("` | `Test") >= displayed

    def test_it_has_exercises_with_solutions_and_code_from_the_source(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert text.count("<summary>Solution</summary>") >= 2
        assert f"src/noizenet/course/{lesson_module(page)}.py" in text
        source = ROOT / "src" / "noizenet" / "course" / f"{lesson_module(page)}.py"
        assert len(source.read_text(encoding="utf-8").splitlines()) <= 200


def glossary() -> dict[str, int]:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    return {word: int(number) for word, number in re.findall(r"^(\S.*)\n  .*\[Lesson (\d+)\]", text, re.MULTILINE)}


def test_the_glossary_has_the_terms_that_lessons_link_to() -> None:
    linked = {t for page in LESSONS for t in re.findall(r"\{term\}`([^`]+)`", page.read_text(encoding="utf-8"))}
    assert linked == set(glossary())
    assert len(linked) > 40


@pytest.mark.parametrize(("word", "lesson"), glossary().items())
def test_no_lesson_uses_a_term_before_it_is_explained(word: str, lesson: int) -> None:
    for page in LESSONS:
        number = int(page.stem[:2])
        text = inspect.getdoc(importlib.import_module(f"noizenet.course.{lesson_module(page)}")) or ""
        text = re.sub(r"\s+", " ", text)
        used = re.search(rf"(?<![\w-]){re.escape(word)}(s|es)?(?![\w-])", text, re.IGNORECASE if word.islower() else 0)
        if number == lesson:
            assert used, f"lesson {lesson} does not explain {word!r}"
        if number < lesson and used:
            around = text[max(0, used.start() - 60) : used.end() + 60]
            assert re.search(r"\(lesson \d+\)", text[used.end() : used.end() + 60]), f"{page.stem}: {around}"


@pytest.mark.parametrize("page", HOWTOS, ids=lambda p: p.stem)
def test_the_code_of_the_how_tos_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(page, "python")
    space: dict[str, object] = {"__name__": "howto"}
    monkeypatch.setitem(sys.modules, "howto", type(sys)("howto"))
    for block in code:
        exec(compile(block, str(page), "exec", dont_inherit=True), space)


@pytest.mark.slow
@pytest.mark.parametrize("page", [DOCS / "quickstart.md", DOCS / "howto" / "own-album.md"], ids=lambda p: p.stem)
def test_the_commands_of_the_how_tos_run(page: Path, tmp_path: Path) -> None:
    """The commands run unchanged, except for the minutes of training."""
    for genre in ("ballads", "dances"):
        for i in range(4):
            (tmp_path / "my-album" / genre).mkdir(parents=True, exist_ok=True)
            g = np.random.default_rng([i, len(genre)])
            t = np.arange(20 * 22_050) / 22_050
            hertz = 220 * 2 ** (g.integers(0, 12, 40).repeat(11_025) / 12)[: len(t)]
            tone = 0.4 * np.sin(2 * np.pi * np.cumsum(hertz) / 22_050) + 0.02 * g.normal(size=len(t))
            noizenet.write(tmp_path / "my-album" / genre / f"{i}.wav", Waveform(tone.astype(np.float32), 22_050))
    bin_folder = Path(sys.executable).parent
    for line in [line for block in blocks(page, "sh") for line in block.splitlines()]:
        command = re.sub(r"\s+#.*", "", line)
        if not command.startswith("noizenet"):
            continue
        command = re.sub(r"--minutes \d+", "--minutes 0.1", command) if " train " in command else command
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
            env={"PATH": f"{bin_folder}:/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_gates_are_written_for_the_live_figure(tmp_path: Path) -> None:
    from noizenet.figures.gates import UNITS, has_lstm_gates, write_gates

    model = noizenet.load_model("token-lstm")
    assert has_lstm_gates(model)
    music = Waveform(np.random.default_rng(0).normal(0, 0.1, 22_050).astype(np.float32), 22_050)
    write_gates(model, music, tmp_path)
    about = json.loads((tmp_path / "gates.json").read_text())
    frames = len(model.representation.encode(music))
    for name in "ifgoc":
        assert np.array(about[name]).shape == (UNITS, frames)
    for name in "ifo":
        assert 0 <= np.min(about[name]) <= np.max(about[name]) <= 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation like ``make docs``."""
    bin_folder = Path(sys.executable).parent
    out = tmp_path_factory.mktemp("site")
    subprocess.run(
        [bin_folder / "noizenet", "figures", DOCS / "_figures"], check=True, capture_output=True, timeout=300
    )
    done = subprocess.run(
        [bin_folder / "sphinx-build", "-W", "--keep-going", "-q", "-b", "html", DOCS, out],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


@pytest.mark.slow
class TestSite:
    def test_every_link_and_every_file_is_there(self, site: Path) -> None:
        pages = sorted(site.rglob("*.html"))
        assert len(pages) > 30
        missing = []
        for page in pages:
            text = page.read_text(encoding="utf-8")
            for target in re.findall(r'(?:href|src)="([^"]+)"', text):
                address, _, anchor = target.partition("#")
                if re.match(r"[a-z]+:", address):
                    continue
                path = (page.parent / address.split("?")[0]) if address else page
                if not path.exists() or (
                    anchor and path.suffix == ".html" and f'id="{anchor}"' not in path.read_text(encoding="utf-8")
                ):
                    missing.append(f"{page.relative_to(site)}: {target}")
        assert missing == [], missing

    def test_all_lessons_run_within_a_minute(self) -> None:
        from noizenet.figures import FIGURES
        from noizenet.views.render import new_figure

        begun = time.process_time()
        for name in FIGURES:
            FIGURES.load(name)(new_figure(6, 4))
        assert time.process_time() - begun < 60

    def test_the_live_figures_react_in_the_pages(self, site: Path) -> None:
        browser = pytest.importorskip("browser")
        playwright = pytest.importorskip("playwright.sync_api")
        if browser.CHROMIUM is None:
            pytest.skip("needs Debian's chromium")
        handler = functools.partial(Quiet, directory=str(site))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            with playwright.sync_playwright() as p:
                chromium = p.chromium.launch(executable_path=browser.CHROMIUM, args=browser.FLAGS)
                for figure, page in (("perceptron", "01-perceptron"), ("descent", "03-descent"), ("gates", "10-lstm")):
                    for width in (1200, 390):
                        visit = browser.Visit(chromium, home, f"/course/{page}.html", width)
                        visit.until(f"document.querySelector('[data-live={figure}] .live-status')?.textContent")
                        browser.try_figures(visit, "[data-live={}]", (figure,))
                        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
                        assert all(url.startswith((home, "data:", "blob:")) for url in visit.requested), visit.requested
                        visit.close()
                visit = browser.Visit(chromium, home, "/course/11-sound.html")
                visit.page.evaluate(
                    "document.querySelectorAll('audio').forEach(a => { a.preload = 'auto'; a.load(); })"
                )
                visit.until("[...document.querySelectorAll('audio')].every(a => a.duration > 1)")
                visit.close()
                chromium.close()
        finally:
            server.shutdown()
            server.server_close()


SCRIPTS = sorted(p for p in (ROOT / "src" / "noizenet").rglob("*.js") if "vendor" not in p.parts)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_import_names_that_exist(script: Path) -> None:
    """A page whose script imports a missing name shows nothing at all."""
    static, live = (ROOT / "src" / "noizenet" / part for part in ("studio/static", "course/live"))
    text = script.read_text(encoding="utf-8")
    imports = re.findall(r"import\s*\{([^}]*)\}\s*from\s*\"([^\"]+)\"", text)
    imports += re.findall(r"const\s*\{([^}]*)\}\s*=\s*await import\([\"`]([^\"`$]+)[\"`]\)", text)
    for names, source in imports:
        path = live / source.removeprefix("/live/") if source.startswith("/live/") else script.parent / source
        path = path if path.exists() else static / source.lstrip("/")
        exported = set(
            re.findall(r"export (?:async )?(?:function|const|let|class) ([\w$]+)", path.read_text(encoding="utf-8"))
        )
        wanted = {re.split(r"\s+as\s+|:", name.strip())[0].strip() for name in names.split(",") if name.strip()}
        assert wanted <= exported, f"{script.name}: {source} does not export {wanted - exported}"
