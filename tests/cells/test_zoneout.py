from __future__ import annotations

import copy
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import naive
from philox import drawn
from tinygrad_rnn import (
    DropConnect,
    LayerNormLSTMCell,
    Linear,
    LRUCell,
    OneHotRows,
    RNNCell,
    Sequential,
    SLSTMCell,
    SRUCell,
    Zoneout,
)
from tinygrad_rnn.core.states import Leaf, StateSpec

XS: Any = np.random.default_rng(1).standard_normal((5, 3, 3))
STATE: Any = (np.random.default_rng(2).standard_normal((3, 4)), np.random.default_rng(3).standard_normal((3, 4)))


def zoned(rates: Any = (0.3, 0.6)) -> Zoneout:
    lstm = LayerNormLSTMCell(3, 4, rng=np.random.default_rng(0))
    return Zoneout(lstm, rates, rng=np.random.default_rng(0)).to(dtype="float64")


@pytest.mark.parametrize("lengths", [None, [5, 2, 0]])
def test_forward_in_training_is_the_equation_with_the_masks_of_the_stream(lengths: Any) -> None:
    layer = zoned()
    stream = copy.deepcopy(layer.rng)
    keeps = [[drawn(stream, (3, 4)) < rate for rate in layer.rates] for _ in range(5)]
    ys, state, _ = layer.forward(XS, STATE, lengths=None if lengths is None else np.array(lengths))
    expected, after = naive.zoneout(naive.layer_norm_lstm)(layer, XS, STATE, lengths, keeps)
    np.testing.assert_allclose(ys, expected, atol=1e-12)
    for found, array in zip(state, after, strict=True):
        np.testing.assert_allclose(found, array, atol=1e-12)


def test_a_unit_keeps_its_value_to_the_bit_or_takes_the_new_one() -> None:
    layer = zoned()
    y, (h, c), cache = layer.step_forward(XS[0], STATE)
    _, after, _ = layer.cell.step_forward(XS[0], STATE)
    for keep, new, old, found in zip(cache.keep, after, STATE, (h, c), strict=True):
        assert 0 < keep.mean() < 1
        np.testing.assert_array_equal(found, np.where(keep == 1, old, new))
    np.testing.assert_array_equal(y, h)


def test_each_step_draws_anew() -> None:
    _, _, cache = zoned().forward(XS)
    steps = cache.inner.steps
    assert all((one.keep[0] != other.keep[0]).any() for one, other in pairwise(steps))


def test_the_mean_of_a_step_over_many_draws_is_that_at_inference() -> None:
    layer = zoned()
    mean = np.mean([layer.step_forward(XS[0], STATE)[1] for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, layer.step(XS[0], STATE)[1], atol=0.08)


def test_a_rate_of_0_leaves_the_cell_as_it_is() -> None:
    layer = zoned((0.0, 0.0))
    ys, _, _ = layer.forward(XS, STATE)
    np.testing.assert_array_equal(ys, layer.cell.forward(XS, STATE)[0])


def test_one_rate_serves_all_arrays_of_the_state() -> None:
    assert zoned(0.25).rates == (0.25, 0.25)
    assert repr(zoned(0.25)) == "Zoneout(LayerNormLSTMCell(3, 4), (0.25, 0.25))"


def test_the_cell_within_gives_names_sizes_and_the_first_state() -> None:
    class BeginsWithOnes(RNNCell):
        @property
        def state_spec(self) -> StateSpec:
            return (Leaf("memory", (self.out_size,), initial=1),)

    layer = Zoneout(BeginsWithOnes(3, 4, rng=np.random.default_rng(0)), 0.1, rng=np.random.default_rng(0))
    assert [name for name, _ in layer.named_parameters()] == ["cell.w_x", "cell.w_h", "cell.b"]
    assert (layer.in_size, layer.out_size, layer.state_sizes) == (3, 4, (4,))
    assert layer.state_spec == layer.cell.state_spec == (Leaf("memory", (4,), initial=1),)
    assert (layer.initial_state(2)[0] == 1).all()


def test_one_hot_rows_go_through() -> None:
    layer, ids = zoned().to(dtype="float32"), np.array([[0, 2], [1, 1]])
    np.testing.assert_allclose(layer(OneHotRows(ids, 3))[0], layer(np.eye(3, dtype=np.float32)[ids])[0], atol=1e-6)


class Projected(RNNCell):
    """Its output has another size than its state."""

    def __init__(self) -> None:
        super().__init__(3, 4, rng=np.random.default_rng(0))
        self.out_size = 2


@pytest.mark.messages
def test_arguments_that_do_not_fit_are_told_why() -> None:
    rng = np.random.default_rng(0)
    rnn, linear = RNNCell(3, 4, rng=rng), Linear(3, 4, rng=rng)
    for cell, rates, error, message in (
        (linear, 0.1, TypeError, r"Zoneout: cell must be a Cell, not Linear\(3, 4\)"),
        (Sequential(rnn), 0.1, TypeError, r"Zoneout: cell must be a Cell, not Sequential\(RNNCell\(3, 4\)\)"),
        (DropConnect(rnn, 0.1, rng=rng), 0.1, TypeError, "Zoneout: cell must be a Cell, not DropConnect"),
        (Projected(), 0.1, ValueError, r"the output of Projected\(\) has size 2, but the first array of its state 4"),
        (rnn, (0.1, 0.2), ValueError, r"there are 2 rates, but 1 arrays in the state of RNNCell\(3, 4\)"),
        (rnn, (), ValueError, r"there are 0 rates, but 1 arrays in the state of RNNCell\(3, 4\)"),
        (rnn, [0.1], TypeError, r"Zoneout: rates\[0\] must be a number, not \[0.1\]"),
        (SLSTMCell(3, 4, rng=rng), 0.1, ValueError, r"Zoneout: m, in the state of SLSTMCell\(3, 4\), begins at -inf"),
        (rnn, (1.0,), ValueError, r"Zoneout: rates\[0\] must be 0 to below 1, not 1.0"),
    ):
        wrong: Any = (cell, rates)
        with pytest.raises(error, match=message):
            Zoneout(*wrong, rng=rng)


@pytest.mark.parametrize("kind", [LRUCell, SRUCell])
def test_a_cell_whose_output_is_no_state_is_refused(kind: Any) -> None:
    """As soon as that shows: before, the state would be given out in the place of the output."""
    rng = np.random.default_rng(0)
    cell = kind(3, 4, rng=rng)
    layer = Zoneout(cell, 0.1, rng=rng)
    told = re.escape(f"Zoneout: the output of {cell!r} is not the first array of its state")
    with pytest.raises(ValueError, match=told):
        layer.forward(XS.astype("float32"))


def test_an_output_that_is_a_copy_of_the_state_will_do() -> None:
    class Copies(RNNCell):
        def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
            y, after, cache = super().step_forward(x, state, training=training)
            return y.copy(), after, cache

    found, expected = (
        Zoneout(kind(3, 4, rng=np.random.default_rng(0)), 0.1, rng=np.random.default_rng(0)).forward(
            XS.astype("float32")
        )[0]
        for kind in (Copies, RNNCell)
    )
    np.testing.assert_array_equal(found, expected)
