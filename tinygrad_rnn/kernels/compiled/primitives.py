"""What compiled steps are made of: products with packed weights, rows, tanh, exp.

Numba compiles loops over rows and units to vector instructions where an array is known to have no gaps, and where a
loop writes to one array only: with several it would have to compare too many addresses first. So a step is written as
short loops over a row, of which the processor keeps all it needs in its first cache.
"""

import functools
import math
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from ...core.arrays import Array, Booleans
from ..plain.products import empty_padded
from .compiler import In2, Out3, compiled

_found = binding.get_host_cpu_features()
VECTOR = 64 if _found.get("avx512f") else 32 if _found.get("avx") else 16
"""Bytes of a vector of this processor."""
TILE = 8 if _found.get("avx512f") or binding.get_process_triple().startswith(("aarch64", "arm64")) else 6
"""Rows of a tile, whose sums stay in registers: with AVX-512 or on ARM there are 32 for vectors, else 16."""
SMALL_TILE = 4
"""Rows of a tile of those that tiles of `TILE` leave."""
COLUMNS = 2
"""Vectors in a row of a tile."""


def all_running(active: Booleans | None, steps: int, B: int) -> Booleans:
    """`active` (steps, B), or as many True where it is None."""
    return _all(steps, B) if active is None else active


@functools.lru_cache(16)  # to make it takes ten times as long as to look it up
def _all(steps: int, B: int) -> Booleans:
    return np.ones((steps, B), np.bool)


@intrinsic
def row(typing: Any, array: Any, *where: Any) -> Any:
    """`array[where]` (N,), of which the compiler knows that its numbers lie side by side: which must be so.

    `where` is an index, not negative and not checked, for each axis but the last. The row does not keep `array` alive,
    which is to be an argument of the compiled function: to count who holds it would take, at each row, as long as tens
    of numbers, and longer where several threads count.
    """
    result = array.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = context.make_array(array)(context, builder, arguments[0])
        shape, strides = (cgutils.unpack_tuple(builder, each) for each in (whole.shape, whole.strides))
        view = context.make_array(result)(context, builder)
        populate_array(
            view,
            data=place_in(builder, whole.data, cgutils.unpack_tuple(builder, arguments[1]), strides),
            shape=shape[-1:],
            strides=strides[-1:],
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return view._getvalue()

    return result(array, types.StarArgTuple(where)), generate


def place_in(builder: Any, data: Any, where: Any, strides: Any) -> Any:
    """A pointer, like `data`, to what stands at the first indices `where` of an array with these `strides`."""
    place = builder.bitcast(data, ir.IntType(8).as_pointer())
    for index, stride in zip(where, strides, strict=False):
        place = builder.gep(place, [builder.mul(index, stride)])
    return builder.bitcast(place, data.type)


def tanh(x: Any) -> Any:
    """Of a number, in compiled code."""


@overload(tanh, jit_options={"fastmath": {"contract"}})
def _tanh(x: Any) -> Any:
    """In float32 x P(x^2) / Q(x^2), which vectors can compute, to 4e-7 of the result.

    From 7.8 on, where it is within 4e-7 of 1, it stays the same; so a gate is never quite closed. NaN passes. The
    coefficients are those with the least largest relative error, 1.5e-8 before rounding. In float64 it is that of C.
    """

    def exact(x: Any) -> Any:
        return math.tanh(x)

    bound, one = np.float32(7.8), np.float32(1)
    p1, p2, p3 = np.float32(0.1299055722479016), np.float32(0.002998299803869875), np.float32(9.999727042244063e-06)
    p4, p5 = np.float32(-1.5110382493594868e-08), np.float32(2.4716735353662753e-11)
    q1, q2, q3 = np.float32(0.46323876904033146), np.float32(0.024078102161482987), np.float32(0.00023896772378980186)

    def rational(x: Any) -> Any:
        x = bound if x > bound else x
        x = -bound if x < -bound else x
        s = x * x
        p = one + s * (p1 + s * (p2 + s * (p3 + s * (p4 + s * p5))))
        return x * p / (one + s * (q1 + s * (q2 + s * q3)))

    return exact if x == types.float64 else rational


def exp(x: Any) -> Any:
    """Of a number, in compiled code; in float32 of one that is at most 88."""


@overload(exp, jit_options={"fastmath": {"contract"}})
def _exp(x: Any) -> Any:
    """In float32 2^k P(r), with k = x / ln 2, rounded, and r the rest of x, which vectors can compute, to 3e-7.

    Below -87, where float32 has fewer digits, it is 0. NaN passes. To add 3 * 2^22 rounds a number, and the last digits
    of the sum are that integer; P is Taylor's. In float64 it is that of C.
    """

    def exact(x: Any) -> Any:
        return math.exp(x)

    least, to_base_2, magic = np.float32(-87), np.float32(1 / math.log(2)), np.float32(3 << 22)
    high = np.float32(0.693359375)  # of ln 2, in so few digits that k * high is exact
    low, zero, one, half = np.float32(math.log(2) - 0.693359375), np.float32(0), np.float32(1), np.float32(0.5)
    p3, p4, p5, p6 = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120), np.float32(1 / 720)
    offset, digits = np.int32(magic.view(np.int32) - 127), np.int32(23)

    def polynomial(x: Any) -> Any:
        rounded = np.float32(x * to_base_2 + magic)
        k = rounded - magic
        r = x - k * high - k * low
        p = one + r * (one + r * (half + r * (p3 + r * (p4 + r * (p5 + r * p6)))))
        power = np.int32((rounded.view(np.int32) - offset) << digits)  # the bits of 2^k
        return zero if x < least else p * power.view(np.float32)

    return exact if x == types.float64 else polynomial


def pack(w: Array) -> Array:
    """`w` (K, N), or (*stack, K, N), for `multiply`: (panels, K, n), of n columns each, the last with zeros.

    NumPy would take four times as long to copy a transpose, so compiled code does.
    """
    *stack, K, N = w.shape
    n = COLUMNS * VECTOR // w.itemsize
    packed = np.zeros((math.prod(stack), -(-N // n), K, n), w.dtype)
    whole = N // n
    for panels, part in zip(packed, w.reshape(-1, K, N), strict=True):
        if w.strides[-1] != w.itemsize:
            _pack_transposed(panels, part.T)
            continue
        panels[:whole] = part[:, : whole * n].reshape(K, whole, n).swapaxes(0, 1)
        panels[whole:, :, : N - whole * n] = part[:, whole * n :]
    return packed.reshape(-1, K, n)


@compiled
def _pack_transposed(packed: Out3, columns: In2) -> None:
    (panels, K, n), N = packed.shape, len(columns)
    for panel in range(panels):
        first = panel * n
        for j in range(min(n, N - first)):
            numbers = row(columns, first + j)
            for k in range(K):
                packed[panel, k, j] = numbers[k]


def room_for_product(packed: Array, B: int) -> Array:
    """What `multiply` sets: (B, panels * n), where each of a stack of weights has panels of its own."""
    panels, _, n = packed.shape
    return empty_padded((B, panels * n), packed.dtype)


@numba.njit
def multiply(a: Any, w: Any, out: Any) -> None:
    """In compiled code: `out` = `a` (B, K) @ `w`, which was packed.

    K is at least 1, and the numbers of a row lie side by side.
    """
    (rows, _), (panels, _, n) = a.shape, w.shape
    for panel in range(panels):
        i = 0
        while i < rows:
            left = rows - i
            if left >= TILE and not (TILE == 6 and left % TILE in (2, 3)):  # 8 as 4 + 4: 6 + 1 + 1 would take longer
                _tile(a, i, w, panel, out, panel * n)
                i += TILE
            elif left >= SMALL_TILE:
                _small_tile(a, i, w, panel, out, panel * n)
                i += SMALL_TILE
            else:
                _single(a, i, w, panel, out, panel * n)
                i += 1


def _product_of(rows: int) -> Any:
    """An instruction: so many rows of `a`, from i on, by a panel of `w`, to the rows of `out`, from column j on.

    The sums stay in the registers of the processor throughout, which loops of Numba cannot say. For each k it loads a
    row of the panel, and for each row of `a` a number, which it multiplies the former by.
    """

    @intrinsic
    def product(typing: Any, a: Any, i: Any, w: Any, panel: Any, out: Any, j: Any) -> Any:
        number = a.dtype

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            b, (a, i, w, panel, out, j) = builder, arguments
            index, scalar = context.get_value_type(types.intp), context.get_data_type(number)
            lanes, zero = VECTOR * 8 // number.bitwidth, ir.Constant(ir.IntType(32), 0)
            vector = ir.VectorType(scalar, lanes)

            def start(kind: Any, array: Any, *where: Any) -> Any:
                array = context.make_array(kind)(context, b, array)
                return place_in(b, array.data, where, cgutils.unpack_tuple(b, array.strides))

            def vector_at(place: Any, offset: Any) -> Any:
                return b.bitcast(b.gep(place, [offset]), vector.as_pointer())

            kinds = signature.args
            rows_of_a = [start(kinds[0], a, b.add(i, index(r))) for r in range(rows)]
            rows_of_out = [start(kinds[4], out, b.add(i, index(r)), j) for r in range(rows)]
            weights = start(kinds[2], w, panel)
            K = cgutils.unpack_tuple(b, context.make_array(kinds[2])(context, b, w).shape)[1]
            before, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
            b.branch(loop)

            b.position_at_end(loop)
            k = b.phi(index)
            sums = [b.phi(vector) for _ in range(rows * COLUMNS)]
            at_k = b.gep(weights, [b.mul(k, index(COLUMNS * lanes))])
            row_of_w = [b.load(vector_at(at_k, index(c * lanes)), align=number.bitwidth // 8) for c in range(COLUMNS)]
            new = []
            for r in range(rows):
                single = b.insert_element(ir.Constant(vector, ir.Undefined), b.load(b.gep(rows_of_a[r], [k])), zero)
                spread = b.shuffle_vector(single, single, ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))
                for c in range(COLUMNS):  # one instruction, where the processor has it
                    term = b.fmul(spread, row_of_w[c], flags=["contract"])
                    new.append(b.fadd(term, sums[r * COLUMNS + c], flags=["contract"]))
            next_k = b.add(k, index(1))
            for phi, value in [(k, next_k), *zip(sums, new, strict=True)]:
                phi.add_incoming(ir.Constant(phi.type, None), before)
                phi.add_incoming(value, loop)
            b.cbranch(b.icmp_signed("<", next_k, K), loop, after)

            b.position_at_end(after)
            for n, value in enumerate(new):
                place = vector_at(rows_of_out[n // COLUMNS], index(n % COLUMNS * lanes))
                b.store(value, place, align=number.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(a, i, w, panel, out, j), generate

    return product


_tile, _small_tile, _single = _product_of(TILE), _product_of(SMALL_TILE), _product_of(1)
