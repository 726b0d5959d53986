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


def one_hot_rnn_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(OneHot, RNNCell, Linear)`, one row after the other, one step after the other."""
    first, cell, last = layer.layers
    hs, after = rnn(cell, one_hot(first, xs), state[1], lengths)
    ys = linear(last, hs)
    for row, length in enumerate([] if lengths is None else lengths):
        ys[length:, row] = 0
    return ys, ((), after, ())


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


def embedding_rnn_tied(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, RNNCell, TiedLinear)`."""
    hs, after = rnn(layer.layers[1], embedding(layer.layers[0], xs), state[1], lengths)
    return cut(tied_linear(layer.layers[2], hs), lengths), ((), after, ())


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
