"""RTRL against back-propagation: the same gradients, whatever the cell, and however the steps are cut into batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from table import CASES
from through_time_models import (
    B,
    ElementwiseCell,
    Given,
    LearntLSTM,
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
from tinygrad_rnn import (
    Batch,
    Cell,
    Dropout,
    Embedding,
    GRUCell,
    LayerNorm,
    Leaf,
    LockedDropout,
    LSTMCell,
    MeanSquaredError,
    OneHotRows,
    Residual,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    TiedLinear,
    Zoneout,
)
from tinygrad_rnn.through_time import BPTT, RTRL


def both(model: Any, *batches: Batch, whole: Batch, **given: Any) -> None:
    """The gradients of batches by RTRL, and of the whole by back-propagation, are the same."""
    close(gradient(RTRL(), model, *batches, **given), gradient(BPTT(), model, whole, **given))


def test_it_equals_back_propagation_for_every_cell() -> None:
    cells = [case.make(rng()) for case in CASES.values()]
    tried = [cell for cell in cells if isinstance(cell, Cell)]
    assert len(tried) >= 12
    for cell in tried:
        model = randomized(cell, 0.5)
        xs, targets = rng(1).standard_normal((2, 4, 2, cell.in_size)), rng(2).standard_normal((4, 2, cell.out_size))
        whole = Batch(xs[0], targets, np.array([2, 4]), rng(3).random((4, 2)) < 0.4)
        both(model, whole, whole=whole, criterion=MeanSquaredError())


def test_it_equals_back_propagation_in_models() -> None:
    for layers in (
        [RNNCell(3, 4, rng=rng())],
        [ElementwiseCell(3, 2, rng=rng()), Tanh(), LSTMCell(2, 3, rng=rng()), Dropout(0.0, rng=rng())],
        [GRUCell(3, 3, rng=rng()), Residual(RNNCell(3, 3, rng=rng()), LayerNorm(3)), LockedDropout(0.4, rng=rng())],
        [Zoneout(LSTMCell(3, 2, rng=rng()), 0.3, rng=rng()), RNNCell(2, 4, rng=rng()), Dropout(0.4, rng=rng())],
        [Sequential(RNNCell(3, 2, rng=rng()), RNNCell(2, 4, rng=rng()))],
    ):
        for rows in ({}, {"lengths": True}, {"starts": True}, {"lengths": True, "starts": True}):
            whole = batch(5, **rows)
            both(language_model(*layers), whole, whole=whole, criterion=SoftmaxCrossEntropy())


def test_a_model_without_layers_above_and_a_table_at_both_ends() -> None:
    for model in (
        RNNCell(3, 5, rng=rng()),
        Residual(GRUCell(5, 5, rng=rng())),
        Sequential(RNNCell(3, 5, rng=rng()), RNNCell(5, 5, rng=rng())),
    ):
        randomized(model)
        width: Any = model.in_size
        whole = batch(lengths=True)
        whole = whole._replace(xs=rng().standard_normal((*whole.xs.shape, width)))
        assert whole.lengths is not None
        whole.xs[np.arange(len(whole.xs))[:, None] >= whole.lengths] = np.nan
        both(model, whole, whole=whole)
    table = Embedding(5, 3, rng=rng())
    both(randomized(Sequential(table, RNNCell(3, 3, rng=rng()), TiedLinear(table))), batch(), whole=batch())


def test_gradients_of_batches_add_up_to_those_of_the_whole() -> None:
    for starts in (False, True):
        whole = batch(starts=starts)
        parts = cut(whole, 2, 1, 4)
        assert differs(gradient(BPTT(), small(), *parts), gradient(BPTT(), small(), whole))
        both(small(), *parts, whole=whole)
        both(small(), *cut(whole, *[1] * 7), whole=whole)
        both(small(), *cut(whole, 3, 0, 4), whole=whole)


def test_an_initial_state_that_learns() -> None:
    for starts in (False, True):
        whole = batch(lengths=False, starts=starts)
        model = language_model(LearntLSTM(3, 2, rng=rng()))
        both(model, *cut(whole, 2, 5), whole=whole)
        assert model.layers[1].h0.grad.any()
    # but not from a state that is given
    model = language_model(LearntLSTM(3, 2, rng=rng()))
    state = (), (np.ones((B, 2)), np.ones((B, 2))), ()
    for method in (RTRL(), BPTT()):
        model.zero_grad()
        method(model, SoftmaxCrossEntropy(), batch(), method.carry_of(state))
        assert not model.layers[1].h0.grad.any()
        assert model.layers[1].b.grad.any()


class FromOne(ElementwiseCell):
    """Its initial state is another number than 0, which has no gradient."""

    @property
    def state_spec(self) -> Any:
        return (Leaf("h", (self.out_size,), initial=1.0),)


def test_initial_states_of_stacks() -> None:
    """One is a number, and one learns, behind others."""
    for below in (FromOne(3, 4, rng=rng()), LSTMCell(3, 4, rng=rng())):
        model = language_model(below, LearntLSTM(4, 2, rng=rng()))
        both(model, *cut(batch(starts=True), 2, 5), whole=batch(starts=True))


def test_padding_of_a_model_without_layers_above() -> None:
    """The outputs there are 0, and no gradient of a loss that looks at them goes back."""
    model, whole = randomized(RNNCell(3, 4, rng=rng())), batch(lengths=True)
    whole = whole._replace(xs=rng().standard_normal((*whole.xs.shape, 3)))
    assert whole.lengths is not None
    dys = rng(1).standard_normal((*whole.xs.shape[:2], 4))
    both(model, whole, whole=whole, criterion=Given(dys))
    _, ys, _ = RTRL()(model, Given(dys), whole)
    assert not ys[np.arange(len(ys))[:, None] >= whole.lengths].any()


def test_what_stands_above_the_last_cell_knows_the_whole_sequence() -> None:
    model = Sequential(RNNCell(3, 4, rng=rng()), Sequential(LockedDropout(0.4, rng=rng())))
    whole = batch()._replace(xs=rng().standard_normal((7, B, 3)), targets=rng(1).integers(0, 4, (7, B)))
    both(randomized(model), whole, whole=whole)


class Odd(ElementwiseCell):
    """Its state has one more array."""

    leaf: Any = Leaf("count", (1,), integer=True)

    @property
    def state_spec(self) -> Any:
        return Leaf("h", (self.out_size,)), self.leaf


class Long(Odd):
    """Of any size."""

    leaf = Leaf("memory", (None,))


@pytest.mark.messages
def test_states_that_have_no_gradient_and_ids_that_are_too_large() -> None:
    vectors = Batch(np.zeros((2, 1, 3)), np.zeros((2, 1), int))
    for kind, name in ((Odd, "count"), (Long, "memory")):
        cell = kind(3, 4, rng=rng())
        with pytest.raises(ValueError, match=rf"^RTRL\(\): Leaf\('{name}', .*, of the state of .* has no gradient"):
            RTRL()(cell, SoftmaxCrossEntropy(), vectors)
    cell = randomized(RNNCell(5, 4, rng=rng()))
    with pytest.raises(ValueError, match="id 9 at index"):
        RTRL()(cell, SoftmaxCrossEntropy(), vectors._replace(xs=OneHotRows(np.full((2, 1), 9), 5)))
    with pytest.raises(TypeError, match=r"carry\[0\] must be \(h,\), a tuple of 1, not a tuple of 2"):
        RTRL()(cell, SoftmaxCrossEntropy(), vectors._replace(xs=np.zeros((2, 1, 5))), ((np.zeros((1, 4)),) * 2, None))
    model, state = small(), small().initial_state(B)
    with pytest.raises(TypeError, match=r"carry\[0\] must be .*, a tuple of 3, not a tuple of 4"):
        RTRL()(model, SoftmaxCrossEntropy(), batch(), ((*state, ()), None))


def test_a_state_that_is_given() -> None:
    model, found = small(), []
    state = (), (rng(3).standard_normal((B, 4)),), ()
    for method in (RTRL(), BPTT()):
        model.zero_grad()
        loss, ys, carry = method(model, SoftmaxCrossEntropy(), batch(), method.carry_of(state))
        after = carry[0] if isinstance(method, RTRL) else carry
        found.append([loss, ys, after[1][0], model.flat_grad.copy()])
        assert (after[0], after[2]) == ((), ())
    for one, other in zip(*found, strict=True):
        close(one, other)


def test_the_carry_goes_into_the_next_call_and_is_not_changed() -> None:
    model, (first, second) = small(), cut(batch(), 3, 4)
    _, _, carry = RTRL()(model, SoftmaxCrossEntropy(), first)
    state, (influence,) = carry
    assert influence.shape == (B, 4, 5 * 3 + 3 * 4 + 4 * 4 + 4)
    close(state[1][0], model(first.xs)[1][1][0])
    before, found = influence.copy(), []
    for _ in range(2):
        model.zero_grad()
        RTRL()(model, SoftmaxCrossEntropy(), second, carry)
        found.append(model.flat_grad.copy())
    np.testing.assert_array_equal(influence, before)
    np.testing.assert_array_equal(*found)


def test_influence_is_the_derivative_of_the_state_by_differences() -> None:
    model, whole, step = small(), batch(rows=2), 1e-6
    w_h = model.layers[1].w_h
    _, _, (_, (influence,)) = RTRL()(model, SoftmaxCrossEntropy(), whole)
    column = 5 * 3 + 3 * 4  # after the table and w_x
    for i, index in enumerate(np.ndindex(w_h.shape)):
        states = []
        for shift in (step, -2 * step):
            w_h.value[index] += shift
            states.append(model(whole.xs)[1][1][0])
        w_h.value[index] += step
        close(influence[:, :, column + i], (states[0] - states[1]) / (2 * step), 1e-8)


def test_no_row_no_step_and_a_factor() -> None:
    model = small()
    for empty in (batch(0), batch(rows=0)):
        loss, ys, carry = RTRL()(model, SoftmaxCrossEntropy(), empty)
        assert (float(loss), ys.shape) == (0.0, (*empty.xs.shape, 5))
        assert carry[1][0].shape == (empty.xs.shape[1], 4, 47)
    close(gradient(RTRL(), model, batch(), dloss=0.25), 0.25 * gradient(BPTT(), model, batch()))


def test_a_fault_in_a_step_leaves_the_gradients_as_they_were() -> None:
    model: Any = small()
    model.flat_grad[...] = 2.0
    original = model.layers[1].step_backward

    def fails(dy: Any, dstate: Any, cache: Any) -> Any:
        original(dy, dstate, cache)
        raise ZeroDivisionError

    model.layers[1].step_backward = fails
    with pytest.raises(ZeroDivisionError):
        RTRL()(model, SoftmaxCrossEntropy(), batch())
    assert (model.layers[0].w.grad == 2).all()
    assert (model.layers[1].w_h.grad == 2).all()


def test_float32_stays_float32() -> None:
    model = small().to(dtype="float32")
    loss, ys, (_, (influence,)) = RTRL()(model, SoftmaxCrossEntropy(), batch())
    assert {loss.dtype, ys.dtype, influence.dtype} == {np.dtype("float32")}
