"""The cells of a step in whole numbers. Outputs have 8 bits; what remembers, an LSTM's c and a GRU's h, has 16."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arrays import Array, Integers
from ..steps import Operation
from .arithmetic import (
    GATE_BITS,
    LIMIT,
    NARROW,
    SIGMOID,
    TABLE_BITS,
    TANH,
    UNIT_BITS,
    WIDE,
    clipped,
    gate,
    looked_up,
    multipliers,
    rescaled,
    rounded,
)
from .calibration import Range
from .layers import UNIT, Layer, Norm, Product, Signal, bits_for, signal, sum_bits, whole

ONE = 1 << UNIT_BITS


class RNN(Layer):
    """h = f(x w_x + h w_h + b)."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, NARROW)
        self.relu = operation.layer.nonlinearity == "relu"
        b = self.given_bias("b", operation.out_size)
        self.bits = sum_bits(max(self.range.y, float(np.abs(b).max()))) if self.relu else GATE_BITS
        self.from_x = Product("w_x", self.weights["w_x"], x, self.bits)
        self.from_h = Product("w_h", self.weights["w_h"], self.y, self.bits)
        self.b = self.bias(b, self.bits)
        self.out = (Signal(2.0**-self.bits, 0) if self.relu else UNIT).to(self.y)
        self.states = {"h": whole(operation.states["h"], self.y.scale, NARROW)}
        self.limits = {"h": NARROW}

    def run(self, x: Integers, state: tuple[Integers, ...]) -> Any:
        (h,) = state
        sums = self.b + self.from_x.of(x) + self.from_h.of(h)
        h = rescaled(np.maximum(sums, 0) if self.relu else gate(TANH, sums), *self.out, NARROW)
        return h, (h,)


class Peephole:
    """What a gate sees of the memory, as a term of its sum: each number p is a multiplier of c."""

    def __init__(self, gate: str, p: Array, scale: float) -> None:
        self.name = f"p_{gate}"
        self.multipliers, self.shifts = multipliers(p.astype("float64") * scale * 2.0**GATE_BITS)

    def of(self, c: Integers) -> Integers:
        return rescaled(c, self.multipliers, self.shifts, LIMIT)


class LSTM(Layer):
    """c = f c + i g, h = o tanh c; with norms, or with what options an `LSTMCell` has."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, NARROW)
        inner, weights, layer = self.range.inner, self.weights, operation.layer
        self.norms = self.kind == "layer_norm_lstm"
        self.c_bits = bits_for(inner["c"], 15)
        c = Signal(2.0**-self.c_bits, WIDE)
        bits_x = bits_h = GATE_BITS
        if self.norms:
            bits_x, bits_h = sum_bits(inner["from_x"]), sum_bits(inner["from_h"])
            wide_x, wide_h = signal(inner["from_x"], WIDE), signal(inner["from_h"], WIDE)
            self.wide_x, self.wide_h = Signal(2.0**-bits_x, 0).to(wide_x), Signal(2.0**-bits_h, 0).to(wide_h)
            self.norm_x = Norm("norm_x_g", weights["norm_x_g"], layer.norm_x.eps, wide_x.scale, GATE_BITS)
            self.norm_h = Norm("norm_h_g", weights["norm_h_g"], layer.norm_h.eps, wide_h.scale, GATE_BITS)
            self.norm_c = Norm("norm_c_g", weights["norm_c_g"], layer.norm_c.eps, c.scale, GATE_BITS)
            self.norm_c_b = self.bias(weights["norm_c_b"], GATE_BITS)
        self.from_x = Product("w_x", weights["w_x"], x, bits_x)
        self.from_h = Product("w_h", weights["w_h"], self.y, bits_h)
        self.b = self.bias(self.given_bias("b", weights["w_h"].shape[1]), GATE_BITS)
        self.gates, self.coupled = layer.gates, getattr(layer, "coupled", False)
        parts = np.split(weights["p"], len(self.gates) - 1) if "p" in weights else ()
        self.peepholes = {name: Peephole(name, p, c.scale) for name, p in zip(self.gates, parts, strict=False)}
        self.to_table = c.to(Signal(2.0**-TABLE_BITS, WIDE))
        self.out = Signal(2.0 ** (-2 * UNIT_BITS), 0).to(self.y)
        self.states = {
            "h": whole(operation.states["h"], self.y.scale, NARROW),
            "c": whole(operation.states["c"], c.scale, WIDE),
        }
        self.limits = {"h": NARROW, "c": WIDE}

    def run(self, x: Integers, state: tuple[Integers, ...]) -> Any:
        h, c = state
        H = h.shape[-1]
        from_x, from_h = self.from_x.of(x), self.from_h.of(h)
        if self.norms:
            from_x = self.norm_x.of(rescaled(from_x, *self.wide_x, WIDE))
            from_h = self.norm_h.of(rescaled(from_h, *self.wide_h, WIDE))
        whole = self.b + from_x + from_h
        sums = {name: whole[..., k * H : (k + 1) * H] for k, name in enumerate(self.gates)}

        def opened(name: str, c: Integers) -> Integers:
            """A gate, which may see the memory c."""
            seen = self.peepholes[name].of(c) if name in self.peepholes else 0
            return gate(SIGMOID, sums[name] + seen)

        f = opened("f", c)
        i = ONE - f if self.coupled else opened("i", c)
        c = remembered(f, c, i, gate(TANH, sums["g"]), self.c_bits)
        o = opened("o", c)
        if self.norms:
            m = gate(TANH, self.norm_c_b + self.norm_c.of(c))
        else:
            m = looked_up(TANH, rescaled(c, *self.to_table, WIDE))
        h = rescaled(o * m, *self.out, NARROW)
        return h, (h, c)


def remembered(keep: Integers, memory: Integers, write: Integers, value: Integers, bits: int) -> Integers:
    """Keep * memory + write * value; the memory in whole numbers of 2^-bits, all others of 2^-15."""
    return clipped(rounded(keep * memory, UNIT_BITS) + rounded(write * value, 2 * UNIT_BITS - bits), WIDE)


class GRU(Layer):
    """h = (1 - z) n + z h; h has 16 bits, and 8 where it is multiplied by a matrix."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, NARROW)
        H = operation.out_size
        narrow, w_h, b = self.y, self.weights["w_h"], self.given_bias("b", 3 * H)
        self.after = operation.layer.reset == "after"
        self.h_bits = bits_for(max(self.range.y, 1.0), 15)
        h = Signal(2.0**-self.h_bits, WIDE)
        self.from_x = Product("w_x", self.weights["w_x"], x, GATE_BITS)
        self.from_h_rz = Product("w_h_rz", w_h[:, : 2 * H], narrow, GATE_BITS)
        self.from_h_n = Product("w_h_n", w_h[:, 2 * H :], narrow, GATE_BITS)
        self.b = self.bias(b, GATE_BITS)
        if self.after:
            self.b_h = self.bias(self.given_bias("b_h", H), GATE_BITS)
        self.to_narrow = h.to(narrow)
        self.reset = Signal(h.scale * UNIT.scale, 0).to(narrow)
        self.states = {"h": whole(operation.states["h"], h.scale, WIDE)}
        self.limits = {"h": WIDE}

    def run(self, x: Integers, state: tuple[Integers, ...]) -> Any:
        (h,) = state
        H = h.shape[-1]
        narrow = rescaled(h, *self.to_narrow, NARROW)
        sums = self.b + self.from_x.of(x)
        rz = sums[..., : 2 * H] + self.from_h_rz.of(narrow)
        r, z = gate(SIGMOID, rz[..., :H]), gate(SIGMOID, rz[..., H:])
        if self.after:
            term = rescaled(self.b_h + self.from_h_n.of(narrow), r, UNIT_BITS, LIMIT)
        else:
            term = self.from_h_n.of(rescaled(r * h, *self.reset, NARROW))
        n = gate(TANH, sums[..., 2 * H :] + term)
        h = remembered(z, h, ONE - z, n, self.h_bits)
        return rescaled(h, *self.to_narrow, NARROW), (h,)
