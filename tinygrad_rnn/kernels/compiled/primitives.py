"""What compiled steps are made of, beside products: rows, tanh, exp.

Numba compiles loops over rows and units to vector instructions where an array is known to have no gaps, and where a
loop writes to one array only: with several it would have to compare too many addresses first. So a step is written as
short loops over a row, of which the processor keeps all it needs in its first cache.
"""

import functools
import math
from typing import Any

import numpy as np

from ...core.arrays import Booleans
from .parts_of_numba import cgutils, intrinsic, ir, njit, overload, populate_array, types


def all_running(active: Booleans | None, steps: int, B: int) -> Booleans:
    """`active` (steps, B), or as many True where it is None."""
    return _all(steps, B) if active is None else active


def beginnings(starts: Booleans | None, B: int) -> Booleans:
    """`starts` (steps, B), or, where no document begins, an array of no steps."""
    return _all(0, B) if starts is None else starts


@functools.lru_cache(16)  # to make it takes ten times as long as to look it up
def _all(steps: int, B: int) -> Booleans:
    return np.ones((steps, B), np.bool)


@intrinsic
def row(typing: Any, array: Any, *where: Any) -> Any:
    """`array[where]` (N,), of which the compiler knows that its numbers lie side by side: which must be so.

    `where` is an index, not negative and not checked, for each axis but the last. The door has compared the shape of
    `array` with those of the others. The row does not keep `array` alive, which is to be an argument of the compiled
    function: to count who holds it would take, at each row, as long as tens of numbers, and longer where several
    threads count.
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
    """Exactly 1 or -1 from where it is within an eps of that, which is before NumPy's is: so gates close, and open.

    In float32 x P(x^2) / Q(x^2), which vectors can compute, to 4e-7 of the result. The coefficients are those with the
    least largest relative error up to 7.8, 1.5e-8 before rounding. Further on the quotient is too large, beyond 1 from
    8.3 at the latest, and cut there. In float64 it is that of C. NaN passes.
    """
    far = 26.5 * math.log(2)

    def exact(x: Any) -> Any:
        return 1.0 if x > far else -1.0 if x < -far else math.tanh(x)

    most, one = np.float32(80), np.float32(1)  # so the square of a large number is not infinite
    p1, p2, p3 = np.float32(0.1299055722479016), np.float32(0.002998299803869875), np.float32(9.999727042244063e-06)
    p4, p5 = np.float32(-1.5110382493594868e-08), np.float32(2.4716735353662753e-11)
    q1, q2, q3 = np.float32(0.46323876904033146), np.float32(0.024078102161482987), np.float32(0.00023896772378980186)

    def rational(x: Any) -> Any:
        s = x * x
        s = most if s > most else s
        p = one + s * (p1 + s * (p2 + s * (p3 + s * (p4 + s * p5))))
        y = x * p / (one + s * (q1 + s * (q2 + s * q3)))
        y = one if y > one else y
        return -one if y < -one else y

    return exact if x == types.float64 else rational


@njit
def copy(numbers: Any, to: Any) -> None:
    """In compiled code: `to[:] = numbers`, of a row; which Numba compiles in a tenth of the time."""
    for j in range(len(to)):
        to[j] = numbers[j]


@njit
def clear(numbers: Any) -> None:
    """In compiled code: `numbers[:] = 0`, of a row."""
    for j in range(len(numbers)):
        numbers[j] = 0


@njit
def begin_row(before: Any, state: Any, begun: Any, begins: Any) -> None:
    """In compiled code: sets `before`, what a row starts a step from, to `begun` where it begins, else to `state`."""
    for j in range(len(before)):
        before[j] = begun[j] if begins else state[j]


@njit(fastmath={"contract"})
def sigmoids(gate: Any, other: Any, factor: Any) -> None:
    """In compiled code: to `gate`, a row, the sigmoid of what twice `factor` times the sum of both gives.

    sigmoid(a) = 0.5 tanh(0.5 a) + 0.5: `factor` is 0.5 for sums a, or 1 where both parts were halved beforehand.
    """
    half = gate.dtype.type(0.5)
    for j in range(len(gate)):
        gate[j] = half * tanh(factor * (gate[j] + other[j])) + half


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
