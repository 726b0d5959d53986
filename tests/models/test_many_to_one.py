from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Adam,
    AttentionPool,
    Bidirectional,
    Dropout,
    Embedding,
    GRUCell,
    Linear,
    LockedDropout,
    LSTMCell,
    ManyToOne,
    OneHot,
    Recurrent,
    Residual,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    load,
    save,
)

RNG = np.random.default_rng
XS = RNG(1).standard_normal((5, 3, 3)).astype("f4")
LENGTHS = np.array([5, 2, 0])
POOLS: list[Any] = ["last", "mean", "max", AttentionPool(4, rng=RNG(0))]
every_pool = pytest.mark.parametrize("pool", POOLS, ids=["last", "mean", "max", "attention"])


def model(pool: Any = "last", seed: int = 0) -> ManyToOne:
    rng = RNG(seed)
    return ManyToOne(GRUCell(3, 4, rng=rng), Dropout(0.5, rng=rng), Linear(4, 2, rng=rng), pool=pool)


def both(merge: str = "concat", width: int = 4) -> Bidirectional:
    rng = RNG(0)
    return Bidirectional(LSTMCell(3, 4, rng=rng), LSTMCell(3, width, rng=rng), merge=merge)


def test_the_last_output_of_each_row_is_its_state() -> None:
    one = ManyToOne(GRUCell(3, 4, rng=RNG(0)))
    y, (h,) = one(XS, lengths=np.array([5, 2, 3]))
    np.testing.assert_array_equal(y, h)


def test_both_halves_of_a_bidirectional_end_in_their_states() -> None:
    for encoder in (both(), Sequential(both()), Sequential(Sequential(LockedDropout(0.5, rng=RNG(0)), both()))):
        y, state = ManyToOne(encoder)(XS, lengths=np.array([5, 2, 3]))
        while len(state) == 1:
            (state,) = state
        (forward_h, _), (backward_h, _) = state[-2:] if len(state[-1][0]) == 3 else state[-1]
        np.testing.assert_array_equal(y, np.concatenate([forward_h, backward_h], axis=1))


@every_pool
def test_a_row_without_steps_is_what_the_layers_make_of_0(pool: Any) -> None:
    one = model(pool)
    y, _ = one(XS, lengths=LENGTHS)
    np.testing.assert_array_equal(y[2], one.layers[1](np.zeros(4, "f4")))


@every_pool
def test_a_file_has_the_model_and_its_state(pool: Any, tmp_path: Path) -> None:
    one = model(pool)
    y, state = one(XS, lengths=LENGTHS)
    save(tmp_path / "model", one, state=state)
    checkpoint = load(tmp_path / "model")
    loaded: Any = checkpoint.model
    assert repr(loaded) == repr(one)
    np.testing.assert_array_equal(loaded(XS, lengths=LENGTHS)[0], y)
    np.testing.assert_array_equal(checkpoint.state[0], state[0])
    with pytest.raises(ValueError, match="the state is not one of this model"):
        save(tmp_path / "model", one, state=(state[0][:, :1],))


def test_a_stream_is_predicted_step_by_step() -> None:
    one, state = model(), None
    for t in range(len(XS)):
        y, state = one.step(XS[t], state)
        np.testing.assert_allclose(y, one(XS[: t + 1])[0], rtol=1e-5, atol=1e-6)
    other = one.layers[0].generators()["rng"]
    before = other.bit_generator.state
    one.step(XS[0], state)
    assert other.bit_generator.state == before  # nothing is dropped


def test_chunks_go_on_from_the_state() -> None:
    one = model()
    _, state = one(XS[:2], one.initial_state(3))
    np.testing.assert_allclose(one(XS[2:], state)[0], one(XS)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "attention"])
def test_it_learns_which_symbol_comes_twice(pool: str) -> None:
    """Anywhere in rows of unlike lengths."""
    rng = RNG(0)
    encoder = Sequential(Embedding(4, 8, rng=rng), GRUCell(8, 16, rng=rng))
    net = ManyToOne(encoder, Linear(16, 4, rng=rng), pool=AttentionPool(16, rng=rng) if pool == "attention" else pool)
    criterion, optimizer, losses = SoftmaxCrossEntropy(), Adam(net, lr=0.02), []
    for _ in range(150):
        classes, lengths = rng.integers(0, 4, 32), rng.integers(5, 9, 32)
        xs = np.stack([rng.permutation([0, 1, 2, 3, c, *[c] * 4])[:] for c in classes], axis=1)
        logits, _, cache = net.forward(xs, lengths=lengths)
        loss, loss_cache = criterion.forward(logits, classes)
        net.zero_grad()
        net.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        losses.append(float(loss))
    assert np.mean(losses[-10:]) < 0.5 < losses[0]


def test_what_stands_where() -> None:
    lines = re.sub(" +", " ", ManyToOne(GRUCell(3, 4, rng=RNG(0)), Linear(4, 2, rng=RNG(0)), pool=POOLS[3]).summary())
    for line in (
        "ManyToOne(..., pool=...) 2 114",
        "encoder GRUCell(3, 4) 4 ",
        "layers.0.w (4, 2) 8",
        "pool AttentionPool(4) 4 4",
    ):
        assert line in lines
    assert repr(model("mean")) == "ManyToOne(GRUCell(3, 4), Dropout(0.5), Linear(4, 2), pool='mean')"
    ids = ManyToOne(Sequential(Embedding(7, 3, rng=RNG(0)), RNNCell(3, 4, rng=RNG(0))))
    assert (ids.takes_ids, ids.in_size, ids.out_size) == (True, 7, 4)
    assert ids.backward(None, None, ids.forward(np.array([[1], [2]]))[2])[0] is None


def test_encoders_whose_last_output_holds_the_row() -> None:
    rng = RNG(0)
    fits: list[Recurrent] = [
        Sequential(both(), RNNCell(8, 4, rng=rng)),
        Sequential(both(), RNNCell(8, 4, rng=rng), Dropout(0.5, rng=rng)),
        Sequential(RNNCell(3, 4, rng=rng), Linear(4, 4, rng=rng)),
    ]
    for encoder in fits:
        ys, _ = encoder(XS)
        np.testing.assert_array_equal(ManyToOne(encoder)(XS)[0], ys[-1])
    fails: list[Recurrent] = [
        both("sum"),
        Sequential(both(), Dropout(0.5, rng=rng)),
        Sequential(both(), LockedDropout(0.5, rng=rng)),
        Residual(Bidirectional(RNNCell(3, 1, rng=rng), RNNCell(3, 2, rng=rng))),
        Bidirectional(both(), RNNCell(3, 2, rng=rng)),
    ]
    for encoder in fails:
        with pytest.raises(
            ValueError, match=r'^ManyToOne: with pool="last", no output of the encoder, .* the whole row'
        ):
            ManyToOne(encoder)
        assert ManyToOne(encoder, pool="mean")(XS)[0].shape[0] == 3


@pytest.mark.messages
def test_parts_that_do_not_fit_are_named() -> None:
    rng = RNG(0)
    cell = RNNCell(3, 4, rng=rng)
    given: Any
    pool: Any
    for given, pool, error, message in (
        (
            (Linear(3, 4, rng=rng),),
            "last",
            TypeError,
            "encoder must be a Recurrent, such as a cell or a Sequential, not",
        ),
        ((cell, cell), "last", TypeError, "layers.0 must be a Feedforward, not RNNCell(3, 4)"),
        (
            (cell, Dropout(0.5, rng=rng), Linear(5, 2, rng=rng)),
            "max",
            ValueError,
            "layers.1, Linear(5, 2), takes 5 features, but 4 features come from layers.0, Dropout(0.5)",
        ),
        (
            (cell, OneHot(4)),
            "max",
            ValueError,
            "layers.0, OneHot(4), takes ids, but 4 features come from RNNCell(3, 4)",
        ),
        ((cell,), "first", ValueError, 'pool must be "last", "mean" or "max", not \'first\''),
        ((cell,), None, TypeError, 'pool must be "last", "mean", "max" or a Pool, not None'),
        (
            (cell,),
            AttentionPool(3, rng=rng),
            ValueError,
            "pool, AttentionPool(3), takes 3 features, but 4 come from RNNCell(3, 4)",
        ),
    ):
        with pytest.raises(error, match=f"^ManyToOne: {re.escape(message)}"):
            ManyToOne(*given, pool=pool)


@pytest.mark.messages
def test_calls_that_do_not_fit_are_told_why() -> None:
    one, name = model(), re.escape(repr(model()))
    with pytest.raises(ValueError, match=r"^GRUCell\(3, 4\): lengths\[1\] is 6, but with 5 steps"):
        one(XS, lengths=np.array([1, 6, 1]))
    _, _, cache = one.forward(XS)
    with pytest.raises(ValueError, match=rf"^{name}: dy has shape \(3, 1\), but forward gave an array \(3, 2\)"):
        one.backward(np.zeros((3, 1), "f4"), None, cache)
    with pytest.raises(TypeError, match=f"^{name}: dy is float64, but the parameters are float32"):
        one.backward(np.zeros((3, 2)), None, cache)
    with pytest.raises(
        ValueError, match=r"^ManyToOne\(.*pool=.mean.\) has no step: .* or pool the outputs of `encoder.step`"
    ):
        model("mean").step(XS[0], None)
    with pytest.raises(ValueError, match=r"^Bidirectional\(.* has no step: its outputs depend on later inputs"):
        ManyToOne(both()).step(XS[0], None)
    with pytest.raises(TypeError, match=r"the encoder gives OneHotRows.*Put an Embedding in its place"):
        ManyToOne(Sequential(OneHot(4)), pool="mean")(np.array([[1], [2]]))
