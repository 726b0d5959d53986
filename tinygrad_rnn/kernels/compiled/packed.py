"""Products with weights that are packed once for a sequence, in the order in which a tile of the product reads them.

A step is a product of a few rows with the same weights, again and again. BLAS packs them at each call. And loops of
Numba cannot say that the sums of a tile stay in registers, so the tile is written as instructions of LLVM.

What it is worth, in training steps of an RNN, an LSTM and a GRU with 128 to 512 units and 32 rows, in float32 on one
thread of an AMD Zen 5 (Numba 0.68, OpenBLAS 0.3.31):

- With BLAS called from the compiled code in its place, a training step takes 1.4 to 1.9 times as long. There OpenBLAS
  does not know the processor, and has instructions for vectors of 32 bytes; made to take those of 64 bytes, by
  `OPENBLAS_CORETYPE=SkylakeX`, 1.4 to 1.5 times, and 1.04 for the RNN with 128 units.
- With the plain loop over rows, k and columns, which Numba makes vector instructions of, 3 to 6 times.
- The product alone computes 265 GFLOP/s, that of BLAS 100, or 100 to 220 with vectors of 64 bytes.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.arrays import Array
from ..plain.products import empty_padded
from .door import In, Kind, Out, compiled
from .parts_of_numba import binding, cgutils, intrinsic, ir, njit, types
from .primitives import clear, place_in, row

__all__ = ["Packed", "multiply", "pack", "room_for_product"]

if TYPE_CHECKING:
    from typing import Annotated as Packed

_found = binding.get_host_cpu_features()
VECTOR = 64 if _found.get("avx512f") else 32 if _found.get("avx") else 16
"""Bytes of a vector of this processor."""
TILE = 8 if _found.get("avx512f") or binding.get_process_triple().startswith(("aarch64", "arm64")) else 6
"""Rows of a tile, whose sums stay in registers: with AVX-512 or on ARM there are 32 for vectors, else 16."""
SMALL_TILE = 4
"""Rows of a tile of those that tiles of `TILE` leave."""
COLUMNS = 2
"""Vectors in a row of a tile."""

if not TYPE_CHECKING:
    Packed = Kind(packed=COLUMNS * VECTOR)


def pack(w: Array) -> Array:
    """`w` (K, N), or (*stack, K, N), for `multiply`: (panels, K, n), of n columns each, the last with zeros.

    That is -(-N // n) panels of each matrix. A function that is given them declares so, and is told N too.

    NumPy would take four times as long to copy a transpose, so compiled code does.
    """
    *stack, K, N = w.shape
    n, count = COLUMNS * VECTOR // w.itemsize, math.prod(stack)
    packed = np.zeros((count, -(-N // n), K, n), w.dtype)
    whole = N // n
    for panels, part in zip(packed, w.reshape(count, K, N), strict=True):
        if w.strides[-1] != w.itemsize:
            _pack_transposed(panels, part.T)
            continue
        panels[:whole] = part[:, : whole * n].reshape(K, whole, n).swapaxes(0, 1)
        panels[whole:, :, : N - whole * n] = part[:, whole * n :]
    return packed.reshape(count * (-(-N // n)), K, n)


@compiled("P * W >= N")
def _pack_transposed(packed: Out[Array, "P K W"], columns: In[Array, "N K"]) -> None:
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


@njit
def multiply(a: Any, w: Any, out: Any) -> None:
    """In compiled code: `out` (B, P*W) = `a` (B, K) @ `w` (P, K, W), which is `Packed`.

    The numbers of a row of `a` and of `out` lie side by side. Nothing is checked: a function that calls it declares so
    much of them.
    """
    (rows, K), (panels, _, n) = a.shape, w.shape
    if K == 0:  # of which the loop of a tile would take one
        for i in range(rows):
            clear(row(out, i))
        return
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
