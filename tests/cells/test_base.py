from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest

from table import STEPPED
from tinygrad_rnn import (
    Bidirectional,
    Cell,
    DropConnect,
    Embedding,
    GRUCell,
    IndRNNCell,
    LayerNormLSTMCell,
    Linear,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    OneHot,
    Residual,
    RNNCell,
    Sequential,
    SLSTMCell,
    SRUCell,
    Tanh,
    Zoneout,
)
from tinygrad_rnn.core.states import Leaf, StateSpec, leaves, tree_map


class Bare(Cell):
    """Cells have a state of any number of arrays."""

    def __init__(self, *sizes: int) -> None:
        self.state_sizes = sizes

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        raise AssertionError("is not run")

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        raise AssertionError("is not run")


class Spiking(Bare):
    @property
    def state_spec(self) -> StateSpec:
        return Leaf("v", (4,), initial=-0.5), Leaf("spikes", (4,), integer=True)


def test_a_state_of_sizes_begins_with_zeros() -> None:
    cell = Bare(2, 5)
    assert cell.state_spec == (Leaf("h", (2,)), Leaf("c", (5,)))
    assert [(array.shape, array.any()) for array in cell.initial_state(3)] == [((3, 2), False), ((3, 5), False)]
    assert Bare().initial_state(3) == ()
    v, spikes = Spiking(4, 4).initial_state(3)
    assert (v == -0.5).all()
    assert (spikes.dtype.kind, spikes.any()) == ("i", False)


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
        (SLSTMCell(3, 4, rng=rng), ("h", "c", "m")),
        (LRUCell(3, 4, rng=rng), ("re", "im")),
        (SRUCell(3, 4, rng=rng), ("c",)),
    ):
        assert tuple(leaf.name for leaf in leaves(cell.state_spec)) == names


def test_a_cell_need_not_tell_its_inner_gradients() -> None:
    assert Bare(4).inner_gradients(None, (None,), None) == {}


def test_inner_gradients_have_the_names_of_the_state_and_the_cache() -> None:
    rng = np.random.default_rng(0)
    kinds: list[Any] = [RNNCell, LSTMCell, GRUCell, LayerNormLSTMCell, SLSTMCell]
    for kind in (*kinds, MinGRUCell, MinLSTMCell, LRUCell, IndRNNCell, SRUCell):
        cell: Any = kind(3, 4, rng=rng)
        y, after, cache = cell.step_forward(np.ones((2, 3), np.float32), cell.initial_state(2))
        inner = cell.inner_gradients(y, after, cache)
        assert inner.keys() <= {*(leaf.name for leaf in cell.state_spec), *cache._fields}
        assert {array.shape for array in inner.values()} == {(2, 4)}


# Of the inner gradients, `tests/inspection/test_recording.py` has the central differences. Here: they are those that
# the backward of the cell goes by, and to ask for them changes nothing.


def sigmoids(inner: Any, cache: Any, names: str) -> list[Any]:
    """From the gradients w.r.t. gates to those w.r.t. their sums."""
    return [inner[name] * getattr(cache, name) * (1 - getattr(cache, name)) for name in names]


def of_rnn(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    return {"b": (inner["h"] * (1 - cache.h**2 if cell.nonlinearity == "tanh" else cache.h > 0)).sum(axis=0)}


def of_lstm(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    da = [*sigmoids(inner, cache, "ifo"), inner["g"] * (1 - cache.g**2)]
    return {"b": np.concatenate(da, axis=1).sum(axis=0), "dc": inner["c"] * cache.f}


def of_gru(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    da = [*sigmoids(inner, cache, "rz"), inner["n"] * (1 - cache.n**2)]
    found = {"b": np.concatenate(da, axis=1).sum(axis=0)}
    if cell.reset == "after":
        return {**found, "b_h": inner["m"].sum(axis=0)}
    w_rz = cell.w_h.value[:, :8]
    return {**found, "dh": inner["h"] * cache.z + np.concatenate(da[:2], axis=1) @ w_rz.T + inner["m"]}


def of_layer_norm_lstm(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    return {**of_lstm(cell, inner, cache), "norm_c.b": (inner["m"] * (1 - cache.m**2)).sum(axis=0)}


def of_slstm(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    """What reaches i and f only through m is in the gradient w.r.t. m."""
    i, f, dm = cache.i, cache.f, inner["m"]
    da_i, dlog_f = i * (inner["i"] + dm), f * (inner["f"] + dm)
    da = [da_i, dlog_f / (1 + np.exp(cache.a_f)), *sigmoids(inner, cache, "o"), inner["z"] * (1 - cache.z**2)]
    return {"b": np.concatenate(da, axis=1).sum(axis=0), "dc": inner["c"] * f, "dm": dlog_f}


def of_min_gru(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    da = [*sigmoids(inner, cache, "z"), inner["n"]]
    return {"b": np.concatenate(da, axis=1).sum(axis=0), "dh": inner["h"] * (1 - cache.z)}


def of_min_lstm(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    (dlog,) = sigmoids(inner, cache, "k")
    da = [-dlog * (1 - cache.f), dlog * (1 - cache.i), inner["n"]]
    return {"b": np.concatenate(da, axis=1).sum(axis=0), "dh": inner["h"] * (1 - cache.k)}


def of_ind_rnn(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    return {**of_rnn(cell, inner, cache), "u": (inner["h"] * (cache.h > 0) * cache.h_prev).sum(axis=0)}


def of_sru(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    da = [*sigmoids(inner, cache, "fr"), inner["u"], inner["p"]]
    return {"b": np.concatenate(da, axis=1).sum(axis=0)}


def of_lru(cell: Any, inner: Any, cache: Any) -> dict[str, Any]:
    return {"gamma": (inner["re"] * cache.v_re + inner["im"] * cache.v_im).sum(axis=0)}


CELLS: dict[str, tuple[Any, Any]] = {
    "RNNCell": (RNNCell, of_rnn),
    "RNNCell relu": (partial(RNNCell, nonlinearity="relu"), of_rnn),
    "LSTMCell": (LSTMCell, of_lstm),
    "GRUCell": (GRUCell, of_gru),
    "GRUCell reset before": (partial(GRUCell, reset="before"), of_gru),
    "LayerNormLSTMCell": (LayerNormLSTMCell, of_layer_norm_lstm),
    "SLSTMCell": (SLSTMCell, of_slstm),
    "MinGRUCell": (MinGRUCell, of_min_gru),
    "MinLSTMCell": (MinLSTMCell, of_min_lstm),
    "IndRNNCell": (IndRNNCell, of_ind_rnn),
    "SRUCell": (SRUCell, of_sru),
    "LRUCell": (LRUCell, of_lru),
}


@pytest.mark.parametrize(("make", "implied"), CELLS.values(), ids=CELLS.keys())
def test_inner_gradients_are_what_the_backward_goes_by_and_write_nothing(make: Any, implied: Any) -> None:
    rng = np.random.default_rng(0)
    cell = make(3, 4, rng=rng).to(dtype="float64")
    for parameter in cell.parameters():
        parameter.value += 0.3 * rng.standard_normal(parameter.shape)
        parameter.grad = rng.standard_normal(parameter.shape)
    state = tree_map(lambda array: rng.standard_normal(array.shape), cell.initial_state(2))
    y, after, cache = cell.step_forward(rng.standard_normal((2, 3)), state)
    dy, dstate = rng.standard_normal(y.shape), tree_map(lambda array: rng.standard_normal(array.shape), after)
    attributes, given = dict(vars(cell)), (dy, dstate, cache, cell.flat_value, cell.flat_grad)
    before = copy.deepcopy(given)
    inner = cell.inner_gradients(dy, dstate, cache)
    assert vars(cell) == attributes
    for array, old in zip(arrays_in(given), arrays_in(before), strict=True):
        np.testing.assert_array_equal(array, old)
    if "h" in inner:
        np.testing.assert_array_equal(inner["h"], dy + dstate[0])

    expected = implied(cell, inner, cache)
    cell.zero_grad()
    _, back = cell.step_backward(dy, dstate, cache)
    found = {name: parameter.grad for name, parameter in cell.named_parameters()}
    found |= {f"d{leaf.name}": d for leaf, d in zip(cell.state_spec, back, strict=True)}
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-12, err_msg=name)


def arrays_in(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return [array for part in value for array in arrays_in(part)]
    return [value]


@pytest.mark.parametrize("kind", STEPPED)
def test_without_a_step_the_gradient_of_the_input_is_as_empty_as_that(kind: Any) -> None:
    """Also where the cell lies between layers that need one."""
    rng = np.random.default_rng(0)
    xs, ids = np.zeros((0, 2, 3), np.float32), np.zeros((0, 2), int)
    models: list[tuple[Any, Any]] = [
        (kind(3, 3, rng=rng), xs),
        (Sequential(Linear(3, 3, rng=rng), kind(3, 4, rng=rng)), xs),
        (Sequential(Tanh(), kind(3, 4, rng=rng), kind(4, 2, rng=rng)), xs),
        (Residual(kind(3, 3, rng=rng)), xs),
        (Bidirectional(kind(3, 3, rng=rng), kind(3, 2, rng=rng)), xs),
        (Sequential(Embedding(5, 3, rng=rng), kind(3, 4, rng=rng)), ids),
        (Sequential(OneHot(5), kind(5, 4, rng=rng)), ids),
    ]
    if hasattr(kind(3, 3, rng=rng), "w_h"):
        models += [(wrapper(kind(3, 3, rng=rng), 0.2, rng=rng), xs) for wrapper in (Zoneout, DropConnect)]
    for model, given in models:
        for lengths in (None, np.zeros(2, int)):
            ys, state, cache = model.forward(given, lengths=lengths)
            dxs, _ = model.backward(ys, state, cache)
            assert dxs is None if given is ids else dxs.shape == (0, 2, 3)
            assert not any(parameter.grad.any() for parameter in model.parameters())
