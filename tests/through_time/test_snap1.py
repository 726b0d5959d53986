"""SnAp-1: RTRL where no unit influences another, and elsewhere RTRL less what goes from unit to unit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from through_time_models import (
    B,
    ElementwiseCell,
    batch,
    close,
    cut,
    differs,
    gradient,
    language_model,
    rng,
    small,
)
from tinygrad_rnn import GRUCell, Leaf, MeanSquaredError, Parameter, Residual, RNNCell, SoftmaxCrossEntropy
from tinygrad_rnn.through_time import RTRL, SnAp1


def test_it_equals_rtrl_where_no_unit_influences_another() -> None:
    for layers in ([ElementwiseCell(3, 4, rng=rng())], [GRUCell(3, 1, rng=rng())]):
        for rows in ({}, {"starts": True}, {"lengths": True, "starts": True}):
            model, whole = language_model(*layers), batch(**rows)
            close(gradient(SnAp1(), model, whole), gradient(RTRL(), model, whole))
            if "lengths" not in rows:
                close(gradient(SnAp1(), model, *cut(whole, 3, 1, 3)), gradient(RTRL(), model, whole))
    model = language_model(LearntCell(3, 4, rng=rng()))
    close(gradient(SnAp1(), model, batch(starts=True)), gradient(RTRL(), model, batch(starts=True)))
    assert model.layers[1].h0.grad.any()


class LearntCell(ElementwiseCell):
    """Its first state learns."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h0 = Parameter(rng.standard_normal(out_size))

    @property
    def state_spec(self) -> Any:
        return (Leaf("h", (self.out_size,), initial=self.h0),)


def by_units(model: Any, xs: Any, dys: Any) -> Any:
    """Of an RNN on dense inputs: the gradient w.r.t. `w_h` (H, H), by the diagonal of the Jacobian alone."""
    w_x, w_h, b = (p.value for p in (model.w_x, model.w_h, model.b))
    found = np.zeros_like(w_h)
    for row in range(xs.shape[1]):
        h, trace = np.zeros(len(w_h)), np.zeros_like(w_h)
        for x, dy in zip(xs[:, row], dys[:, row], strict=True):
            before, h = h, np.tanh(x @ w_x + h @ w_h + b)
            trace = (before[:, None] + np.diag(w_h) * trace) * (1 - h**2)
            found += dy * trace
    return found


def test_of_an_rnn_it_keeps_the_diagonal() -> None:
    model = RNNCell(3, 4, rng=rng()).to(dtype="float64")
    model.flat_value[...] = 0.7 * rng(1).standard_normal(model.flat_value.shape)
    xs, targets = rng(2).standard_normal((6, B, 3)), rng(3).standard_normal((6, B, 4))
    whole = batch(6)._replace(xs=xs, targets=targets, weights=None)
    ys, _ = model(xs)
    gradient(SnAp1(), model, whole, criterion=MeanSquaredError(reduction="sum"))
    close(model.w_h.grad - 3.0, by_units(model, xs, 2 * (ys - targets)))


def test_elsewhere_it_is_biased_and_its_mask_says_what_it_keeps() -> None:
    model, whole = small(), batch()
    found, exact = gradient(SnAp1(), model, whole), gradient(RTRL(), model, whole)
    assert differs(found, exact)
    assert found @ exact > 0.5 * (exact @ exact)
    _, _, (_, (influence, mask)) = SnAp1()(model, SoftmaxCrossEntropy(), whole)
    table, cell = np.split(mask, [15], axis=2)
    assert table.any(axis=(1, 2)).all()  # of what was read, each row reaches all units
    assert (cell.sum(axis=1) == 1).all()  # but a weight of the cell only its own
    assert not influence[~mask].any()
    _, _, (_, (_, begun)) = SnAp1()(model, SoftmaxCrossEntropy(), whole._replace(starts=np.ones((7, B), bool)))
    assert (begun[:, :, :15].sum(axis=(1, 2)) == 4 * 3).all()  # of the last token alone


def test_an_output_that_is_not_in_the_state_is_named() -> None:
    model = language_model(Residual(RNNCell(3, 3, rng=rng())))
    with pytest.raises(
        TypeError, match=r"^SnAp1\(\): the output of Sequential.* is no array of its state.*use RTRL\(\)"
    ):
        SnAp1()(model, SoftmaxCrossEntropy(), batch())
    loss, _, _ = SnAp1()(small(), SoftmaxCrossEntropy(), batch(0))
    assert float(loss) == 0


def test_a_stack_whose_output_comes_later_in_the_state() -> None:
    """Without ways between the units of a layer it is exact: what a unit tells the layers above, they keep."""
    sizes = 3, 2, 3, 4
    model = language_model(*(ElementwiseCell(*pair, rng=rng()) for pair in pairwise(sizes)))
    found = gradient(SnAp1(), model, batch())
    close(found, gradient(RTRL(), model, batch()))
