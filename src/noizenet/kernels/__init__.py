"""Compiled functions shared by representations and networks."""

import os

from noizenet.base.errors import NoizenetError

try:
    import numba
except ImportError:
    raise
except Exception as error:
    _settings = ", ".join(sorted(name for name in os.environ if name.startswith("NUMBA_")))
    raise NoizenetError(
        f"numba does not start ({error}); correct or unset these environment variables: {_settings or 'none'}"
    ) from error
if getattr(numba.config, "DISABLE_JIT", 0):
    raise NoizenetError("NUMBA_DISABLE_JIT is set, but the kernels must be compiled; unset it")
