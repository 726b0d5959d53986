from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from philox import drawn
from tinygrad_rnn import LockedDropout, RNNCell, Sequential

XS: Any = np.random.default_rng(1).standard_normal((4, 3, 5))


def locked() -> LockedDropout:
    return LockedDropout(0.3, rng=np.random.default_rng(0))


def test_one_mask_serves_all_steps_of_a_sequence() -> None:
    layer = locked()
    uniforms = drawn(copy.deepcopy(layer.rng), (3, 5))
    ys, state, cache = layer.forward(XS)
    assert state == ()
    for t, row, feature in np.ndindex(XS.shape):
        expected = XS[t, row, feature] / 0.7 if uniforms[row, feature] < 0.7 else 0
        assert ys[t, row, feature] == pytest.approx(expected, rel=1e-12)
    assert cache.inner.shape == (3, 5)


def test_a_step_by_itself_draws_a_mask_of_its_own() -> None:
    layer = locked()
    masks = [layer.step_forward(XS[t], ())[2] for t in range(4)]
    stream = copy.deepcopy(locked().rng)
    uniforms = np.stack([drawn(stream, (3, 5)) for _ in range(4)])
    np.testing.assert_array_equal(np.stack([mask != 0 for mask in masks]), uniforms < 0.7)


def test_at_inference_a_sequence_is_left_as_it_is_but_for_padding() -> None:
    layer = locked()
    np.testing.assert_array_equal(layer(XS)[0], XS)
    lengths: Any = np.array([4, 1, 0])
    ys, _ = layer(XS, lengths=lengths)
    np.testing.assert_array_equal(ys[:, 0], XS[:, 0])
    assert not ys[1:, 1].any()
    assert not ys[:, 2].any()


def test_it_has_no_state_to_begin_or_to_begin_anew() -> None:
    layer, starts = locked(), np.ones(3, bool)
    assert (
        layer.state_spec == layer.initial_state(3) == layer.begin((), starts) == layer.begin_backward((), starts) == ()
    )
    for given, begins in ((None, None), (None, starts), ((), starts)):
        y, state = layer.step(XS[0], given, starts=begins)
        np.testing.assert_array_equal(y, XS[0])
        assert state == ()


def test_one_mask_serves_all_documents_of_a_row() -> None:
    starts = np.zeros((4, 3), bool)
    starts[[0, 2, 3], [0, 0, 1]] = True
    found, expected = (locked().forward(XS, starts=given) for given in (starts, None))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[2].inner, expected[2].inner)


def test_it_lies_between_layers_and_keeps_the_width() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(locked(), RNNCell(5, 4, rng=rng), locked(), RNNCell(4, 2, rng=rng))
    assert (model.in_size, model.out_size) == (5, 2)
    ys, state, cache = model.forward(XS.astype("float32"))
    assert [len(part) for part in state] == [0, 1, 0, 1]
    dxs, _ = model.backward(ys, None, cache)
    dropped = cache.inner.layers[0] == 0
    assert not dxs[:, dropped].any()
    assert dxs[:, ~dropped].any(axis=0).all()


@pytest.mark.messages
def test_a_state_is_refused() -> None:
    wrong: Any
    for wrong in ((XS[0],), [], 0.0):
        with pytest.raises(TypeError, match=r"LockedDropout\(0.3\): state must be \(\), a tuple of 0, not a"):
            locked().forward(XS, wrong)


@pytest.mark.messages
def test_what_is_no_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"forward takes \(T, B, D\); xs has shape \(3, 5\)"):
        locked().forward(XS[0])
