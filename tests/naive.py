"""Forward passes written anew from the equations, number by number: what the layers are held against.

They share no code with the package. A gradient check cannot see a mistake that forward and backward have in common.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def one_hot(layer: Any, x: Any) -> Any:
    y = np.zeros((*x.shape, layer.vocab_size))
    for index in np.ndindex(x.shape):
        y[(*index, x[index])] = 1
    return y


def embedding(layer: Any, x: Any) -> Any:
    return np.array([[layer.w.value[i] for i in row] for row in x.tolist()])


def linear(layer: Any, x: Any) -> Any:
    w, b = layer.w.value.tolist(), layer.b.value.tolist()
    y = np.zeros((*x.shape[:-1], len(b)))
    for index in np.ndindex(y.shape):
        y[index] = b[index[-1]] + sum(x[(*index[:-1], i)] * w[i][index[-1]] for i in range(len(w)))
    return y


def tied_linear(layer: Any, x: Any) -> Any:
    table, b = layer.embedding.w.value.tolist(), layer.b.value.tolist()
    y = np.zeros((*x.shape[:-1], len(b)))
    for index in np.ndindex(x.shape[:-1]):
        y[index] = [b[v] + sum(p * q for p, q in zip(x[index], row, strict=True)) for v, row in enumerate(table)]
    return y


def each(function: Any) -> Any:
    """The element-wise layer of `function`, a function of one number."""

    def forward(layer: Any, x: Any) -> Any:
        return np.array([function(number) for number in x.ravel().tolist()]).reshape(x.shape)

    return forward


tanh = each(lambda a: (math.exp(2 * a) - 1) / (math.exp(2 * a) + 1))
sigmoid = each(lambda a: 1 / (1 + math.exp(-a)))
relu = each(lambda a: a if a > 0 else 0.0)


def softmax(layer: Any, x: Any) -> Any:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        exps = [math.exp(score) for score in x[index].tolist()]
        y[index] = [e / sum(exps) for e in exps]
    return y


def rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h, b = (p.value.tolist() for p in (layer.w_x, layer.w_h, layer.b))
    squash = math.tanh if layer.nonlinearity == "tanh" else lambda a: max(a, 0.0)
    T, B, D = xs.shape
    H = len(b)
    ys, last = np.zeros((T, B, H)), np.array(state[0])
    for row in range(B):
        h = last[row].tolist()
        for t in range(T if lengths is None else lengths[row]):
            x = xs[t, row].tolist()
            h = [
                squash(b[j] + sum(x[i] * w_x[i][j] for i in range(D)) + sum(h[k] * w_h[k][j] for k in range(H)))
                for j in range(H)
            ]
            ys[t, row] = h
        last[row] = h
    return ys, (last,)


def lstm(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h, b = (p.value.tolist() for p in (layer.w_x, layer.w_h, layer.b))
    T, B, D = xs.shape
    H = len(w_h)
    ys, last_h, last_c = np.zeros((T, B, H)), np.array(state[0]), np.array(state[1])
    for row in range(B):
        h, c = last_h[row].tolist(), last_c[row].tolist()
        for t in range(T if lengths is None else lengths[row]):
            x = xs[t, row].tolist()
            a = [
                b[j] + sum(x[i] * w_x[i][j] for i in range(D)) + sum(h[k] * w_h[k][j] for k in range(H))
                for j in range(4 * H)
            ]
            for j in range(H):
                take, keep, show = (1 / (1 + math.exp(-a[gate * H + j])) for gate in range(3))
                c[j] = keep * c[j] + take * math.tanh(a[3 * H + j])
                h[j] = show * math.tanh(c[j])
            ys[t, row] = h
        last_h[row], last_c[row] = h, c
    return ys, (last_h, last_c)


def gru(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h, b = (p.value.tolist() for p in (layer.w_x, layer.w_h, layer.b))
    T, B, D = xs.shape
    H = len(b) // 3
    units = range(H)

    def product(h: list[float], gate: int, j: int) -> Any:
        return sum(h[k] * w_h[k][gate * H + j] for k in units)

    def step(x: list[float], h: list[float]) -> list[float]:
        r, z, n = ([b[g * H + j] + sum(x[i] * w_x[i][g * H + j] for i in range(D)) for j in units] for g in range(3))
        r = [1 / (1 + math.exp(-r[j] - product(h, 0, j))) for j in units]
        z = [1 / (1 + math.exp(-z[j] - product(h, 1, j))) for j in units]
        if layer.reset == "after":
            n = [math.tanh(n[j] + r[j] * (product(h, 2, j) + float(layer.b_h.value[j]))) for j in units]
        else:
            kept = [r[j] * h[j] for j in units]
            n = [math.tanh(n[j] + product(kept, 2, j)) for j in units]
        return [(1 - z[j]) * n[j] + z[j] * h[j] for j in units]

    ys, last = np.zeros((T, B, H)), np.array(state[0])
    for row in range(B):
        h = last[row].tolist()
        for t in range(T if lengths is None else lengths[row]):
            h = step(xs[t, row].tolist(), h)
            ys[t, row] = h
        last[row] = h
    return ys, (last,)


def one_hot_cell_linear(run: Any) -> Any:
    """`Sequential(OneHot, cell, Linear)`, one row after the other, one step after the other; `run` runs the cell."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
        first, cell, last = layer.layers
        hs, after = run(cell, one_hot(first, xs), state[1], lengths)
        ys = linear(last, hs)
        for row, length in enumerate([] if lengths is None else lengths):
            ys[length:, row] = 0
        return ys, ((), after, ())

    return forward


one_hot_rnn_linear = one_hot_cell_linear(rnn)
one_hot_gru_linear = one_hot_cell_linear(gru)


def linear_rnn_rnn_tanh(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Linear, RNNCell, RNNCell, Tanh)`."""
    first, lower, upper, last = layer.layers
    hs, after_lower = rnn(lower, linear(first, xs), state[1], lengths)
    hs, after_upper = rnn(upper, hs, state[2], lengths)
    return tanh(last, hs), ((), after_lower, after_upper, ())


def rnn_rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(RNNCell, RNNCell)`."""
    hs, after_lower = rnn(layer.layers[0], xs, state[0], lengths)
    hs, after_upper = rnn(layer.layers[1], hs, state[1], lengths)
    return hs, (after_lower, after_upper)


def embedding_rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, RNNCell)`."""
    hs, after = rnn(layer.layers[1], embedding(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


def embedding_rnn_tied(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, RNNCell, TiedLinear)`."""
    hs, after = rnn(layer.layers[1], embedding(layer.layers[0], xs), state[1], lengths)
    return cut(tied_linear(layer.layers[2], hs), lengths), ((), after, ())


def linear_rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Linear, RNNCell)`."""
    hs, after = rnn(layer.layers[1], linear(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


def rnn_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(RNNCell, Linear)`."""
    hs, after = rnn(layer.layers[0], xs, state[0], lengths)
    return cut(linear(layer.layers[1], hs), lengths), (after, ())


def residual_rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Residual(RNNCell)`."""
    hs, after = rnn(layer.layers[0], xs, state[0], lengths)
    return cut(np.vectorize(lambda x, h: x + h)(xs, hs), lengths), (after,)


def residual_linear_tanh(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Residual(Linear, Tanh)`."""
    hs = tanh(layer.layers[1], linear(layer.layers[0], xs))
    return cut(np.vectorize(lambda x, h: x + h)(xs, hs), lengths), ((), ())


def cut(ys: Any, lengths: Any) -> Any:
    """0 past the end of each row."""
    for row, length in enumerate([] if lengths is None else lengths):
        ys[length:, row] = 0
    return ys


MERGES: Any = {
    "concat": lambda f, g: f + g,
    "sum": lambda f, g: [a + b for a, b in zip(f, g, strict=True)],
    "mul": lambda f, g: [a * b for a, b in zip(f, g, strict=True)],
    "mean": lambda f, g: [(a + b) / 2 for a, b in zip(f, g, strict=True)],
}
"""Of two lists of numbers."""


def bidirectional(first: Any, second: Any) -> Any:
    """`Bidirectional` of two layers, given a naive forward of each: row by row, cut to its length and turned round."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
        T, B = xs.shape[:2]
        ys, after = np.zeros((T, B, layer.out_size)), [row_of(state, row) for row in range(B)]
        for row in range(B):
            steps = list(xs[: T if lengths is None else lengths[row], row])
            if not steps:
                continue
            fs, there = first(layer.forward_cell, np.array(steps)[:, None], after[row][0], None)
            gs, back = second(layer.backward_cell, np.array(steps[::-1])[:, None], after[row][1], None)
            for t in range(len(steps)):
                ys[t, row] = MERGES[layer.merge](fs[t, 0].tolist(), gs[len(steps) - 1 - t, 0].tolist())
            after[row] = (there, back)
        return ys, rows_of(after)

    return forward


def row_of(state: Any, row: int) -> Any:
    """One row of a state, as a state of a batch of one."""
    return tuple(row_of(part, row) for part in state) if isinstance(state, tuple) else state[[row]]


def rows_of(states: Any) -> Any:
    """The inverse: the state of a batch from those of its rows."""
    if isinstance(states[0], tuple):
        return tuple(rows_of(parts) for parts in zip(*states, strict=True))
    return np.concatenate(states)


bidirectional_rnn = bidirectional(rnn, rnn)


def linear_bidirectional_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Linear, Bidirectional(RNNCell, RNNCell), Linear)`."""
    first, both, last = layer.layers
    hs, after = bidirectional_rnn(both, linear(first, xs), state[1], lengths)
    return cut(linear(last, hs), lengths), ((), after, ())


def one_hot_bidirectional(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(OneHot, Bidirectional(RNNCell, RNNCell))`."""
    hs, after = bidirectional_rnn(layer.layers[1], one_hot(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


def one_hot_lstm_lstm_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(OneHot, LSTMCell, LSTMCell, Linear)`."""
    first, lower, upper, last = layer.layers
    hs, after_lower = lstm(lower, one_hot(first, xs), state[1], lengths)
    hs, after_upper = lstm(upper, hs, state[2], lengths)
    ys = linear(last, hs)
    for row, length in enumerate([] if lengths is None else lengths):
        ys[length:, row] = 0
    return ys, ((), after_lower, after_upper, ())


def softmax_cross_entropy(layer: Any, ys: Any, targets: Any, lengths: Any) -> Any:
    losses, counted = np.zeros(targets.shape), 0
    for t, row in np.ndindex(targets.shape):
        if targets[t, row] == layer.ignore_index or (lengths is not None and t >= lengths[row]):
            continue
        counted += 1
        scores = ys[t, row].tolist()
        total = sum(math.exp(score) for score in scores)
        for v, score in enumerate(scores):
            q = layer.label_smoothing / len(scores) + (1 - layer.label_smoothing) * (v == targets[t, row])
            losses[t, row] -= q * math.log(math.exp(score) / total)
    if layer.reduction == "none":
        return losses
    return losses.sum() / (max(counted, 1) if layer.reduction == "mean" else 1)


def norm(numbers: list[float], layer: Any) -> list[float]:
    """Layer normalisation of one vector."""
    size, g = len(numbers), layer.g.value.tolist()
    b = layer.b.value.tolist() if layer.bias else [0.0] * size
    mean = sum(numbers) / size
    deviation = math.sqrt(sum((number - mean) ** 2 for number in numbers) / size + layer.eps)
    return [g[i] * (number - mean) / deviation + b[i] for i, number in enumerate(numbers)]


def layer_norm(layer: Any, x: Any) -> Any:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        y[index] = norm(x[index].tolist(), layer)
    return y


def layer_norm_lstm(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h, b = (p.value.tolist() for p in (layer.w_x, layer.w_h, layer.b))
    T, B, D = xs.shape
    H = len(w_h)
    ys, last_h, last_c = np.zeros((T, B, H)), np.array(state[0]), np.array(state[1])
    for row in range(B):
        h, c = last_h[row].tolist(), last_c[row].tolist()
        for t in range(T if lengths is None else lengths[row]):
            x = xs[t, row].tolist()
            of_x = norm([sum(x[k] * w_x[k][j] for k in range(D)) for j in range(4 * H)], layer.norm_x)
            of_h = norm([sum(h[k] * w_h[k][j] for k in range(H)) for j in range(4 * H)], layer.norm_h)
            a = [of_x[j] + of_h[j] + b[j] for j in range(4 * H)]
            i, f, o = ([1 / (1 + math.exp(-a[gate * H + j])) for j in range(H)] for gate in range(3))
            c = [f[j] * c[j] + i[j] * math.tanh(a[3 * H + j]) for j in range(H)]
            m = norm(c, layer.norm_c)
            h = [o[j] * math.tanh(m[j]) for j in range(H)]
            ys[t, row] = h
        last_h[row], last_c[row] = h, c
    return ys, (last_h, last_c)
