"""Each kernel against the step that it stands for, whatever the sizes, lengths, dtype and layout of its input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from table import (
    SteppedGRU,
    SteppedIndRNN,
    SteppedLRU,
    SteppedLSTM,
    SteppedMinGRU,
    SteppedMinLSTM,
    SteppedRNN,
    SteppedSRU,
)
from tinygrad_rnn import (
    Cell,
    GRUCell,
    IndRNNCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    OneHotRows,
    RNNCell,
    SRUCell,
)
from tinygrad_rnn.core.states import tree_map
from tinygrad_rnn.kernels import backends, products, threads
from tinygrad_rnn.kernels.compiled import products as compiled_products
from tinygrad_rnn.kernels.compiled.backend import COMPILED
from tinygrad_rnn.kernels.plain import products as plain_products
from tinygrad_rnn.testing.named import leaves

Make = Callable[..., Any]
PAIRS: dict[str, tuple[Make, Make]] = {
    "RNNCell": (RNNCell, SteppedRNN),
    "RNNCell relu": (partial(RNNCell, nonlinearity="relu"), partial(SteppedRNN, nonlinearity="relu")),
    "LSTMCell": (LSTMCell, SteppedLSTM),
    "LSTMCell with peepholes": (partial(LSTMCell, peepholes=True), partial(SteppedLSTM, peepholes=True)),
    "LSTMCell coupled": (
        partial(LSTMCell, peepholes=True, coupled=True, bias=False),
        partial(SteppedLSTM, peepholes=True, coupled=True, bias=False),
    ),
    "GRUCell": (GRUCell, SteppedGRU),
    "GRUCell without biases": (partial(GRUCell, bias=False), partial(SteppedGRU, bias=False)),
    "MinGRUCell": (MinGRUCell, SteppedMinGRU),
    "MinGRUCell positive": (partial(MinGRUCell, candidate="positive"), partial(SteppedMinGRU, candidate="positive")),
    "MinLSTMCell tanh": (partial(MinLSTMCell, candidate="tanh"), partial(SteppedMinLSTM, candidate="tanh")),
    "LRUCell": (partial(LRUCell, units=3), partial(SteppedLRU, units=3)),
    "IndRNNCell": (IndRNNCell, SteppedIndRNN),
    "IndRNNCell tanh": (partial(IndRNNCell, nonlinearity="tanh"), partial(SteppedIndRNN, nonlinearity="tanh")),
    "SRUCell": (SRUCell, SteppedSRU),
}
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "as usual": lambda array: array,
    "Fortran's order": np.asfortranarray,
    "every second of twice as many": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[::-1].copy()[::-1],
}


def drawing(rng: np.random.Generator, layout: str, dtype: str) -> Callable[..., Any]:
    """Gives an array of a shape, of normal numbers, laid out like that."""
    return lambda *shape: LAYOUTS[layout](rng.standard_normal(shape).astype(dtype))


def outcome(
    cell: Cell, xs: Any, state: Any, lengths: Any, starts: Any, dys: Any, dstate: Any
) -> tuple[Any, dict[str, Any]]:
    """The cache of the steps, and all that comes out of a forward and a backward."""
    ys, after, cache = cell.forward(xs, state, lengths=lengths, starts=starts)
    dxs, before = cell.backward(dys, dstate, cache)
    found = {"ys": ys, **leaves("state", after), "dxs": dxs, **leaves("dstate", before)}
    return cache.inner.steps, found | {name: p.grad for name, p in cell.named_parameters()}


def close(found: Any, expected: Any, allowed: float, name: str) -> None:
    """What is summed is about 1, even where the sum cancels to less."""
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=allowed * max(abs(expected).max(initial=0), 1), err_msg=name
    )


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-12), ("float32", 1e-5)])
@given(
    steps=st.integers(0, 7),
    batch=st.integers(0, 5),
    in_size=st.integers(1, 6),
    out_size=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    one_hot=st.booleans(),
    whole=st.booleans(),
    documents=st.booleans(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    count=st.integers(1, 3),
    compiled=st.booleans(),
)
def test_the_kernel_is_the_step(
    pair: tuple[Make, Make],
    dtype: str,
    allowed: float,
    steps: int,
    batch: int,
    in_size: int,
    out_size: int,
    seed: int,
    one_hot: bool,
    whole: bool,
    documents: bool,
    layout: str,
    count: int,
    compiled: bool,
) -> None:
    """Also where several threads divide the rows, and where its steps are compiled."""
    rng = np.random.default_rng(seed)
    normal = drawing(rng, layout, dtype)
    fast, slow = (make(in_size, out_size, rng=np.random.default_rng(0)).to(dtype=dtype) for make in pair)
    fast.flat_value[...] = slow.flat_value[...] = 0.5 * rng.standard_normal(fast.flat_value.shape)
    xs = OneHotRows(rng.integers(0, in_size, (steps, batch)), in_size) if one_hot else normal(steps, batch, in_size)
    state, dstate = (tree_map(lambda array: normal(*array.shape), fast.initial_state(batch)) for _ in range(2))
    dys, lengths = normal(steps, batch, out_size), None if whole else rng.integers(0, steps + 1, batch)
    starts = rng.random((steps, batch)) < 0.3 if documents else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_count", count)
        patch.setattr(products, "WORTH", 1)
        patch.setattr(products, "FEWEST", 1)
        patch.setattr(compiled_products, "WORTH_PACKING", 1)
        patch.setattr(compiled_products, "FILLED", 0)
        patch.setattr(plain_products, "has_openblas", lambda: True)
        patch.setattr(backends, "_compiled", COMPILED if compiled else None)
        cache, found = outcome(fast, xs, state, lengths, starts, dys, dstate)
    caches, expected = outcome(slow, xs, state, lengths, starts, dys, dstate)
    if one_hot:
        assert found.pop("dxs") is expected.pop("dxs") is None
    elif not steps:  # without a step, none says that there is a gradient
        expected["dxs"] = np.zeros_like(xs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == dtype
        close(found[name], array, allowed, name)

    # The caches too, field by field, where a row runs: in its padding nothing is promised.
    for t, row in np.ndindex(steps, batch):
        if lengths is None or t < lengths[row]:
            assert type(cache) is type(caches[t])
            for name in cache._fields[1:]:
                close(
                    getattr(cache, name)[t, row], getattr(caches[t], name)[row], 10 * allowed, f"{name} at {t}, {row}"
                )


@pytest.mark.parametrize(
    "make",
    [
        GRUCell,
        partial(GRUCell, bias=False),
        LSTMCell,
        partial(LSTMCell, peepholes=True),
        partial(LSTMCell, coupled=True, bias=False),
    ],
)
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-12), ("float32", 1e-5)])
@given(
    batch=st.integers(0, 5),
    in_size=st.integers(1, 6),
    out_size=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    one_hot=st.booleans(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    compiled=st.booleans(),
)
def test_a_step_at_inference_is_the_step(
    make: Make,
    dtype: str,
    allowed: float,
    batch: int,
    in_size: int,
    out_size: int,
    seed: int,
    one_hot: bool,
    layout: str,
    compiled: bool,
) -> None:
    """What `take_step` computes in place is the definition's, and leaves what it was given as it was."""
    rng = np.random.default_rng(seed)
    normal = drawing(rng, layout, dtype)
    cell = make(in_size, out_size, rng=np.random.default_rng(0)).to(dtype=dtype)
    cell.flat_value[...] = 0.5 * rng.standard_normal(cell.flat_value.shape)
    x = OneHotRows(rng.integers(0, in_size, batch), in_size) if one_hot else normal(batch, in_size)
    state = tree_map(lambda array: normal(*array.shape), cell.initial_state(batch))
    given_state, weights = tree_map(np.copy, state), cell.flat_value.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "_compiled", COMPILED if compiled else None)
        y, found = cell.take_step(x, state)
    _, expected, _ = cell.step_forward(x, state, training=False)
    assert y is found[0]
    for name, (array, right) in enumerate(zip(found, expected, strict=True)):
        assert array.dtype == dtype
        close(array, right, allowed, f"state[{name}]")
    tree_map(np.testing.assert_array_equal, state, given_state)
    np.testing.assert_array_equal(cell.flat_value, weights)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("compiled", [False, True])
def test_through_a_row_of_no_steps_anything_passes(
    pair: tuple[Make, Make], compiled: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a trace in the gradients that all rows share."""
    monkeypatch.setattr(backends, "_compiled", COMPILED if compiled else None)
    for make in pair:
        cell = make(3, 4, rng=rng)
        ys, state, cache = cell.forward(np.ones((5, 2, 3), np.float32), lengths=np.array([0, 4]))
        dstate = tree_map(lambda array: np.array([[np.inf], [1]], np.float32) + array, state)
        _, before = cell.backward(ys, dstate, cache)
        for array in before:
            assert (array[0] == np.inf).all()
            assert np.isfinite(array[1]).all()
        assert np.isfinite(cell.flat_grad).all()
