"""A cell of one's own
===================

A cell that the library does not have is checked, trained beside `RNNCell`, saved and loaded::

    python examples/custom_cell.py
    python examples/custom_cell.py --plot custom_cell.png

It is the minimal gated unit (Zhou, Wu, Zhang and Zhou, *Minimal Gated Unit for Recurrent Neural Networks*, 2016), a GRU
with a single gate f, which controls both how much of the old state the new value sees and how far the new value
replaces the old state::

    f = sigmoid(x w_xf + h w_hf + b_f)
    n = tanh(x w_xn + (f * h) w_hn + b_n)
    h' = (1 - f) * h + f * n
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as rnn
from options import check_picture, make_parser, run
from tinygrad_rnn.testing import check_contract, check_gradients


class MinimalGatedCache(NamedTuple):
    x: Any
    h_prev: Any
    f: Any
    n: Any


class MinimalGatedCell(rnn.Cell):
    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.w_xf = rnn.Parameter(rnn.initializers.glorot((in_size, out_size), rng=rng))
        self.w_hf = rnn.Parameter(rnn.initializers.orthogonal((out_size, out_size), rng=rng))
        self.b_f = rnn.Parameter(rnn.initializers.zeros((out_size,)) - 3)  # f begins near 0.05
        self.w_xn = rnn.Parameter(rnn.initializers.glorot((in_size, out_size), rng=rng))
        self.w_hn = rnn.Parameter(rnn.initializers.orthogonal((out_size, out_size), rng=rng))
        self.b_n = rnn.Parameter(rnn.initializers.zeros((out_size,)))

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        (h_prev,) = state
        device: Any = self.device  # None only where there are no parameters
        tanh = device.xp.tanh
        a_f = x @ self.w_xf.value + h_prev @ self.w_hf.value + self.b_f.value
        f = 0.5 * tanh(0.5 * a_f) + 0.5  # the sigmoid, which so never overflows
        n = tanh(x @ self.w_xn.value + (f * h_prev) @ self.w_hn.value + self.b_n.value)
        h = h_prev + f * (n - h_prev)
        return h, (h,), MinimalGatedCache(x, h_prev, f, n)

    def step_backward(self, dy: Any, dstate: Any, cache: MinimalGatedCache) -> Any:
        x, h_prev, f, n = cache
        d = dy + dstate[0]  # by h', which is output and state
        da_n = d * f * (1 - n * n)
        ds = da_n @ self.w_hn.value.T  # s is f * h
        df = d * (n - h_prev) + ds * h_prev
        da_f = df * f * (1 - f)
        for da, s, w_x, w_h, b in (
            (da_f, h_prev, self.w_xf, self.w_hf, self.b_f),
            (da_n, f * h_prev, self.w_xn, self.w_hn, self.b_n),
        ):
            w_x.grad += x.T @ da
            w_h.grad += s.T @ da
            b.grad += da.sum(axis=0)
        dx = da_f @ self.w_xf.value.T + da_n @ self.w_xn.value.T
        return dx, (d * (1 - f) + ds * f + da_f @ self.w_hf.value.T,)


def learn(cell: rnn.Cell, symbols: int, rng: np.random.Generator) -> tuple[rnn.Sequential, list[float]]:
    """Train on sequences of random symbols, of which the first is asked for after the last: model and losses."""
    model = rnn.Sequential(rnn.OneHot(symbols), cell, rnn.Linear(cell.out_size, symbols, rng=rng))
    criterion, optimizer = rnn.SoftmaxCrossEntropy(), rnn.Adam(model, lr=0.01, clip=rnn.ClipNorm(1.0))
    losses = []
    for _ in range(300):
        ids = rng.integers(0, symbols, (30, 32))
        targets = np.full_like(ids, -1)  # no loss but at the last step
        targets[-1] = ids[0]  # with lengths, a row would have it at its own last step, lengths - 1
        model.zero_grad()
        loss, _, _ = rnn.gradients(model, criterion, rnn.Batch(ids, targets))
        optimizer.step()
        losses.append(float(loss))
    return model, losses


def compare(picture: str | None) -> None:
    """Check the cell, train it and the `RNNCell`, draw their losses, and save and load the model."""
    rng = np.random.default_rng(0)
    cell = MinimalGatedCell(3, 4, rng=rng)
    print(f"worst gradient error {max(check_gradients(cell, rng=rng).values()):.1e}")
    print(f"clauses of the contract that hold: {len(check_contract(cell, rng=rng))}")

    print(f"loss in nats before and after, for the first of 30 symbols; by chance {np.log(4):.3f}")
    curves = {}
    for kind in (rnn.RNNCell, MinimalGatedCell):
        rng = np.random.default_rng(1)
        model, losses = learn(kind(4, 32, rng=rng), 4, rng)
        curves[kind.__name__] = losses
        print(f"{kind.__name__:16} {losses[0]:.3f} -> {np.mean(losses[-20:]):.3f}")

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        rnn.save(path, model)
        again = rnn.load(path, classes=[MinimalGatedCell]).model
    ids = rng.integers(0, 4, (30, 3))
    print(f"loaded {again!r}, same outputs: {np.array_equal(again(ids)[0], model(ids)[0])}")
    if picture is not None:
        from tinygrad_rnn import plotting

        plotting.losses(curves, unit="nats").savefig(picture)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--plot", metavar="FILE", help="draw the losses: .png, .svg or .pdf")
    args = parser.parse_args()
    check_picture(parser, args.plot)
    compare(args.plot)


if __name__ == "__main__":
    run(main)
