from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from table import LENGTHS, SteppedLSTM
from tinygrad_rnn import Cell, Embedding, GRUCell, Linear, LSTMCell, RNNCell, Sequential
from tinygrad_rnn.models.folding import FoldedCache, can_fold
from tinygrad_rnn.testing.examples import leaves


class OwnEmbedding(Embedding):
    """Which may look up something else."""


def one_by_one(model: Sequential, ids: Any, lengths: Any, dys: Any) -> dict[str, Any]:
    """What comes of the layers called by hand, one after the other."""
    embedding, cell, linear = model.layers
    assert isinstance(embedding, Embedding)
    assert isinstance(cell, Cell)
    assert isinstance(linear, Linear)
    vectors, place = embedding.forward(ids)
    hs, state, cell_cache = cell.forward(vectors, lengths=lengths)
    ys, linear_cache = linear.forward(hs)
    if lengths is not None:
        running = np.arange(len(ids))[:, None] < lengths
        ys, dys = ys * running[..., None], dys * running[..., None]
    dvectors, dstate = cell.backward(linear.backward(dys, linear_cache), None, cell_cache)
    embedding.backward(dvectors, place)
    return {"ys": ys, **leaves("state", state), **leaves("dstate", dstate)}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
def test_it_is_the_two_layers_one_after_the_other(cell: Any, lengths: Any, rng: np.random.Generator) -> None:
    model = Sequential(Embedding(9, 4, rng=rng), cell(4, 3, rng=rng), Linear(3, 2, rng=rng)).to(dtype="float64")
    ids, dys = rng.integers(0, 9, (5, 4)), rng.standard_normal((5, 4, 2))
    ys, state, cache = model.forward(ids, lengths=lengths)
    assert isinstance(cache.inner[0], FoldedCache)
    assert len(cache.inner) == len(model.layers)  # so that a layer and its cache have one index
    dxs, dstate = model.backward(dys, None, cache)
    assert dxs is None
    found = {"ys": ys, **leaves("state", state[1]), **leaves("dstate", dstate[1])}
    gradient = model.flat_grad.copy()
    model.zero_grad()
    expected = one_by_one(model, ids, lengths, dys)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(gradient, model.flat_grad, rtol=0, atol=1e-12)


def test_only_where_it_pays_and_computes_the_same(rng: np.random.Generator) -> None:
    embedding, cell, ids = Embedding(6, 4, rng=rng), LSTMCell(4, 3, rng=rng), np.zeros((4, 3), int)
    assert can_fold((embedding, cell), ids)
    assert not can_fold((embedding, cell), ids[1:])  # so few ids that looking them up takes less
    assert not can_fold((embedding, SteppedLSTM(4, 3, rng=rng)), ids)
    assert not can_fold((embedding, GRUCell(4, 3, rng=rng, reset="before")), ids)
    assert not can_fold((OwnEmbedding(6, 4, rng=rng), cell), ids)
    assert not can_fold((embedding, Linear(4, 3, rng=rng)), ids)
    assert not can_fold((embedding,), ids)


@pytest.mark.messages
def test_ids_are_checked_by_the_embedding(rng: np.random.Generator) -> None:
    model = Sequential(Embedding(6, 4, rng=rng), LSTMCell(4, 3, rng=rng))
    with pytest.raises(ValueError, match=r"^Embedding\(6, 4\): id 6"):
        model.forward(np.full((4, 3), 6))
