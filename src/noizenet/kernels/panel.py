"""The inner loop of matrix products, generated as LLVM vector instructions.

Compiled from plain loops, the sums would be loaded and stored for each column, and the code would check repeatedly
whether arrays overlap. Here 64 sums of one vector, or of two, stay in registers from the first column to the last. In
both cases a sum is the same chain of fused multiply-adds, so a vector's product does not depend on other vectors.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

LANES, TILE = 16, 64
"""Floats in a vector instruction (halved by the compiler where registers are shorter); rows of a block of weights."""
FLOAT = ir.FloatType()
cgutils: Any = untyped


def widened(builder: Any, raw: Any, kind: Any, lanes: int = 0) -> Any:
    """Convert a stored weight, or a vector of `lanes` weights, to float32.

    bfloat16 (stored as uint16) is the upper half of a float32.
    """

    def shaped(ty: Any) -> Any:
        return ir.VectorType(ty, lanes) if lanes else ty

    if kind == types.uint16:
        ints = shaped(ir.IntType(32))
        shift = ir.Constant(ints, [16] * lanes if lanes else 16)
        return builder.bitcast(builder.shl(builder.zext(raw, ints), shift), shaped(FLOAT))
    return builder.sitofp(raw, shaped(FLOAT)) if kind == types.int8 else raw


def _panel(count: int) -> Any:
    """Return the intrinsic that processes `count` vectors at once."""

    def typed(_typing: Any, weights: Any, at: Any, columns: Any, scales: Any, row: Any, x: Any, y: Any) -> Any:
        kind = weights.dtype

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            matrix, base, length, scale, first, xs, ys = arguments
            data = [
                context.make_array(ty)(context, builder, value).data
                for ty, value in zip(
                    (signature.args[0], signature.args[3], *signature.args[5], *signature.args[6]),
                    (matrix, scale, *cgutils.unpack_tuple(builder, xs), *cgutils.unpack_tuple(builder, ys)),
                    strict=True,
                )
            ]
            source, factors, inputs, outputs = data[0], data[1], data[2 : 2 + count], data[2 + count :]
            floats, stored = ir.VectorType(FLOAT, LANES), ir.VectorType(context.get_data_type(kind), LANES)
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(floats, [floats] * 3), f"llvm.fma.v{LANES}f32"
            )
            size, parts = length.type, TILE // LANES
            width = context.get_abi_sizeof(context.get_data_type(kind))

            def vector(pointer: Any, offset: Any, ty: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [offset]), ty.as_pointer())

            sums = [
                [cgutils.alloca_once_value(builder, ir.Constant(floats, None)) for _ in range(parts)] for _ in inputs
            ]
            with cgutils.for_range(builder, length) as loop:
                start = builder.add(base, builder.mul(loop.index, ir.Constant(size, TILE)))
                broadcast = []
                for pointer in inputs:
                    value = builder.load(builder.gep(pointer, [loop.index]))
                    single = builder.insert_element(
                        ir.Constant(floats, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
                    )
                    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
                    broadcast.append(builder.shuffle_vector(single, ir.Constant(floats, ir.Undefined), zeros))
                for p in range(parts):
                    offset = builder.add(start, ir.Constant(size, p * LANES))
                    raw = builder.load(vector(source, offset, stored), align=width)
                    weight = widened(builder, raw, kind, LANES)
                    for accumulators, value in zip(sums, broadcast, strict=True):
                        builder.store(
                            builder.call(fma, [weight, value, builder.load(accumulators[p])]), accumulators[p]
                        )
            for accumulators, pointer in zip(sums, outputs, strict=True):
                for p in range(parts):
                    offset = builder.add(first, ir.Constant(size, p * LANES))
                    total = builder.load(accumulators[p])
                    if kind == types.int8:
                        total = builder.fmul(total, builder.load(vector(factors, offset, floats), align=4))
                    target = vector(pointer, offset, floats)
                    builder.store(builder.fadd(builder.load(target, align=4), total), target, align=4)
            return context.get_dummy_value()

        return types.void(weights, types.intp, types.intp, scales, types.intp, x, y), generate

    return intrinsic(typed)


add_to_one: Any = _panel(1)
"""add_to_one(weights, at, columns, scales, row, (x,), (y,)): multiply 64 rows of a matrix, stored column by column from
``weights[at]`` on, by x [columns] and add the result to ``y[row:row + 64]``; `scales` are the row scales of int8."""
add_to_two: Any = _panel(2)
"""The same for two vectors, (x, x2) and (y, y2)."""
