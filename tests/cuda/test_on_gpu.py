"""The kernels on a GPU, against the CPU, as cells run them. Where there is no GPU, that is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Device,
    GRUCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    OneHotRows,
    RNNCell,
    gpu_kernels,
    namespace,
    set_gpu_kernels,
)
from tinygrad_rnn.core.states import tree_map

MAKERS = [
    RNNCell,
    partial(RNNCell, nonlinearity="relu"),
    partial(RNNCell, bias=False),
    GRUCell,
    partial(GRUCell, bias=False),
    LSTMCell,
    partial(LSTMCell, peepholes=True),
    partial(LSTMCell, coupled=True),
    partial(LSTMCell, peepholes=True, coupled=True, bias=False),
    MinGRUCell,
    partial(MinLSTMCell, candidate="positive"),
    LRUCell,
]
SIZES = [(1, 1, 1, 1), (5, 3, 4, 7), (4, 33, 3, 5), (0, 3, 2, 3), (3, 0, 2, 3), (6, 70, 5, 9), (3, 2, 2, 270)]


@pytest.fixture(params=["plain", "fused", "persistent"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    set_gpu_kernels(request.param)
    yield request.param
    set_gpu_kernels("auto")


@pytest.mark.parametrize(("T", "B", "D", "H"), SIZES)
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("make", MAKERS)
def test_it_computes_what_the_cpu_does(
    device: Device, kind: str, make: Callable[..., Any], dtype: str, allowed: float, T: int, B: int, D: int, H: int
) -> None:
    for lengths, starts, one_hot in np.ndindex(2, 2, 2):
        here, there = (outcome(on, make, dtype, (T, B, D, H), lengths, starts, one_hot) for on in ("cpu", device))
        for right, found in zip(here, there, strict=True):
            most = max(1, abs(right).max(initial=0))
            np.testing.assert_allclose(device.to_host(found), right, rtol=0, atol=allowed * most)


def outcome(
    device: Any, make: Callable[..., Any], dtype: str, sizes: tuple[int, ...], lengths: int, starts: int, one_hot: int
) -> list[Any]:
    """All that comes out of a forward and a backward on a device."""
    (T, B, D, H), rng = sizes, np.random.default_rng(0)
    cell = make(D, H, rng=rng).to(dtype=dtype)
    cell.flat_value[...] = rng.standard_normal(cell.flat_value.shape) / max(2, H**0.5)
    values = [rng.standard_normal(shape).astype(dtype) for shape in ((T, B, D), (T, B, H))]
    states = [tuple(rng.standard_normal((B, H)).astype(dtype) for _ in cell.state_spec) for _ in range(2)]
    ids, ends, begins = rng.integers(0, D, (T, B)), rng.integers(0, T + 1, B), rng.random((T, B)) < 0.3
    cell = cell.to(device)
    move = Device("cpu").asarray if device == "cpu" else device.asarray
    (xs, dys), (state, dstate) = map(move, values), (tree_map(move, tree) for tree in states)
    options = {"lengths": move(ends) if lengths else None, "starts": move(begins) if starts else None}
    ys, after, cache = cell.forward(OneHotRows(move(ids), D) if one_hot else xs, state, **options)
    cell.flat_grad[...] = 1
    dxs, before = cell.backward(dys, dstate, cache)
    return [ys, *after, *before, cell.flat_grad, *([] if dxs is None else [dxs])]


@pytest.mark.parametrize("make", [RNNCell, GRUCell, LSTMCell])
def test_a_cache_of_any_layout(device: Device, kind: str, make: Callable[..., Any], rng: np.random.Generator) -> None:
    cell = make(3, 4, rng=rng).to(device)
    ys, _, cache = cell.forward(device.asarray(rng.standard_normal((5, 2, 3)).astype("float32")))
    expected, _ = cell.backward(ys, None, cache)
    xp = namespace(ys)
    steps = type(cache.inner.steps)(*map(xp.asfortranarray, cache.inner.steps))
    inner = cache.inner._replace(steps=steps)
    found, _ = cell.backward(xp.asfortranarray(ys), None, cache._replace(inner=inner))
    np.testing.assert_allclose(device.to_host(found), device.to_host(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [GRUCell, LSTMCell])
def test_a_memory_behind_an_open_gate_is_kept(device: Device, kind: str, make: Callable[..., Any]) -> None:
    """To the bit, whatever comes."""
    rng = np.random.default_rng(0)
    cell, H = make(1, 4, rng=rng), 4
    if make is LSTMCell:
        cell.b.value[:H], cell.b.value[H : 2 * H] = -50, 50  # nothing enters, nothing is forgotten
    else:
        cell.b.value[H : 2 * H] = 50
    cell.to(device)
    memory = rng.uniform(-1, 1, (1, H)).astype("float32")
    state = tuple(device.asarray(memory) for _ in cell.state_sizes)
    _, after = cell(device.asarray(rng.standard_normal((50, 1, 1)).astype("float32")), state)
    if kind != "plain" or make is LSTMCell:  # step by step, a GRU rounds the sum
        np.testing.assert_array_equal(device.to_host(after[-1]), memory)


def test_the_kind_is_told(device: Device, kind: str, rng: np.random.Generator) -> None:
    assert gpu_kernels(LSTMCell(2, 3, rng=rng).to(device).w_h.value, 4) == kind
