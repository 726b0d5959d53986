"""The statements of a step in whole numbers."""

from __future__ import annotations

from typing import Any

from ...core.arrays import Integers
from ..quantized.arithmetic import EXP, NARROW, SIGMOID, TANH, WIDE
from ..quantized.cells import GRU, LSTM, RNN, Peephole
from ..quantized.layers import Activation, Embedding, Input, Layer, LayerNorm, Linear, Norm, OneHot, Product, Softmax
from ..quantized.model import Quantized, Residual
from .int8_functions import FUNCTIONS
from .source import Source, Value, as_array

TYPES = {NARROW: "int8_t", WIDE: "int16_t"}
TABLES = {"TANH": TANH, "SIGMOID": SIGMOID, "EXP": EXP}


class IntegerStep:
    """Writes each layer of a quantized model into a `Source`."""

    def __init__(self, name: str, model: Quantized) -> None:
        self.source = Source(name, FUNCTIONS)
        self.source.use("shifts_arithmetically")
        layers = model.steps.layers
        self.takes_ids = model.steps.input is None
        self.in_size = model.in_size if self.takes_ids else layers[0].operation.in_size
        self.out_size, self.y_type = model.out_size, TYPES[layers[-1].y.limit]
        x = Value("x", self.in_size, "int32_t" if self.takes_ids else "int8_t")
        self.checks = [f"x < 0 || x >= {self.in_size}"] if self.takes_ids else []
        y = self.row(layers, x)
        self.copy(y, "y")

    def row(self, layers: tuple[Layer, ...], x: Value) -> Value:
        """Layers in a row."""
        for i, layer in enumerate(layers):
            self.source.note(f"{layer.path}: {layer.operation.layer!r}")
            y = _WRITERS[type(layer)](self, layer, x)
            if i and y.text != x.text:
                self.source.give(x)
            x = y
        return x

    def copy(self, x: Value, y: str) -> None:
        self.source.call("copy8" if x.ctype == "int8_t" else "copy16", x.text, x.size, y)

    def load(self, x: Value) -> Value:
        """A value in 32 bits."""
        sums = self.source.take(x.size, "int32_t")
        self.source.call("load8" if x.ctype == "int8_t" else "load16", x.text, x.size, sums.text)
        return sums

    def store(self, sums: Value, factor: tuple[int, int], limit: int) -> Value:
        """`sums` in another scale, in 8 or 16 bits; their room is free."""
        y = self.source.take(sums.size, TYPES[limit])
        self.store_in(sums, factor, y)
        self.source.give(sums)
        return y

    def store_in(self, sums: Value, factor: tuple[int, int], y: Value) -> None:
        self.source.call("store8" if y.ctype == "int8_t" else "store16", sums.text, sums.size, *factor, y.text)

    def table(self, name: str) -> str:
        return self.source.constant(name, as_array(TABLES[name], "int16"), "int16_t")

    def constant(self, layer: Layer, name: str, array: Integers, ctype: str = "int32_t") -> str:
        dtype = ctype.removesuffix("_t")
        return self.source.constant(f"{layer.path.replace('.', '_')}_{name}", as_array(array, dtype), ctype)

    def begin(self, layer: Layer, name: str, array: Integers) -> Value:
        """Room for sums that begin with these."""
        sums = self.source.take(array.size, "int32_t")
        self.source.call("copy", self.constant(layer, name, array), array.size, sums.text)
        return sums

    def multipliers(self, layer: Layer, part: Product | Norm | Peephole) -> tuple[str, str]:
        return (
            self.constant(layer, f"{part.name}_multiplier", part.multipliers),
            self.constant(layer, f"{part.name}_shift", part.shifts, "int8_t"),
        )

    def add_product(self, layer: Layer, product: Product, x: Value, sums: str) -> None:
        rows, columns = product.w.shape
        scales = self.multipliers(layer, product)
        if product.is_id:
            w = self.constant(layer, product.name, product.w, "int8_t")
            self.source.call("add_row", f"{w} + (size_t)x * {columns}", *scales, columns, sums)
        else:
            w = self.constant(layer, product.name, product.w.T, "int8_t")
            self.source.call("add_product", w, *scales, x.text, rows, columns, sums)

    def see(self, layer: LSTM, c: Value, sums: dict[str, str], *gates: str) -> None:
        """The peepholes of gates, if there are some: they see the memory as it is now."""
        for name in gates:
            if name in layer.peepholes:
                scales = self.multipliers(layer, layer.peepholes[name])
                self.source.call("add_seen", *scales, c.text, c.size, sums[name])

    def normalise(self, layer: Layer, norm: Norm, sums: Value) -> None:
        self.source.call("normalise", *self.multipliers(layer, norm), f"{norm.eps}u", sums.size, sums.text)

    def state(self, layer: Layer, name: str) -> Value:
        """An array of the state, with the statement that sets it at the beginning."""
        initial, ctype = layer.states[name], TYPES[layer.limits[name]]
        value = self.source.member(f"{layer.path.replace('.', '_')}_{name}", initial.size, ctype)
        copy = "copy8" if ctype == "int8_t" else "copy16"
        self.source.use(copy)
        begin = self.constant(layer, f"{name}_0", initial, ctype)
        self.source.init.append(f"{copy}({begin}, {initial.size}, {value.text});")
        return value


def _one_hot(step: IntegerStep, layer: OneHot, x: Value) -> Value:
    return x


def _embedding(step: IntegerStep, layer: Embedding, x: Value) -> Value:
    size = layer.table.shape[1]
    table, y = step.constant(layer, "w", layer.table, "int8_t"), step.source.take(size, "int8_t")
    step.source.call("copy8", f"{table} + (size_t)x * {size}", size, y.text)
    return y


def _linear(step: IntegerStep, layer: Linear, x: Value) -> Value:
    sums = step.begin(layer, "b", layer.b)
    step.add_product(layer, layer.product, x, sums.text)
    return step.store(sums, layer.out, layer.y.limit)


def _layer_norm(step: IntegerStep, layer: LayerNorm, x: Value) -> Value:
    sums = step.load(x)
    step.normalise(layer, layer.norm, sums)
    step.source.call("add", step.constant(layer, "b", layer.b), sums.size, sums.text)
    return step.store(sums, layer.out, layer.y.limit)


def _activation(step: IntegerStep, layer: Activation, x: Value) -> Value:
    sums = step.load(x)
    if layer.kind == "relu":
        step.source.call("apply_relu", sums.size, sums.text)
    else:
        step.source.call("apply_table", step.table(layer.kind.upper()), sums.size, *layer.into, sums.text)
    return step.store(sums, layer.out, layer.y.limit)


def _softmax(step: IntegerStep, layer: Softmax, x: Value) -> Value:
    sums = step.load(x)
    step.table("EXP")
    step.source.call("apply_softmax", sums.size, *layer.into, sums.text)
    return step.store(sums, layer.out, layer.y.limit)


def _residual(step: IntegerStep, layer: Residual, x: Value) -> Value:
    source, limit = step.source, layer.y.limit
    f = step.row(layer.inside, x)
    sums, more = step.load(x), step.load(f)
    source.call("rescale", sums.size, *layer.of_x, 2 * limit, sums.text)
    source.call("rescale", more.size, *layer.of_f, 2 * limit, more.text)
    source.call("add", more.text, sums.size, sums.text)
    source.call("clip", sums.size, limit, sums.text)
    source.give(f, more)
    return step.store(sums, (1 << 30, 30), limit)


def _rnn(step: IntegerStep, layer: RNN, x: Value) -> Value:
    h, sums = step.state(layer, "h"), step.begin(layer, "b", layer.b)
    step.add_product(layer, layer.from_x, x, sums.text)
    step.add_product(layer, layer.from_h, h, sums.text)
    if layer.relu:
        step.source.call("apply_relu", sums.size, sums.text)
    else:
        step.source.call("apply_gate", step.table("TANH"), sums.size, sums.text)
    step.store_in(sums, layer.out, h)
    step.source.give(sums)
    return h


def _lstm(step: IntegerStep, layer: LSTM, x: Value) -> Value:
    source = step.source
    step.table("TANH"), step.table("SIGMOID")
    h, c, sums = step.state(layer, "h"), step.state(layer, "c"), step.begin(layer, "b", layer.b)
    if layer.norms:
        term = source.take(sums.size, "int32_t")
        for product, wide, norm, value in (
            (layer.from_x, layer.wide_x, layer.norm_x, x),
            (layer.from_h, layer.wide_h, layer.norm_h, h),
        ):
            source.call("zero", term.size, term.text)
            step.add_product(layer, product, value, term.text)
            source.call("rescale", term.size, *wide, WIDE, term.text)
            step.normalise(layer, norm, term)
            source.call("add", term.text, sums.size, sums.text)
        source.give(term)
    else:
        step.add_product(layer, layer.from_x, x, sums.text)
        step.add_product(layer, layer.from_h, h, sums.text)
    a = {gate: source.part(sums, k * c.size, c.size) for k, gate in enumerate(layer.gates)}
    step.see(layer, c, a, "i", "f")
    source.call("coupled_memory" if layer.coupled else "lstm_memory", sums.text, c.size, layer.c_bits, c.text)
    step.see(layer, c, a, "o")
    m = step.load(c)
    if layer.norms:
        step.normalise(layer, layer.norm_c, m)
        source.call("add", step.constant(layer, "norm_c_b", layer.norm_c_b), m.size, m.text)
        source.call("apply_gate", step.table("TANH"), m.size, m.text)
    else:
        source.call("apply_table", step.table("TANH"), m.size, *layer.to_table, m.text)
    source.call("lstm_output", a["o"], m.text, m.size, *layer.out, h.text)
    source.give(sums, m)
    return h


def _gru(step: IntegerStep, layer: GRU, x: Value) -> Value:
    source = step.source
    step.table("TANH"), step.table("SIGMOID")
    h, sums = step.state(layer, "h"), step.begin(layer, "b", layer.b)
    of_n = source.part(sums, 2 * h.size, h.size)
    narrow = step.store(step.load(h), layer.to_narrow, NARROW)
    step.add_product(layer, layer.from_x, x, sums.text)
    step.add_product(layer, layer.from_h_rz, narrow, sums.text)
    if layer.after:
        term = step.begin(layer, "b_h", layer.b_h)
        step.add_product(layer, layer.from_h_n, narrow, term.text)
        source.call("gru_reset", sums.text, h.size, term.text)
        source.call("add", term.text, h.size, of_n)
        source.give(term)
    else:
        source.call("gru_reset_before", sums.text, h.text, h.size, *layer.reset, narrow.text)
        step.add_product(layer, layer.from_h_n, narrow, of_n)
    source.call("gru_output", sums.text, h.size, layer.h_bits, h.text)
    source.give(sums, narrow)
    return step.store(step.load(h), layer.to_narrow, NARROW)


_WRITERS: dict[type, Any] = {
    OneHot: _one_hot,
    Embedding: _embedding,
    Linear: _linear,
    LayerNorm: _layer_norm,
    Activation: _activation,
    Softmax: _softmax,
    Residual: _residual,
    RNN: _rnn,
    LSTM: _lstm,
    GRU: _gru,
}


def input_function(name: str, layer: Input) -> tuple[str, str]:
    """The declaration and the definition of the function that turns measured numbers into whole ones."""
    size, mark = layer.mean.size, layer.gaps == "mark"
    declaration = f"int {name}_quantize(const float *x, int8_t *q)"
    numbers = [", ".join(f"{number}f" for number in array.astype(str)) for array in (layer.mean, layer.step)]
    gap = "return -1" if layer.gaps == "refuse" else "q[i] = 0"
    marks = f"        q[{size} + i] = x[i] != x[i] ? {layer.mark} : 0;\n" if mark else ""
    return (
        declaration,
        f"""
#ifdef {name.upper()}_WITH_FLOAT
#include <math.h>

static const float mean_of_x[{size}] = {{{numbers[0]}}};
static const float step_of_x[{size}] = {{{numbers[1]}}};

{declaration}
{{
    size_t i;
    for (i = 0; i < {size}; i++) {{
        if (x[i] != x[i]) {{
            {gap};
        }} else {{
            const float nearest = floorf((x[i] - mean_of_x[i]) / step_of_x[i] + 0.5f);
            q[i] = (int8_t)(nearest > 127.0f ? 127.0f : nearest < -127.0f ? -127.0f : nearest);
        }}
{marks}    }}
    return 0;
}}
#endif
""",
    )
