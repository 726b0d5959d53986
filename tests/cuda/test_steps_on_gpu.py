"""The loss and the optimizers on a GPU, in few operations, against the CPU. Where there is no GPU, that is skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn import OneHotRows
from tinygrad_rnn.kernels.products import add_gradient
from tinygrad_rnn.layers.masks import random_mask

T, B, V = 5, 3, 70
NAN = float("nan")
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD": rnn.SGD,
    "momentum": lambda model, lr, **more: rnn.SGD(model, lr, momentum=0.9, **more),
    "Nesterov": lambda model, lr, **more: rnn.SGD(model, lr, momentum=0.9, nesterov=True, **more),
    "Adagrad": rnn.Adagrad,
    "RMSprop": rnn.RMSprop,
    "Adam": rnn.Adam,
    "AdamW": rnn.AdamW,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "norm": {"clip": rnn.ClipNorm(0.5)},
    "value": {"clip": rnn.ClipValue(0.3)},
    "both": {"clip": [rnn.ClipNorm(0.5), rnn.ClipValue(0.1)]},
    "value first": {"clip": [rnn.ClipValue(0.1), rnn.ClipNorm(0.5)]},
    "decay": {"decay": 0.1, "rates": {"layers.0": 0.5}},
    "frozen": {"rates": {"layers.0.b": 0.0, "layers.1.b": 0.5}, "clip": rnn.ClipNorm(0.5)},
    "frozen end": {"rates": {"layers.1": 0.0}, "clip": rnn.ClipNorm(0.5)},
    "huge": {"clip": rnn.ClipNorm(1e300)},
}


def close(device: Any, found: Any, right: Any, allowed: float = 1e-12) -> None:
    found, right = device.to_host(found), np.asarray(right)
    assert (found.shape, found.dtype) == (right.shape, right.dtype)
    np.testing.assert_allclose(found, right, rtol=allowed, atol=allowed)


@np.errstate(over="ignore", invalid="ignore")
def trained(device: Any, make: Any, nonfinite: str, bad: dict[int, float], **settings: Any) -> tuple[Any, list[Any]]:
    """The optimizer, and everything after each of four steps, of which `bad` ones have such a number."""
    rng = np.random.default_rng(0)
    model: Any = rnn.Sequential(rnn.Linear(3, 40, rng=rng), rnn.Linear(40, 2, rng=rng)).to(device, "float64")
    optimizer, found = make(model, 0.1, nonfinite=nonfinite, **settings), []
    for step in range(4):
        model.zero_grad()
        for p in model.parameters():
            p.grad += model.device.asarray(rng.standard_normal(p.shape) * (1e200 if step == 3 else 1))
        if step in bad:
            model.layers[0].w.grad[1, 2] = bad[step]
        optimizer.step()
        arrays = [model.flat_value, model.flat_grad, *optimizer._state().values(), optimizer.last_norm]
        found += [array.copy() for array in arrays if array is not None]
    return optimizer, found


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_does_what_it_does_on_the_cpu(device: Any, name: str, settings: str) -> None:
    (_, there), (_, here) = (
        trained(on, OPTIMIZERS[name], "refuse", {}, **SETTINGS[settings]) for on in (device, "cpu")
    )
    for found, right in zip(there, here, strict=True):
        close(device, found, right)


class Opposite(rnn.SGD):
    """An update of one's own, of which the kernels know nothing."""

    def _update(self, value: Any, grad: Any, lr: float, step: int, part: slice) -> None:
        value[part] += lr * grad[part]


def test_an_update_of_ones_own_is_honoured(device: Any) -> None:
    layer = rnn.Linear(3, 2, rng=np.random.default_rng(0)).to(device)
    before = device.to_host(layer.b.value).copy()
    layer.b.grad[...] = 1
    Opposite(layer, 0.5, clip=rnn.ClipNorm(10.0)).step()
    close(device, layer.b.value, before + np.float32(0.5))


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("settings", ["plain", "norm", "value first", "frozen"])
def test_a_gradient_that_is_not_finite_is_left_out(device: Any, settings: str, bad: float) -> None:
    more = SETTINGS[settings]
    for nonfinite in ("skip", "propagate"):
        (a, there), (b, here) = (trained(on, rnn.Adam, nonfinite, {1: bad}, **more) for on in (device, "cpu"))
        assert (a.skipped, a.steps) == (b.skipped, b.steps) == (int(nonfinite == "skip"), 4)
        states = range(0, len(there), len(there) // 4)  # without the gradient, which a GPU sets to 0
        for i in states:
            close(device, there[i], here[i])
    optimizer, there = trained(device, rnn.Adam, "refuse", {1: bad, 3: bad}, **more)
    _, here = trained("cpu", rnn.Adam, "refuse", {}, **more)
    for i, right in zip(range(0, len(there), len(there) // 4), [0, 0, 0, 0], strict=True):
        close(device, there[i], here[right])  # as after the first step
    with pytest.raises(
        FloatingPointError, match=r"Adam: the gradient of layers.0.w, of Linear\(3, 40\), is not finite"
    ):
        optimizer.check()
    assert optimizer.steps == 1
    optimizer.model.zero_grad()
    optimizer.step()
    optimizer.check()


@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"class_weights": tuple(np.arange(V) % 3.0)}])
def test_cross_entropy_is_that_of_the_cpu(
    device: Any, options: dict[str, Any], reduction: str, dtype: str, allowed: float
) -> None:
    rng = np.random.default_rng(0)
    ys = (4 * rng.standard_normal((T, B, V))).astype(dtype)
    lengths, weights = np.array([5, 0, 3]), rng.random((T, B)) * (rng.random((T, B)) > 0.3)
    ys[4, 2] = NAN  # past a row's end
    for targets in (rng.integers(-1, V, (T, B)), rng.integers(0, V, (T, B)).astype("uint8")):
        for given in ({"lengths": lengths}, {"lengths": lengths, "weights": weights}, {}):
            logits = ys if given else np.nan_to_num(ys)
            criteria = [rnn.SoftmaxCrossEntropy(reduction=reduction, **options).to(on) for on in (device, "cpu")]
            moved = {name: device.asarray(array) for name, array in given.items()}
            loss, cache = criteria[0].forward(device.asarray(logits), device.asarray(targets), **moved)
            right, cache_here = criteria[1].forward(logits, targets, **given)
            close(device, loss, right, allowed)
            close(device, criteria[0].count(cache), criteria[1].count(cache_here), allowed)
            upstream = rng.standard_normal(right.shape).astype(dtype)
            if reduction == "none":
                upstream[right == 0] = NAN  # of tokens that do not count
            for dloss in (None, 0.5, upstream):
                there = device.asarray(dloss) if hasattr(dloss, "shape") else dloss
                found, expected = (
                    criteria[0].backward(cache, there),
                    criteria[1].backward(cache_here, np.asarray(dloss) if hasattr(dloss, "shape") else dloss),
                )
                close(device, found, expected, allowed)


def test_an_id_outside_shows_in_the_loss(device: Any) -> None:
    criterion = rnn.SoftmaxCrossEntropy()
    loss, cache = criterion.forward(device.asarray(np.zeros((2, 4))), device.asarray(np.array([1, 4])))
    assert np.isnan(device.to_host(loss))
    dys = device.to_host(criterion.backward(cache))
    assert np.isnan(dys[1]).all()
    assert np.isfinite(dys[0]).all()


@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize(
    ("V", "N", "M", "ids"),
    [(5, 7, 3, "int64"), (65, 300, 130, "int32"), (3000, 50, 10, "int64"), (1, 40, 200, "uint8"), (7, 0, 3, "int64")],
)
def test_the_gradient_of_a_table_is_the_sum_by_id(
    device: Any, V: int, N: int, M: int, ids: str, dtype: str, allowed: float
) -> None:
    rng = np.random.default_rng(0)
    here, d = rng.integers(0, V, N).astype(ids), rng.standard_normal((N, M)).astype(dtype)
    total = np.ones((V, 2 * M), dtype)
    there = device.asarray(total)
    add_gradient(there[:, M:], OneHotRows(device.asarray(here), V), device.asarray(d))
    np.add.at(total[:, M:], here, d)
    close(device, there, total, allowed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3, 5), (64, 32, 17)])
def test_a_mask_is_that_of_the_cpu(device: Any, shape: tuple[int, ...], dtype: str) -> None:
    here, there = (np.random.default_rng(3) for _ in range(2))
    for probability in (0.0, 0.3, 1.0):
        right = random_mask(here, probability, shape, np.zeros((), dtype), 1.7)
        found = random_mask(there, probability, shape, device.asarray(np.zeros((), dtype)), 1.7)
        assert (found.shape, found.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(device.to_host(found), right)
