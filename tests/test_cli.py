"""The command line: results, JSON, exit codes, one line for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from conftest import QUICK, RATE, TIERS, noizenet, tone

from noizenet.cli import COMMANDS
from noizenet.corpus.corpus import Corpus

Run = Callable[..., tuple[int, str, str]]
SETS = ["--model", "sample-lstm", *(x for s in (*QUICK, *TIERS) for x in ("--set", s))]


def test_help_names_every_command(cli: Run) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for name in COMMANDS:
        assert name.split()[0] in out
        code, text, _ = cli(*name.split(), "--help")
        assert code == 0
        assert "Usage" in text
    assert cli("--version")[1].startswith("noizenet ")


def test_every_step_from_corpus_to_picture(cli: Run, tmp_path: Path) -> None:
    """Songs → corpus → model → music → pictures, with JSON output."""
    code, out, _ = cli("corpus", "demo", tmp_path / "c", "--minutes", 0.6, "--sample-rate", RATE, "--json")
    assert code == 0
    assert json.loads(out)["tracks"] == 12
    code, out, _ = cli("corpus", "show", tmp_path / "c")
    assert code == 0
    assert "techno" in out
    code, out, _ = cli("train", tmp_path / "c", tmp_path / "m", "--epochs", 0.1, *SETS, "--json")
    assert code == 0
    assert json.loads(out)["steps"] > 5
    code, out, _ = cli("generate", tmp_path / "m", tmp_path / "a.flac", "--seconds", 1, "--genre", "techno", "--json")
    made = json.loads(out)
    assert code == 0
    assert made["seconds"] == 1.0
    assert made["aliveness"]["seconds"] == 1.0
    code, out, _ = cli("reproduce", tmp_path / "m", tmp_path / "a.flac", tmp_path / "e.wav", "--json")
    assert code == 0
    assert set(json.loads(out)["persistence"]) == {"mse", "mae", "mbe"}
    code, _, _ = cli("view", tmp_path / "a.flac", tmp_path / "v.png", "--compare", tmp_path / "e.wav")
    assert code == 0
    assert (tmp_path / "v.png").exists()
    code, _, err = cli("train", tmp_path / "c", tmp_path / "m", "--epochs", 0.1, *SETS)
    assert code == 2
    assert "--resume" in err


def test_plain_tables(cli: Run, sample_model: Path, tmp_path: Path) -> None:
    code, out, _ = cli("generate", sample_model, tmp_path / "a.wav", "--seconds", 0.5)
    assert code == 0
    assert "drawn with the random seed" in out
    code, out, _ = cli("models")
    assert "sample-lstm" in out
    code, out, _ = cli("doctor")
    assert code == 0
    assert "torch" in out
    soundfile.write(tmp_path / "s.wav", tone(1.0), RATE)
    code, out, _ = cli("reproduce", sample_model, tmp_path / "s.wav", tmp_path / "e.wav", "--genre", "waltz")
    assert "persistence" in out


def test_pcm_on_standard_output(sample_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "noizenet", "generate", str(sample_model), "-", "--seconds", "1", "--seed", "3"]
    pcm = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(pcm) == 2 * RATE
    noizenet("generate", sample_model, tmp_path / "a.wav", "--seconds", 1, "--seed", 3)
    data, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert np.array_equal(np.frombuffer(pcm, "<i2"), data)


def test_endless_playback_ends_when_the_reader_closes_the_pipe(sample_model: Path) -> None:
    command = f"{sys.executable} -m noizenet play {sample_model} --out - --seed 3 | head -c 40000 | wc -c"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "40000"
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.mp3").write_text("no music " * 99)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.toml").write_text("[model]\nhiden = 3\n")
    soundfile.write(tmp_path / "good.wav", tone(1.0), RATE)
    return tmp_path


USAGE_ERRORS = [
    ("nonsense",), ("generate",), ("generate", "MODEL", "OUT.wav", "--seconds", "x"),
    ("generate", "nowhere", "OUT.wav"), ("generate", "BAD/folder", "OUT.wav"), ("generate", "MODEL", "OUT.xyz"),
    ("generate", "MODEL", "nowhere/OUT.wav"), ("generate", "MODEL", "OUT.wav", "--genre", "polka"),
    ("generate", "MODEL", "OUT.wav", "--temperature", "-1"), ("generate", "MODEL", "OUT.wav", "--top-p", "0"),
    ("generate", "MODEL", "OUT.wav", "--seconds", "0"), ("generate", "MODEL", "OUT.wav", "--seed-noise", "brown"),
    ("generate", "MODEL", "OUT.wav", "--genre", "waltz", "--morph", "waltz>techno"),
    ("generate", "PAPER", "OUT.wav", "--temperature", "0.5"), ("generate", "MODEL", "OUT.wav", "--inject-noise", "1"),
    ("play", "MODEL", "--out", "file.wav"), ("generate", "MODEL", "-", "--count", "2"),
    ("generate", "MODEL", "OUT.wav", "--count", "0"), ("generate", "MODEL", "OUT.wav", "--code-top-p", "1,2"),
    ("generate", "MODEL", "OUT.wav", "--code-temperatures", "1,x"),
    ("generate", "MODEL", "OUT.wav", "--code-temperatures", "1,1"),
    ("corpus", "build", "nowhere", "BAD/c"), ("corpus", "build", "BAD/good.wav", "BAD/c"), ("corpus", "show", "BAD"),
    ("corpus", "build", "BAD", "BAD/c", "--layout", "tree"), ("corpus", "build", "BAD", "BAD/c", "--channels", "9"),
    ("corpus", "demo", "BAD/c", "--minutes", "-3"), ("corpus", "fetch", "fma-tiny", "BAD/c"),
    ("train", "CORPUS", "BAD/m", "--model", "sampel-lstm"), ("train", "nowhere", "BAD/m"),
    ("train", "CORPUS", "BAD/m", "--config", "BAD/bad.toml"), ("train", "CORPUS", "BAD/m", "--config", "BAD/none.toml"),
    ("train", "CORPUS", "BAD/m", "--set", "model.hidden=wide"), ("train", "CORPUS", "BAD/m", "--minutes", "0"),
    ("train", "CORPUS", "BAD/m", "--minutes", "1", "--epochs", "1"), ("train", "CORPUS", "BAD/m", "--set", "x"),
    ("view", "BAD/good.wav", "BAD/a.gif"), ("view", "BAD/good.wav", "BAD/a.png", "--kind", "smell"),
    ("view", "BAD/folder", "BAD/a.png"), ("bench", "--only", "everything"), ("bench", "--rounds", "0"),
    ("view", "BAD/none.wav", "BAD/a.png"), ("generate", "MODEL", "OUT.wav", "--seed-audio", "BAD/none.wav"),
    ("corpus", "build", "BAD", "BAD/good.wav"), ("train", "CORPUS", "BAD/good.wav"),
    ("generate", "MODEL", "OUT.wav", "--include-seed"), ("train", "BAD/good.wav", "BAD/m"),
    ("corpus", "build", "BAD", "BAD/c", "--workers", "-1"),
]  # fmt: skip

FAILURES = [
    ("view", "BAD/empty.mp3", "BAD/a.png"), ("view", "BAD/text.mp3", "BAD/a.png"),
    ("generate", "MODEL", "OUT.wav", "--seed-audio", "BAD/empty.mp3"), ("reproduce", "MODEL", "BAD/text.mp3", "OUT.wav"),
    ("corpus", "build", "BAD/folder", "BAD/c"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code"), [(a, 2) for a in USAGE_ERRORS] + [(a, 1) for a in FAILURES], ids=str)
def test_a_usage_error_is_one_line(
    arguments: tuple[str, ...], code: int, cli: Run, bad: Path, corpus: Corpus, sample_model: Path, paper_model: Path
) -> None:
    names = {"MODEL": str(sample_model), "PAPER": str(paper_model), "CORPUS": str(corpus.folder), "BAD": str(bad)}
    given = []
    for a in arguments:
        head, slash, tail = a.partition("/")
        given.append(str(bad / a) if a.startswith("OUT.") else names.get(head, head) + slash + tail)
    before = {p for p in bad.rglob("*") if p.is_file()}
    result, out, err = cli(*given)
    assert result == code, err
    lines = [line for line in err.splitlines() if line.startswith("noizenet: ")]
    assert len(lines) == 1, err
    assert out == ""
    created = {p.name for p in bad.rglob("*") if p.is_file()} - {p.name for p in before}
    assert created <= {".lock", "problems.csv"}, created


def test_an_unexpected_error_is_one_line_too(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import noizenet.api

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops\nmore")

    monkeypatch.setattr(noizenet.api, "view", broken)
    code, _, err = cli("view", tmp_path / "a.wav", tmp_path / "a.png")
    assert code == 1
    assert (
        err == "noizenet: unexpected ZeroDivisionError: oops more (a bug in noizenet; NOIZENET_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("NOIZENET_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli("view", tmp_path / "a.wav", tmp_path / "a.png")


def test_interruption_is_130(sample_model: Path) -> None:
    import signal

    process = subprocess.Popen(
        [sys.executable, "-m", "noizenet", "play", str(sample_model), "--out", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.read(1000)
    process.send_signal(signal.SIGINT)
    # Keep reading: a closed pipe would end the playback with exit code 0.
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err.decode()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("what", ["generate", "build"])
def test_a_signal_ends_a_command_with_clean_up_and_a_message(
    what: str, name: str, code: int, sample_model: Path, tmp_path: Path
) -> None:
    import signal
    import time

    if what == "generate":
        arguments: list[object] = ["generate", sample_model, tmp_path / "a.wav", "--seconds", 10_000, "--watch", "off"]
        partial, message, folder = ".a-*.part.wav", "interrupted; nothing was written", tmp_path
    else:
        (tmp_path / "src").mkdir()
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, (44_100 * 60, 1))
        for i in range(30):
            soundfile.write(tmp_path / "src" / f"{i}.wav", noise * (i + 1) / 40, 44_100)
        arguments = ["corpus", "build", tmp_path / "src", tmp_path / "c", "--workers", 2]
        partial, message, folder = (
            ".*.part*",
            "interrupted; prepared recordings are kept, run the same command to resume",
            tmp_path / "c/audio",
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "noizenet", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list(folder.glob(partial)) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, err
    assert message in err
    assert "Traceback" not in err
    assert not list(folder.glob(partial))
    until = time.monotonic() + 10  # joblib's resource tracker ends a moment after its parent
    while _remaining(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _remaining(process.pid)


def _remaining(group: int) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["status"]) if _group(p.pid) == group and p.info["status"] != "zombie"]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def test_error_messages_give_the_remedy(cli: Run, sample_model: Path, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "the folder holds no files" in cli("corpus", "build", tmp_path / "empty", tmp_path / "c")[2]
    assert "auto" in cli("corpus", "build", tmp_path, tmp_path / "d", "--layout", "foo")[2]
    assert "0 for one per core" in cli("corpus", "build", tmp_path, tmp_path / "d", "--workers", -1)[2]
    assert "is a file, expected a corpus folder" in cli("train", corpus.folder / "corpus.json", tmp_path / "m")[2]
    soundfile.write(tmp_path / "a.wav", tone(1.0), RATE)
    assert "all" in cli("view", tmp_path / "a.wav", tmp_path / "a.png", "--kind", "foo")[2]
    assert cli("generate", sample_model, tmp_path / "o.wav", "--genre", "xyz")[2].count("xyz") == 1
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    assert "points to itself" in cli("view", tmp_path / "loop.wav", tmp_path / "a.png")[2]
    _, out, _ = cli("generate", sample_model, tmp_path / "o.wav", "--seconds", 0.0002)
    assert "too short to judge" in out
    assert "100" not in out
    _, out, _ = cli("generate", sample_model, tmp_path / "o.wav", "--seconds", 0.0002, "--json")
    assert json.loads(out)["aliveness"]["alive"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train CORPUS OUT --model MODEL", "is a file or folder and no recipe"),
        ("train CORPUS OUT --model CORPUS", "--set training.init_from=MODEL"),
        ("train CORPUS OUT --model mod", "unknown recipe 'mod': known: paper-fft-gru"),
        ("evaluate CORPUS MODEL OUT", "MODEL: is a model's folder, and a corpus is expected here"),
        ("train MODEL OUT", "MODEL: is a model's folder, and a corpus is expected here"),
        ("evaluate CORPUS CORPUS OUT", "CORPUS: is a corpus, and a model is expected here"),
        ("generate CORPUS OUT.wav", "CORPUS: is a corpus, and a model is expected here"),
        ("evaluate --audio MODEL CORPUS OUT", "MODEL: is a model's folder without audio files; to evaluate a model, leave out --audio"),
    ],
)  # fmt: skip
def test_a_path_of_the_wrong_kind_is_identified(
    arguments: str, message: str, cli: Run, corpus: Corpus, sample_model: Path, tmp_path: Path
) -> None:
    paths = {"CORPUS": corpus.folder, "MODEL": sample_model, "OUT": tmp_path / "o", "OUT.wav": tmp_path / "o.wav"}
    code, _, err = cli(*(paths.get(word, word) for word in arguments.split()))
    assert code == 2
    for name in ("CORPUS", "MODEL"):
        message = message.replace(f"{name}:", f"{paths[name]}:")
    assert message in err
    assert not list(tmp_path.glob("o/*"))


def test_skipped_files_of_an_evaluation_are_counted(cli: Run, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "good.wav", tone(4.0), RATE)
    for i in range(3):
        (tmp_path / "music" / f"{i}.wav").write_bytes(b"no music" * 99)
    code, _, err = cli(
        "evaluate", "--audio", tmp_path / "music", corpus.folder, tmp_path / "r", "--embedding", "crafted",
        "--real-seconds", 3,
    )  # fmt: skip
    assert code == 0, err
    assert "3 of 4 files skipped: 0.wav: " in err.replace("\n", "")


def test_bench_prints_ratios(cli: Run) -> None:
    code, out, _ = cli("bench", "--only", "stepping", "--rounds", 1, "--json")
    assert code == 0
    figures = {f["name"]: f for f in json.loads(out)["figures"]}
    assert all(f["value"] > 0 for f in figures.values())
    assert figures["stepping, 64 hidden ÷ eager LSTMCell loop"]["target"] == 10


@pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")
@pytest.mark.parametrize("command", ["generate token-lstm - --seconds 1", "play token-lstm --out - --seconds 1"])
def test_pcm_to_a_closed_standard_output_is_a_failure(command: str) -> None:
    shell = f"{sys.executable} -m noizenet {command} >&-"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"NUMBA_NUM_THREADS": "0"}, "NUMBA_NUM_THREADS"), ({"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set")],
)
def test_an_unusable_setting_of_numba_is_named(setting: dict[str, str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "noizenet", "generate", "token-lstm", str(tmp_path / "a.wav"), "--seconds", "1"]
    done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert message in done.stderr
    assert "damaged" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use cannot be removed there")
def test_a_removed_working_directory_is_reported(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f"cd {gone} && rmdir {gone} && {sys.executable} -P -m noizenet generate token-lstm a.wav --seconds 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the working directory no longer exists" in done.stderr


def test_the_studio_does_not_start_with_missing_models(cli: Run, tmp_path: Path, corpus: Corpus) -> None:
    for wrong in (tmp_path / "nope", corpus.folder):
        code, _, errors = cli("studio", wrong, "--port", 0, "--data", tmp_path / "data")
        assert (code, "no such model" in errors) == (2, True), errors
    code, _, errors = cli("studio", "--host", "999.1.1.1", "--token", "x" * 20, "--data", tmp_path / "data")
    assert (code, "choose another --host" in errors) == (1, True), errors


def test_an_error_shows_a_long_name_without_its_type(cli: Run, tmp_path: Path) -> None:
    code, _, errors = cli("generate", "token-lstm", tmp_path / ("z" * 300 + ".wav"), "--seconds", 1)
    assert (code, "PosixPath" in errors, "choose a shorter one" in errors) == (2, False, True), errors


def test_a_short_prompt_gives_a_remark(cli: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", np.random.default_rng(0).normal(0, 0.1, 3 * 44_100), 44_100)
    out = tmp_path / "a.wav"
    for seconds, remarked in (("0.001", False), ("2.9", False), ("7", True)):
        prompt = "--prompt", tmp_path / "song.wav", "--prompt-seconds", seconds
        code, printed, errors = cli("generate", "token-lstm", out, "--seconds", 1, *prompt, "--json")
        assert (code, "asked for" in printed + errors) == (0, remarked), printed + errors
