"""The layers of a step in whole numbers: their constants, and what they compute, as the C does to the bit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import Array, Integers
from ..steps import Operation
from .arithmetic import (
    EXP,
    LIMIT,
    NARROW,
    NORM_BITS,
    SIGMOID,
    TABLE_BITS,
    TANH,
    UNIT_BITS,
    WIDE,
    clipped,
    looked_up,
    multiplier,
    multipliers,
    normalised,
    rescaled,
)
from .calibration import Range
from .weights import round_columns


class Signal(NamedTuple):
    """What goes from one layer to the next: whole numbers, and how much one of them is."""

    scale: float
    limit: int
    """127 for 8 bits, 32767 for 16, and 0 for an id."""

    def to(self, other: Signal) -> tuple[int, int]:
        """The multiplier that turns these numbers into those."""
        return multiplier(self.scale / other.scale)


ID = Signal(1.0, 0)
UNIT = Signal(2.0**-UNIT_BITS, WIDE)


def signal(largest: float, limit: int) -> Signal:
    """Numbers of up to `largest`; those of 16 bits have room for four times as much."""
    largest = largest or 1.0
    return Signal(largest / NARROW if limit == NARROW else 4 * largest / WIDE, limit)


def bits_for(largest: float, most: int) -> int:
    """How many binary digits after the point let `largest` fit 16 bits; 0 to `most`."""
    return min(max(15 - math.ceil(math.log2(largest or 1.0)), 0), most)


def whole(values: Array, scale: float, limit: int) -> Integers:
    """The nearest whole numbers of `scale`, clipped."""
    return clipped(np.floor(values.astype("float64") / scale + 0.5).astype("int64"), limit)


class Product:
    """A matrix of 8 bits with a multiplier for each output, which gives a term of a sum."""

    def __init__(self, name: str, w: Array, x: Signal, bits: int) -> None:
        self.name = name
        self.w, scale = round_columns(w)
        self.is_id = not x.limit
        self.multipliers, self.shifts = multipliers(scale.astype("float64") * x.scale * 2.0**bits)
        if not self.is_id and (np.abs(self.w).sum(axis=0) * (x.limit + 1)).max() >= 2**31:
            raise ValueError(f"the sums of {name}, of {len(w)} products, do not fit 32 bits")

    def of(self, x: Integers) -> Integers:
        """(B, D) or ids (B,) to (B, H)."""
        exact = np.float64  # as all of it is below 2^53; a product of integers would take ten times as long
        sums = self.w[x] if self.is_id else (x.astype(exact) @ self.w.astype(exact)).astype("int64")
        return rescaled(sums, self.multipliers, self.shifts, LIMIT)


class Part:
    """What was made of one operation of the model: the input, or a layer. Its output is `y`."""

    y: Signal

    def __init__(self, operation: Operation) -> None:
        self.kind, self.path, self.operation = operation.kind, operation.path, operation
        self.weights = operation.weights


class Layer(Part, ABC):
    """A quantized layer, with the initial values of its state by name."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation)
        self.x, self.range = x, found.get(operation.path, Range(0.0, {}))
        self.y = signal(self.range.y, limit)
        self.states: dict[str, Integers] = {}
        self.limits: dict[str, int] = {}

    def given_bias(self, name: str, size: int) -> Array:
        """A bias of the operation, or zeros where it has none."""
        return self.weights.get(name, np.zeros(size, "float32"))

    def bias(self, b: Array, bits: int) -> Integers:
        return whole(b, 2.0**-bits, LIMIT)

    @abstractmethod
    def run(self, x: Integers, state: tuple[Integers, ...]) -> tuple[Integers, tuple[Integers, ...]]:
        """One step: the output and the state after it."""


class Input(Part):
    """Numbers as they are measured become whole ones; a `Standardize` is a part of it."""

    def __init__(self, operation: Operation, largest: float) -> None:
        super().__init__(operation)
        self.y = signal(largest, NARROW)
        size = operation.in_size
        standardized = operation.kind == "standardize"
        self.gaps = operation.layer.gaps if standardized else "refuse"
        self.mean = self.weights["mean"] if standardized else np.zeros(size, "float32")
        scale = self.weights["scale"] if standardized else np.ones(size, "float32")
        self.step = (scale * np.float32(self.y.scale)).astype("float32")
        if not self.step.all():
            raise ValueError(
                f"{operation.path}, {operation.layer!r}: one of 127 parts of its numbers is 0 in float32. "
                "Give them in a larger unit"
            )
        self.mark = int(whole(np.ones(1), self.y.scale, NARROW)[0])

    def numbers(self, x: Array) -> Integers:
        """(B, D) in float32 to whole numbers, of 8 bits."""
        x = x.astype("float32")
        gap = x != x
        if self.gaps == "refuse" and gap.any():
            raise ValueError(f"{self.operation.layer!r}: x is NaN at index {tuple(np.argwhere(gap)[0].tolist())}")
        with np.errstate(over="ignore", invalid="ignore"):  # what is infinite is clipped, and a gap replaced
            nearest = np.where(gap, np.float32(0), np.floor((x - self.mean) / self.step + np.float32(0.5)))
        q = np.clip(nearest, -NARROW, NARROW).astype("int64")
        return np.concatenate([q, gap * self.mark], axis=-1) if self.gaps == "mark" else q


class OneHot(Layer):
    """The id stays as it is; the next product looks it up."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        self.y = ID

    def run(self, x: Integers, state: Any) -> Any:
        return x, ()


class Embedding(Layer):
    """A look-up in a table, whose numbers share a scale."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, NARROW)
        self.y = signal(float(np.abs(self.weights["w"]).max()), NARROW)
        self.table = whole(self.weights["w"], self.y.scale, NARROW)

    def run(self, x: Integers, state: Any) -> Any:
        return self.table[x], ()


class Linear(Layer):
    """y = x w + b."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        b = self.weights["b"]
        self.bits = sum_bits(max(self.range.y, float(np.abs(b).max())))
        self.product = Product("w", self.weights["w"], x, self.bits)
        self.b = self.bias(b, self.bits)
        self.out = Signal(2.0**-self.bits, 0).to(self.y)

    def run(self, x: Integers, state: Any) -> Any:
        return rescaled(self.b + self.product.of(x), *self.out, self.y.limit), ()


def sum_bits(largest: float) -> int:
    """Digits after the point of a sum, where `largest` takes 24 bits of its 29."""
    return 24 - math.ceil(math.log2(largest or 1.0))


class Norm:
    """(x - mean) / deviation, times g, as a term of a sum."""

    def __init__(self, name: str, g: Array, eps: float, x_scale: float, bits: int) -> None:
        self.name = name
        self.eps = max(1, min(round(eps * (16 / x_scale) ** 2), 2**42))
        self.multipliers, self.shifts = multipliers(g.astype("float64") * 2.0 ** (bits - NORM_BITS))

    def of(self, x: Integers) -> Integers:
        return rescaled(normalised(x, self.eps), self.multipliers, self.shifts, LIMIT)


class LayerNorm(Layer):
    """y = g (x - mean) / deviation + b."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        b = self.weights.get("b", np.zeros(operation.out_size, "float32"))
        self.bits = sum_bits(max(self.range.y, float(np.abs(b).max())))
        self.norm = Norm("g", self.weights["g"], operation.layer.eps, x.scale, self.bits)
        self.b = self.bias(b, self.bits)
        self.out = Signal(2.0**-self.bits, 0).to(self.y)

    def run(self, x: Integers, state: Any) -> Any:
        return rescaled(self.b + self.norm.of(x), *self.out, self.y.limit), ()


class Activation(Layer):
    """tanh and sigmoid by table, and max(x, 0)."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        self.into = x.to(Signal(2.0**-TABLE_BITS, WIDE))
        self.out = (x if self.kind == "relu" else UNIT).to(self.y)

    def run(self, x: Integers, state: Any) -> Any:
        if self.kind == "relu":
            x = np.maximum(x, 0)
        else:
            x = looked_up(TANH if self.kind == "tanh" else SIGMOID, rescaled(x, *self.into, WIDE))
        return rescaled(x, *self.out, self.y.limit), ()


class Softmax(Layer):
    """exp(x - max x) by table, divided by the sum."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        if operation.out_size > 65536:
            raise ValueError("the sum of more than 65,536 numbers of 16 bits does not fit 32")
        self.into = x.to(Signal(2.0**-TABLE_BITS, WIDE))
        self.y = signal(1.0, NARROW) if limit == NARROW else Signal(1 / WIDE, WIDE)
        self.out = Signal(1 / WIDE, WIDE).to(self.y)

    def run(self, x: Integers, state: Any) -> Any:
        below = rescaled(x - x.max(axis=-1, keepdims=True), *self.into, 65534)
        powers = looked_up(EXP, WIDE + np.maximum(below, -65534))
        total = powers.sum(axis=-1, keepdims=True)
        return rescaled((powers * WIDE + total // 2) // total, *self.out, self.y.limit), ()
