"""Products agree with NumPy's, for one vector and for several."""

from __future__ import annotations

import numpy as np
import pytest

from noizenet.kernels import functions
from noizenet.kernels.products import Pack, add_product, add_products

TOLERANCE = {"fp32": 1e-5, "bf16": 0.01, "int8": 0.02}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("rows", [8, 63, 64, 96, 128, 513])
def test_products_agree_with_numpy(precision: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    for columns in (1, 5, 16, 33, 256):
        matrix = rng.standard_normal((rows, columns)).astype(np.float32)
        pack = Pack(precision)
        pack.add(rng.standard_normal((7, 9)).astype(np.float32))  # so that no offset is 0
        row = np.asarray(pack.add(matrix))
        weights, scales, _ = pack.arrays()
        for count in (0, 1, 2, 3, 16, 35):
            x = rng.standard_normal((count, columns)).astype(np.float32)
            batched = np.ones((count, rows + 3), np.float32)
            separate = batched.copy()
            add_products(weights, scales, row, rows, x, batched)
            for i in range(count):
                add_product(weights, scales, row, 0, rows, x[i], separate[i])
            assert np.array_equal(batched, separate), "a vector's product depends on the other vectors"
            assert (batched[:, rows:] == 1).all(), "written beyond the rows"
            wanted = x.astype(np.float64) @ matrix.T + 1
            scale = np.sqrt(columns)
            assert np.abs(batched[:, :rows] - wanted).max(initial=0) < TOLERANCE[precision] * scale * 4


def test_functions_agree_with_numpy() -> None:
    @functions.compiled
    def all_three(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[0, i] = functions.tanh(x[i])
            out[1, i] = functions.sigmoid(x[i])
            out[2, i] = functions.exp(x[i])

    x = np.linspace(-59, 59, 10_001).astype(np.float32)
    out = np.zeros((3, len(x)), np.float32)
    all_three(x, out)
    wide = x.astype(np.float64)
    assert np.abs(out[0] - np.tanh(wide)).max() < 1e-6
    assert np.abs(out[1] - 1 / (1 + np.exp(-wide))).max() < 1e-6
    assert np.abs(out[2] / np.exp(wide) - 1).max() < 1e-4
