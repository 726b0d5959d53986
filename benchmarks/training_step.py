"""One training step of a character or word model, against PyTorch.

Run it with `python benchmarks/training_step.py`, where the package and PyTorch are installed; `--rounds 3` is quicker,
and `--threads 1` leaves out the rows of two threads.

The work: ids (T, B) to vectors, a recurrent layer, a linear layer, softmax cross-entropy, back through time, clip,
optimizer; the state is carried to the next step, detached. All variants start from the same weights and read the same
text, and their first losses must agree to 1e-3.

- "one-hot RNN": one-hot rows, a tanh RNN, gradients clipped by value, Adagrad.
- "embedding GRU", "embedding LSTM": learnt vectors of 64, gradients clipped by their norm, Adam.

The variants:

- `tinygrad_rnn`: the step of the README.
- `compiled`: the same after `set_compiled()`.
- `torch`: the same as a good user of PyTorch writes it, with `nn.RNN`, `nn.GRU` and `nn.LSTM`. `nn.RNN` takes dense
  vectors, so its input is `F.one_hot(ids, V).float()`. Of the forms of an optimizer it gets the fastest, `fused=True`.
  Of its two biases the second is not trained where it adds nothing to the model.
- `torch by hand`, for the RNN: the fastest that we found without a hand-written gradient, which is a Python loop: the
  input side is an embedding look-up, as ours is, and each step is `tanh(addmm(x_t, h, w_h))`. An embedding in front of
  `nn.RNN` would not do: that multiplies its input by weights of its own, (H, H) in place of the (V, H) that the
  look-up saved.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cells
from harness import compare, timing, torch_on

E = 64  # features of an embedding
ADAGRAD: dict[str, float] = {"lr": 0.002, "eps": 1e-8}
ADAM: dict[str, float] = {"lr": 0.001, "eps": 1e-8}
LIMIT, MAX_NORM = 5.0, 1.0
FIRST = 10  # steps, whose losses are compared, before those that are timed

Step = Callable[[Any, Any], Any]
"""Of ids and targets, both (T, B), to the loss."""


def is_one_hot(model: str) -> bool:
    return model.startswith("one-hot")


def weights(model: str, V: int, H: int) -> tuple[cells.Weights, cells.Weights, cells.Weights]:
    """Of the embedding (none for one-hot rows), the cell and the linear layer."""
    rng, one_hot = np.random.default_rng(0), is_one_hot(model)
    embedding = {} if one_hot else cells.draw(rng, 1.0, w=(V, E))
    cell = cells.cell_weights(model.split()[1], V if one_hot else E, H, rng)
    return embedding, cell, cells.draw(rng, H**-0.5, w=(H, V), b=(V,))


def text(V: int, T: int, B: int, chunks: int = 20) -> NDArray[np.int64]:
    """Chunks (T + 1, B) of a made-up text, in which, as in any, few tokens are frequent: the k-th about 1/k as much."""
    shares = 1 / (np.arange(V) + 2.7)
    ids = np.random.default_rng(1).choice(V, (chunks * T + 1, B), p=shares / shares.sum())
    return np.stack([ids[start : start + T + 1] for start in range(0, chunks * T, T)])


def multiply_adds(model: str, V: int, H: int, B: int, T: int) -> int:
    """Look-ups make none."""
    return T * B * (cells.multiply_adds(model.split()[1], 0 if is_one_hot(model) else E, H) + 3 * H * V)


def our_step(model: str, V: int, H: int, B: int) -> Step:
    from tinygrad_rnn import (
        Adagrad,
        Adam,
        ClipNorm,
        ClipValue,
        Embedding,
        Linear,
        OneHot,
        Sequential,
        SoftmaxCrossEntropy,
    )

    rng, one_hot = np.random.default_rng(0), is_one_hot(model)
    embedding, cell, linear = weights(model, V, H)
    network = Sequential(
        OneHot(V) if one_hot else cells.give(Embedding(V, E, rng=rng), embedding),
        cells.our_cell(model.split()[1], V if one_hot else E, H, cell),
        cells.give(Linear(H, V, rng=rng), linear),
    )
    criterion = SoftmaxCrossEntropy()
    optimizer: Any = (
        Adagrad(network, lr=ADAGRAD["lr"], eps=ADAGRAD["eps"], clip=ClipValue(LIMIT))
        if one_hot
        else Adam(network, lr=ADAM["lr"], eps=ADAM["eps"], clip=ClipNorm(MAX_NORM))
    )
    state = network.initial_state(B)

    def step(ids: Any, targets: Any) -> Any:
        nonlocal state
        logits, state, cache = network.forward(ids, state)
        loss, loss_cache = criterion.forward(logits, targets)
        network.zero_grad()
        network.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        return loss

    return step


def torch_step(torch: Any, model: str, V: int, H: int, B: int, by_hand: bool) -> Step:
    nn, F = torch.nn, torch.nn.functional
    kind, one_hot = model.split()[1], is_one_hot(model)
    w_embedding, w_cell, w_linear = weights(model, V, H)
    linear = nn.Linear(H, V)
    linear.weight.data, linear.bias.data = torch.from_numpy(w_linear["w"].T.copy()), torch.from_numpy(w_linear["b"])
    state: Any = torch.zeros(1, B, H)

    if by_hand:
        w_x, w_h, b = (nn.Parameter(torch.from_numpy(w_cell[name])) for name in ("w_x", "w_h", "b"))
        parameters = [w_x, w_h, b, *linear.parameters()]

        def recurrent(ids: Any, state: Any) -> tuple[Any, Any]:
            h, hs = state[0], []
            for x in (F.embedding(ids, w_x) + b).unbind(0):
                h = torch.tanh(torch.addmm(x, h, w_h))
                hs.append(h)
            return torch.stack(hs), h[None].detach()

    else:
        layer = getattr(nn, kind)(V if one_hot else E, H)
        cells.give_torch(torch, layer.all_weights[0], kind, w_cell)
        parameters = [p for p in (*layer.parameters(), *linear.parameters()) if p.requires_grad]
        if not one_hot:
            embedding = nn.Embedding(V, E)
            embedding.weight.data = torch.from_numpy(w_embedding["w"])
            parameters += embedding.parameters()
        if kind == "LSTM":
            state = state, state

        def recurrent(ids: Any, state: Any) -> tuple[Any, Any]:
            hs, state = layer(F.one_hot(ids, V).float() if one_hot else embedding(ids), state)
            return hs, tuple(part.detach() for part in state) if kind == "LSTM" else state.detach()

    optimizer = (
        torch.optim.Adagrad(parameters, **ADAGRAD, fused=True)
        if one_hot
        else torch.optim.Adam(parameters, **ADAM, fused=True)
    )

    def step(ids: Any, targets: Any) -> Any:
        nonlocal state
        hs, state = recurrent(ids, state)
        loss = F.cross_entropy(linear(hs).reshape(-1, V), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        if one_hot:
            nn.utils.clip_grad_value_(parameters, LIMIT)
        else:
            nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        return loss.detach()

    return step


def timed(step: Step, chunks: Any, threads: int) -> dict[str, Any]:
    """The first losses, then the time of the steps after."""
    pairs = cycle([(chunk[:-1], chunk[1:]) for chunk in chunks])
    losses = [float(step(*next(pairs))) for _ in range(FIRST)]
    return {**timing(lambda: step(*next(pairs)), threads), "outputs": {"losses": losses}}


def run_ours(threads: int, model: str, V: int, H: int, B: int, T: int, compiled: bool = False) -> dict[str, Any]:
    from tinygrad_rnn import set_compiled

    set_compiled(compiled)
    return timed(our_step(model, V, H, B), text(V, T, B), threads)


def run_torch(threads: int, model: str, V: int, H: int, B: int, T: int, by_hand: bool = False) -> dict[str, Any] | None:
    if by_hand and model != "one-hot RNN":
        return None
    torch, versions = torch_on(threads)
    step = torch_step(torch, model, V, H, B, by_hand)
    return {**timed(step, torch.from_numpy(text(V, T, B)), threads), "versions": versions}


if __name__ == "__main__":
    C = 65  # characters
    rows = [("one-hot RNN", C, 100, 1, 25), *(("one-hot RNN", C, H, 32, 64) for H in (128, 256, 512))]
    rows += [("one-hot RNN", C, 512, 64, 128)]
    rows += [(f"embedding {cell}", C, H, 32, 64) for cell in ("GRU", "LSTM") for H in (128, 256, 512)]
    rows += [("embedding LSTM", 10_000, 256, 32, 64)]
    compare(
        "One training step of a character or word model",
        {
            "tinygrad_rnn": run_ours,
            "compiled": lambda **row: run_ours(**row, compiled=True),
            "torch": run_torch,
            "torch by hand": lambda **row: run_torch(**row, by_hand=True),
        },
        [dict(zip(("model", "V", "H", "B", "T"), row, strict=True)) for row in rows],
        ours=2,
        rounds=7,
        multiply_adds=multiply_adds,
    )
