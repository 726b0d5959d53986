"""What checkpointing costs and saves over the number of stored states, against what its schedule says.

Run it with `python benchmarks/checkpointing.py`, where the package is installed. One BLAS thread.

The work: forward, loss and backward of a character model, an embedding, an LSTM and a linear layer, over T steps, by
`BPTT` and by `Checkpointed`, in blocks of 22 steps. The gradients of both agree to 1e-4.

- Memory: the peak of what NumPy and Python hold during the second call, its inputs left out.
- Predicted: the states, each with what is held for it, and what one block takes; what they are is measured by two
  calls of one block with other numbers of states.
- Forward: how many blocks run forward, by the schedule, over how many there are.
- Time: CPU time over that of `BPTT`, the median of rounds in which all take turns; predicted from the forward steps and
  the share of the forward, which is measured too. The range is that over the rounds.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import tinygrad_rnn as rnn
from harness import markdown, software, write_results
from tinygrad_rnn.through_time import BPTT, Checkpointed
from tinygrad_rnn.through_time.schedule import forward_blocks

V, D, H, B = 65, 64, 128, 32
BLOCK = 22
STATES = 2, 4, 8, 16, 32, 45
MIB = 2**20

Numbers = list[dict[str, Any]]
"""The rows of a table: numbers by column."""


def model() -> Any:
    rng = np.random.default_rng(0)
    layers = rnn.Embedding(V, D, rng=rng), rnn.LSTMCell(D, H, rng=rng), rnn.Linear(H, V, rng=rng)
    return rnn.Sequential(*layers)


def batch(steps: int) -> rnn.Batch:
    ids = np.random.default_rng(1).integers(0, V, (steps + 1, B))
    return rnn.Batch(ids[:-1], ids[1:])


def call(method: Any, network: Any, work: rnn.Batch) -> Callable[[], Any]:
    return lambda: method(network, rnn.SoftmaxCrossEntropy(), work)


def peak(method: Any, steps: int) -> int:
    """Bytes."""
    run = call(method, model(), batch(steps))
    run()
    tracemalloc.start()
    run()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def gradient(method: Any, steps: int) -> Any:
    network = model()
    call(method, network, batch(steps))()
    return network.flat_grad


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def forward_share(network: Any, work: rnn.Batch, rounds: int) -> float:
    """The part of forward and loss in a whole call of `BPTT`."""
    criterion = rnn.SoftmaxCrossEntropy()

    def forward() -> Any:
        ys, _, _ = network.forward(work.xs)
        return criterion.forward(ys, work.targets)

    whole = call(BPTT(), network, work)
    return median(seconds(forward) / seconds(whole) for _ in range(rounds))


def over_states(steps: int, rounds: int) -> Numbers:
    network, work, blocks = model(), batch(steps), -(-steps // BLOCK)
    methods = {m: Checkpointed(m, block=BLOCK) for m in STATES}
    exact, plain = gradient(BPTT(), steps), peak(BPTT(), steps)
    share, ratios = forward_share(network, work, rounds), dict[int, list[float]]((m, []) for m in STATES)
    for _ in range(rounds):
        base = seconds(call(BPTT(), network, work))
        for m, method in methods.items():
            ratios[m].append(seconds(call(method, network, work)) / base)
    one_block, state = peak(Checkpointed(1, block=BLOCK), BLOCK), 2 * 4 * H * B
    rows: Numbers = []
    for m, method in methods.items():
        np.testing.assert_allclose(gradient(method, steps), exact, rtol=0, atol=1e-4 * abs(exact).max())
        forward, found = forward_blocks(blocks, m) / blocks, peak(method, steps)
        rows.append(
            {
                "T": steps,
                "blocks": blocks,
                "states": m,
                "memory, MiB": f"{found / MIB:.2f}",
                "predicted, MiB": f"{(one_block + min(m, blocks) * state) / MIB:.2f}",
                "of BPTT": f"{found / plain:.1%}",
                "forward": f"{forward:.2f}",
                "time / BPTT (min to max)": f"{median(ratios[m]):.2f} ({min(ratios[m]):.2f} to {max(ratios[m]):.2f})",
                "predicted": f"{1 + share * (forward - 1):.2f}",
            }
        )
    return rows


def over_steps(sizes: tuple[int, ...]) -> Numbers:
    """The memory of 45 states, and the time of a step, over the number of steps."""
    rows: Numbers = []
    for steps in sizes:
        blocks = -(-steps // BLOCK)
        run = call(Checkpointed(), model(), batch(steps))
        rows.append(
            {
                "T": steps,
                "memory, MiB": f"{peak(Checkpointed(), steps) / MIB:.2f}",
                "forward": f"{forward_blocks(blocks, 45) / blocks:.2f}",
                "ms a step": f"{1e3 * seconds(run) / steps:.3f}",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of the times, default 7")
    rounds = parser.parse_args().rounds
    network, work = model(), batch(1000)
    share = forward_share(network, work, rounds)
    tables = {
        "Over the number of states": over_states(1000, rounds),
        "Over the number of steps, 45 states": over_steps((1_000, 10_000, 100_000)),
    }
    text = f"# Checkpointing\n\nThe forward and the loss take {share:.0%} of the time of a call of `BPTT`.\n"
    for title, rows in tables.items():
        lines = [list(rows[0]), ["---:"] * len(rows[0]), *([f"{cell}" for cell in row.values()] for row in rows)]
        text += f"\n## {title}\n\n{markdown(lines)}"
    print(text)
    facts = {**software(), "threads": "1", "rounds of the times": str(rounds)}
    write_results(text, {"results": tables, "forward share": share}, {**facts, "sizes": f"V {V}, D {D}, H {H}, B {B}"})


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
