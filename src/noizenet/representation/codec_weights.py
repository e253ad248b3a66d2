"""A codec's hyperparameters and arrays, and how they are read from a folder or a bundled codec."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.bundled import bundled
from noizenet.base.config import check, from_dict, option
from noizenet.base.errors import ConfigError, ModelError, UsageError
from noizenet.base.files import make_folder, write_bytes, write_json, write_text
from noizenet.base.regular import read_regular

F32 = NDArray[np.float32]
FORMAT = 1
ABOUT, ARRAYS, CARD = "codec.json", "codec.safetensors", "card.md"
MAX_BYTES = 1 << 28
QUANTISERS = ("product", "residual")


@dataclass(frozen=True)
class CodecShape:
    """Hyperparameters of a codec: the shapes of its arrays and the framing of its input."""

    sample_rate: int = option(22_050, "Hz", low=1_000, high=192_000)
    n_fft: int = option(1024, "window in samples, even", low=64, high=8192)
    hop: int = option(256, "samples from spectrum to spectrum; a quarter of the window or less", low=16, high=2048)
    spectra: int = option(2, "spectra in one frame of codes", low=1, high=16)
    bands: int = option(128, "mel bands of the encoder's input", low=8, high=1024)
    width: int = option(384, "units of its layers", low=8, high=4096)
    encoder_blocks: int = option(2, "residual layers of the encoder", low=0, high=16)
    decoder_blocks: int = option(3, "residual layers of the decoder", low=0, high=16)
    past: int = option(4, "frames that the encoder looks back", low=0, high=64)
    ahead: int = option(1, "frames that the encoder looks ahead", low=0, high=16)
    decoder_past: int = option(3, "frames that the decoder looks back", low=0, high=64)
    decoder_ahead: int = option(1, "frames that the decoder looks ahead", low=0, high=16)
    quantiser: str = option(
        "product", "codes of separate dimensions, or each of the previous code's residual", choices=QUANTISERS
    )
    codebooks: int = option(4, "codes in a frame", low=1, high=16)
    levels: int = option(256, "values of a code", low=2, high=4096)
    code_size: int = option(16, "dimensions of a code's embedding", low=1, high=512)
    floor: float = option(1e-3, "added to magnitudes before the logarithm; full scale is 1", low=1e-7, high=0.1)

    def __post_init__(self) -> None:
        check(self, "codec")
        if self.n_fft % self.hop or self.n_fft // self.hop < 4:
            raise ConfigError(f"codec.hop: {self.hop} does not divide n_fft = {self.n_fft} four times or more")

    @property
    def bins(self) -> int:
        """Bins of a spectrum."""
        return self.n_fft // 2 + 1

    @property
    def samples(self) -> int:
        """Samples in a frame of codes."""
        return self.hop * self.spectra

    @property
    def latent(self) -> int:
        """Dimensions of a frame's latent."""
        return self.code_size * (self.codebooks if self.quantiser == "product" else 1)

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array by name."""
        w = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "bands": (self.bands, self.bins), "book": (self.codebooks, self.levels, self.code_size)
        }  # fmt: skip
        encoder_inputs = (self.past + 1 + self.ahead) * self.spectra * self.bands
        decoder_inputs = (self.decoder_past + 1 + self.decoder_ahead) * self.latent
        for side, inputs, blocks in (
            ("encoder", encoder_inputs, self.encoder_blocks),
            ("decoder", decoder_inputs, self.decoder_blocks),
        ):
            shapes |= _linear(f"{side}.first", w, inputs)
            for i in range(blocks):
                name = f"{side}.blocks.{i}"
                shapes |= {f"{name}.norm.weight": (w,), f"{name}.norm.bias": (w,)}
                shapes |= _linear(f"{name}.up", w, w) | _linear(f"{name}.down", w, w)
        shapes |= _linear("encoder.last", self.latent, w)
        shapes |= _linear("decoder.mean", self.spectra * self.bins, w)
        return shapes | _linear("decoder.spread", self.spectra * self.bands, w)


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


@dataclass(frozen=True, eq=False)  # one object for each codec: the cache of packed decoders is keyed by it
class CodecWeights:
    """A codec's hyperparameters and arrays, the digest of this version, and the record of its training."""

    shape: CodecShape
    arrays: dict[str, F32]
    digest: str
    training: dict[str, Any]

    def __getitem__(self, name: str) -> F32:
        return self.arrays[name]

    @cached_property
    def kernels(self) -> dict[str, F32]:
        """The layers' weights as [inputs, outputs]: with few rows, BLAS is twice as fast with this layout."""
        return {
            k.removesuffix(".weight"): np.ascontiguousarray(v.T)
            for k, v in self.arrays.items()
            if k.endswith(".weight") and v.ndim == 2
        }


def save_codec(shape: CodecShape, arrays: dict[str, F32], training: dict[str, Any], folder: Path, card: str) -> None:
    """Write a codec folder; each file is replaced atomically."""
    from safetensors.numpy import save as to_bytes

    make_folder(folder)
    data = to_bytes({k: np.ascontiguousarray(v, np.float16) for k, v in arrays.items()})
    write_bytes(folder / ARRAYS, data)
    about = {"format": FORMAT, "shape": asdict(shape), "sha256": hashlib.sha256(data).hexdigest(), "training": training}
    write_json(folder / ABOUT, about)
    write_text(folder / CARD, card)


@lru_cache(maxsize=4)
def load_codec(name: str) -> CodecWeights:
    """Read a codec: a bundled one by its name, or a folder.

    Raises
    ------
    UsageError
        If there is none.
    ModelError
        If it is damaged.
    """
    folder = bundled("codecs").get(name, Path(name))
    try:
        about_bytes, data = read_regular(folder / ABOUT, MAX_BYTES >> 4), read_regular(folder / ARRAYS, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{name}: neither a bundled codec nor the folder of a codec ({error.strerror})") from error
    try:
        about = json.loads(about_bytes)
        version, digest, training = about["format"], about["sha256"], about.get("training", {})
        if version > FORMAT:
            raise ModelError(f"{name}: the codec has format {version}, this noizenet reads {FORMAT}; upgrade noizenet")
        shape = from_dict(CodecShape, about["shape"], "codec")
    except (ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{name}/{ABOUT}: damaged ({error}); copy the codec again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelError(f"{name}/{ARRAYS}: does not match {ABOUT} (damaged or changed); copy the codec again")
    return CodecWeights(shape, _checked(name, shape, data), digest, training)


def _checked(name: str, shape: CodecShape, data: bytes) -> dict[str, F32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        arrays = {k: np.asarray(v, np.float32) for k, v in from_bytes(data).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{name}/{ARRAYS}: damaged ({error}); copy the codec again") from error
    if {k: v.shape for k, v in arrays.items()} != shape.arrays():
        raise ModelError(f"{name}/{ARRAYS}: does not fit {ABOUT}; copy the codec again")
    if not all(np.isfinite(v).all() for v in arrays.values()):
        raise ModelError(f"{name}/{ARRAYS}: some values are not finite; copy the codec again")
    return arrays
