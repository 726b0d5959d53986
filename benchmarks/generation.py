"""A language model that is given one token at a time, against PyTorch.

Run it with `python benchmarks/generation.py`, where the package and PyTorch are installed; `--rounds 3` is quicker, and
`--threads 1` leaves out the rows of two threads.

The work: ids (B,) to vectors, one-hot or learnt ones of 64, one step of an LSTM, and a linear layer to the logits of 65
characters; the state goes on. The ids are given: to draw the next one is the same work for all. All variants have the
same weights, and the logits of the last token must agree to 1e-3. What is measured is the time of a token of all rows
of the batch: that of 100, divided by 100.

- `tinygrad_rnn`: `model.take_step`, as `generate` calls it.
- `compiled`: the same after `set_compiled()`.
- `torch LSTMCell`: under `inference_mode`, as the next one.
- `torch nn.LSTM`: given sequences of one step.

For one-hot rows PyTorch looks them up in an identity matrix, which is faster than `F.one_hot(ids, V).float()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cells
from harness import compare, sample, timing, torch_on

V, E, TOKENS = 65, 64, 100


def weights(inputs: str, H: int) -> tuple[cells.Weights, cells.Weights, cells.Weights]:
    """Of the embedding, which for one-hot rows is the identity matrix, the cell and the linear layer."""
    rng, D = np.random.default_rng(0), in_size(inputs)
    embedding = {"w": np.eye(V, dtype=np.float32)} if inputs == "one-hot" else cells.draw(rng, 1.0, w=(V, E))
    return embedding, cells.cell_weights("LSTM", D, H, rng), cells.draw(rng, H**-0.5, w=(H, V), b=(V,))


def in_size(inputs: str) -> int:
    return V if inputs == "one-hot" else E


def text(B: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, V, (TOKENS, B))


def run_ours(threads: int, inputs: str, H: int, B: int, compiled: bool = False) -> dict[str, Any]:
    from tinygrad_rnn import Embedding, Linear, OneHot, Sequential, set_compiled

    set_compiled(compiled)
    rng = np.random.default_rng(0)
    embedding, cell, linear = weights(inputs, H)
    model = Sequential(
        OneHot(V) if inputs == "one-hot" else cells.give(Embedding(V, E, rng=rng), embedding),
        cells.our_cell("LSTM", in_size(inputs), H, cell),
        cells.give(Linear(H, V, rng=rng), linear),
    )
    ids = list(text(B))

    def tokens() -> Any:
        state = model.initial_state(B)
        for x in ids:
            y, state = model.take_step(x, state)
        return y

    return timed(tokens, threads)


def run_torch(threads: int, inputs: str, H: int, B: int, module: str) -> dict[str, Any]:
    torch, versions = torch_on(threads)
    nn, D = torch.nn, in_size(inputs)
    w_embedding, w_cell, w_linear = weights(inputs, H)
    embedding, linear, layer = nn.Embedding(V, D), nn.Linear(H, V), getattr(nn, module)(D, H)
    embedding.weight.data = torch.from_numpy(w_embedding["w"])
    linear.weight.data, linear.bias.data = torch.from_numpy(w_linear["w"].T.copy()), torch.from_numpy(w_linear["b"])
    cells.give_torch(torch, list(layer.parameters()), "LSTM", w_cell)
    ids = list(torch.from_numpy(text(B)))

    def cell_tokens() -> Any:
        state = torch.zeros(B, H), torch.zeros(B, H)
        for x in ids:
            state = layer(embedding(x), state)
            y = linear(state[0])
        return y

    def sequence_tokens() -> Any:
        state = torch.zeros(1, B, H), torch.zeros(1, B, H)
        for x in ids:
            hs, state = layer(embedding(x)[None], state)
            y = linear(hs[0])
        return y

    with torch.inference_mode():
        return {**timed(cell_tokens if module == "LSTMCell" else sequence_tokens, threads), "versions": versions}


def timed(tokens: Callable[[], Any], threads: int) -> dict[str, Any]:
    logits = np.asarray(tokens())
    return {**timing(tokens, threads, per=TOKENS), "outputs": {"logits": sample(logits)}}


if __name__ == "__main__":
    compare(
        "One token of a language model, an LSTM",
        {
            "tinygrad_rnn": run_ours,
            "compiled": lambda **row: run_ours(**row, compiled=True),
            "torch LSTMCell": lambda **row: run_torch(**row, module="LSTMCell"),
            "torch nn.LSTM": lambda **row: run_torch(**row, module="LSTM"),
        },
        [{"inputs": i, "H": H, "B": B} for i in ("one-hot", "embedding") for H in (128, 512) for B in (1, 64)],
        ours=2,
        rounds=5,
    )
