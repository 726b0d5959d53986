"""Recurrences without a product with the state, and the sLSTM, beside the LSTM on Tiny Shakespeare.

    python benchmarks/linear_recurrences.py --text FILE

All models read one-hot characters, end in a `Linear`, and learn on one thread by the same recipe. The LSTM and the
sLSTM have one layer of cells. Those whose gates see only their input have two, so that the second sees states.

Equal parameters: each model has the most units with which it has no more parameters than the LSTM, and as many
iterations. Equal time: the same models, with as many iterations as take the CPU time of the LSTM. The loss is that of
the last tenth of the text, with the state carried through it.
"""

from __future__ import annotations

import argparse
import bisect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from harness import markdown, software, write_results
from tiny_shakespeare import B, T
from tinygrad_rnn import datasets
from tinygrad_rnn.optim import schedules

Rng = np.random.Generator


def lstm(V: int, H: int, rng: Rng) -> list[Any]:
    return [rnn.LSTMCell(V, H, rng=rng)]


def slstm(V: int, H: int, rng: Rng) -> list[Any]:
    return [rnn.SLSTMCell(V, H, rng=rng)]


def min_gru(V: int, H: int, rng: Rng) -> list[Any]:
    return [rnn.MinGRUCell(V, H, rng=rng), rnn.MinGRUCell(H, H, rng=rng)]


def lru(V: int, H: int, rng: Rng) -> list[Any]:
    """With a ReLU behind each layer: an LRU itself is linear."""
    return [rnn.LRUCell(V, H, rng=rng), rnn.ReLU(), rnn.LRUCell(H, H, rng=rng), rnn.ReLU()]


MODELS: dict[str, Callable[[int, int, Rng], list[Any]]] = {
    "LSTM": lstm,
    "sLSTM": slstm,
    "minGRU, two layers": min_gru,
    "LRU, two layers": lru,
}
"""The layers of each but the first and the last one."""

RATE = 0.04
"""The highest learning rate: the best for each model among 0.005, 0.01, 0.02 and 0.04, by `--tune --iterations 500`."""


def build(name: str, V: int, H: int, seed: int) -> rnn.Sequential:
    rng = np.random.default_rng(seed)
    return rnn.Sequential(rnn.OneHot(V), *MODELS[name](V, H, rng), rnn.Linear(H, V, rng=rng))


def size(model: rnn.Sequential) -> int:
    return sum(parameter.size for parameter in model.parameters())


def units(name: str, V: int, most: int) -> int:
    """The most units with which a model has no more than so many parameters."""
    return bisect.bisect_right(range(1, 1000), most, key=lambda H: size(build(name, V, H, 0)))


def train(model: rnn.Sequential, ids: Any, lr: float, iterations: int) -> float:
    """Train it, and give the seconds of the CPU."""
    criterion, stream = rnn.SoftmaxCrossEntropy(), rnn.TokenStream(ids, batch=B, steps=T)
    schedule = schedules.cosine(lr, steps=iterations, warmup=max(iterations // 20, 1))
    optimizer = rnn.Adam(model, schedule, clip=rnn.ClipNorm(1.0))
    state: Any = None
    start = time.process_time()
    for i in range(iterations):
        batch = stream[i % len(stream)]
        logits, state, cache = model.forward(batch.xs, state, starts=batch.starts)
        _, loss_cache = criterion.forward(logits, batch.targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--text", type=Path, help="the file (default: downloaded once, into a cache)")
    add("--hidden", type=int, default=128, help="units of the LSTM")
    add("--iterations", type=int, default=1500, help="of the LSTM")
    add("--seed", type=int, default=0)
    add("--tune", type=float, nargs="+", metavar="LR", help="try these rates on the tail of the training part instead")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="which are tried")
    args = parser.parse_args()
    text = datasets.read_text(args.text) if args.text else datasets.tiny_shakespeare()
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids, V = tokenizer.encode(text), len(tokenizer)
    cut = len(ids) * 9 // 10
    if args.tune:
        ids, cut = ids[:cut], cut * 9 // 10
    held_out = rnn.TokenStream(ids[cut:], batch=1, steps=1000)
    most = size(build("LSTM", V, args.hidden, 0))

    def run(name: str, iterations: int, lr: float) -> tuple[float, float]:
        """The loss, and the seconds."""
        model = build(name, V, units(name, V, most), args.seed)
        seconds = train(model, ids[:cut], lr, iterations)
        loss = rnn.evaluate(model, held_out)
        print(f"{name}, {iterations} iterations, rate {lr}: {loss:.3f} nats, {seconds:.1f} s", flush=True)
        return loss, seconds

    if args.tune:
        for name in args.models:
            for lr in args.tune:
                run(name, args.iterations, lr)
        return
    losses = ["equal parameters, nats", "equal time, nats"]
    lines = [["", "units", "parameters", "ms an iteration", *losses, "iterations in this time"], ["---", *["---:"] * 6]]
    time_of_lstm = 0.0
    for name in MODELS:
        loss, seconds = run(name, args.iterations, RATE)
        time_of_lstm = time_of_lstm or seconds
        iterations = round(args.iterations * time_of_lstm / seconds)
        timed = loss if iterations == args.iterations else run(name, iterations, RATE)[0]
        H = units(name, V, most)
        facts = [str(H), f"{size(build(name, V, H, 0)):,}", f"{1e3 * seconds / args.iterations:.1f}"]
        lines.append([name, *facts, f"{loss:.3f}", f"{timed:.3f}", str(iterations)])
    versions = {"threads": "1", "time": "of the CPU", "batches": f"B = {B}, T = {T}", "seed": str(args.seed)}
    versions["optimizer"] = f"Adam, {RATE} at its highest, then half a cosine to 0; gradients clipped to the norm 1"
    versions |= {"iterations at equal parameters": str(args.iterations), **software()}
    write_results(f"# Without a product with the state\n\n{markdown(lines)}", {"table": lines}, versions)


if __name__ == "__main__":
    main()
