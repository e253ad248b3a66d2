"""Fixtures: small corpora and small trained models, made once per session from procedural songs."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noizenet.base.process import set_openmp_waiting

# Before NumPy and torch are loaded: on a busy machine spinning threads would slow the suite down.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
set_openmp_waiting()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from noizenet.audio.waveform import Waveform, concatenate  # noqa: E402
from noizenet.corpus.corpus import Corpus  # noqa: E402
from noizenet.corpus.synth.song import render  # noqa: E402
from noizenet.corpus.synthetic import build_synthetic  # noqa: E402
from noizenet.kernels.cache import load_librosa  # noqa: E402
from noizenet.representation.base import Representation  # noqa: E402
from noizenet.representation.codec_weights import CodecShape  # noqa: E402
from noizenet.store.model import Model  # noqa: E402
from noizenet.training.codec_training import train_codec  # noqa: E402
from noizenet.training.loop import train  # noqa: E402
from noizenet.training.options import configure  # noqa: E402
from noizenet.training.plan import Budget  # noqa: E402

load_librosa()  # before any test imports it: concurrent runs must not race for numba's cache
# librosa 1.0 gave the argument another name.
GRIFFIN_LIM_SEED = {"rng" if "rng" in inspect.signature(load_librosa().griffinlim).parameters else "random_state": 0}
RATE = 8_000
SLOW_LIMIT_S = 900
QUICK = (
    "training.batch=4",
    "training.window=64",
    "training.segment_seconds=1",
    "training.validation_seconds=1",
    "training.validate_every=10",
    "training.calibration_seconds=0.2",
    "model.hidden=24",
    "training.threads=1",
)
PLAIN = ("model.tiers=[]", "model.head=categorical")
TIERS = ("model.tiers=[[4, 16], [16, 24]]", "model.tier_inputs=16", "model.width=16", "model.lookback=16")


LONG_FILES = {
    "test_training", "test_metrics", "test_evaluation", "test_evaluation_real", "test_tokens", "test_tiered", "test_cli",
    "test_onnx", "test_fma_baseline", "test_hubcodec", "test_figures", "test_site", "test_studio_page", "test_phrases",
    "test_generation", "test_studio", "test_studio_files", "test_studio_connections", "test_studio_attacks", "test_start",
    "test_honest_figures", "test_untrusted_files", "test_robustness", "test_fullband", "test_stepper", "test_codec",
    "test_outputs", "test_clock", "test_views", "test_live", "test_budget", "test_threads", "test_instrument",
}  # fmt: skip
"""Files that take long, or need more than `noizenet[test]`: not in the fast half."""
NUMERICAL_FILES = {
    "test_training", "test_tokens", "test_tiered", "test_stepper", "test_kernels", "test_codec", "test_representations",
    "test_clock", "test_calibration", "test_likelihood", "test_course", "test_fullband", "test_lookback", "test_phrases",
    "test_convert",
}  # fmt: skip
"""Files whose results depend on the processor's instruction sets."""


def pytest_configure() -> None:
    # Tests send SIGINT and SIGHUP, which shells (in the background) and nohup make processes ignore.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast half and the numerical tests by their files; give slow tests a longer time limit."""
    for item in items:
        if item.get_closest_marker("slow"):
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(SLOW_LIMIT_S))
            continue
        if item.path.stem not in LONG_FILES:
            item.add_marker(pytest.mark.fast)
        if item.path.stem in NUMERICAL_FILES:
            item.add_marker(pytest.mark.numerical)


@pytest.fixture(autouse=True)
def _no_leftovers(request: pytest.FixtureRequest) -> object:
    """Check that no test leaves temporary files of noizenet."""
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        assert not [p for p in folder.rglob("*.part*") if p.is_file() and ".partial" not in p.name]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twelve procedural songs of five seconds, four genres, 8 kHz."""
    return build_synthetic(tmp_path_factory.mktemp("corpus"), minutes=1.0, sample_rate=RATE, workers=1)


@pytest.fixture(scope="session")
def song() -> Waveform:
    """Ten seconds of a procedural waltz at 22,050 Hz."""
    return concatenate([Waveform(b, 22_050) for b in render("waltz", 3, 10.0, 22_050)])


def quick_train(corpus: Corpus, folder: Path, recipe: str, *extra: str, epochs: float = 0.5) -> Model:
    small = {"sample-lstm": TIERS, "token-lstm": TOKENS}.get(recipe, ())
    return train(corpus, folder, configure(recipe, None, (*QUICK, *small, *extra)), Budget(epochs=epochs))


@pytest.fixture(scope="session")
def sample_model(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A briefly trained `sample-lstm`."""
    folder = tmp_path_factory.mktemp("models") / "sample-lstm"
    quick_train(corpus, folder, "sample-lstm")
    return folder


@pytest.fixture(scope="session")
def paper_model(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A briefly trained `paper-lstm`."""
    folder = tmp_path_factory.mktemp("models") / "paper-lstm"
    quick_train(corpus, folder, "paper-lstm")
    return folder


SMALL_CODEC: dict[str, Any] = {
    "sample_rate": RATE, "n_fft": 256, "hop": 64, "bands": 24, "width": 48, "codebooks": 3, "levels": 16,
    "code_size": 4, "past": 2, "decoder_past": 2,
}  # fmt: skip
CODEC_STEPS = 250
TOKENS = ("model.embedding=24", "model.depth_width=24", "training.init_from=")


@pytest.fixture(scope="session")
def codec(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A briefly trained codec."""
    folder = tmp_path_factory.mktemp("codecs") / "small"
    train_codec(corpus, folder, CodecShape(**SMALL_CODEC), steps=CODEC_STEPS)
    return folder


@pytest.fixture(scope="session")
def token_model(corpus: Corpus, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A briefly trained `token-lstm`."""
    folder = tmp_path_factory.mktemp("models") / "token-lstm"
    quick_train(corpus, folder, "token-lstm", f"representation.codec={codec}", epochs=20)
    return folder


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; returns exit code, standard output, standard error."""
    from noizenet.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def noizenet(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a separate process."""
    command = [sys.executable, "-m", "noizenet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload]


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def check_batch_equals_single(representation: Representation, codes: np.ndarray) -> None:
    """Decode the codes [S, n, K] of S streams in a batch, in unequal chunks; compare with each stream alone."""
    batched, single = ([representation.decoder() for _ in codes] for _ in range(2))
    for first, last in ((0, 1), (1, 19), (19, codes.shape[1])):
        made = type(batched[0]).push_batch(batched, codes[:, first:last])
        for decoder, part, sound in zip(single, codes, made, strict=True):
            assert np.array_equal(decoder.push(part[first:last]), sound)
    for a, b in zip(single, batched, strict=True):
        assert np.array_equal(a.finish(), b.finish())


def die_while_writing(path: Path) -> None:
    """Kill a process that has written half of a file: its temporary file stays."""
    code = (
        "import os, sys; from pathlib import Path; from noizenet.base.files import temporary_name; "
        "temporary_name(Path(sys.argv[1])).write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)


def tone(seconds: float, rate: int = RATE, hz: float = 220.0) -> np.ndarray:
    """Three decaying harmonics, repeated twice a second, as a stand-in for music."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3))
    return (0.3 * wave * np.exp(-3 * (t % 0.5)) * (1 + 0.2 * np.sin(t))).astype(np.float32)
