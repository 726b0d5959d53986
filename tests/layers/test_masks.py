"""What all layers that draw masks share: `Dropout`, `LockedDropout`, `Zoneout` and `DropConnect`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    DropConnect,
    Dropout,
    LayerNormLSTMCell,
    Linear,
    LockedDropout,
    OneHot,
    RNNCell,
    Sequential,
    Zoneout,
    load,
    part_of_batch,
    save,
)
from tinygrad_rnn.core.states import tree_map
from tinygrad_rnn.layers.masks import dropout_mask, random_mask
from tinygrad_rnn.testing import StrictDevice

MAKERS: dict[str, Callable[..., Any]] = {
    "Dropout": lambda rate, rng: Dropout(rate, rng=rng),
    "LockedDropout": lambda rate, rng: LockedDropout(rate, rng=rng),
    "Zoneout": lambda rate, rng: Zoneout(RNNCell(5, 4, rng=np.random.default_rng(9)), rate, rng=rng),
    "DropConnect": lambda rate, rng: DropConnect(RNNCell(5, 4, rng=np.random.default_rng(9)), rate, rng=rng),
}
every_layer = pytest.mark.parametrize("name", MAKERS)

XS: Any = np.random.default_rng(1).standard_normal((6, 3, 5))


def made(name: str, rate: float = 0.5, dtype: str = "float64") -> Any:
    return MAKERS[name](rate, np.random.default_rng(0)).to(dtype=dtype)


def masks(name: str, cache: Any) -> Any:
    """Of all that a forward of a whole sequence drew."""
    if name == "Dropout":
        return cache
    if name == "Zoneout":
        return np.stack([step.keep[0] for step in cache.inner.steps])
    return cache.inner if name == "LockedDropout" else cache.inner.mask


def drawn(name: str, layer: Any, xs: Any) -> Any:
    return masks(name, layer.forward(xs)[-1])


def position(layer: Any) -> Any:
    return {name: stream.bit_generator.state for name, stream in layer.generators().items()}


def test_a_random_mask_is_1_with_its_probability_in_the_dtype_that_is_asked_for() -> None:
    for probability in (0.0, 0.25, 1.0):
        for dtype in ("float32", "float64"):
            like: Any = np.zeros((), dtype)
            mask = random_mask(np.random.default_rng(0), probability, (100, 100), like)
            assert (mask.dtype, mask.shape) == (np.dtype(dtype), (100, 100))
            assert set(mask.ravel().tolist()) <= {0.0, 1.0}
            assert abs(mask.mean() - probability) < 0.02


def test_a_dropout_mask_is_scaled_to_a_mean_of_1() -> None:
    like: Any = np.zeros((), np.float32)
    mask: Any = dropout_mask(np.random.default_rng(0), 0.2, (200, 200), like, True)
    assert set(mask.ravel().tolist()) == {0.0, 1.25}
    assert abs(mask.mean() - 1) < 0.01


@every_layer
def test_the_stream_is_spawned_so_that_what_follows_is_drawn_as_without_the_layer(name: str) -> None:
    rng = np.random.default_rng(0)
    MAKERS[name](0.5, rng).to(dtype="float64").forward(XS)
    assert rng.random() == np.random.default_rng(0).random()


@every_layer
def test_the_share_of_what_is_drawn_is_the_rate(name: str) -> None:
    layer = made(name, 0.2)
    if name == "Zoneout":
        kept = np.mean([drawn(name, layer, XS).mean() for _ in range(200)])
        assert abs(kept - 0.2) < 0.01
        return
    every = np.stack([drawn(name, layer, XS) for _ in range(1000)])
    assert set(every.ravel().tolist()) == {0.0, 1.25}
    assert abs((every == 0).mean() - 0.2) < 0.02


@every_layer
def test_each_call_draws_anew(name: str) -> None:
    layer = made(name)
    assert (drawn(name, layer, XS) != drawn(name, layer, XS)).any()


@every_layer
def test_layers_of_equal_seeds_draw_the_same_and_of_one_rng_do_not(name: str) -> None:
    np.testing.assert_array_equal(drawn(name, made(name), XS), drawn(name, made(name), XS))
    rng = np.random.default_rng(0)
    one, other = (MAKERS[name](0.5, rng).to(dtype="float64") for _ in range(2))
    assert (drawn(name, one, XS) != drawn(name, other, XS)).any()


@every_layer
def test_masks_are_the_same_in_every_dtype_and_on_every_device(name: str) -> None:
    expected = drawn(name, made(name, 0.3), XS)
    single = drawn(name, made(name, 0.3, "float32"), XS.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, expected.astype("float32"))
    device = StrictDevice()
    cache = made(name, 0.3).to(device).forward(device.asarray(XS))[-1]
    if name == "Zoneout":
        on_device = np.stack([device.to_host(step.keep[0]) for step in cache.inner.steps])
    else:
        on_device = device.to_host(masks(name, cache))
    np.testing.assert_array_equal(on_device, expected)


@every_layer
def test_at_inference_nothing_is_drawn_and_all_calls_are_alike(name: str) -> None:
    layer = made(name)
    before = copy.deepcopy(position(layer))
    first = layer(XS)
    tree_map(np.testing.assert_array_equal, first, layer(XS))
    if name != "Dropout":
        tree_map(np.testing.assert_array_equal, layer.step(XS[0], None), layer.step(XS[0], None))
    assert position(layer) == before
    layer.forward(XS)
    assert position(layer) != before  # training does draw
    tree_map(np.testing.assert_array_equal, first, layer(XS))


@every_layer
def test_a_rate_of_0_draws_nothing_in_training_either(name: str) -> None:
    layer = made(name, 0.0)
    before = copy.deepcopy(position(layer))
    out = layer.forward(XS)
    assert position(layer) == before
    np.testing.assert_array_equal(out[0], layer(XS) if name == "Dropout" else layer(XS)[0])


@every_layer
def test_a_rate_that_is_a_scalar_of_numpy_spreads_no_dtype(name: str) -> None:
    layer: Any = MAKERS[name](np.float64(0.5), np.random.default_rng(0))
    xs = XS.astype("float32")
    for training in (True, False):
        assert layer.forward(xs, training=training)[0].dtype == np.float32


def model(seed: int) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        OneHot(5),
        Linear(5, 6, rng=rng),
        LockedDropout(0.3, rng=rng),
        Zoneout(LayerNormLSTMCell(6, 4, rng=rng), (0.2, 0.4), rng=rng),
        Dropout(0.5, rng=rng),
        DropConnect(RNNCell(4, 4, rng=rng), 0.4, rng=rng),
        Linear(4, 5, rng=rng),
    )


def test_a_model_that_was_saved_and_loaded_goes_on_with_the_same_masks(tmp_path: Path) -> None:
    ids, trained = np.array([[0, 1], [2, 3], [4, 0]]), model(3)
    trained.forward(ids)
    save(tmp_path / "model.safetensors", trained)
    loaded = load(tmp_path / "model.safetensors").model
    assert repr(loaded) == repr(trained)
    assert set(loaded.generators()) == {"layers.2.rng", "layers.3.rng", "layers.4.rng", "layers.5.rng"}
    for _ in range(3):
        ys, state, _ = trained.forward(ids)
        again, after, _ = loaded.forward(ids)
        np.testing.assert_array_equal(again, ys)
        tree_map(np.testing.assert_array_equal, after, state)


@pytest.mark.messages
@every_layer
@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_a_rate_that_is_no_probability_is_told_the_range(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}: rate(s\[0\])? must be 0 to below 1, not {rate}$"):
        made(name, rate)


@pytest.mark.messages
@every_layer
def test_a_rate_that_is_no_number_is_told_so(name: str) -> None:
    wrong: Any = "0.5"
    with pytest.raises(TypeError, match=rf"{name}: rate(s\[0\])? must be a number, not '0.5'$"):
        made(name, wrong)


@pytest.mark.messages
@every_layer
def test_an_rng_that_is_none_is_told_which_to_give(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: rng must be a numpy.random.Generator"):
        MAKERS[name](0.5, 0)


def there_and_back(layer: Any, xs: Any, dys: Any) -> tuple[Any, Any]:
    """The outputs, and the gradient w.r.t. `xs`."""
    ys, *_, cache = layer.forward(xs)
    return ys, layer.backward(dys, cache) if isinstance(layer, Dropout) else layer.backward(dys, None, cache)[0]


@every_layer
@pytest.mark.parametrize("ends", [(0, 1, 3), (0, 2, 3), (0, 0, 3), (0, 1, 2, 3)])
def test_the_parts_of_a_batch_together_are_the_batch(name: str, ends: tuple[int, ...]) -> None:
    dys = np.random.default_rng(2).standard_normal((6, 3, made(name).out_size or 5))
    whole = there_and_back(made(name), XS, dys)
    parts = []
    for first, end in pairwise(ends):
        with part_of_batch(first, 3):
            parts.append(there_and_back(made(name), XS[:, first:end], dys[:, first:end]))
    for found, right in zip(zip(*parts, strict=True), whole, strict=True):
        np.testing.assert_allclose(np.concatenate(found, 1), right, rtol=0, atol=1e-15)
    assert_whole_again(name)


def assert_whole_again(name: str) -> None:
    """After a part, a batch is a whole one, even if there was an error."""
    with (
        pytest.raises(ValueError, match=r"^part_of_batch: rows 1 to 3 were given, but total is 3$"),
        part_of_batch(1, 3),
    ):
        random_mask(np.random.default_rng(0), 0.5, (6, 3, 5), XS)
    np.testing.assert_array_equal(drawn(name, made(name), XS), drawn(name, made(name), XS))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("first", "total", "error", "words"),
    [
        (-1, 3, ValueError, "first must be at least 0, not -1"),
        (4, 3, ValueError, "first must be at most total, 3, not 4"),
        (0, -1, ValueError, "total must be at least 0, not -1"),
        (0.5, 3, TypeError, "first must be an integer, not 0.5"),
    ],
)
def test_a_part_lies_in_the_batch(first: Any, total: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^part_of_batch: {words}$"), part_of_batch(first, total):
        pass
