"""How well a character model learns Tiny Shakespeare: nats a character on its last tenth, by both usual protocols.

    python benchmarks/tiny_shakespeare.py --cell lstm --hidden 256 --lr 0.004 --seeds 0 1 2

Carried: the state goes through the whole held-out text. Windows: all windows of 64 characters that do not overlap, each
from the zero state, which knows nothing at its first characters. To choose settings, give
`--tune`: the last tenth of the training part is then held out, and the real one is not looked at.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets
from tinygrad_rnn.optim import schedules

B, T, WINDOW = 32, 64, 64
CELLS: dict[str, Any] = {"rnn": rnn.RNNCell, "gru": rnn.GRUCell, "lstm": rnn.LSTMCell}


def train(ids: Any, V: int, args: argparse.Namespace, seed: int) -> tuple[rnn.Sequential, float]:
    """The trained model, and the median milliseconds of an iteration."""
    rng, size = np.random.default_rng(seed), V
    layers: list[Any] = [rnn.OneHot(V)]
    for _ in range(args.layers):
        layers += [CELLS[args.cell](size, args.hidden, rng=rng), rnn.Dropout(args.dropout, rng=rng)]
        size = args.hidden
    model = rnn.Sequential(*layers, rnn.Linear(size, V, rng=rng))
    criterion, stream = rnn.SoftmaxCrossEntropy(), rnn.TokenStream(ids, batch=B, steps=T)
    schedule = schedules.cosine(args.lr, steps=args.iterations, warmup=args.iterations // 20)
    optimizer = rnn.Adam(model, schedule, clip=rnn.ClipNorm(1.0))
    state: Any = None
    seconds = []
    for i in range(args.iterations):
        start = time.perf_counter()
        batch = stream[i % len(stream)]
        logits, state, cache = model.forward(batch.xs, state, starts=batch.starts)
        _, loss_cache = criterion.forward(logits, batch.targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return model, 1e3 * median(seconds)


def losses(model: rnn.Sequential, ids: Any) -> tuple[float, float]:
    """Nats a character, carried and in windows."""
    windows = [ids[start : start + WINDOW + 1] for start in range(0, len(ids) - 1, WINDOW)]
    carried, cut = (rnn.evaluate(model, rnn.TokenStream(text, batch=1, steps=1000)) for text in (ids, windows))
    return carried, cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--text", type=Path, help="the file (default: downloaded once, into a cache)")
    add("--cell", choices=CELLS, default="lstm")
    add("--hidden", type=int, default=256)
    add("--layers", type=int, default=1)
    add("--dropout", type=float, default=0.0, help="after each layer of cells")
    add("--lr", type=float, default=0.004, help="of Adam at its highest; from there half a cosine to 0")
    add("--iterations", type=int, default=4000)
    add("--seeds", type=int, nargs="+", default=[0])
    add("--tune", action="store_true")
    args = parser.parse_args()
    text = datasets.read_text(args.text) if args.text else datasets.tiny_shakespeare()
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    cut = len(ids) * 9 // 10
    if args.tune:
        ids, cut = ids[:cut], cut * 9 // 10
    options = [f"{args.layers} x {args.cell} {args.hidden}", f"dropout {args.dropout}", f"Adam {args.lr}, cosine"]
    print(f"{', '.join(options)}, B = {B}, T = {T}, {args.iterations} iterations{', tuning' * args.tune}\n")
    print("| seed | carried, nats | windows, nats | ms an iteration |\n| ---: | ---: | ---: | ---: |")
    for seed in args.seeds:
        model, milliseconds = train(ids[:cut], len(tokenizer), args, seed)
        carried, windows = losses(model, ids[cut:])
        print(f"| {seed} | {carried:.3f} | {windows:.3f} | {milliseconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
