from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import AttentionPool, Device, load, save
from tinygrad_rnn.layers.pooling.base import Pool
from tinygrad_rnn.layers.pooling.plain import LastPool, MaxPool, MeanPool
from tinygrad_rnn.testing import StrictDevice

XS = np.array([[[1.0, -4.0]], [[3.0, -5.0]], [[2.0, -6.0]]])
every = pytest.mark.parametrize(
    "pool", [LastPool(), LastPool(1), MeanPool(), MaxPool(), AttentionPool(2, rng=np.random.default_rng(0))]
)


@pytest.mark.parametrize(
    ("pool", "lengths", "expected"),
    [
        (LastPool(), [3], [2.0, -6.0]),
        (LastPool(), [2], [3.0, -5.0]),
        (LastPool(1), [2], [3.0, -4.0]),
        (MeanPool(), [2], [2.0, -4.5]),
        (MaxPool(), [2], [3.0, -4.0]),  # not the 0 of the padding
        (MaxPool(), [0], [0.0, 0.0]),
        (LastPool(), [0], [0.0, 0.0]),
        (MeanPool(), [0], [0.0, 0.0]),
    ],
)
def test_by_hand(pool: Pool, lengths: list[int], expected: list[float]) -> None:
    for kind in ("int64", "uint8"):
        np.testing.assert_array_equal(pool(XS, lengths=np.array(lengths, kind)), [expected])


def test_only_the_first_of_equal_maxima_gets_the_gradient() -> None:
    _, cache = MaxPool().forward(np.array([[[1.0]], [[2.0]], [[2.0]]]))
    assert MaxPool().backward(np.ones((1, 1)), cache).ravel().tolist() == [0, 1, 0]


@every
def test_what_comes_out_is_new_and_small(pool: Pool) -> None:
    pool.to(dtype="float64")
    y, _ = pool.forward(XS)
    owner = y
    while owner.base is not None:
        owner = owner.base
    assert owner.size <= y.size
    assert not np.shares_memory(y, XS)


def test_weights_are_those_of_the_mean() -> None:
    pool = AttentionPool(2, rng=np.random.default_rng(0)).to(dtype="float64")
    xs, lengths = np.random.default_rng(1).standard_normal((4, 3, 2)), np.array([4, 2, 0])
    weights = pool.weights(xs, lengths=lengths)
    np.testing.assert_allclose(weights.sum(axis=0), [1, 1, 0], rtol=0, atol=1e-15)
    assert not weights[2:, 1].any()
    np.testing.assert_allclose((weights[..., None] * xs).sum(axis=0), pool(xs, lengths=lengths), rtol=1e-14)


def test_large_scores_do_not_overflow() -> None:
    pool = AttentionPool(1, rng=np.random.default_rng(0)).to(dtype="float64")
    pool.v.value[...] = 1e5
    assert pool(np.array([[[1.0]], [[3.0]]])).tolist() == [[3.0]]


def test_v_is_drawn_and_saved(tmp_path: Any) -> None:
    pools = [AttentionPool(5, rng=np.random.default_rng(seed)) for seed in (0, 1)]
    assert (pools[0].v.value != pools[1].v.value).all()
    assert pools[0].config() == {"size": 5}
    save(tmp_path / "pool", pools[0])
    loaded = load(tmp_path / "pool").model
    np.testing.assert_array_equal(loaded.flat_value, pools[0].flat_value)


@pytest.mark.messages
@every
def test_what_does_not_fit_is_told_why(pool: Pool) -> None:
    pool.to(dtype="float64")
    name, other = re.escape(repr(pool)), StrictDevice().asarray(XS)
    wrong: Any
    for wrong, error, message in (
        (XS[0], ValueError, r"xs has shape \(1, 2\), expected \(T, B, "),
        (XS.tolist(), TypeError, "xs is a list, not an array"),
        (XS.astype(int), TypeError, "xs holds int64, not floating-point numbers"),
    ):
        with pytest.raises(error, match=f"^{name}: {message}"):
            pool(wrong)
    with pytest.raises(ValueError, match=rf"^{name}: lengths\[0\] is 4, but with 3 steps it must be 0 to 3"):
        pool(XS, lengths=np.array([4]))
    if pool.parameters():
        with pytest.raises(TypeError, match=f"^{name}: xs is on strict, but the parameters are on cpu"):
            pool(other)
        with pytest.raises(ValueError, match=rf"^{name}: xs has shape \(3, 1, 1\), expected \(T, B, 2\)"):
            pool(XS[..., :1])
    _, cache = pool.forward(XS)
    with pytest.raises(ValueError, match=rf"^{name}: dy has shape \(1, 1\), but forward gave an array \(1, 2\)"):
        pool.backward(np.ones((1, 1)), cache)
    assert pool.device == Device("cpu")


@pytest.mark.messages
def test_bad_arguments() -> None:
    rng: Any = 3
    with pytest.raises(ValueError, match=r"^AttentionPool: size must be at least 1, not 0"):
        AttentionPool(0, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"^AttentionPool: rng must be a numpy.random.Generator"):
        AttentionPool(2, rng=rng)
