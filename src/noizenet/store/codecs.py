"""The codec of a model: a bundled one, one of the hub, or the one in the model's folder, and nothing else.

A model from an untrusted source must not choose which files are opened. So a codec that is not bundled is stored in the
model's folder, in ``codec``; paths in a model's description are not followed.
"""

from __future__ import annotations

import filecmp
import re
from pathlib import Path
from typing import Any

from noizenet.base.bundled import bundled
from noizenet.base.errors import ConfigError, ModelError
from noizenet.base.files import make_folder, write_bytes
from noizenet.base.regular import check_regular, read_regular

FOLDER = "codec"
MAX_FILE_BYTES = 2 << 30
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CODEC_KEY = {"codec": "codec", "fullband": "codec", "hub-codec": "model"}
_FILES = {
    "codec": ("codec.json", "codec.safetensors"),
    "fullband": ("codec.json", "codec.safetensors", "highband.safetensors"),
    "hub-codec": ("config.json", "model.safetensors"),
}


def keep_codec(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a representation's description for a model's folder; a codec that is not bundled is copied there.

    Raises
    ------
    ModelError
        If the codec cannot be read.
    """
    kind = str(values.get("name"))
    if kind not in _CODEC_KEY or _is_known(kind, values[_CODEC_KEY[kind]]):
        return values
    source, target = Path(values[_CODEC_KEY[kind]]), make_folder(folder / FOLDER)
    for name in _FILES[kind]:
        try:
            if not (target / name).is_file() or not filecmp.cmp(source / name, target / name, shallow=False):
                write_bytes(target / name, read_regular(source / name, MAX_FILE_BYTES))
        except OSError as error:
            raise ModelError(f"{source / name}: the codec cannot be read ({error.strerror}); copy it again") from error
    return {**values, _CODEC_KEY[kind]: FOLDER}


def find_codec(values: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return a representation's description with the path or name of the model's codec.

    Raises
    ------
    ModelError
        If it is neither bundled nor in the model's folder.
    """
    kind = str(values.get("name"))
    if kind not in _CODEC_KEY:
        return values
    named = values.get(_CODEC_KEY[kind])
    if not isinstance(named, str):
        raise ConfigError(f"representation.{_CODEC_KEY[kind]}: expected a name")
    if _is_known(kind, named):
        return values
    local = source / FOLDER
    try:
        if local.is_symlink():
            raise ModelError(f"{local}: is a link; replace it by the codec's folder")
        for name in _FILES[kind]:
            check_regular(local / name, links=False)
    except OSError as error:
        raise ModelError(
            f"{source}: the model's codec ({named[:80]!r}) is neither bundled nor in {local}; "
            "copy the codec of its training there (unpack a zip first)"
        ) from error
    return {**values, _CODEC_KEY[kind]: str(local)}


def _is_known(kind: str, name: str) -> bool:
    """Return whether a codec is named, bundled or on the hub, and so is no path."""
    if kind != "hub-codec":
        return name in bundled("codecs")
    return bool(_HUB_NAME.fullmatch(name)) and not Path(name).exists()
