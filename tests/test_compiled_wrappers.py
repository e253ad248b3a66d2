"""A wrapper of one process is never combined with a function of another (numba issue 10128)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import numpy as np, numba
from noizenet.kernels import cache

for n in range(int(sys.argv[1])):  # names of later functions contain a counter of compiled functions
    numba.njit(lambda x: x + 1)(n)
with cache._redirect_numba_caches():
    import grown
print(grown.double(np.arange(4.0)).tolist())
"""
GROWN = """
import numba

@numba.guvectorize(["void(float64[:], float64[:])"], "(n)->(n)", cache=True)
def double(x, y):
    for i in range(len(x)):
        y[i] = 2 * x[i]
"""


def test_a_function_recompiled_by_another_process_can_be_called(tmp_path: Path) -> None:
    (tmp_path / "grown.py").write_text(GROWN)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": path}

    def run(before: int) -> str:
        command = [sys.executable, "-c", CODE, str(before)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert run(0) == "[0.0, 2.0, 4.0, 6.0]"
    cached = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and "double" in p.name]
    assert cached
    for file in cached:
        if not file.name.startswith("guf"):
            file.unlink()  # as if two processes had compiled at once: the function comes from another process
    assert run(3) == "[0.0, 2.0, 4.0, 6.0]"
    assert run(0) == "[0.0, 2.0, 4.0, 6.0]"
