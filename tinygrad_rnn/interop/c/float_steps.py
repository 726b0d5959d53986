"""The statements of a step in floating point, with weights of float32 or of 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Array
from ..quantized.weights import round_columns
from ..steps import Operation
from .float_functions import FUNCTIONS
from .source import Source, Value, as_array


class FloatStep:
    """Writes each operation of a step into a `Source`."""

    def __init__(self, name: str, operations: tuple[Operation, ...], *, weights: str) -> None:
        self.source = Source(name, FUNCTIONS)
        self.weights = weights
        """`"float32"` or `"int8"`."""
        self.checks: list[str] = []
        first, last = operations[0], operations[-1]
        self.takes_ids = first.kind in ("one_hot", "embedding")
        self.x_type, self.y_type = "int32_t" if self.takes_ids else "float", "float"
        self.in_size, self.out_size = first.in_size, last.out_size
        if self.takes_ids:
            self.checks.append(f"x < 0 || x >= {self.in_size}")
        y = self.row(operations, Value("x", self.in_size, self.x_type), Value("y", self.out_size))
        if y.text != "y":
            self.source.call("copy", y.text, y.size, "y")

    def row(self, operations: tuple[Operation, ...], x: Value, target: Value | None) -> Value:
        """Layers in a row; each may lay its output into the room of the last but one. The last one fills `target`."""
        for i, operation in enumerate(operations):
            self.source.note(f"{operation.path}: {operation.layer!r}")
            y = _WRITERS[operation.kind](self, operation, x, target if i == len(operations) - 1 else None)
            if i and y.text != x.text:
                self.source.give(x)
            x = y
        return x

    def output(self, size: int, target: Value | None) -> Value:
        return self.source.take(size) if target is None else target

    def constant(self, operation: Operation, name: str, array: Array | None = None) -> str:
        array = operation.weights[name] if array is None else array
        return self.source.constant(f"{_identifier(operation.path)}_{name}", as_array(array, "float32"), "float")

    def add_product(self, operation: Operation, name: str, w: Array, x: Value, y: str) -> None:
        """`y += x w`, or a row of w where x is an id."""
        where, (rows, columns) = f"{_identifier(operation.path)}_{name}", w.shape
        is_id = x.ctype == "int32_t"
        if self.weights == "int8":
            whole, scale = round_columns(w)
            scale_name = self.source.constant(f"{where}_scale", as_array(scale, "float32"), "float")
            if is_id:
                table = self.source.constant(where, as_array(whole, "int8"), "int8_t")
                self.source.call("add_scaled_row", _row_of(table, columns), scale_name, columns, y)
            else:
                table = self.source.constant(where, as_array(whole.T, "int8"), "int8_t")
                self.source.call("add_scaled_dots", table, scale_name, x.text, rows, columns, y)
            return
        if not w.flags.c_contiguous and w.T.flags.c_contiguous and not is_id:  # tied to a table
            table = self.source.constant(where, as_array(w.T, "float32"), "float")
            self.source.call("add_dots", table, x.text, rows, columns, y)
            return
        table = self.source.constant(where, as_array(w, "float32"), "float")
        if is_id:
            self.source.call("add", _row_of(table, columns), columns, y)
        else:
            self.source.call("add_product", table, x.text, rows, columns, y)

    def begin(self, operation: Operation, name: str, y: Value) -> None:
        """`y` begins as a bias, or as zeros where there is none."""
        if name in operation.weights:
            self.source.call("copy", self.constant(operation, name), y.size, y.text)
        else:
            self.source.call("zero", y.size, y.text)

    def state(self, operation: Operation, name: str) -> Value:
        """An array of the state, with the statement that sets it at the beginning."""
        initial = operation.states[name]
        value = self.source.member(f"{_identifier(operation.path)}_{name}", initial.size)
        if initial.any():
            self.source.use("copy")
            begin = self.constant(operation, f"{name}_0", initial)
            self.source.init.append(f"copy({begin}, {initial.size}, {value.text});")
        else:
            self.source.use("zero")
            self.source.init.append(f"zero({initial.size}, {value.text});")
        return value


Writer = Callable[[FloatStep, Operation, Value, Value | None], Value]


def _identifier(path: str) -> str:
    return path.replace(".", "_")


def _row_of(table: str, columns: int) -> str:
    return f"{table} + (size_t)x * {columns}"


def _one_hot(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    return x


def _embedding(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    w, size = operation.weights["w"], operation.out_size
    y = step.output(size, target)
    if step.weights == "int8":
        whole, scale = round_columns(w.T)
        where = f"{_identifier(operation.path)}_w"
        table = step.source.constant(where, as_array(whole.T, "int8"), "int8_t")
        scales = step.source.constant(f"{where}_scale", as_array(scale, "float32"), "float")
        step.source.call("scale_row", _row_of(table, size), f"{scales}[x]", size, y.text)
    else:
        step.source.call("copy", _row_of(step.constant(operation, "w"), size), size, y.text)
    return y


def _standardize(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    size, gaps = operation.in_size, operation.layer.gaps
    y = step.output(operation.out_size, target)
    if gaps == "refuse":
        step.source.use("has_gap")
        step.checks.append(f"has_gap(x, {size})")
    mean, scale = (step.constant(operation, name) for name in ("mean", "scale"))
    step.source.call("standardize", x.text, mean, scale, size, y.text)
    if gaps == "mark":
        step.source.call("mark_gaps", x.text, size, step.source.part(y, size, size))
    return y


def _linear(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    y = step.output(operation.out_size, target)
    step.source.call("copy", step.constant(operation, "b"), operation.out_size, y.text)
    step.add_product(operation, "w", operation.weights["w"], x, y.text)
    return y


def _layer_norm(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    y = step.output(operation.out_size, target)
    _norm(step, operation, operation.layer.eps, "g", "b", x.text, y.text)
    return y


def _norm(step: FloatStep, operation: Operation, eps: float, g: str, b: str, x: str, y: str) -> None:
    size = operation.weights[g].size
    step.source.call("layer_norm", x, step.constant(operation, g), f"{np.float32(eps)!s}f", size, y)
    if b in operation.weights:
        step.source.call("add", step.constant(operation, b), size, y)


def _elementwise(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    y = step.output(operation.out_size, target)
    step.source.call(f"apply_{operation.kind}", x.text, operation.out_size, y.text)
    return y


def _residual(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    inner = step.row(operation.inside, x, target)
    y = inner
    if inner.text.startswith("state->") and inner.offset is None:  # the state of a cell, which must stay
        y = step.output(inner.size, target)
        step.source.call("copy", inner.text, inner.size, y.text)
    step.source.call("add", x.text, inner.size, y.text)
    return y


def _rnn(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    size, weights, source = operation.out_size, operation.weights, step.source
    h, a = step.state(operation, "h"), source.take(size)
    step.begin(operation, "b", a)
    step.add_product(operation, "w_x", weights["w_x"], x, a.text)
    step.add_product(operation, "w_h", weights["w_h"], h, a.text)
    source.call(f"apply_{operation.layer.nonlinearity}", a.text, size, h.text)
    source.give(a)
    return h


def _lstm(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    size, weights, source = operation.out_size, operation.weights, step.source
    gates, coupled = operation.layer.gates, operation.layer.coupled
    h, c, a = step.state(operation, "h"), step.state(operation, "c"), source.take(len(gates) * size)
    step.begin(operation, "b", a)
    step.add_product(operation, "w_x", weights["w_x"], x, a.text)
    step.add_product(operation, "w_h", weights["w_h"], h, a.text)
    sums = {gate: source.part(a, k * size, size) for k, gate in enumerate(gates)}
    seen = dict(zip(gates, np.split(weights["p"], len(gates) - 1), strict=False)) if "p" in weights else {}

    def see(*names: str) -> None:
        """The peepholes of gates: they see the memory as it is now."""
        for gate in names:
            if gate in seen:
                source.call("add_seen", step.constant(operation, f"p_{gate}", seen[gate]), c.text, size, sums[gate])

    see("i", "f")
    source.call("coupled_memory" if coupled else "lstm_memory", a.text, size, c.text)
    see("o")
    source.call("lstm_output", sums["o"], c.text, size, h.text)
    source.give(a)
    return h


def _layer_norm_lstm(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    size, weights, source, eps = operation.out_size, operation.weights, step.source, operation.layer.eps
    h, c = step.state(operation, "h"), step.state(operation, "c")
    product, a, normed = (source.take(4 * size) for _ in range(3))
    source.call("copy", step.constant(operation, "b"), 4 * size, a.text)
    for name, value, norm in (("w_x", x, "norm_x"), ("w_h", h, "norm_h")):
        source.call("zero", 4 * size, product.text)
        step.add_product(operation, name, weights[name], value, product.text)
        _norm(step, operation, getattr(operation.layer, norm).eps, f"{norm}_g", "", product.text, normed.text)
        source.call("add", normed.text, 4 * size, a.text)
    source.call("lstm_memory", a.text, size, c.text)
    _norm(step, operation, eps, "norm_c_g", "norm_c_b", c.text, normed.text)
    source.call("lstm_output", source.part(a, 2 * size, size), normed.text, size, h.text)
    source.give(product, a, normed)
    return h


def _gru(step: FloatStep, operation: Operation, x: Value, target: Value | None) -> Value:
    size, weights, source = operation.out_size, operation.weights, step.source
    w_rz, w_n = weights["w_h"][:, : 2 * size], weights["w_h"][:, 2 * size :]
    h, a, m = step.state(operation, "h"), source.take(3 * size), source.take(size)
    of_n = source.part(a, 2 * size, size)
    step.begin(operation, "b", a)
    step.add_product(operation, "w_x", weights["w_x"], x, a.text)
    step.add_product(operation, "w_h_rz", as_array(w_rz, "float32"), h, a.text)
    if operation.layer.reset == "after":
        step.begin(operation, "b_h", m)
        step.add_product(operation, "w_h_n", as_array(w_n, "float32"), h, m.text)
        source.call("gru_reset", a.text, m.text, size, m.text)
        source.call("add", m.text, size, of_n)
    else:
        source.call("gru_reset", a.text, h.text, size, m.text)
        step.add_product(operation, "w_h_n", as_array(w_n, "float32"), m, of_n)
    source.call("gru_output", a.text, size, h.text)
    source.give(a, m)
    return h


_WRITERS: dict[str, Any] = {
    "one_hot": _one_hot,
    "embedding": _embedding,
    "standardize": _standardize,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "tanh": _elementwise,
    "sigmoid": _elementwise,
    "relu": _elementwise,
    "softmax": _elementwise,
    "residual": _residual,
    "rnn": _rnn,
    "lstm": _lstm,
    "layer_norm_lstm": _layer_norm_lstm,
    "gru": _gru,
}
