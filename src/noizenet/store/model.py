"""Model folders and zips of them; everything that is read is validated.

::

    model.safetensors   the weights
    model.json          format version, architecture, representation, genres, digest of the weights, training
    card.md             the model card: recordings, training and metrics
    codec/              the codec of a token model, unless it is bundled
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noizenet._version import __version__
from noizenet.base.config import from_dict
from noizenet.base.errors import ConfigError, ModelError, UsageError
from noizenet.base.files import make_folder, write_bytes, write_json, write_text
from noizenet.base.regular import open_regular, read_regular
from noizenet.base.renamed import tensor_name
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.weights import Weights, expected_shapes
from noizenet.representation.base import Representation, create
from noizenet.store.bundled import PARTS, locate
from noizenet.store.codecs import find_codec, keep_codec

if TYPE_CHECKING:
    from noizenet.model.network import Network

FORMAT = 2
"""Format version of model folders; version 1 has other names of tensors and options (:mod:`noizenet.base.renamed`)."""
WEIGHTS, ABOUT, CARD = PARTS
MAX_WEIGHT_BYTES = 4 << 30
MAX_ABOUT_BYTES = 16 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_RATIO = 50
"""Largest ratio of unpacked to packed bytes of a zip."""
MAX_NUMBERS = 1 << 30


@dataclass
class Model:
    """A trained network with all that is needed to generate audio.

    Parameters
    ----------
    weights : Weights
        Tensors and their architecture.
    representation : Representation
    genres : list of str
        The position of a name is the genre number.
    training : dict
        Description of the training: recipe, options, corpus, seed, metrics. Plain JSON data.
    """

    weights: Weights
    representation: Representation
    genres: list[str]
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """The architecture of the network."""
        return self.weights.architecture

    @cached_property
    def network(self) -> Network:
        """The network in torch, made at the first access (generation does not need it)."""
        import torch

        from noizenet.model.factory import make_network

        network = make_network(self.architecture)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in self.weights.arrays.items()})
        return network.eval()


def save(model: Model, folder: Path | str, card: str = "", *, half: bool = False) -> None:
    """Write a model folder: weights, description, card; each file atomically.

    With `half` the weights are stored as float16, as in bundled models.

    Raises
    ------
    DiskFullError
        If the disk is full.
    """
    from safetensors.numpy import save as to_bytes

    folder = make_folder(Path(folder))
    data = to_bytes(
        {k: np.ascontiguousarray(v, np.float16 if half else np.float32) for k, v in model.weights.arrays.items()}
    )
    representation = keep_codec(model.representation.to_dict(), folder)
    write_bytes(folder / WEIGHTS, data)
    write_json(folder / ABOUT, {**describe(model, hashlib.sha256(data).hexdigest()), "representation": representation})
    if card:
        write_text(folder / CARD, card)


def describe(model: Model, digest: str) -> dict[str, Any]:
    """Return the content of ``model.json``."""
    return {
        "format": FORMAT,
        "noizenet": __version__,
        "architecture": model.architecture.to_dict(),
        "representation": model.representation.to_dict(),
        "genres": model.genres,
        "weights_sha256": digest,
        "training": model.training,
    }


def load(source: Path | str) -> Model:
    """Read a model folder, a zip file of one, or a bundled model by its name.

    The description is validated field by field, the digest of the weights is compared, and the name, shape and type of
    every tensor are checked against the description before memory is allocated for the network.

    Raises
    ------
    UsageError
        If there is no such model.
    ModelError
        If a file is missing, damaged, changed or from a newer version; the message names it.
    """
    import noizenet.kernels  # noqa: F401 - reports first if numba cannot be used

    source = locate(source)
    with _parts(source) as read:
        try:
            about = json.loads(read(ABOUT, MAX_ABOUT_BYTES))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{source / ABOUT}: damaged (not JSON: {error}); copy the model again") from error
        _check_version(source, about)
        try:
            architecture, representation, genres = _parse(about, source)
            training = _training(about)
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{source / ABOUT}: damaged ({_format_error(error)}); copy the model again") from error
        weights = read(WEIGHTS, _max_weight_bytes(architecture))
    if hashlib.sha256(weights).hexdigest() != about.get("weights_sha256"):
        raise ModelError(
            f"{source / WEIGHTS}: does not match model.json (damaged, truncated or changed); copy the model again"
        )
    arrays = _arrays(source, weights, about["format"])
    return Model(_weights(source, architecture, arrays), representation, genres, training)


def _max_weight_bytes(architecture: Architecture) -> int:
    """Return the largest size of the weights file of an architecture; no more is read."""
    return min(MAX_WEIGHT_BYTES, MAX_HEADER_BYTES + 4 * sum(map(math.prod, expected_shapes(architecture).values())))


def _check_version(source: Path, about: Any) -> None:
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ModelError(f"{source / ABOUT}: damaged (no format version); copy the model again")
    if about["format"] > FORMAT:
        raise ModelError(
            f"{source / ABOUT}: format version {about['format']} is newer than this noizenet reads ({FORMAT}); "
            "upgrade noizenet"
        )


def _parse(about: dict[str, Any], source: Path) -> tuple[Architecture, Representation, list[str]]:
    shape = dict(about["architecture"])
    shape["options"] = from_dict(ModelOptions, shape["options"], "model")
    architecture = Architecture(**shape)
    values = find_codec(dict(about["representation"]), source)
    representation = create(values, sample_rate=values["sample_rate"], channels=values["channels"])
    genres = about["genres"]
    if not (isinstance(genres, list) and all(isinstance(g, str) for g in genres)):
        raise ConfigError("genres: expected a list of names")
    if len(genres) != architecture.genres:
        raise ConfigError(f"genres: {len(genres)} names for {architecture.genres} genres")
    if (representation.kind, representation.dim) != (architecture.kind, architecture.dim):
        raise ConfigError("architecture and representation do not fit together")
    if architecture.kind == "classes" and representation.levels != architecture.levels:
        raise ConfigError("architecture and representation do not fit together")
    return architecture, representation, genres


def _training(about: dict[str, Any]) -> dict[str, Any]:
    """Return the description of the training; the parts that generation uses (tempi, validation loss) are checked."""
    training = about.get("training", {})
    if not isinstance(training, dict):
        raise ConfigError("training: expected an object")
    tempi, metrics = training.get("tempi", {}), training.get("metrics", {})
    if not isinstance(tempi, dict) or not all(isinstance(v, list) and all(map(_finite, v)) for v in tempi.values()):
        raise ConfigError("training.tempi: expected lists of numbers")
    if not isinstance(metrics, dict):
        raise ConfigError("training.metrics: expected an object")
    for key in ("best_validation_bits_per_frame", "steps"):
        if metrics.get(key) is not None and not _finite(metrics[key]):
            raise ConfigError(f"training.metrics.{key}: expected a number")
    return training


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _arrays(source: Path, data: bytes, version: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a weights file under their current names."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        arrays = from_bytes(data)
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{source / WEIGHTS}: damaged ({error}); copy the model again") from error
    return {tensor_name(name): values for name, values in arrays.items()} if version < FORMAT else arrays


def _weights(source: Path, architecture: Architecture, arrays: dict[str, NDArray[Any]]) -> Weights:
    found, shapes = {k: v.shape for k, v in arrays.items()}, expected_shapes(architecture)
    if found != shapes:
        wrong = sorted(set(found.items()) ^ set(shapes.items()))[0]
        raise ModelError(
            f"{source / WEIGHTS}: does not fit the architecture in model.json (first at {wrong[0]!r}); "
            "copy the model again, or train it again if an earlier version made it"
        )
    for name, values in arrays.items():
        if values.dtype not in (np.float32, np.float16) or not np.isfinite(values).all():
            raise ModelError(f"{source / WEIGHTS}: {name!r} is not finite float32 numbers; train or copy it again")
    return Weights(architecture, {k: np.asarray(v, np.float32) for k, v in arrays.items()})


Read = Callable[[str, int], bytes]
"""Function that returns a part of a model by its name, of at most so many bytes."""


@contextlib.contextmanager
def _parts(source: Path) -> Iterator[Read]:
    if source.is_file():
        with _zip_parts(source) as read:
            yield read
        return
    if not source.is_dir():
        raise UsageError(
            f"{source}: no such model; give a folder, one of 'noizenet models', or train one with 'noizenet train'"
        )
    if not (source / ABOUT).exists() and not (source / WEIGHTS).exists():
        if (source / "corpus.json").exists():
            raise UsageError(f"{source}: is a corpus, and a model is expected here; give a model's folder or name")
        raise UsageError(
            f"{source}: not a model folder (neither {ABOUT} nor {WEIGHTS}); train one with 'noizenet train'"
        )
    yield lambda name, max_bytes: _read_part(source / name, max_bytes)


def _read_part(path: Path, max_bytes: int) -> bytes:
    try:
        return read_regular(path, max_bytes)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: the file is missing; copy the model again") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check it, or copy the model again") from error


@contextlib.contextmanager
def _zip_parts(source: Path) -> Iterator[Read]:
    """Yield a reader of the two members of a zip, limited in size regardless of the zip's directory."""
    try:
        with open_regular(source) as file, zipfile.ZipFile(file) as bundle:
            for name in (ABOUT, WEIGHTS):
                if len(_members(bundle, name)) != 1:
                    raise ModelError(f"{source}: holds {len(_members(bundle, name))} files named {name}, expected one")
            yield lambda name, max_bytes: _unpack(source, bundle, name, max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelError(f"{source}: neither a model folder nor a valid zip of one ({error})") from error
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror})") from error


def _members(bundle: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    return [m for m in bundle.infolist() if m.filename.rsplit("/", 1)[-1] == name]


def _unpack(source: Path, bundle: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    member = _members(bundle, name)[0]
    too_large = ModelError(f"{source}: {name} is larger than any noizenet model of its kind ({max_bytes:,} bytes)")
    if member.file_size > max(MAX_HEADER_BYTES, MAX_RATIO * member.compress_size) or member.file_size > max_bytes:
        raise too_large  # weights cannot be compressed that much
    with bundle.open(member) as handle:
        data = handle.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large
    return data


def _format_error(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
