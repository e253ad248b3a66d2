"""The public interface: all documented names are exported, and wrong arguments raise errors of noizenet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noizenet
from noizenet import api
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.cli.main import main

ROOT = Path(__file__).parent.parent
DOCUMENTED = ("making", "models", "playing", "judging")


def test_documented_names_are_exported() -> None:
    names = set()
    for module in DOCUMENTED:
        assert f"noizenet.api.{module}" in (ROOT / "docs" / "api.md").read_text()
        part = __import__(f"noizenet.api.{module}", fromlist=["x"])
        defined = [n for n, v in vars(part).items() if getattr(v, "__module__", "") == part.__name__ and n[0] != "_"]
        names |= set(defined) - {"inputs_of"}
    names |= set(re.findall(r"auto\w+:: noizenet\.(?:audio|store|generation\.controls|corpus\.corpus)[\w.]*\.(\w+)",
                            (ROOT / "docs" / "api.md").read_text()))  # fmt: skip
    deeper = {"Track", "Issue", "fold", "AudioReader", "converted_blocks", "fit_level"}
    assert names - deeper <= set(noizenet.__all__)
    assert set(noizenet.__all__) - {"__version__"} <= names | {"Model"}
    for name in noizenet.__all__:
        assert getattr(noizenet, name) is not None
        assert name in dir(noizenet)
    assert set(api.__all__) | {"Model", "__version__"} == set(noizenet.__all__)


@pytest.mark.parametrize(
    "path", [p for p in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if "_build" not in str(p)]
)
def test_names_in_the_documentation_exist(path: Path) -> None:
    modules = {p.stem for p in (ROOT / "src" / "noizenet").iterdir()}
    for name in re.findall(r"(?<![\w./-])noizenet\.(\w+)", path.read_text()):
        assert name in noizenet.__all__ or name in modules, name


WRONG: list[Any] = [None, 5, float("nan"), b"x", [], {}, "", "a\0b", "x" * 5000, object(), True, np.zeros(3), ("a",)]
CALLS: dict[str, Callable[[Any], Any]] = {
    "load_model": noizenet.load_model,
    "load_corpus": noizenet.load_corpus,
    "read": noizenet.read,
    "aliveness": noizenet.aliveness,
    "view": noizenet.view,
    "view kind": lambda x: noizenet.view("nowhere.wav", kind=x),
    "view scale": lambda x: noizenet.view("nowhere.wav", scale=x),
    "write": lambda x: noizenet.write(x, noizenet.Waveform(np.zeros(9, np.float32), 8000)),
    "write waveform": lambda x: noizenet.write("o.wav", x),
    "generate": lambda x: noizenet.generate(x, "o.wav", noizenet.Controls(seconds=0.01)),
    "generate out": lambda x: noizenet.generate("token-lstm", x, noizenet.Controls(seconds=0.01)),
    "generate controls": lambda x: noizenet.generate("token-lstm", "o.wav", x),
    "generate_batch": lambda x: noizenet.generate_batch("nowhere", [x]),
    "stream": lambda x: noizenet.stream("token-lstm", x),
    "reproduce": lambda x: noizenet.reproduce("nowhere", x, "o.wav"),
    "evaluate": lambda x: noizenet.evaluate("nowhere", x, "e"),
    "evaluate streams": lambda x: noizenet.evaluate("nowhere", "nowhere", "e", streams=x),
    "evaluate seconds": lambda x: noizenet.evaluate("nowhere", "nowhere", "e", seconds=x),
    "build_corpus": lambda x: noizenet.build_corpus(x, "c"),
    "build_corpus out": lambda x: noizenet.build_corpus("nowhere", x),
    "train": lambda x: noizenet.train(x, "m", minutes=0.01),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_wrong_types_raise_a_short_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in WRONG:
        with pytest.raises(NoizenetError) as caught:
            CALLS[name](value)
        assert len(str(caught.value)) < 1000
    assert list(tmp_path.iterdir()) == []


FIELDS = list(noizenet.Controls.__dataclass_fields__)


@pytest.mark.parametrize("field", FIELDS)
def test_controls_of_wrong_types_raise_an_error(field: str) -> None:
    for value in (b"x", [None], {}, object(), np.zeros(3)):
        with pytest.raises(UsageError, match=field.split("_", maxsplit=1)[0]):
            noizenet.Controls(**{field: value})
    assert noizenet.Controls(prompt="song.wav").prompt == Path("song.wav")  # type: ignore[arg-type]
    assert noizenet.Controls(temperature=np.float32(0.5), seed=np.int64(3)).seed == 3  # type: ignore[arg-type]


SHARED_NUMBERS = (
    "seconds", "temperature", "top-p", "top-k", "genre-guidance", "tempo", "beat-guidance", "prompt-seconds", "seed",
)  # fmt: skip
NUMBERS = {"generate": (*SHARED_NUMBERS, "count"), "play": SHARED_NUMBERS}


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in NUMBERS.items() for o in options])
def test_numbers_out_of_range_are_usage_errors(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("nan", "inf", "-inf", "-1", "1e99", "x", "9" * 30 if option in ("count", "top-k") else "nan"):
        out = ["o.wav"] if command == "generate" else ["--out", "-"]
        assert main([command, "token-lstm", *out, f"--{option}={value}"]) == 2, value
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["streams", "seconds", "real-seconds", "seed"])
def test_numbers_of_an_evaluation_out_of_range_are_usage_errors(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("nan", "inf", "-1", "x"):
        arguments = ["evaluate", "token-lstm", str(tmp_path / "c"), str(tmp_path / "o"), f"--{option}={value}"]
        assert main([*arguments, "--embedding", "crafted"]) == 2, value
        error = capsys.readouterr().err
        assert option.rsplit("-", maxsplit=1)[-1] in error, error
    assert list(tmp_path.iterdir()) == []
