"""Which codec a model may name: a bundled one, one of the hub, or the one in its own folder, and nothing else.

A model that comes from somebody else must not choose which files are opened here. So a codec that is not bundled lies
in the model's folder, in ``codec``; whatever path a model's description gives is never followed.
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
_FIELD = {"codec": "codec", "fullband": "codec", "hub-codec": "model"}
_FILES = {
    "codec": ("codec.json", "codec.safetensors"),
    "fullband": ("codec.json", "codec.safetensors", "highband.safetensors"),
    "hub-codec": ("config.json", "model.safetensors"),
}


def keep_codec(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a representation's description for a model's folder, into which a codec from elsewhere is copied.

    Raises
    ------
    ModelError
        If the codec cannot be read.
    """
    kind = str(values.get("name"))
    if kind not in _FIELD or _is_known(kind, values[_FIELD[kind]]):
        return values
    source, target = Path(values[_FIELD[kind]]), make_folder(folder / FOLDER)
    for name in _FILES[kind]:
        try:
            if not (target / name).is_file() or not filecmp.cmp(source / name, target / name, shallow=False):
                write_bytes(target / name, read_regular(source / name, MAX_FILE_BYTES))
        except OSError as error:
            raise ModelError(f"{source / name}: the codec cannot be read ({error.strerror}); copy it again") from error
    return {**values, _FIELD[kind]: FOLDER}


def find_codec(values: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return a representation's description with the codec that a model may have.

    Raises
    ------
    ModelError
        If it is neither bundled nor in the model's folder.
    """
    kind = str(values.get("name"))
    if kind not in _FIELD:
        return values
    named = values.get(_FIELD[kind])
    if not isinstance(named, str):
        raise ConfigError(f"representation.{_FIELD[kind]}: expected a name")
    if _is_known(kind, named):
        return values
    own = source / FOLDER
    try:
        if own.is_symlink():
            raise ModelError(f"{own}: is a link; put the codec's folder itself there")
        for name in _FILES[kind]:
            check_regular(own / name, links=False)
    except OSError as error:
        raise ModelError(
            f"{source}: the model's codec ({named[:80]!r}) is neither bundled nor in {own}; "
            "copy the codec that it was trained with there (of a zip: unpack it first)"
        ) from error
    return {**values, _FIELD[kind]: str(own)}


def _is_known(kind: str, name: str) -> bool:
    """Whether a codec is known by its name, here or on the hub, so that it is no path."""
    if kind != "hub-codec":
        return name in bundled("codecs")
    return bool(_HUB_NAME.fullmatch(name)) and not Path(name).exists()
