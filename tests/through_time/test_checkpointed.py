"""Checkpointing: the same gradients to the bit as the blocks one after the other, in a fraction of the memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

from through_time_models import LearntLSTM, batch, close, cut, gradient, language_model, rng, small
from tinygrad_rnn import (
    Batch,
    Bidirectional,
    BinaryCrossEntropy,
    Dropout,
    Embedding,
    GRUCell,
    Linear,
    LockedDropout,
    Loss,
    LSTMCell,
    MeanSquaredError,
    Sequential,
    SoftmaxCrossEntropy,
    Zoneout,
)
from tinygrad_rnn.core.arrays import namespace
from tinygrad_rnn.through_time import BPTT, Checkpointed
from tinygrad_rnn.through_time.schedule import forward_blocks

STOCHASTIC: Any = (
    Dropout(0.4, rng=rng()),
    GRUCell(3, 4, rng=rng()),
    LockedDropout(0.3, rng=rng()),
    Zoneout(LSTMCell(4, 3, rng=rng()), 0.3, rng=rng()),
)


def chained(model: Any, criterion: Any, whole: Batch, block: int, state: Any = None) -> Any:
    """The blocks one after the other: all forward, the loss over all outputs, and all backward."""
    for i, stream in enumerate(model.generators().values()):
        stream.bit_generator.state = rng(i).bit_generator.state
    model.flat_grad[...] = 3.0
    made = []
    for first in range(0, len(whole.xs), block):
        steps = slice(first, first + block)
        rows: dict[str, Any] = {"starts": None if whole.starts is None else whole.starts[steps]}
        if whole.lengths is not None:
            rows["lengths"] = np.clip(whole.lengths - first, 0, len(whole.xs[steps]))
        ys, state, cache = model.forward(whole.xs[steps], state, **rows)
        made.append((steps, ys, cache))
    ys = namespace(ys).concatenate([ys for _, ys, _ in made])
    loss, cache = criterion.forward(ys, whole.targets, lengths=whole.lengths, weights=whole.weights)
    dys, dstate = criterion.backward(cache), None
    for steps, _, cache in reversed(made):
        _, dstate = model.backward(dys[steps], dstate, cache)
    return loss, ys, state, model.flat_grad - 3.0, [s.bit_generator.state for s in model.generators().values()]


def test_it_equals_the_blocks_one_after_the_other_to_the_bit() -> None:
    for model in (small(), language_model(*STOCHASTIC), language_model(LearntLSTM(3, 4, rng=rng()))):
        for rows in ({}, {"lengths": True}, {"starts": True}, {"lengths": True, "starts": True}):
            whole = batch(11, **rows)._replace(weights=None)
            for criterion in (SoftmaxCrossEntropy(), SoftmaxCrossEntropy(reduction="sum")):
                for states, block in ((1, 3), (3, 1), (4, 3), (45, 22)):
                    loss, ys, state, expected, random = chained(model, criterion, whole, block)
                    for i, stream in enumerate(model.generators().values()):
                        stream.bit_generator.state = rng(i).bit_generator.state
                    model.flat_grad[...] = 3.0
                    made = Checkpointed(states, block=block, outputs=True)(model, criterion, whole)
                    np.testing.assert_array_equal(model.flat_grad - 3.0, expected)
                    close(made[0], loss)
                    np.testing.assert_array_equal(made[1], ys)
                    np.testing.assert_array_equal(made[2][-2][0], state[-2][0])
                    assert [s.bit_generator.state for s in model.generators().values()] == random


def test_it_equals_one_forward_over_all_steps() -> None:
    for rows in ({}, {"lengths": True}, {"starts": True}):
        for criterion in (SoftmaxCrossEntropy(), SoftmaxCrossEntropy(reduction="sum", ignore_index=2)):
            whole = batch(11, **rows)
            for dloss in (None, 0.25):
                exact = gradient(BPTT(), small(), whole, criterion=criterion, dloss=dloss)
                for method in (Checkpointed(3, block=2), Checkpointed(2, block=3), Checkpointed()):
                    close(gradient(method, small(), whole, criterion=criterion, dloss=dloss), exact)


def test_losses_of_numbers() -> None:
    model, xs = small(), batch(9).xs
    for criterion, targets in (
        (MeanSquaredError(missing="nan"), np.where(rng(3).random((9, 3, 5)) < 0.3, np.nan, 1.0)),
        (BinaryCrossEntropy(), rng(3).integers(0, 2, (9, 3, 5)).astype(float)),
    ):
        whole = Batch(xs, targets, weights=rng(4).random((9, 3)))
        for each in (whole, whole._replace(weights=None), whole._replace(weights=np.zeros((9, 3)))):
            exact = gradient(BPTT(), model, each, criterion=criterion)
            close(gradient(Checkpointed(2, block=2), model, each, criterion=criterion), exact)
            loss, _, _ = Checkpointed(2, block=2)(model, criterion, each)
            close(loss, BPTT()(model, criterion, each)[0])


def test_batches_follow_each_other() -> None:
    whole, model = batch(8, starts=True), small()
    close(gradient(Checkpointed(2, block=2), model, *cut(whole, 3, 5)), gradient(BPTT(), model, *cut(whole, 3, 5)))
    loss, ys, state = Checkpointed()(model, SoftmaxCrossEntropy(), batch(0))
    assert (float(loss), ys, state[1][0].shape) == (0.0, None, (3, 4))


def test_it_runs_as_many_blocks_as_the_schedule_says() -> None:
    for states, blocks in ((1, 5), (2, 7), (3, 9), (4, 5), (8, 9)):
        model, runs = small(), list[int]()
        original = model.layers[1].unroll_forward

        def counted(xs: Any, state: Any, *, runs: Any = runs, original: Any = original, **given: Any) -> Any:
            runs.append(len(xs))
            return original(xs, state, **given)

        model.layers[1].unroll_forward = counted
        Checkpointed(states, block=3)(model, SoftmaxCrossEntropy(), batch(3 * blocks - 1))
        assert len(runs) == forward_blocks(blocks, states)
        assert max(runs) == 3


def peak(method: Any, steps: int) -> int:
    """The most bytes that a call holds; cycles, which would hold theirs until Python collects, are not collected."""
    model = Sequential(Embedding(5, 8, rng=rng()), LSTMCell(8, 32, rng=rng()), Linear(32, 5, rng=rng()))
    ids = rng().integers(0, 5, (steps + 1, 16))
    whole = Batch(ids[:-1], ids[1:])
    method(model, SoftmaxCrossEntropy(), whole)  # what is kept at a first call is none of its memory
    gc.collect()
    gc.disable()
    [tuple(range(size)) for size in range(20) for _ in range(3000)]  # as many small tuples as Python keeps for new ones
    tracemalloc.start()
    try:
        method(model, SoftmaxCrossEntropy(), whole)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_thousand_steps_take_a_twentieth_of_the_memory() -> None:
    assert peak(Checkpointed(45), 1000) <= 0.06 * peak(BPTT(), 1000)


def test_memory_does_not_grow_with_the_steps() -> None:
    assert peak(Checkpointed(4), 600) <= 1.05 * peak(Checkpointed(4), 200)


@pytest.mark.long
def test_a_hundred_thousand_steps() -> None:
    assert peak(Checkpointed(), 100_000) <= 1.01 * peak(Checkpointed(), 10_000)


class Plain(Loss):
    """A loss of one's own that says nothing of a reduction."""

    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> Any:
        return ys.sum(), ys

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return cache


@pytest.mark.messages
def test_what_it_cannot_do_is_named() -> None:
    model, whole = small(), batch(4)
    with pytest.raises(TypeError, match=r"^Checkpointed\(45\): Plain\(\) has no `reduction`.*or use BPTT\(\)"):
        Checkpointed()(model, Plain(), whole)
    with pytest.raises(ValueError, match="gives a loss of shape"):
        Checkpointed()(model, SoftmaxCrossEntropy(reduction="none"), whole)
    both = Bidirectional(GRUCell(3, 2, rng=rng()), GRUCell(3, 2, rng=rng()))
    with pytest.raises(
        ValueError, match=r"^Checkpointed\(3, block=2\): Bidirectional.* also reads backward.*use BPTT\(\)"
    ):
        Checkpointed(3, block=2)(both, MeanSquaredError(), Batch(np.zeros((2, 1, 3), "f4"), np.zeros((2, 1, 4), "f4")))
    for arguments, says in (((0,), "states must be at least 1"), ((1.5,), "states must be an integer")):
        with pytest.raises((TypeError, ValueError), match=f"Checkpointed: {says}"):
            Checkpointed(*arguments)
    with pytest.raises(ValueError, match="Checkpointed: block must be at least 1"):
        Checkpointed(block=0)
    bad: Any = 1
    with pytest.raises(TypeError, match="Checkpointed: outputs must be"):
        Checkpointed(outputs=bad)
