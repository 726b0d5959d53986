"""The product of an embedding and a cell's weights before the look-up, and the rows that put the look-up off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS, SteppedLSTM
from tinygrad_rnn import Cell, Embedding, GRUCell, Linear, LSTMCell, RNNCell, Sequential
from tinygrad_rnn.core.one_hot import TableRows
from tinygrad_rnn.core.states import State
from tinygrad_rnn.testing.named import leaves


def inner_of(model: Sequential, ids: Any) -> Any:
    """What the cell, the second layer, keeps of its input."""
    cache = model.forward(ids)[2].inner.layers[1]
    steps = cache.steps[0] if isinstance(cache.steps, tuple) and not hasattr(cache.steps, "_fields") else cache.steps
    return steps.x


def one_by_one(model: Sequential, ids: Any, lengths: Any, starts: Any, dys: Any) -> dict[str, Any]:
    """What comes of the layers called by hand, one after the other."""
    embedding, cell, linear = model.layers
    assert isinstance(embedding, Embedding)
    assert isinstance(cell, Cell)
    assert isinstance(linear, Linear)
    vectors, place = embedding.forward(ids)
    hs, state, cell_cache = cell.forward(vectors, lengths=lengths, starts=starts)
    ys, linear_cache = linear.forward(hs)
    if lengths is not None:
        running = np.arange(len(ids))[:, None] < lengths
        ys, dys = ys * running[..., None], dys * running[..., None]
    dvectors, dstate = cell.backward(linear.backward(dys, linear_cache), None, cell_cache)
    embedding.backward(dvectors, place)
    return {"ys": ys, **leaves("state", state), **leaves("dstate", dstate)}


@pytest.mark.parametrize("starts", [None, STARTS], ids=["no starts", "starts"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
def test_it_is_the_two_layers_one_after_the_other(
    cell: Any, lengths: Any, starts: Any, rng: np.random.Generator
) -> None:
    model = Sequential(Embedding(9, 4, rng=rng), cell(4, 3, rng=rng), Linear(3, 2, rng=rng)).to(dtype="float64")
    ids, dys = rng.integers(0, 9, (5, 4)), rng.standard_normal((5, 4, 2))
    ys, state, cache = model.forward(ids, lengths=lengths, starts=starts)
    assert isinstance(cache.inner.layers[1].steps.x, TableRows)
    assert len(cache.inner.layers) == len(model.layers)  # so that a layer and its cache have one index
    dxs, dstate = model.backward(dys, None, cache)
    assert dxs is None
    found = {"ys": ys, **leaves("state", state[1]), **leaves("dstate", dstate[1])}
    gradient = model.flat_grad.copy()
    model.zero_grad()
    expected = one_by_one(model, ids, lengths, starts, dys)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(gradient, model.flat_grad, rtol=0, atol=1e-12)


def test_backward_reads_the_table_and_the_weights_as_they_are_then(rng: np.random.Generator) -> None:
    model = Sequential(Embedding(3, 4, rng=rng), LSTMCell(4, 2, rng=rng)).to(dtype="float64")
    table, w_x, dys = model.layers[0].w, model.layers[1].w_x, rng.standard_normal((5, 4, 2))  # type: ignore[union-attr]
    _, _, cache = model.forward(rng.integers(0, 3, (5, 4)))
    model.backward(dys, None, cache)
    before = [p.grad.copy() for p in (table, w_x)]
    model.zero_grad()
    table.value *= 2
    w_x.value *= 3
    model.backward(dys, None, cache)
    np.testing.assert_allclose(table.grad, 3 * before[0], rtol=1e-12)
    np.testing.assert_allclose(w_x.grad, 2 * before[1], rtol=1e-12)


def test_only_where_it_pays(rng: np.random.Generator) -> None:
    embedding, cell, ids = Embedding(6, 4, rng=rng), LSTMCell(4, 3, rng=rng), np.zeros((4, 3), int)
    assert isinstance(inner_of(Sequential(embedding, cell), ids), TableRows)
    # So few ids that looking them up takes less; and cells whose steps are taken one by one.
    for second, given in (
        (cell, ids[1:]),
        (SteppedLSTM(4, 3, rng=rng), ids),
        (GRUCell(4, 3, rng=rng, reset="before"), ids),
    ):
        assert isinstance(inner_of(Sequential(embedding, second), given), np.ndarray)
    assert isinstance(Sequential(embedding, Linear(4, 3, rng=rng))(ids)[0], np.ndarray)
    assert isinstance(Sequential(embedding)(ids)[0], np.ndarray)


class OwnEmbedding(Embedding):
    """Which looks up something else."""

    def forward(self, x: Any, *, training: bool = True) -> Any:
        y, cache = super().forward(x, training=training)
        return 2 * y, cache

    def backward(self, dy: Any, cache: Any) -> None:
        super().backward(2 * dy, cache)


def doubled(embedding: Embedding, how: str, patch: pytest.MonkeyPatch) -> None:
    """Has `embedding`, whose forward is then another, look up twice of what it has."""
    forward, backward = Embedding.forward, Embedding.backward

    def forth(self: Any, x: Any, *, training: bool = True) -> Any:
        y, cache = forward(self, x, training=training)
        return 2 * y, cache

    def back(self: Any, dy: Any, cache: Any) -> None:
        backward(self, 2 * dy, cache)

    if how == "on the class":
        patch.setattr(Embedding, "forward", forth)
        patch.setattr(Embedding, "backward", back)
    if how == "on the instance":
        patch.setattr(embedding, "forward", forth.__get__(embedding))
        patch.setattr(embedding, "backward", back.__get__(embedding))


@pytest.mark.parametrize("how", ["in a subclass", "on the instance", "on the class"])
def test_an_embedding_that_looks_up_something_else_is_asked(
    how: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = OwnEmbedding if how == "in a subclass" else Embedding
    embedding, cell, ids = kind(6, 4, rng=rng), LSTMCell(4, 3, rng=rng), rng.integers(0, 6, (5, 4))
    model = Sequential(embedding, cell, Linear(3, 2, rng=rng)).to(dtype="float64")
    doubled(embedding, how, monkeypatch)
    ys, _, cache = model.forward(ids)
    dys = rng.standard_normal(ys.shape)
    model.backward(dys, None, cache)
    gradient = model.flat_grad.copy()
    model.zero_grad()
    np.testing.assert_allclose(ys, one_by_one(model, ids, None, None, dys)["ys"], atol=1e-13)
    np.testing.assert_allclose(gradient, model.flat_grad, atol=1e-12)


class Twice(LSTMCell):
    """Has a way of its own through a sequence, which takes arrays."""

    def unroll_forward(self, xs: Any, state: State, *, rows: Any, training: bool) -> Any:
        return super().unroll_forward(2 * xs, state, rows=rows, training=training)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> Any:
        dxs, dstate = super().unroll_backward(dys, dstate, cache)
        return 2 * dxs, dstate


def test_a_cell_that_unrolls_its_own_way_is_given_an_array(rng: np.random.Generator) -> None:
    ids = rng.integers(0, 6, (5, 4))
    model = Sequential(Embedding(6, 4, rng=rng), Twice(4, 3, rng=rng), Linear(3, 2, rng=rng)).to(dtype="float64")
    ys, _, cache = model.forward(ids)
    dys = rng.standard_normal(ys.shape)
    model.backward(dys, None, cache)
    gradient = model.flat_grad.copy()
    model.zero_grad()
    np.testing.assert_allclose(ys, one_by_one(model, ids, None, None, dys)["ys"], atol=1e-13)
    np.testing.assert_allclose(gradient, model.flat_grad, atol=1e-12)


@pytest.mark.messages
def test_ids_are_checked_by_the_embedding(rng: np.random.Generator) -> None:
    model = Sequential(Embedding(6, 4, rng=rng), LSTMCell(4, 3, rng=rng))
    with pytest.raises(ValueError, match=r"^Embedding\(6, 4\): id 6"):
        model.forward(np.full((4, 3), 6))
