"""Disk cache of numba's compiled functions, noizenet's and librosa's, in :mod:`noizenet.base.compiled`.

Numba asks a function's cache object for each signature before it compiles, and passes the compiled code to it. The
classes here are such caches. They use numba's own serialization. `tests/test_start.py` checks what is assumed of numba
(the same from 0.60 on).
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
"""Folders of the package that contain compiled functions or constants that these use."""
_LIBROSA_MODULES = (
    "librosa.util.utils", "librosa.util.matching", "librosa.filters", "librosa.feature.utils", "librosa.sequence",
    "librosa.core.audio", "librosa.core.spectrum", "librosa.core.pitch", "librosa.core.constantq",
    "librosa.core.notation",
)  # fmt: skip
_import_lock = threading.RLock()


def source_digest() -> str:
    """Return a digest of the contents of every source file that a compiled function may depend on."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def store() -> CompiledStore:
    """Return this process's store. Its key covers the processor, the compiler versions and the sources."""
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
    """Counts the functions that were compiled and those that remain."""

    def __init__(self) -> None:
        self._done, self._wanted = {True: 0, False: 0}, set[Any]()

    def begin(self, function: Any) -> None:
        if _is_ours(function):
            self._wanted |= _reachable(function)
        self._report(function)

    def end(self, function: Any) -> None:
        self._done[_is_ours(function)] += 1
        self._report(function)

    def _report(self, function: Any) -> None:
        if _is_ours(function):
            base.callbacks.on_progress("the kernels", self._done[True], max(len(self._wanted), self._done[True]))
        else:
            base.callbacks.on_progress("librosa's functions", self._done[False], 0)


progress = _Progress()


class _Locator:
    """Replaces numba's locators, which choose a cache folder: the store chooses it here."""

    def __init__(self, file: str) -> None:
        self._py_file = file  # numba names it in its warning about functions that cannot be cached

    def ensure_cache_path(self) -> None:
        """Do nothing: the store creates its folder."""


class _CacheFile:
    """Replaces numba's index and data files with one file for each key."""

    def __init__(self, function: Any) -> None:
        self._function = function
        module = getattr(function, "__module__", "") or ""
        self._name = f"{module.rpartition('.')[2]}.{getattr(function, '__name__', 'loop')}"[:60]
        self._identity = f"{module}.{function.__qualname__} {_origin(function)}"

    def _key(self, key: Any) -> tuple[str, bytes] | None:
        text = f"{self._identity} {key!r}"
        if " at 0x" in text:  # an address differs in each process: never a hit
            return None
        return f"{self._name}-{_short(text, 16)}", text.encode("utf-8", "surrogatepass")

    def load(self, key: Any) -> Any:
        """Return the cached code of a key. On a miss, take the compile lock of the store and return None."""
        entry = self._key(key)
        if entry is None:
            return None
        found = store().load(*entry)
        if found is None and store().claim():
            found = store().load(*entry)  # another process may have compiled it while this one waited
        if found is not None:
            return pickle.loads(found)  # noqa: S301 - our own file, in a folder that only this user can write to
        progress.begin(self._function)
        return None

    def save(self, key: Any, data: Any) -> None:
        """Store the compiled code of a key."""
        entry = self._key(key)
        if entry is not None:
            store().save(*entry, serialize.dumps(data))
        progress.end(self._function)

    def flush(self) -> None:
        """Do nothing: a stale file has another key and is never loaded."""


class FunctionCache(caching.Cache):  # type: ignore[misc]
    """Numba's cache of the same name, with another storage location."""

    _impl_class = caching.FunctionCache._impl_class

    def __init__(self, py_func: Any) -> None:
        # numba's own __init__ looks for a writable folder and fails without one.
        self._name, self._py_func = repr(py_func), py_func
        self._impl = self._impl_class.__new__(self._impl_class)
        self._impl._lineno = py_func.__code__.co_firstlineno
        self._impl._locator = _Locator(inspect.getfile(py_func))
        self._cache_file = _CacheFile(py_func)
        self.enable()

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super()._load_overload(sig, target_context)
        except Exception:  # intact, but this process cannot load it: compile again
            progress.begin(self._py_func)
            return None

    @property
    def cache_path(self) -> str:
        """The first folder that is searched."""
        return str(store().folders[0])


def persist(loop: Any) -> Any:
    """Make a numba function use the store as its disk cache; return the function."""
    if not hasattr(loop, "_cache"):  # with NUMBA_DISABLE_JIT it is a plain function
        return loop
    loop._cache = FunctionCache(loop.py_func)
    inner = loop.compile

    def compile_alone(signature: Any) -> Any:
        with store().compiling():
            return inner(signature)

    loop.compile = compile_alone
    return loop


def load_librosa() -> Any:
    """Import librosa with its compiled functions cached in the store; return the module.

    Up to 0.11 librosa compiles some functions at import; from 1.0 on most are compiled at their first call. By default
    numba caches them next to librosa's sources. While the modules are imported, numba's cache classes are replaced by
    those of this module, and each function keeps the cache that it got. Modules imported before are not changed.
    """
    with _import_lock:
        import librosa

        if not all(name in sys.modules for name in _LIBROSA_MODULES):
            with global_compiler_lock, store().compiling(), _redirect_numba_caches():
                for name in _LIBROSA_MODULES:
                    with contextlib.suppress(ImportError):  # other versions have other modules
                        __import__(name)
        return librosa


def load_beat_tracker() -> Any:
    """Return ``librosa.beat``, loaded as by :func:`load_librosa`; separate because its import takes a second."""
    with _import_lock:
        load_librosa()
        with global_compiler_lock, store().compiling(), _redirect_numba_caches():
            import librosa.beat
        return librosa.beat


class _GUFuncBuilder(ufuncbuilder.GUFuncBuilder):  # type: ignore[misc]
    """Numba's class of the same name, without a cache of wrappers: each process builds the wrapper itself.

    A wrapper calls its function by a name that contains a counter of the compiling process (numba issue 10128). If two
    processes compile at the same time, the cache could hold a wrapper of one and a function of the other, and a call
    would crash.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cache = False  # of wrappers only; the dispatcher caches the function itself


@contextlib.contextmanager
def _redirect_numba_caches() -> Iterator[None]:
    from numba.core import dispatcher
    from numba.np.ufunc import gufunc

    replaced: list[tuple[Any, str, Any]] = [
        (dispatcher, "FunctionCache", FunctionCache),
        (ufuncbuilder, "FunctionCache", FunctionCache),
        (gufunc, "GUFuncBuilder", _GUFuncBuilder),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    try:
        for module, name, replacement in replaced:
            setattr(module, name, replacement)
        yield
    finally:
        for (module, name, _), original in zip(replaced, before, strict=True):
            setattr(module, name, original)


def _reachable(function: Any) -> set[Any]:
    """Return a function and all cached numba functions that it calls, directly or indirectly."""
    found, calls, left = set[Any](), set[Any](), [function]
    while left:
        current = left.pop()
        if current in found:
            continue
        found.add(current)
        named = [current.__globals__.get(name) for name in current.__code__.co_names]
        closed_over = [cell.cell_contents for cell in current.__closure__ or ()]
        for loop in (*named, *closed_over):
            inner = getattr(loop, "py_func", None)
            if inner is not None:
                calls.add(loop)
                left.append(inner)
    return {loop.py_func for loop in calls if _is_persisted(loop)} | {function}


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("noizenet.")


def _is_persisted(loop: Any) -> bool:
    return isinstance(getattr(loop, "_cache", None), FunctionCache)


@functools.cache
def _file_digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _origin(function: Any) -> str:
    """Return the version of a function's source: its library's version, the file's digest and the line."""
    package = sys.modules.get((getattr(function, "__module__", "") or "").partition(".")[0])
    line = function.__code__.co_firstlineno
    return f"{getattr(package, '__version__', '')} {_file_digest(inspect.getfile(function))} {line}"


def _short(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
