from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import Cell, GRUCell, LayerNormLSTMCell, LSTMCell, RNNCell, Zoneout


class Bare(Cell):
    """Cells have a state of any number of arrays."""

    def __init__(self, *sizes: int) -> None:
        self.state_sizes = sizes

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        raise AssertionError("is not run")

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        raise AssertionError("is not run")


class Spiking(Bare):
    state_names = ("v", "spikes")


def test_the_arrays_of_a_state_have_names() -> None:
    rng = np.random.default_rng(0)
    for cell, names in (
        (Bare(), ()),
        (RNNCell(3, 4, rng=rng), ("h",)),
        (LSTMCell(3, 4, rng=rng), ("h", "c")),
        (Bare(1, 2, 3), ("s0", "s1", "s2")),
        (Spiking(4, 4), ("v", "spikes")),
        (Zoneout(LSTMCell(3, 4, rng=rng), 0.1, rng=rng), ("h", "c")),
        (Zoneout(GRUCell(3, 4, rng=rng), 0.1, rng=rng), ("h",)),
    ):
        assert cell.state_names == names


def test_a_cell_need_not_tell_its_inner_gradients() -> None:
    assert Bare(4).inner_gradients(None, (None,), None) == {}


def test_inner_gradients_have_the_names_of_the_state_and_the_cache() -> None:
    rng = np.random.default_rng(0)
    for kind in (RNNCell, LSTMCell, GRUCell, LayerNormLSTMCell):
        cell: Any = kind(3, 4, rng=rng)
        y, after, cache = cell.step_forward(np.ones((2, 3), np.float32), cell.initial_state(2))
        inner = cell.inner_gradients(y, after, cache)
        assert inner.keys() - {*cell.state_names, *cache._fields} <= {"a_n"}
        assert {array.shape for array in inner.values()} == {(2, 4)}
