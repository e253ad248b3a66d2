"""Numba's compiled functions, kept by :mod:`noizenet.base.compiled`: ours, and those of librosa.

Numba asks a function's cache object for each signature before it compiles, and gives it what it has compiled. The
objects here are such caches; they take numba's own way of turning code into bytes and back. `tests/test_start.py`
holds what is assumed of numba (the same from 0.60 on).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import caching as _caching
from numba.core import config as _config
from numba.core import serialize as _serialize
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import ufuncbuilder as _ufuncbuilder

from noizenet.base import compiled as base
from noizenet.base.compiled import CompiledStore

caching: Any = _caching  # numba's types are partial
config: Any = _config
serialize: Any = _serialize
ufuncbuilder: Any = _ufuncbuilder

SOURCES = ("kernels", "model", "representation", "bench")
"""Folders of the package in which loops, or parts of one, are written."""
_FROM_LIBROSA = (
    "librosa.util.utils", "librosa.util.matching", "librosa.filters", "librosa.feature.utils", "librosa.sequence",
    "librosa.core.audio", "librosa.core.spectrum", "librosa.core.pitch", "librosa.core.constantq",
    "librosa.core.notation",
)  # fmt: skip
_import_lock = threading.RLock()


def source_digest() -> str:
    """Return a digest of every file that a loop may be made of: contents, not times."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def store() -> CompiledStore:
    """Return this process's store: its key names the processor, the compilers' versions and our sources."""
    import llvmlite
    import numpy
    from llvmlite import binding

    cpu = config.CPU_NAME or binding.get_host_cpu_name()
    features = config.CPU_FEATURES
    if features is None:
        features = "" if config.CPU_NAME else binding.get_host_cpu_features().flatten()
    code = (
        numba.__version__, llvmlite.__version__, numpy.__version__, sys.version, sys.platform, source_digest(),
        config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT,
    )  # fmt: skip
    return CompiledStore(_short(repr((cpu, features)), 8), _short(repr(code), 16))


class _Progress:
    """Counts loops that were compiled, and those that still will be."""

    def __init__(self) -> None:
        self._done, self._wanted = {True: 0, False: 0}, set[Any]()

    def begin(self, function: Any) -> None:
        if _is_ours(function):
            self._wanted |= _reachable(function)
        self._tell(function)

    def end(self, function: Any) -> None:
        self._done[_is_ours(function)] += 1
        self._tell(function)

    def _tell(self, function: Any) -> None:
        if _is_ours(function):
            base.callbacks.on_progress("the kernels", self._done[True], max(len(self._wanted), self._done[True]))
        else:
            base.callbacks.on_progress("librosa's functions", self._done[False], 0)


progress = _Progress()


class _Place:
    """Stands in for numba's locators, which choose folders; the store has chosen."""

    def __init__(self, file: str) -> None:
        self._py_file = file  # named in numba's warning of what cannot be kept

    def ensure_cache_path(self) -> None:
        """Do nothing: the store makes its folder."""


class _Files:
    """What numba calls an index and its data: here one file for each key."""

    def __init__(self, function: Any) -> None:
        self._function = function
        module = getattr(function, "__module__", "") or ""
        self._name = f"{module.rpartition('.')[2]}.{getattr(function, '__name__', 'loop')}"[:60]
        self._about = f"{module}.{function.__qualname__} {_origin(function)}"

    def _key(self, key: Any) -> tuple[str, bytes] | None:
        text = f"{self._about} {key!r}"
        if " at 0x" in text:  # an address: it would never be found again
            return None
        return f"{self._name}-{_short(text, 16)}", text.encode("utf-8", "surrogatepass")

    def load(self, key: Any) -> Any:
        """Return what was kept for a key; where nothing was, become the process that compiles it."""
        place = self._key(key)
        if place is None:
            return None
        found = store().load(*place)
        if found is None and store().claim():
            found = store().load(*place)  # another process has compiled it meanwhile
        if found is not None:
            return pickle.loads(found)  # noqa: S301 - our own file, in a folder that only this user can write to
        progress.begin(self._function)
        return None

    def save(self, key: Any, data: Any) -> None:
        """Keep what was compiled for a key."""
        place = self._key(key)
        if place is not None:
            store().save(*place, serialize.dumps(data))
        progress.end(self._function)

    def flush(self) -> None:
        """Do nothing: a file of another key is never used."""


class FunctionCache(caching.Cache):  # type: ignore[misc]
    """Works as numba's cache of the same name does, but for where things are kept."""

    _impl_class = caching.FunctionCache._impl_class

    def __init__(self, py_func: Any) -> None:
        # Not numba's own: that looks for a folder to write to, and fails where there is none.
        self._name, self._py_func = repr(py_func), py_func
        self._impl = self._impl_class.__new__(self._impl_class)
        self._impl._lineno = py_func.__code__.co_firstlineno
        self._impl._locator = _Place(inspect.getfile(py_func))
        self._cache_file = _Files(py_func)
        self.enable()

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super()._load_overload(sig, target_context)
        except Exception:  # whole, and yet of no use to this process: compile it again
            progress.begin(self._py_func)
            return None

    @property
    def cache_path(self) -> str:
        """The first folder that is looked into."""
        return str(store().folders[0])


def keep(loop: Any) -> Any:
    """Let a function of numba's be kept in the store; returns it."""
    if not hasattr(loop, "_cache"):  # NUMBA_DISABLE_JIT: it is a plain function
        return loop
    loop._cache = FunctionCache(loop.py_func)
    inner = loop.compile

    def compile_alone(signature: Any) -> Any:
        with store().compiling():
            return inner(signature)

    loop.compile = compile_alone
    return loop


def load_librosa() -> Any:
    """Import librosa so that its compiled functions are kept in the store, too; returns the module.

    Up to 0.11 librosa compiles some functions while it is imported; from 1.0 on most are compiled when they are first
    called. It lets numba keep them beside its sources. While its modules are loaded, numba's names for what keeps them
    mean ours, and each function goes on with what it was given then. Modules that are loaded already stay as they are.
    """
    with _import_lock:
        import librosa

        if not all(name in sys.modules for name in _FROM_LIBROSA):
            with global_compiler_lock, store().compiling(), _numba_keeps_here():
                for name in _FROM_LIBROSA:
                    with contextlib.suppress(ImportError):  # other versions have other modules
                        __import__(name)
        return librosa


def load_beat_tracker() -> Any:
    """Return ``librosa.beat``, loaded as :func:`load_librosa` does; it is apart, as loading it takes a second."""
    with _import_lock:
        load_librosa()
        with global_compiler_lock, store().compiling(), _numba_keeps_here():
            import librosa.beat
        return librosa.beat


class _GUFuncBuilder(ufuncbuilder.GUFuncBuilder):  # type: ignore[misc]
    """Works as numba's does, and keeps no wrapper: each process builds it anew, around the function that is there.

    A wrapper calls its function by a name that holds a count of the process that compiled it (numba issue 10128). Two
    processes that compile at once would leave a wrapper of one and a function of the other, and a call would crash.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cache = False  # of wrappers; that of the function itself is the dispatcher's


@contextlib.contextmanager
def _numba_keeps_here() -> Iterator[None]:
    from numba.core import dispatcher
    from numba.np.ufunc import gufunc

    replaced: list[tuple[Any, str, Any]] = [
        (dispatcher, "FunctionCache", FunctionCache),
        (ufuncbuilder, "FunctionCache", FunctionCache),
        (gufunc, "GUFuncBuilder", _GUFuncBuilder),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    try:
        for module, name, ours in replaced:
            setattr(module, name, ours)
        yield
    finally:
        for (module, name, _), theirs in zip(replaced, before, strict=True):
            setattr(module, name, theirs)


def _reachable(function: Any) -> set[Any]:
    """Return a function and those of numba's that it calls, and they call."""
    found, left = set[Any](), [function]
    while left:
        one = left.pop()
        if one in found:
            continue
        found.add(one)
        for name in one.__code__.co_names:
            inner = getattr(one.__globals__.get(name), "py_func", None)
            if inner is not None and hasattr(one.__globals__[name], "_cache") and _kept(one.__globals__[name]):
                left.append(inner)
    return found


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("noizenet.")


def _kept(loop: Any) -> bool:
    return isinstance(loop._cache, FunctionCache)


@functools.cache
def _file_digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _origin(function: Any) -> str:
    """Return what tells a function's source from others: the file's digest, and its library's version."""
    package = sys.modules.get((getattr(function, "__module__", "") or "").partition(".")[0])
    line = function.__code__.co_firstlineno
    return f"{getattr(package, '__version__', '')} {_file_digest(inspect.getfile(function))} {line}"


def _short(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
