"""The table of checks and a training on a GPU, against the CPU. Where there is no GPU, that is skipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from table import CASES, LENGTHS, STARTS, Case
from tinygrad_rnn.testing.examples import examples
from tinygrad_rnn.testing.named import same

STEPS = 200


@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-12), ("float32", 2e-4)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_case_of_the_table(device: Any, case: Case, dtype: str, allowed: float) -> None:
    layer, rng = case.make(np.random.default_rng(0)), np.random.default_rng
    rows: list[tuple[Any, Any]] = [(None, None)]
    rows += [] if isinstance(layer, rnn.Feedforward) else [(LENGTHS, None)]
    rows += [(None, STARTS), (LENGTHS, STARTS)] if isinstance(layer, rnn.Recurrent) else []
    for example in [example for given in rows for example in examples(layer, rng(1), *given)]:
        upstream = example.upstream(rng(2))
        moved = {name: device.asarray(array.astype(dtype)) for name, array in upstream.items()}
        found = example.to(device, dtype).everything(moved)
        assert {array.device.id for array in found.values()} <= {0}
        assert {array.dtype.name for array in found.values()} <= {dtype}
        found = {name: device.to_host(array) for name, array in found.items()}
        same(example.everything(upstream), found, f"{layer!r} on a GPU", allowed)


def train(device: Any, cell: type, dtype: str) -> tuple[list[float], Any]:
    """The losses of some steps from one seed, and the weights afterwards."""
    rng, V, H = np.random.default_rng(0), 12, 24
    layers = rnn.Embedding(V, H, rng=rng), cell(H, H, rng=rng), rnn.Dropout(0.1, rng=rng), rnn.Linear(H, V, rng=rng)
    model = rnn.Sequential(*layers).to(device, dtype)
    optimizer, criterion = rnn.Adam(model, 1e-3, clip=rnn.ClipNorm(1.0)), rnn.SoftmaxCrossEntropy()
    stream = rnn.TokenStream(np.cumsum(rng.integers(0, 3, 5000)) % V, batch=4, steps=12)
    state, losses, there = None, [], model.device
    batches = [batch for _ in range(-(-STEPS // len(stream))) for batch in stream][:STEPS]
    for batch in batches:
        xs, targets, starts = (there.asarray(array) for array in (batch.xs, batch.targets, batch.starts))
        logits, state, cache = model.forward(xs, state, starts=starts)
        loss, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        losses.append(loss)
    optimizer.check()
    return [float(there.to_host(loss)) for loss in losses], there.to_host(model.flat_value).copy()


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("cell", [rnn.RNNCell, rnn.GRUCell, rnn.LSTMCell])
def test_a_training_is_that_of_the_cpu_and_two_are_equal_to_the_bit(
    device: Any, cell: type, dtype: str, allowed: float
) -> None:
    losses, weights = train(device, cell, dtype)
    again, weights_again = train(device, cell, dtype)
    assert losses == again
    np.testing.assert_array_equal(weights, weights_again)
    here, _ = train("cpu", cell, dtype)
    np.testing.assert_allclose(losses, here, rtol=allowed)
    assert losses[-1] < losses[0]
