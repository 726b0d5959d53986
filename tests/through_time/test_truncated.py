"""True truncation, against each loss sent back by itself; and back-propagation to the bit where nothing is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from through_time_models import (
    B,
    LearntLSTM,
    T,
    V,
    batch,
    close,
    cut,
    differs,
    gradient,
    language_model,
    randomized,
    rng,
    small,
)
from tinygrad_rnn import Batch, Dropout, GRUCell, LSTMCell, RNNCell, SoftmaxCrossEntropy, Zoneout
from tinygrad_rnn.through_time import BPTT, TruncatedBPTT

SUM = SoftmaxCrossEntropy(reduction="sum")


def by_loss(model: Any, whole: Batch, back: Any) -> Any:
    """The gradient where the loss of step t goes back to step `back(t)`: a backward for each loss."""
    model.flat_grad[...] = 0.0
    for t in range(len(whole.xs)):
        first, state = max(back(t), 0), None
        starts = None if whole.starts is None else whole.starts[:first]
        if first:
            _, state = model(whole.xs[:first], starts=starts)
        part = Batch(*(None if a is None else a[first : t + 1] for a in whole))
        weights = np.where(np.arange(first, t + 1)[:, None] == t, part.weights, 0)
        BPTT()(model, SUM, part._replace(weights=weights), state)
    return model.flat_grad.copy()


def test_each_loss_goes_back_exactly_k2_steps() -> None:
    for cell in (RNNCell(3, 4, rng=rng()), LSTMCell(3, 4, rng=rng())):
        model = language_model(cell)
        for rows in ({}, {"starts": True}):
            whole = batch(**rows)
            for k2 in (1, 2, 3, 6, 7, 9):
                expected = by_loss(model, whole, lambda t, k2=k2: t - k2 + 1)
                close(gradient(TruncatedBPTT(1, k2), model, whole), expected)
                for parts in ((1,) * 7, (3, 4), (2, 0, 5), (6, 1)):
                    close(gradient(TruncatedBPTT(1, k2), model, *cut(whole, *parts)), expected)
        assert differs(gradient(TruncatedBPTT(1, 2), model, batch()), gradient(BPTT(), model, batch()))


def test_the_losses_of_k1_steps_go_back_together() -> None:
    model, whole = small(), batch(8)
    for k1, k2 in ((2, 2), (2, 3), (2, 5), (3, 3), (3, 4), (3, 7), (4, 4), (5, 6), (8, 8)):
        expected = by_loss(model, whole, lambda t, k1=k1, k2=k2: min((t // k1 + 1) * k1, 8) - k2)
        close(gradient(TruncatedBPTT(k1, k2), model, whole), expected)
        parts = [k1] * (8 // k1) + ([8 % k1] if 8 % k1 else [])
        close(gradient(TruncatedBPTT(k1, k2), model, *cut(whole, *parts)), expected)


def test_with_k1_of_k2_it_is_what_chunks_do() -> None:
    whole = batch(8)
    close(gradient(TruncatedBPTT(4, 4), small(), whole), gradient(BPTT(), small(), *cut(whole, 4, 4)))


def test_with_k2_of_all_steps_it_is_back_propagation_to_the_bit() -> None:
    for model in (
        small(),
        language_model(
            Dropout(0.4, rng=rng()), GRUCell(3, 4, rng=rng()), Zoneout(LSTMCell(4, 3, rng=rng()), 0.3, rng=rng())
        ),
        language_model(LearntLSTM(3, 4, rng=rng())),
    ):
        for rows in ({}, {"lengths": True}, {"starts": True}, {"lengths": True, "starts": True}):
            whole, exact = batch(**rows), gradient(BPTT(), model, batch(**rows))
            for k1, k2 in ((1, T), (3, T), (7, T), (2, T + 1), (1, 100), (50, 50)):
                np.testing.assert_array_equal(gradient(TruncatedBPTT(k1, k2), model, whole), exact)


def test_lengths() -> None:
    """A row is what it is alone; the next batch goes on from the state at its end."""
    model, whole = small(), batch(lengths=True)
    for k1, k2 in ((1, 3), (2, 4)):
        assert whole.lengths is not None
        alone: Any = 0
        for b, n in enumerate(whole.lengths.tolist()):
            row = Batch(*(None if a is None else a[:, b : b + 1] for a in whole._replace(lengths=None)))
            weights = np.where(np.arange(T)[:, None] < n, row.weights, 0)
            alone = alone + gradient(TruncatedBPTT(k1, k2), model, row._replace(weights=weights))
        close(gradient(TruncatedBPTT(k1, k2), model, whole), alone)
    method, state = TruncatedBPTT(1, 3), model.forward(whole.xs, lengths=whole.lengths)[1]
    _, _, carry = method(model, SUM, whole)
    close(carry[0][1][0], state[1][0])
    close(carry[1][0][1][0], state[1][0])
    assert carry[1][1].shape == (0, 3)
    model.flat_grad[...] = 3.0
    method(model, SUM, batch(seed=5), carry)
    found = model.flat_grad - 3.0
    model.flat_grad[...] = 3.0
    method(model, SUM, batch(seed=5), (state, None))
    close(found, model.flat_grad - 3.0)
    # but a batch with lengths goes back into one without
    first, last = batch(4, seed=8), batch(4, lengths=True, seed=9)
    assert last.lengths is not None
    xs, targets, weights = (
        np.concatenate(pair) for pair in ((a, b) for a, b in zip(first, last, strict=True) if a is not None)
    )
    weights = weights * (np.arange(8)[:, None] < last.lengths + 4)
    expected = by_loss(model, Batch(xs, targets, weights=weights), lambda t: t - 2)
    close(gradient(method, model, first, last), expected)


def test_starts_in_one_of_two_batches() -> None:
    model, whole = small(), batch(starts=True)
    assert whole.starts is not None
    for none in (slice(3), slice(3, None)):
        flags = whole.starts.copy()
        flags[none] = False
        parts = cut(whole._replace(starts=flags), 3, 4)
        i = 0 if none == slice(3) else 1
        parts[i] = parts[i]._replace(starts=None)
        expected = by_loss(model, whole._replace(starts=flags), lambda t: t - 3)
        close(gradient(TruncatedBPTT(1, 4), model, *parts), expected)


def test_vectors_and_starts() -> None:
    """A batch of vectors without starts, after one with them."""
    model = randomized(RNNCell(3, V, rng=rng()))
    whole = batch(starts=True)
    assert whole.starts is not None
    whole.starts[3:] = False
    whole = whole._replace(xs=rng(3).standard_normal((T, B, 3)))
    first, second = cut(whole, 3, 4)
    expected = by_loss(model, whole, lambda t: t - 3)
    close(gradient(TruncatedBPTT(1, 4), model, first, second._replace(starts=None)), expected)


def test_how_many_steps_go_back() -> None:
    """Passes of k2 steps, one for k1 steps with a loss; those that reach the first step are one."""
    for parts, k1, k2, expected in (
        ((8,), 2, 4, 4 + 4 + 4),
        ((8,), 1, 2, 2 + 6 * 2),
        ((8,), 8, 8, 8),
        ((2, 2, 2, 2), 2, 4, 2 + 4 + 4 + 4),
        ((4, 4), 2, 4, 4 + 2 * 4),
    ):
        model, steps = small(), list[int]()
        original = model.layers[1].unroll_backward

        def counted(dys: Any, dstate: Any, cache: Any, *, steps: Any = steps, original: Any = original) -> Any:
            steps.append(len(dys))
            return original(dys, dstate, cache)

        model.layers[1].unroll_backward = counted
        gradient(TruncatedBPTT(k1, k2), model, *cut(batch(8), *parts))
        assert sum(steps) == expected


def test_an_initial_state_that_learns() -> None:
    """Only losses that reach the first step give it a gradient, also where that is in a batch before."""
    model = language_model(LearntLSTM(3, 2, rng=rng()))
    whole = batch()
    expected = by_loss(model, whole, lambda t: t - 3)
    found = gradient(TruncatedBPTT(1, 4), model, whole)
    close(found, expected)
    h0 = model.layers[1].h0.grad.copy() - 3.0
    assert h0.any()
    close(gradient(TruncatedBPTT(1, 4), model, *cut(whole, 2, 5)), expected)


def test_what_it_gives() -> None:
    model, parts = small(), cut(batch(starts=True), 3, 4)
    method = TruncatedBPTT(2, 5)
    loss, ys, carry = method(model, SUM, parts[0])
    expected, after = model(parts[0].xs, starts=parts[0].starts)
    close(ys, expected)
    close(loss, SUM(expected, parts[0].targets, weights=parts[0].weights))
    close(carry[0][1][0], after[1][0])
    before, xs, starts = carry[1]
    assert before is None  # of the initial state, there is nothing to keep
    np.testing.assert_array_equal(xs, parts[0].xs)
    loss, ys, carry = method(model, SUM, parts[1], carry)
    expected, after = model(parts[1].xs, after, starts=parts[1].starts)
    close(ys, expected)
    close(carry[0][1][0], after[1][0])
    before, xs, starts = carry[1]
    np.testing.assert_array_equal(xs, batch(starts=True).xs[2:])
    np.testing.assert_array_equal(starts, batch(starts=True).starts[2:])
    close(before[1][0], model(parts[0].xs[:2], starts=parts[0].starts[:2])[1][1][0])
    loss, ys, _ = method(model, SUM, batch(0))
    assert (float(loss), ys.shape) == (0.0, (0, 3, 5))
    half = gradient(method, model, *parts, dloss=0.5)
    close(half, 0.5 * gradient(method, model, *parts))


@pytest.mark.messages
def test_numbers_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="TruncatedBPTT: k2 must be at least k1, 3, not 2"):
        TruncatedBPTT(3, 2)
    with pytest.raises(ValueError, match="TruncatedBPTT: k1 must be at least 1, not 0"):
        TruncatedBPTT(0, 2)
    bad: Any = 1.5
    with pytest.raises(TypeError, match="TruncatedBPTT: k2 must be an integer"):
        TruncatedBPTT(1, bad)
