"""Products of a matrix with one vector or several, compared with NumPy (BLAS): billions of multiplications per second.

    python benchmarks/products.py

One thread, medians of seven alternating rounds. Four matrices alternate, so that none stays in the fastest cache.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable

import numpy as np

from noizenet.kernels.products import Pack, add_products

ROUNDS, WORK = 7, 3e8
SHAPES = ((1, 768, 2048), (4, 512, 512), (16, 768, 2048), (32, 256, 256), (128, 512, 512), (128, 512, 2052))


def main() -> None:
    rng = np.random.default_rng(0)
    print("| vectors | columns | rows | noizenet | NumPy |\n|---|---|---|---|---|")
    for vectors, columns, rows in SHAPES:
        pack = Pack("fp32")
        matrices = [rng.standard_normal((rows, columns)).astype(np.float32) for _ in range(4)]
        layout = np.asarray([pack.add(m) for m in matrices])
        weights, scales, _ = pack.arrays()
        x = rng.standard_normal((vectors, columns)).astype(np.float32)
        y = np.zeros((vectors, rows), np.float32)
        work = vectors * columns * rows
        count = max(4, int(WORK / work))

        def ours(i: int, w=weights, s=scales, at=layout, n=rows, x=x, y=y) -> None:  # type: ignore[no-untyped-def]
            add_products(w, s, at[i % 4], n, x, y)

        def numpy_product(i: int, m=matrices, x=x, y=y) -> None:  # type: ignore[no-untyped-def]
            np.dot(x, m[i % 4].T, out=y)

        ours(0)
        found = [(rate(ours, count, work), rate(numpy_product, count, work)) for _ in range(ROUNDS)]
        a, b = np.median(found, 0)
        print(f"| {vectors} | {columns} | {rows} | {a:.1f} | {b:.1f} |", flush=True)


def rate(run: Callable[[int], None], count: int, work: int) -> float:
    begun = time.process_time()
    for i in range(count):
        run(i)
    return count * work / (time.process_time() - begun) / 1e9


if __name__ == "__main__":
    main()
