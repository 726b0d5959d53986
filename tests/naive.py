"""Forward passes written anew from the equations, number by number: what the layers are held against.

They share no code with the package. A gradient check cannot see a mistake that forward and backward have in common.
"""

from __future__ import annotations

import cmath
import math
from types import SimpleNamespace
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


def bias_of(layer: Any, size: int) -> list[float]:
    """The bias, or as many zeros."""
    return [0.0] * size if layer.b is None else list(layer.b.value.tolist())


def rnn(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h = (p.value.tolist() for p in (layer.w_x, layer.w_h))
    squash = math.tanh if layer.nonlinearity == "tanh" else lambda a: max(a, 0.0)
    T, B, D = xs.shape
    H = len(w_h)
    b = bias_of(layer, H)
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
    w_x, w_h = (p.value.tolist() for p in (layer.w_x, layer.w_h))
    T, B, D = xs.shape
    H = len(w_h)
    coupled, names = getattr(layer, "coupled", False), "fog" if getattr(layer, "coupled", False) else "ifog"
    b = bias_of(layer, len(names) * H)
    p = [0.0] * (len(b) - H) if getattr(layer, "p", None) is None else layer.p.value.tolist()
    ys, last_h, last_c = np.zeros((T, B, H)), np.array(state[0]), np.array(state[1])
    for row in range(B):
        h, c = last_h[row].tolist(), last_c[row].tolist()
        for t in range(T if lengths is None else lengths[row]):
            x, before = xs[t, row].tolist(), list(h)
            for j in range(H):

                def total(gate: str, seen: float, j: int = j, x: Any = x, before: Any = before) -> Any:
                    k = names.index(gate) * H + j
                    of_x, of_h = sum(x[i] * w_x[i][k] for i in range(D)), sum(before[i] * w_h[i][k] for i in range(H))
                    return b[k] + of_x + of_h + (p[k] * seen if gate != "g" else 0.0)

                keep = 1 / (1 + math.exp(-total("f", c[j])))
                take = 1 - keep if coupled else 1 / (1 + math.exp(-total("i", c[j])))
                c[j] = keep * c[j] + take * math.tanh(total("g", c[j]))
                h[j] = math.tanh(c[j]) / (1 + math.exp(-total("o", c[j])))
            ys[t, row] = h
        last_h[row], last_c[row] = h, c
    return ys, (last_h, last_c)


def gru(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    w_x, w_h = (p.value.tolist() for p in (layer.w_x, layer.w_h))
    T, B, D = xs.shape
    H = len(w_h)
    b = bias_of(layer, 3 * H)
    b_h = [0.0] * H if layer.b_h is None else layer.b_h.value.tolist()
    units = range(H)

    def product(h: list[float], gate: int, j: int) -> Any:
        return sum(h[k] * w_h[k][gate * H + j] for k in units)

    def step(x: list[float], h: list[float]) -> list[float]:
        r, z, n = ([b[g * H + j] + sum(x[i] * w_x[i][g * H + j] for i in range(D)) for j in units] for g in range(3))
        r = [1 / (1 + math.exp(-r[j] - product(h, 0, j))) for j in units]
        z = [1 / (1 + math.exp(-z[j] - product(h, 1, j))) for j in units]
        if layer.reset == "after":
            n = [math.tanh(n[j] + r[j] * (product(h, 2, j) + b_h[j])) for j in units]
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


def linear_bidirectional(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Linear, Bidirectional(RNNCell, RNNCell))`."""
    hs, after = bidirectional_rnn(layer.layers[1], linear(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


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


def sequential_that_drops(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Linear, LockedDropout, RNNCell, Dropout, RNNCell, Tanh)` at inference."""
    first, _, lower, _, upper, last = layer.layers
    part = SimpleNamespace(layers=(first, lower, upper, last))
    ys, (_, after_lower, after_upper, _) = linear_rnn_rnn_tanh(part, xs, ((), state[2], state[4], ()), lengths)
    return ys, ((), (), after_lower, (), after_upper, ())


def attention(score: Any) -> Any:
    """The attention of `score`, a function of the layer, a query and an entry of the memory, both lists of numbers."""

    def forward(layer: Any, queries: Any, memory: Any, lengths: Any) -> Any:
        (T, B, _), (S, _, M) = queries.shape, memory.shape
        context, weights = np.zeros((T, B, M)), np.zeros((T, B, S))
        for t, row in np.ndindex(T, B):
            entries = memory[: S if lengths is None else lengths[row], row].tolist()
            exps = [math.exp(score(layer, queries[t, row].tolist(), entry)) for entry in entries]
            for s, entry in enumerate(entries):
                weights[t, row, s] = exps[s] / sum(exps)
                for i in range(M):
                    context[t, row, i] += weights[t, row, s] * entry[i]
        return context, weights

    return forward


def dot(layer: Any, query: list[float], entry: list[float]) -> float:
    return sum(q * m for q, m in zip(query, entry, strict=True))


def bilinear(layer: Any, query: list[float], entry: list[float]) -> float:
    w = layer.w.value.tolist()
    return float(sum(q * w[i][j] * m for i, q in enumerate(query) for j, m in enumerate(entry)))


def one_hidden_layer(layer: Any, query: list[float], entry: list[float]) -> float:
    w_query, w_memory, b, v = (p.value.tolist() for p in (layer.w_query, layer.w_memory, layer.b, layer.v))
    score = 0.0
    for j in range(len(v)):
        of_query = sum(q * w_query[i][j] for i, q in enumerate(query))
        of_entry = sum(m * w_memory[i][j] for i, m in enumerate(entry))
        score += v[j] * math.tanh(of_query + of_entry + b[j])
    return score


dot_attention, general_attention, additive_attention = map(attention, (dot, bilinear, one_hidden_layer))


def through(layers: Any, x: Any) -> Any:
    """One vector through `Linear`, `Tanh` and `Dropout` layers at inference, one after the other."""
    functions = {"Linear": linear, "Tanh": tanh, "Dropout": identity}
    for layer in layers:
        x = functions[type(layer).__name__](layer, np.array(x))
    return list(x)


def attention_decoder(recurrent: Any, attend: Any) -> Any:
    """`AttentionDecoder`: each output of the naive `recurrent` looks at its row of the memory, cut to its length."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
        before, memory, sizes = state
        hs, after = recurrent(layer.decoder, xs, before, lengths)
        ys = np.zeros((*xs.shape[:2], layer.out_size))
        for row in range(xs.shape[1]):
            entries = memory[row, : sizes[row]][:, None]
            for t in range(len(xs) if lengths is None else lengths[row]):
                context, _ = attend(layer.attention, hs[t, row][None, None], entries, None)
                ys[t, row] = through(layer.output, [*hs[t, row], *context[0, 0]])
        return ys, (after, memory, sizes)

    return forward


def input_feeding_decoder(embed: Any, recurrent: Any, attend: Any) -> Any:
    """`InputFeedingDecoder`: a row after the other, a step after the other, each with a batch of one."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
        before, feedback, memory, sizes = state
        ys, states = np.zeros((*xs.shape[:2], layer.out_size)), []
        for row in range(xs.shape[1]):
            s, a, entries = row_of(before, row), feedback[row].tolist(), memory[row, : sizes[row]][:, None]
            for t in range(len(xs) if lengths is None else lengths[row]):
                e = embed(layer.embedding, xs[t : t + 1, row : row + 1])[0, 0].tolist()
                hs, s = recurrent(layer.decoder, np.array([[e + a]]), s, None)
                context, _ = attend(layer.attention, hs, entries, None)
                a = [math.tanh(number) for number in through([layer.combine], [*hs[0, 0], *context[0, 0]])]
                ys[t, row] = through(layer.output, a)
            states.append((s, np.array([a])))
        return ys, (*rows_of(states), memory, sizes)

    return forward


def attending_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(AttentionDecoder(RNNCell, DotAttention), Linear)`."""
    hs, after = attention_decoder(rnn, dot_attention)(layer.layers[0], xs, state[0], lengths)
    return cut(linear(layer.layers[1], hs), lengths), (after, ())


def embedding_lstm(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, LSTMCell)`."""
    hs, after = lstm(layer.layers[1], embedding(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


def embedding_lstm_linear(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, LSTMCell, Linear)`."""
    hs, after = embedding_lstm(layer, xs, state[:2], lengths)
    return cut(linear(layer.layers[2], hs), lengths), (*after, ())


def embedding_bidirectional(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """`Sequential(Embedding, Bidirectional(LSTMCell, LSTMCell))`."""
    hs, after = bidirectional(lstm, lstm)(layer.layers[1], embedding(layer.layers[0], xs), state[1], lengths)
    return hs, ((), after)


def bridge(layer: Any, x: Any) -> Any:
    return tanh(None, linear(layer, x))


def encoder_decoder(encode: Any, decode: Any, shape: Any) -> Any:
    """`EncoderDecoder` of a naive encoder and decoder; `shape(arrays, memory, lengths)` is the decoder's state.

    The encoder begins from zeros; what it ends with, a list of all numbers of a row, goes through the bridge, if any.
    """

    def forward(layer: Any, sources: Any, targets: Any, *, source_lengths: Any, target_lengths: Any) -> Any:
        B = sources.shape[1]
        memory, last = encode(layer.encoder, sources, layer.encoder.initial_state(B), source_lengths)
        arrays = flat(last)
        if layer.bridge is not None:
            joined = np.array([bridge(layer.bridge, np.array([n for a in arrays for n in a[row]])) for row in range(B)])
            starts = [sum(layer.bridge.out_sizes[:i]) for i in range(len(layer.bridge.out_sizes))]
            arrays = [joined[:, i : i + n] for i, n in zip(starts, layer.bridge.out_sizes, strict=True)]
        sizes = np.full(B, len(sources)) if source_lengths is None else source_lengths
        state = shape(arrays, np.stack([memory[:, row] for row in range(B)]), sizes)
        return decode(layer.decoder, targets, state, target_lengths)[0]

    return forward


def flat(state: Any) -> Any:
    """The arrays of a state, in order."""
    return [array for part in state for array in flat(part)] if isinstance(state, tuple) else [state]


def pool(of_row: Any) -> Any:
    """A pool, given what it makes of the steps of one row, lists of numbers, if there are any."""

    def forward(layer: Any, xs: Any, *, lengths: Any) -> Any:
        T, B, D = xs.shape
        y = np.zeros((B, D))
        for row in range(B):
            steps = xs[: T if lengths is None else lengths[row], row].tolist()
            if steps:
                y[row] = of_row(layer, steps)
        return y

    return forward


def last_of(layer: Any, steps: list[list[float]]) -> list[float]:
    at = len(steps[0]) if layer.backward_from is None else layer.backward_from
    return steps[-1][:at] + steps[0][at:]


def weighted_mean(layer: Any, steps: list[list[float]]) -> list[float]:
    exps = [math.exp(dot(layer, layer.v.value.tolist(), step)) for step in steps]
    return [sum(e * step[i] for e, step in zip(exps, steps, strict=True)) / sum(exps) for i in range(len(steps[0]))]


last_pool, attention_pool = pool(last_of), pool(weighted_mean)
mean_pool = pool(lambda layer, steps: [math.fsum(numbers) / len(steps) for numbers in zip(*steps, strict=True)])
max_pool = pool(lambda layer, steps: [sorted(numbers)[-1] for numbers in zip(*steps, strict=True)])


def many_to_one(encode: Any) -> Any:
    """`ManyToOne` of a naive encoder. Where that ends in a `Bidirectional`, both halves end in what they know last."""

    def forward(layer: Any, xs: Any, state: Any, *, lengths: Any) -> Any:
        hs, after = encode(layer.encoder, xs, state, lengths)
        tail = getattr(layer.encoder, "layers", [layer.encoder])[-1]
        half = SimpleNamespace(backward_from=tail.forward_cell.out_size if hasattr(tail, "forward_cell") else None)
        pools = {"last": (last_pool, half), "mean": (mean_pool, None), "max": (max_pool, None)}
        pooled, own = pools[layer.pool] if isinstance(layer.pool, str) else (attention_pool, layer.pool)
        ys = pooled(own, hs, lengths=lengths)
        return np.array([through(layer.layers, y) for y in ys]), after

    return forward


def softmax_cross_entropy(layer: Any, ys: Any, targets: Any, lengths: Any, weights: Any = None) -> Any:
    """Of ids or distributions; class weights scale the terms, and those of the targets divide the mean of ids."""
    losses, counted, soft = np.zeros(ys.shape[:2]), 0.0, targets.ndim == 3
    of_class = layer.class_weights or [1.0] * ys.shape[-1]
    for t, row in np.ndindex(losses.shape):
        weight = 1.0 if weights is None else weights[t, row]
        if (lengths is not None and t >= lengths[row]) or weight == 0:
            continue
        if not soft and targets[t, row] == layer.ignore_index:
            continue
        counted += weight * (1 if soft else of_class[targets[t, row]])
        scores = ys[t, row].tolist()
        total = sum(math.exp(score) for score in scores)
        for v, score in enumerate(scores):
            wanted = targets[t, row, v] if soft else float(v == targets[t, row])
            q = layer.label_smoothing / len(scores) + (1 - layer.label_smoothing) * wanted
            losses[t, row] -= weight * of_class[v] * q * math.log(math.exp(score) / total)
    if layer.reduction == "none":
        return losses
    return losses.sum() / ((counted or 1) if layer.reduction == "mean" else 1)


def identity(layer: Any, x: Any) -> Any:
    """Dropout at inference."""
    return x


def locked_identity(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
    """Locked dropout at inference, whose outputs past a row's end are 0."""
    ys = np.array(xs)
    for row, length in enumerate([] if lengths is None else lengths):
        ys[length:, row] = 0
    return ys, state


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


def standardize(layer: Any, x: Any) -> Any:
    y = np.zeros((*x.shape[:-1], layer.out_size))
    for index in np.ndindex(x.shape):
        if math.isnan(x[index]):
            if layer.gaps == "mark":
                y[(*index[:-1], index[-1] + x.shape[-1])] = 1
        else:
            y[index] = (x[index] - layer.mean[index[-1]]) / layer.scale[index[-1]]
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


def zoneout(inner: Any) -> Any:
    """`Zoneout` of a cell whose naive forward is `inner`. `keeps[t][k]` (B, size), if given, is the k-th mask of t."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any, keeps: Any = None) -> Any:
        T, B, _ = xs.shape
        ys, last = np.zeros((T, B, layer.out_size)), tuple(np.array(array) for array in state)
        for row in range(B):
            for t in range(T if lengths is None else lengths[row]):
                before = [array[row].tolist() for array in last]
                _, after = inner(layer.cell, xs[t : t + 1, row : row + 1], [np.array([s]) for s in before], None)
                for k, array in enumerate(last):
                    for j, (old, new) in enumerate(zip(before[k], after[k][0].tolist(), strict=True)):
                        keep = layer.rates[k] if keeps is None else keeps[t][k][row][j]
                        array[row, j] = keep * old + (1 - keep) * new
                ys[t, row] = last[0][row]
        return ys, last

    return forward


def drop_connect(inner: Any) -> Any:
    """`DropConnect` of a cell whose naive forward is `inner`, its recurrent weights multiplied by a mask, if given."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any, mask: Any = None) -> Any:
        cell = SimpleNamespace(**vars(layer.cell))
        if mask is not None:
            masked = [[w * mask[i][j] for j, w in enumerate(row)] for i, row in enumerate(cell.w_h.value.tolist())]
            cell.w_h = SimpleNamespace(value=np.array(masked))
        return inner(cell, xs, state, lengths)

    return forward


def number_by_number(function: Any) -> Any:
    """The loss of `function(layer, i, t, *ys)`: a feature, its target and the predictions for it; reduced."""

    def forward(layer: Any, ys: Any, targets: Any, lengths: Any, weights: Any = None) -> Any:
        losses, counted, D = np.zeros(targets.shape), 0.0, targets.shape[-1]
        for t, row, i in np.ndindex(targets.shape):
            weight = 1.0 if weights is None else float(weights[t, row])
            target = float(targets[t, row, i])
            past = lengths is not None and t >= lengths[row]
            if past or weight == 0 or (layer.missing and math.isnan(target)):
                continue
            counted += weight
            losses[t, row, i] = weight * function(layer, i, target, *map(float, ys[t, row, i::D]))
        if layer.reduction == "none":
            return losses
        return np.asarray(math.fsum(losses.flat) / ((counted or 1) if layer.reduction == "mean" else 1))

    return forward


def of_logit(layer: Any, i: int, t: float, y: float) -> Any:
    """The binary cross-entropy; a positive weighs `pos_weight`."""
    of_positive = layer.pos_weight if isinstance(layer.pos_weight, float) else (layer.pos_weight or [1.0] * (i + 1))[i]
    return of_positive * t * math.log(1 + math.exp(-y)) + (1 - t) * math.log(1 + math.exp(y))


def of_error(layer: Any, i: int, t: float, y: float) -> Any:
    """Huber's loss, case by case."""
    return (y - t) ** 2 / 2 if -layer.delta <= y - t <= layer.delta else layer.delta * (abs(y - t) - layer.delta / 2)


def of_quantiles(layer: Any, i: int, t: float, *ys: float) -> Any:
    """The pinball losses, case by case."""
    pairs = zip(layer.quantiles, ys, strict=True)
    return sum(q * (t - y) if t > y else (1 - q) * (y - t) for q, y in pairs) / len(ys)


def of_normal(layer: Any, i: int, t: float, mean: float, s: float) -> Any:
    """Minus the logarithm of the density."""
    v = math.exp(s) + layer.least_variance
    return -math.log(math.exp(-((t - mean) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v))


mean_squared_error = number_by_number(lambda layer, i, t, y: y**2 - 2 * y * t + t**2)
mean_absolute_error = number_by_number(lambda layer, i, t, y: max(y, t) - min(y, t))
binary_cross_entropy = number_by_number(of_logit)
huber = number_by_number(of_error)
quantile = number_by_number(of_quantiles)
gaussian_nll = number_by_number(of_normal)


def by_documents(run: Any) -> Any:
    """A recurrent layer given `starts`, its naive forward without them being `run`: document by document of each row.

    What reads forward takes the given state into the first document, what reads backward into the last.
    """

    def forward(layer: Any, xs: Any, state: Any, lengths: Any, starts: Any) -> Any:
        ys, afters = None, []
        for row in range(xs.shape[1]):
            end, given = len(xs) if lengths is None else lengths[row], row_of(state, row)
            fresh, after = begun(layer, given), given
            firsts = [t for t in range(end) if t == 0 or starts[t, row]]
            for first, stop in zip(firsts, [*firsts[1:], end], strict=False):
                there = given if first == 0 and not starts[first, row] else fresh
                back = given if stop == end else fresh
                before = by_direction(layer, there, back)
                own, ends = run(layer, xs[first:stop, row : row + 1], before, None)
                after = by_direction(layer, ends, ends if first == 0 else after)
                ys = np.zeros((*xs.shape[:2], own.shape[-1])) if ys is None else ys
                ys[first:stop, row] = own[:, 0]
            afters.append(after)
        return ys, rows_of(afters) if flat(state) else state

    return forward


def begun(layer: Any, state: Any) -> Any:
    """The state of a row where a document begins: zeros, but an attention keeps its memory; no weight in an sLSTM."""
    if type(layer).__name__ == "SLSTMCell":
        return (0 * state[0], 0 * state[1], 0 * state[2] - math.inf)
    if hasattr(layer, "attention"):
        return (begun(layer.decoder, state[0]), *(0 * array for array in state[1:-2]), *state[-2:])
    if hasattr(layer, "layers"):
        return tuple(begun(child, part) for child, part in zip(layer.layers, state, strict=True))
    return tuple(begun(None, part) for part in state) if isinstance(state, tuple) else 0 * state


def by_direction(layer: Any, there: Any, back: Any) -> Any:
    """Of two states, the parts of what reads forward from `there`, and of what reads backward from `back`."""
    if hasattr(layer, "backward_cell"):
        return (
            by_direction(layer.forward_cell, there[0], back[0]),
            by_direction(layer.backward_cell, back[1], there[1]),
        )
    if hasattr(layer, "layers"):
        return tuple(by_direction(*parts) for parts in zip(layer.layers, there, back, strict=True))
    return there


def row_by_row(step: Any) -> Any:
    """The forward of a cell: `step` takes the layer, an x and the state of one row, lists, to y and the state."""

    def forward(layer: Any, xs: Any, state: Any, lengths: Any) -> Any:
        T, B, _ = xs.shape
        ys, last = np.zeros((T, B, layer.out_size)), [np.array(array) for array in state]
        for row in range(B):
            here = [array[row].tolist() for array in last]
            for t in range(T if lengths is None else lengths[row]):
                ys[t, row], here = step(layer, xs[t, row].tolist(), here)
            for array, values in zip(last, here, strict=True):
                array[row] = values
        return ys, tuple(last)

    return forward


def sums(layer: Any, x: list[float]) -> list[float]:
    """x @ w_x + b, where there is a bias."""
    w, b = layer.w_x.value.tolist(), layer.b.value.tolist() if hasattr(layer, "b") else [0.0] * layer.w_x.shape[1]
    return [b[j] + sum(x[i] * w[i][j] for i in range(len(x))) for j in range(len(b))]


def logistic(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def of_candidate(name: str, a: float) -> float:
    if name == "positive":
        return a + 0.5 if a >= 0 else logistic(a)
    return math.tanh(a) if name == "tanh" else a


def min_gru_step(layer: Any, x: list[float], state: Any) -> Any:
    (h,), H = state, layer.out_size
    a = sums(layer, x)
    z = [logistic(a[j]) for j in range(H)]
    h = [h[j] + z[j] * (of_candidate(layer.candidate, a[H + j]) - h[j]) for j in range(H)]
    return h, [h]


def min_lstm_step(layer: Any, x: list[float], state: Any) -> Any:
    (h,), H = state, layer.out_size
    a, after = sums(layer, x), []
    for j in range(H):
        f, i = logistic(a[j]), logistic(a[H + j])
        after.append((f * h[j] + i * of_candidate(layer.candidate, a[2 * H + j])) / (f + i))
    return after, [after]


def ind_rnn_step(layer: Any, x: list[float], state: Any) -> Any:
    (h,), u = state, layer.u.value.tolist()
    squash = math.tanh if layer.nonlinearity == "tanh" else lambda a: max(a, 0.0)
    h = [squash(a + u[j] * h[j]) for j, a in enumerate(sums(layer, x))]
    return h, [h]


def sru_step(layer: Any, x: list[float], state: Any) -> Any:
    (c,), H, v = state, layer.out_size, layer.v.value.tolist()
    a, y, after = sums(layer, x), [], []
    for j in range(H):
        f, r = logistic(a[j] + v[j] * c[j]), logistic(a[H + j] + v[H + j] * c[j])
        after.append((c[j] - a[2 * H + j]) * f + a[2 * H + j])
        y.append((math.tanh(after[j]) - a[3 * H + j]) * r + a[3 * H + j])
    return y, [after]


def lru_step(layer: Any, x: list[float], state: Any) -> Any:
    (re, im), N, H = state, layer.units, layer.out_size
    nu, theta, gamma = (p.value.tolist() for p in (layer.nu, layer.theta, layer.gamma))
    a, w_y = sums(layer, x), layer.w_y.value.tolist()
    h = [
        cmath.exp(complex(-math.exp(nu[k]), math.exp(theta[k]))) * complex(re[k], im[k])
        + math.exp(gamma[k]) * complex(a[k], a[N + k])
        for k in range(N)
    ]
    y = [a[2 * N + j] + sum(h[k] * complex(w_y[k][j], w_y[N + k][j]) for k in range(N)).real for j in range(H)]
    return y, [[number.real for number in h], [number.imag for number in h]]


def slstm_step(layer: Any, x: list[float], state: Any) -> Any:
    """As in the paper, with the memory and the sum of its weights, here without the array that bounds them."""
    (h, c, m), H, w_h = state, layer.out_size, layer.w_h.value.tolist()
    a = [sum_ + sum(h[k] * w_h[k][j] for k in range(H)) for j, sum_ in enumerate(sums(layer, x))]
    after: Any = [[], [], []]
    for j in range(H):
        weight, forget = math.exp(a[j]), logistic(a[H + j])
        n = forget * math.exp(m[j]) + weight
        memory = forget * math.exp(m[j]) * c[j] + weight * math.tanh(a[3 * H + j])
        after[0].append(logistic(a[2 * H + j]) * memory / n)
        after[1].append(memory / n)
        after[2].append(math.log(n))
    return after[0], after


min_gru, min_lstm, ind_rnn = row_by_row(min_gru_step), row_by_row(min_lstm_step), row_by_row(ind_rnn_step)
sru, lru, slstm = row_by_row(sru_step), row_by_row(lru_step), row_by_row(slstm_step)
