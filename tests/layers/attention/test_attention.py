"""What all attention does alike, and what each score does by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import AdditiveAttention, Attention, DotAttention, GeneralAttention, OneHotRows, load, save
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients

Q = M = 5
MAKERS: dict[str, Callable[[], Attention]] = {
    "dot": lambda: DotAttention(),
    "general": lambda: GeneralAttention(Q, M, rng=np.random.default_rng(0)),
    "additive": lambda: AdditiveAttention(Q, M, 4, rng=np.random.default_rng(0)),
}
every_attention = pytest.mark.parametrize("name", MAKERS)
LENGTHS: Any = np.array([3, 0, 6, 1])


def made(name: str, dtype: str = "float64") -> Any:
    return MAKERS[name]().to(dtype=dtype)


def drawn(T: int = 3, B: int = 4, S: int = 6, dtype: str = "float64") -> tuple[Any, Any]:
    """Queries and a memory."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((T, B, Q)).astype(dtype), rng.standard_normal((S, B, M)).astype(dtype)


@every_attention
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_are_shares_of_what_there_is(name: str, dtype: str) -> None:
    _, weights = made(name, dtype)(*drawn(dtype=dtype), lengths=LENGTHS)
    past = np.arange(6) >= LENGTHS[:, None]
    assert weights.dtype == dtype
    assert (weights[:, ~past] > 0).all()
    assert (weights[:, past] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), np.broadcast_to(LENGTHS > 0, (3, 4)), rtol=1e-6)


@every_attention
def test_the_context_is_the_mean_by_the_weights(name: str) -> None:
    queries, memory = drawn()
    context, weights = made(name)(queries, memory, lengths=LENGTHS)
    np.testing.assert_allclose(context, np.einsum("tbs,sbm->tbm", weights, memory), atol=1e-14)
    assert (context[:, 1] == 0).all()  # a mean of nothing


@every_attention
@pytest.mark.parametrize("lengths", [None, np.array([1, 1, 1, 1])], ids=["whole", "lengths"])
def test_of_one_entry_all_weight_is_on_it(name: str, lengths: Any) -> None:
    queries, memory = drawn(S=1 if lengths is None else 6)
    context, weights = made(name)(queries, memory, lengths=lengths)
    assert (weights[..., 0] == 1).all()
    np.testing.assert_array_equal(context, np.stack([memory[0]] * 3))


@every_attention
def test_no_memory_gives_zeros_forth_and_back(name: str) -> None:
    for S, lengths in ((0, None), (0, np.zeros(4, int)), (6, np.zeros(4, int))):
        attention = made(name)
        queries, memory = drawn(S=S)
        context, weights, cache = attention.forward(queries, memory, lengths=lengths)
        assert (context.shape, weights.shape) == ((3, 4, M), (3, 4, S))
        dqueries, dmemory = attention.backward(np.ones_like(context), np.ones_like(weights), cache)
        assert (dqueries.shape, dmemory.shape) == (queries.shape, memory.shape)
        for array in (context, weights, dqueries, dmemory, *(p.grad for p in attention.parameters())):
            assert (array == 0).all()


@every_attention
@pytest.mark.parametrize("fill", [np.nan, np.inf, 1e300])
def test_what_is_past_a_rows_end_does_not_matter(name: str, fill: float) -> None:
    queries, memory = drawn()
    dcontext, dweights = np.random.default_rng(2).standard_normal((2, 3, 4, 5))
    dweights = np.concatenate([dweights, dweights[..., :1]], axis=-1)
    past = np.arange(6)[:, None] >= LENGTHS
    results = []
    for filled in (0.0, fill):
        memory[past], dweights[:, past.T] = filled, filled
        attention = made(name)
        context, weights, cache = attention.forward(queries, memory, lengths=LENGTHS)
        back = attention.backward(dcontext, dweights, cache)
        results.append([context, weights, *back, *(p.grad for p in attention.parameters())])
        assert (back[1][past] == 0).all()
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@every_attention
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_scores_neither_overflow_nor_vanish(name: str, dtype: str, sign: int) -> None:
    """All of them, so that the largest is far from 0, the score of padding, on either side."""
    attention = made(name, dtype)
    queries, memory = (100 * abs(array) for array in drawn(dtype=dtype))
    for parameter in attention.parameters():
        parameter.value = 100 * abs(parameter.value)
    if name == "additive":
        attention.v.value *= sign
    else:
        memory *= sign
    context, weights, cache = attention.forward(queries, memory, lengths=LENGTHS)
    np.testing.assert_allclose(weights.sum(axis=-1), np.broadcast_to(LENGTHS > 0, (3, 4)), rtol=1e-6)
    assert np.isfinite(context).all()
    assert all(np.isfinite(array).all() for array in attention.backward(context, weights, cache))


@every_attention
def test_a_score_that_all_share_changes_nothing(name: str) -> None:
    """Nor does a gradient that all weights share: they add up to 1 whatever the scores."""
    attention = made(name)
    _, weights, cache = attention.forward(*drawn())
    dqueries, dmemory = attention.backward(None, np.full_like(weights, 7.0), cache)
    for array in (dqueries, dmemory, *(p.grad for p in attention.parameters())):
        np.testing.assert_allclose(array, 0, atol=1e-14)


@every_attention
def test_gradients_by_context_and_weights_add_up(name: str) -> None:
    rng = np.random.default_rng(2)
    up = {"context": rng.standard_normal((3, 4, M)), "weights": rng.standard_normal((3, 4, 6))}
    found = []
    for given in ({"context"}, {"weights"}, {"context", "weights"}):
        attention = made(name)
        _, _, cache = attention.forward(*drawn(), lengths=LENGTHS)
        back = attention.backward(*(array if key in given else None for key, array in up.items()), cache)
        found.append([*back, *(p.grad for p in attention.parameters())])
    for context, weights, both in zip(*found, strict=True):
        assert min(abs(context).max(), abs(weights).max()) > 1e-3  # each has a part
        np.testing.assert_allclose(context + weights, both, atol=1e-14)


@every_attention
def test_each_way_back_alone_is_the_slope(name: str) -> None:
    """The gradient of a function of the context alone, and of one of the weights alone."""
    rng = np.random.default_rng(2)
    queries, memory = drawn()
    attention = made(name)
    outputs = attention.forward(queries, memory, lengths=LENGTHS)[:2]
    direction = rng.standard_normal(memory.shape)
    for i, output in enumerate(outputs):
        up = rng.standard_normal(output.shape)
        _, dmemory = attention.backward(
            *(up if k == i else None for k in range(2)), attention.forward(queries, memory, lengths=LENGTHS)[2]
        )
        above, below = (attention(queries, memory + h * direction, lengths=LENGTHS)[i] for h in (1e-5, -1e-5))
        assert (dmemory * direction).sum() == pytest.approx((up * (above - below)).sum() / 2e-5, rel=1e-7)


@every_attention
def test_the_memory_may_have_the_batch_first(name: str) -> None:
    """As in a state: a view with the axes exchanged computes the same."""
    queries, memory = drawn()
    view = np.ascontiguousarray(memory.swapaxes(0, 1)).swapaxes(0, 1)
    for one, other in zip(made(name)(queries, memory), made(name)(queries, view), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)


@every_attention
def test_queries_one_by_one_are_all_at_once(name: str) -> None:
    queries, memory = drawn()
    attention = made(name)
    whole = attention(queries, memory, lengths=LENGTHS)
    for t in range(3):
        for one, all_ in zip(attention(queries[t : t + 1], memory, lengths=LENGTHS), whole, strict=True):
            np.testing.assert_allclose(one[0], all_[t], atol=1e-14)


@every_attention
def test_looks_at_one_prepared_memory_are_one_forward_and_one_backward(name: str) -> None:
    """What the looks send back to memory and keys may be added up before `prepare_backward`."""
    queries, memory = drawn()
    whole, parts = made(name), made(name)
    context, weights, cache = whole.forward(queries, memory, lengths=LENGTHS)
    dcontext, dweights = np.random.default_rng(2).standard_normal((2, 3, 4, 6))
    dcontext = dcontext[..., :M]
    dqueries, dmemory = whole.backward(dcontext, dweights, cache)
    prepared = parts.prepare(memory, LENGTHS)
    looks = [parts.look(queries[t : t + 1], prepared) for t in range(3)]
    back = [parts.look_backward(dcontext[t : t + 1], dweights[t : t + 1], looks[t][2]) for t in range(3)]
    to_memory, to_keys = (sum(each[i] for each in back) for i in (1, 2))
    for expected, found in (
        (context, np.concatenate([look[0] for look in looks])),
        (weights, np.concatenate([look[1] for look in looks])),
        (dqueries, np.concatenate([each[0] for each in back])),
        (dmemory, parts.prepare_backward(to_memory, to_keys, prepared)),
        *((p.grad, q.grad) for p, q in zip(whole.parameters(), parts.parameters(), strict=True)),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_dot_finds_what_points_its_way() -> None:
    memory = 20 * np.eye(4)[:, None]
    _, weights = DotAttention()(memory[[2, 0, 3]], memory)
    np.testing.assert_array_equal(weights.round(6)[:, 0], np.eye(4)[[2, 0, 3]])


def test_general_with_the_identity_is_dot() -> None:
    attention = made("general")
    attention.w.value = np.eye(Q)
    for one, other in zip(attention(*drawn()), DotAttention()(*drawn()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-15)


def test_parameters_begin_as_stated() -> None:
    rng = np.random.default_rng(0)
    general, additive = GeneralAttention(200, 100, rng=rng), AdditiveAttention(200, 100, 50, rng=rng)
    assert {name: p.shape for name, p in general.named_parameters()} == {"w": (200, 100)}
    shapes = {"w_query": (200, 50), "w_memory": (100, 50), "b": (50,), "v": (50,)}
    assert {name: p.shape for name, p in additive.named_parameters()} == shapes
    assert not additive.b.value.any()
    for parameter, limit in (
        (general.w, math.sqrt(6 / 300)),
        (additive.w_query, math.sqrt(6 / 250)),
        (additive.w_memory, math.sqrt(6 / 150)),
        (additive.v, 1 / math.sqrt(50)),
    ):
        assert 0.9 * limit < abs(parameter.value).max() <= limit
    assert list(DotAttention().named_parameters()) == []
    assert general.config() == {"query_size": 200, "memory_size": 100}
    assert additive.config() == {"query_size": 200, "memory_size": 100, "hidden_size": 50}


def test_the_additive_score_never_makes_an_array_of_queries_times_memory() -> None:
    """Nor does its cache hold one: all of it is far smaller than T · S · B · A."""
    attention = AdditiveAttention(Q, M, 64, rng=np.random.default_rng(0)).to(dtype="float64")
    queries, memory = drawn(T=40, S=50)
    _, _, cache = attention.forward(queries, memory)
    kept = [*cache.prepared, cache.weights, *cache.inner]
    shapes = {queries.shape, memory.shape, (40, 4, 50), (40, 4, 64), (50, 4, 64)}
    assert {array.shape for array in kept if array is not None} == shapes


@every_attention
def test_what_was_saved_computes_the_same(name: str, tmp_path: Path) -> None:
    attention = made(name, "float32")
    save(tmp_path / "model.safetensors", attention)
    other: Any = load(tmp_path / "model.safetensors").model
    assert repr(other) == repr(attention)
    for one, two in zip(attention(*drawn(dtype="float32")), other(*drawn(dtype="float32")), strict=True):
        np.testing.assert_array_equal(one, two)


class Near(Attention):
    """An attention of a user's own: the score is less the squared distance, without an array of all differences."""

    def scores(self, queries: Any, memory: Any) -> tuple[Any, Any]:
        products = np.einsum("tbd,sbd->tbs", queries, memory)
        squares = (queries**2).sum(axis=-1)[:, :, None] + (memory**2).sum(axis=-1).T
        return 2 * products - squares, (queries, memory)

    def scores_backward(self, dscores: Any, cache: Any) -> tuple[Any, Any]:
        queries, memory = cache
        dqueries = np.einsum("tbs,sbd->tbd", dscores, memory) - queries * dscores.sum(axis=-1)[..., None]
        dmemory = np.einsum("tbs,tbd->sbd", dscores, queries) - memory * dscores.sum(axis=0).T[..., None]
        return 2 * dqueries, 2 * dmemory


class NearHalf(Near):
    """As near as half of the memory is: keys with nothing to learn, and without a cache."""

    def keys(self, memory: Any) -> tuple[Any, Any]:
        return 0.5 * memory, None

    def keys_backward(self, dkeys: Any, cache: Any) -> Any:
        return 0.5 * dkeys


@pytest.mark.parametrize("attention", [Near(), NearHalf()])
def test_an_attention_of_ones_own_needs_no_more_than_its_score(attention: Attention) -> None:
    """And keys, if it likes."""
    for lengths in (None, LENGTHS):
        check_gradients(attention, rng=np.random.default_rng(0), lengths=lengths)
    assert "a_batch_equals_its_rows" in check_contract(attention, rng=np.random.default_rng(0))


def test_the_keys_are_what_is_scored() -> None:
    queries, memory = drawn()
    _, weights = NearHalf()(queries, memory)
    np.testing.assert_allclose(weights, Near()(queries, 0.5 * memory)[1], atol=1e-15)


@pytest.mark.messages
def test_what_does_not_fit_is_told_why() -> None:
    general = made("general", "float32")
    queries, memory = drawn(dtype="float32")
    wide, ids, device = np.ones((6, 4, 7), np.float32), np.ones((3, 4), int), StrictDevice()
    calls: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: general(queries[0], memory), ValueError, r"queries has shape \(4, 5\), expected \(T, B, Q\)$"),
        (lambda: general(queries, memory[0]), ValueError, r"memory has shape \(4, 5\), expected \(S, B, M\)$"),
        (
            lambda: general(wide, memory),
            ValueError,
            r"queries has shape \(6, 4, 7\), but its last axis must have size 5$",
        ),
        (
            lambda: general(queries, wide),
            ValueError,
            r"memory has shape \(6, 4, 7\), but its last axis must have size 5$",
        ),
        (
            lambda: general(queries[:, :2], memory),
            ValueError,
            r"memory has shape \(6, 4, 5\), but queries \(3, 2, 5\); their second axis, the rows of the batch, must be",
        ),
        (lambda: general(queries, memory.astype("f8")), TypeError, "memory is float64, but the param"),
        (
            lambda: general(queries.astype("f8"), memory),
            TypeError,
            "queries is float64, but the par",
        ),
        (lambda: general(queries.astype(int), memory), TypeError, "queries holds int64, not floating-point numbers"),
        (lambda: general(queries, device.asarray(memory)), TypeError, "memory is on strict, but the parameters are on"),
        (lambda: general(queries.tolist(), memory), TypeError, "queries is a list, not an array"),
        (lambda: general(OneHotRows(ids, 5), memory), TypeError, "memory is float32, but queries bool"),
        (lambda: general(queries, memory, lengths=[6] * 4), TypeError, "lengths must be an integer array, not a list"),
        (
            lambda: general(queries, memory, lengths=LENGTHS[1:]),
            ValueError,
            r"lengths has shape \(3,\), exp",
        ),
        (
            lambda: general(queries, memory, lengths=LENGTHS + 1),
            ValueError,
            r"lengths\[2\] is 7, but with 6 steps it must be 0 to 6",
        ),
        (
            lambda: general(queries, memory, lengths=LENGTHS - 1),
            ValueError,
            r"lengths\[1\] is -1, but with 6 steps it must be 0 to 6",
        ),
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=rf"^GeneralAttention\(5, 5\): {message}"):
            call()


@pytest.mark.messages
def test_without_parameters_queries_and_memory_must_be_alike() -> None:
    queries, memory = drawn()
    dot = DotAttention()
    with pytest.raises(
        TypeError,
        match=r"^DotAttention\(\): memory is float32, but queries float64. Convert it, memory.astype\('float64'\)$",
    ):
        dot(queries, memory.astype("float32"))
    with pytest.raises(TypeError, match=r"^DotAttention\(\): memory is on strict, but .* on cpu"):
        dot(queries, StrictDevice().asarray(memory))
    with pytest.raises(
        ValueError,
        match=r"^DotAttention\(\): queries have 4 features, but the memory 5; a dot product needs equal numbers. "
        "GeneralAttention and AdditiveAttention take unequal ones$",
    ):
        dot(queries[..., :4], memory)


@pytest.mark.messages
@every_attention
def test_gradients_that_do_not_fit_are_told_why(name: str) -> None:
    attention = made(name)
    context, weights, cache = attention.forward(*drawn())
    start = rf"^{type(attention).__name__}\(.*\): "
    for given, error, message in (
        ((context[:1], None), ValueError, r"dcontext has shape \(1, 4, 5\), but forward gave an array \(3, 4, 5\)$"),
        ((None, weights[:1]), ValueError, r"dweights has shape \(1, 4, 6\), but forward gave an array \(3, 4, 6\)$"),
        ((context.astype("f4"), weights), TypeError, "dcontext is float32, but the parameters are float64"),
        ((context, weights.astype("f4")), TypeError, "dweights is float32, but the parameters are float64"),
        ((context, StrictDevice().asarray(weights)), TypeError, "dweights is on strict"),
    ):
        with pytest.raises(error, match=start + message):
            attention.backward(*given, cache)
    assert not any(p.grad.any() for p in attention.parameters())


@pytest.mark.messages
def test_sizes_and_rng_are_checked_when_it_is_made() -> None:
    rng: Any = np.random.default_rng(0)
    wrong: Any = 2.5
    calls: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: GeneralAttention(0, 3, rng=rng), ValueError, "GeneralAttention: query_size must be at least 1, not 0"),
        (lambda: GeneralAttention(3, wrong, rng=rng), TypeError, "GeneralAttention: memory_size must be an integer"),
        (lambda: AdditiveAttention(0, 3, 4, rng=rng), ValueError, "AdditiveAttention: query_size must be at least 1"),
        (lambda: AdditiveAttention(3, -1, 4, rng=rng), ValueError, "AdditiveAttention: memory_size must be at least 1"),
        (lambda: AdditiveAttention(3, 3, wrong, rng=rng), TypeError, "AdditiveAttention: hidden_size must be an int"),
    ]
    rng = 0
    calls += [
        (lambda: GeneralAttention(3, 3, rng=rng), TypeError, "rng must be a numpy.random.Generator"),
        (lambda: AdditiveAttention(3, 3, 4, rng=rng), TypeError, "rng must be a numpy.random.Generator"),
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
