"""The messages in docs/troubleshooting.md are those that the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import noizenet
from noizenet.cli.main import main

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
CASES = re.findall(r"```text\n\$ noizenet (.+)\n(.+)\n```", PAGE.read_text(encoding="utf-8"))
DEPENDS_ON_MACHINE = "the sound card cannot be used"
"""This message depends on the machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the files that the commands on the page refer to."""
    root = tmp_path_factory.mktemp("troubleshooting")
    t = np.arange(3 * 22_050) / 22_050
    for name in ("my-album/a", "my-album/b", "song/a"):
        path = root / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (220 + 10 * ord(name[-1])) * t) * np.exp(-2 * (t % 0.5))
        noizenet.write(path, noizenet.Waveform(tone.astype(np.float32), 22_050))
    for name, text in (
        ("damaged/a.wav", "none"),
        ("damaged/b.wav", "none"),
        ("papers/letter.txt", "x"),
        ("notes.txt", "hi"),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    noizenet.build_corpus(root / "song", root / "single")
    return root


def test_the_page_has_ten_messages() -> None:
    assert len(CASES) == 10


@pytest.mark.parametrize(("command", "message"), CASES, ids=[" ".join(c.split()[:3]) for c, _ in CASES])
def test_the_message_is_printed(
    command: str, message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if DEPENDS_ON_MACHINE in message:
        pytest.skip("depends on the sound card of the machine")
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "papers").unlink()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.txt").write_text("x", encoding="utf-8")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "model.json").write_text("{}", encoding="utf-8")
    if not command.startswith("corpus build"):
        (tmp_path / "corpus").symlink_to(folder / "single")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) in (1, 2)
    assert capsys.readouterr().err.splitlines()[-1] == message
