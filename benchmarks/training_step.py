"""One training step of a character model, against PyTorch.

Run it with `python benchmarks/training_step.py`, where the package and PyTorch are installed; `--rounds 3` is quicker.

The work: ids (T, B) to one-hot rows, a tanh RNN, a linear layer, softmax cross-entropy, back through time, gradients
clipped by value, Adagrad; the state is carried to the next step, detached. All variants start from the same weights and
read the same text, and their first losses must agree to 1e-3. On one thread; what is measured is CPU time, which on an
idle machine is the time that passes, and on a busy one leaves out that of others.

- `tinygrad_rnn`: the step of the README.
- `torch nn.RNN`: the same as a good user of PyTorch writes it. `nn.RNN` takes dense vectors, so its input is
  `F.one_hot(ids, V).float()`. Its second bias, which adds nothing to the model, is 0 and not trained. Of Adagrad's
  three forms it gets the fastest, `fused=True`.
- `torch by hand`: the fastest that we found without a hand-written gradient, which is a Python loop: the input side is
  an embedding look-up, as ours is, and each step is `tanh(addmm(x_t, h, w_h))`. An embedding in front of `nn.RNN`
  would not do: that multiplies its input by weights of its own, (H, H) in place of the (V, H) that the look-up saved.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import THREADS, compare

V = 65  # characters
LR, EPS, LIMIT = 0.002, 1e-8, 5.0
FIRST = 10  # steps, whose losses are compared, before those that are timed
SECONDS = 1.0  # of steps that are timed, at least 10

Step = Callable[[Any, Any], Any]
"""Of ids and targets, both (T, B), to the loss."""


def weights(H: int) -> dict[str, NDArray[np.float32]]:
    """As PyTorch draws them, uniform to ±1/√H. In an order and layout of our own: (in, out)."""
    rng = np.random.default_rng(0)
    shapes = {"w_x": (V, H), "w_h": (H, H), "b": (H,), "w": (H, V), "b_out": (V,)}
    return {name: rng.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def text(T: int, B: int, chunks: int = 50) -> NDArray[np.int64]:
    """Chunks (T + 1, B) of a made-up text, in which, as in any, a few characters are frequent."""
    ids = np.minimum(np.random.default_rng(1).geometric(0.15, (chunks * T + 1, B)), V) - 1
    return np.stack([ids[start : start + T + 1] for start in range(0, chunks * T, T)])


def tinygrad_step(H: int, B: int) -> Step:
    from tinygrad_rnn import Adagrad, ClipValue, Linear, OneHot, RNNCell, Sequential, SoftmaxCrossEntropy

    rng, start = np.random.default_rng(0), weights(H)
    cell, linear = RNNCell(V, H, rng=rng), Linear(H, V, rng=rng)
    cell.w_x.value, cell.w_h.value, cell.b.value = start["w_x"], start["w_h"], start["b"]
    linear.w.value, linear.b.value = start["w"], start["b_out"]
    model = Sequential(OneHot(V), cell, linear)
    criterion = SoftmaxCrossEntropy()
    optimizer = Adagrad(model, lr=LR, eps=EPS, clip=ClipValue(LIMIT))
    state = model.initial_state(B)

    def step(ids: Any, targets: Any) -> Any:
        nonlocal state
        logits, state, cache = model.forward(ids, state)
        loss, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        return loss

    return step


def torch_step(torch: Any, H: int, B: int, by_hand: bool) -> Step:
    nn, F = torch.nn, torch.nn.functional
    start = {name: torch.from_numpy(value) for name, value in weights(H).items()}
    linear = nn.Linear(H, V)
    linear.weight.data, linear.bias.data = start["w"].T.contiguous(), start["b_out"]
    state = torch.zeros(1, B, H)

    if by_hand:
        w_x, w_h, b = (nn.Parameter(start[name]) for name in ("w_x", "w_h", "b"))
        parameters = [w_x, w_h, b, *linear.parameters()]

        def recurrent(ids: Any, state: Any) -> tuple[Any, Any]:
            h, hs = state[0], []
            for x in (F.embedding(ids, w_x) + b).unbind(0):
                h = torch.tanh(torch.addmm(x, h, w_h))
                hs.append(h)
            return torch.stack(hs), h[None]

    else:
        rnn = nn.RNN(V, H)
        rnn.weight_ih_l0.data, rnn.weight_hh_l0.data = start["w_x"].T.contiguous(), start["w_h"].T.contiguous()
        rnn.bias_ih_l0.data = start["b"]
        rnn.bias_hh_l0.data.zero_()
        rnn.bias_hh_l0.requires_grad_(False)
        parameters = [p for p in (*rnn.parameters(), *linear.parameters()) if p.requires_grad]

        def recurrent(ids: Any, state: Any) -> tuple[Any, Any]:
            hs, state = rnn(F.one_hot(ids, V).float(), state)
            return hs, state

    optimizer = torch.optim.Adagrad(parameters, lr=LR, eps=EPS, fused=True)

    def step(ids: Any, targets: Any) -> Any:
        nonlocal state
        hs, state = recurrent(ids, state)
        state = state.detach()
        loss = F.cross_entropy(linear(hs).reshape(-1, V), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(parameters, LIMIT)
        optimizer.step()
        return loss.detach()

    return step


def timed(step: Step, chunks: Any, versions: dict[str, str]) -> dict[str, Any]:
    """The first losses, then the median time of the steps after."""
    losses = [float(step(chunk[:-1], chunk[1:])) for chunk in chunks[:FIRST]]
    seconds: list[float] = []
    while len(seconds) < 10 or sum(seconds) < SECONDS:
        chunk = chunks[len(seconds) % len(chunks)]
        start = time.process_time()
        step(chunk[:-1], chunk[1:])
        seconds.append(time.process_time() - start)
    return {"seconds": float(np.median(seconds)), "losses": losses, "versions": versions}


def run_tinygrad(H: int, B: int, T: int) -> dict[str, Any]:
    return timed(tinygrad_step(H, B), text(T, B), {})


def run_torch(H: int, B: int, T: int, by_hand: bool = False) -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")  # the one import, so that PyTorch needs no types
    torch.set_num_threads(THREADS)
    versions = {"PyTorch": f"{torch.__version__}, {'with' if torch.backends.mkl.is_available() else 'without'} MKL"}
    return timed(torch_step(torch, H, B, by_hand), torch.from_numpy(text(T, B)), versions)


if __name__ == "__main__":
    compare(
        "One training step of a character model",
        {
            "tinygrad_rnn": run_tinygrad,
            "torch nn.RNN": run_torch,
            "torch by hand": lambda H, B, T: run_torch(H, B, T, by_hand=True),
        },
        [
            {"H": 100, "B": 1, "T": 25},
            {"H": 128, "B": 32, "T": 64},
            {"H": 256, "B": 32, "T": 64},
            {"H": 512, "B": 64, "T": 128},
        ],
        rounds=7,
    )
