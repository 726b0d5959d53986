from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn import forecast
from tinygrad_rnn.core.states import tree_map
from tinygrad_rnn.testing import StrictDevice

T, B, D, STEPS = 9, 3, 2, 5


class Normal:
    """Mean and log-variance."""

    def mean(self, ys: Any) -> Any:
        return ys[..., : ys.shape[-1] // 2]

    def sample(self, ys: Any, rng: np.random.Generator) -> Any:
        half = ys.shape[-1] // 2
        xp = rnn.namespace(ys)
        noise = rng.standard_normal((*ys.shape[:-1], half))
        noise = StrictDevice().asarray(noise) if xp is not np else noise
        return ys[..., :half] + xp.exp(0.5 * ys[..., half:]) * noise


def network(in_size: int = D, out_size: int = D) -> rnn.Sequential:
    rng = np.random.default_rng(1)
    drop = rnn.LockedDropout(0.5, rng=rng)
    model = rnn.Sequential(rnn.GRUCell(in_size, 6, rng=rng), drop, rnn.Linear(6, out_size, rng=rng))
    return model.to(dtype="float64")


def series(rng: np.random.Generator, features: int = D) -> Any:
    return rng.standard_normal((T, B, features))


def from_scratch(model: Any, xs: Any, steps: int, state: Any = None, future: Any = None) -> Any:
    """Each value from one run over the series and all values before it."""
    values: list[Any] = []
    for _ in range(steps):
        fed = [y if future is None else np.concatenate([y, future[t]], axis=-1) for t, y in enumerate(values)]
        ys, _ = model(np.concatenate([xs, np.reshape(fed, (len(fed), *xs.shape[1:]))]), state)
        values.append(ys[-1])
    return np.stack(values)


def test_each_value_is_the_output_after_all_before_it(rng: np.random.Generator) -> None:
    model, xs = network(), series(rng)
    _, before = model(series(rng))
    for state in (None, before):
        ys, _ = forecast(model, xs, steps=STEPS, state=state)
        np.testing.assert_allclose(ys, from_scratch(model, xs, STEPS, state), rtol=1e-12)
        assert len(np.unique(ys)) == STEPS * B * D


def test_a_forecast_goes_on_from_its_state(rng: np.random.Generator) -> None:
    model, xs = network(), series(rng)
    whole, end = forecast(model, xs, steps=STEPS)
    first, state = forecast(model, xs, steps=2)
    second, same = forecast(model, first[-1:], steps=STEPS - 2, state=state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), same, end)


def test_what_is_known_of_the_future_is_appended(rng: np.random.Generator) -> None:
    model, xs, future = network(D + 2), series(rng, D + 2), rng.standard_normal((STEPS - 1, B, 2))
    ys, _ = forecast(model, xs, steps=STEPS, future=future)
    np.testing.assert_allclose(ys, from_scratch(model, xs, STEPS, None, future), rtol=1e-12)
    more, _ = forecast(model, xs, steps=STEPS, future=np.concatenate([future, future * np.nan]))
    np.testing.assert_array_equal(more, ys)


def test_the_mean_of_a_distribution_is_fed_back(rng: np.random.Generator) -> None:
    model, xs = network(D, 2 * D), series(rng)

    class Half(rnn.Feedforward):
        def forward(self, x: Any, *, training: bool = True) -> Any:
            return x[..., :D], None

        def backward(self, dy: Any, cache: Any) -> Any:
            raise AssertionError

    ys, _ = forecast(model, xs, steps=STEPS, criterion=Normal())
    np.testing.assert_array_equal(ys, forecast(rnn.Sequential(*model.layers, Half()), xs, steps=STEPS)[0])


def test_each_sample_is_fed_back_on_its_own(rng: np.random.Generator) -> None:
    """All samples side by side are what one forecast of so many equal rows draws, and each row follows its own."""
    S = 4
    model, xs, future = network(D + 1, 2 * D), series(rng, D + 1), rng.standard_normal((STEPS, B, 1))
    options: Any = {"steps": STEPS, "criterion": Normal(), "samples": S}
    ys, state = forecast(model, xs, future=future, rng=np.random.default_rng(5), **options)
    assert ys.shape == (S, STEPS, B, D)
    assert state[0][0].shape == (S * B, 6)
    draws = np.random.default_rng(5)
    states: list[list[Any]] = [[None] * B for _ in range(S)]
    for t in range(STEPS):
        noise = draws.standard_normal((S * B, D)).reshape(S, B, D)
        for s in range(S):
            for b in range(B):
                x = xs[:, b : b + 1] if t == 0 else np.r_[ys[s, t - 1, b], future[t - 1, b]][None, None]
                output, states[s][b] = model(x, states[s][b])
                mean, log_variance = output[-1, 0, :D], output[-1, 0, D:]
                np.testing.assert_allclose(ys[s, t, b], mean + np.exp(log_variance / 2) * noise[s, b], rtol=1e-12)
                if t == STEPS - 1:
                    np.testing.assert_allclose(state[0][0][s * B + b], states[s][b][0][0][0], rtol=1e-12)
    last = ys[:, -1].reshape(1, S * B, D)
    last = np.concatenate([last, np.tile(future[-1:], (1, S, 1))], axis=-1)
    forecast(model, last, steps=1, state=state, criterion=Normal())


def test_the_samples_are_those_of_the_seed(rng: np.random.Generator) -> None:
    model, xs = network(D, 2 * D), series(rng)
    options: Any = {"steps": STEPS, "criterion": Normal(), "samples": 2}
    one, two, other = (forecast(model, xs, rng=np.random.default_rng(seed), **options)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.isin(one, other).any()


def test_series_of_different_lengths(rng: np.random.Generator) -> None:
    model, xs, lengths = network(), series(rng), np.array([4, 9, 1])
    _, state = model(xs, lengths=lengths - 1)
    ys, _ = forecast(model, xs[lengths - 1, np.arange(B)][None], steps=STEPS, state=state)
    for b, n in enumerate(lengths):
        alone, _ = forecast(model, xs[:n, b : b + 1], steps=STEPS)
        np.testing.assert_allclose(ys[:, b : b + 1], alone, rtol=1e-12)


def test_nothing_is_drawn_or_changed(rng: np.random.Generator) -> None:
    model, xs = network(), series(rng)
    (before,) = (generator.bit_generator.state for generator in model.generators().values())
    _, state = model(xs)
    kept = xs.copy(), state[0][0].copy()
    ys, _ = forecast(model, xs, steps=STEPS, state=state)
    np.testing.assert_array_equal(ys, forecast(model, xs, steps=STEPS, state=state)[0])
    (after,) = (generator.bit_generator.state for generator in model.generators().values())
    assert before == after
    np.testing.assert_array_equal(xs, kept[0])
    np.testing.assert_array_equal(state[0][0], kept[1])
    assert all(parameter._grad is None for parameter in model.parameters())


def test_a_model_on_another_device(rng: np.random.Generator) -> None:
    model, xs, future = network(D + 1, 2 * D), series(rng, D + 1), rng.standard_normal((STEPS, B, 1))
    options: Any = {"steps": STEPS, "criterion": Normal()}
    given: list[Any] = [{}, {"samples": 3}]
    here = [forecast(model, xs, future=future, rng=np.random.default_rng(1), **options, **more) for more in given]
    device = StrictDevice()
    model.to(device)
    xs, future = device.asarray(xs), device.asarray(future)
    for more, (ys, _) in zip(given, here, strict=True):
        there, _ = forecast(model, xs, future=future, rng=np.random.default_rng(1), **options, **more)
        np.testing.assert_array_equal(device.to_host(there), ys)


def test_a_long_series_takes_little_memory(rng: np.random.Generator) -> None:
    model = rnn.Sequential(rnn.RNNCell(1, 128, rng=rng), rnn.Linear(128, 1, rng=rng))
    xs = rng.standard_normal((100_000, 1, 1)).astype("f4")
    tracemalloc.start()
    ys, _ = forecast(model, xs, steps=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    np.testing.assert_allclose(ys[0], model(xs)[0][-1], rtol=1e-5)


def test_one_step_needs_no_input_of_the_outputs_size(rng: np.random.Generator) -> None:
    model, xs = network(D, 7), series(rng)
    ys, _ = forecast(model, xs, steps=1)
    np.testing.assert_array_equal(ys, model(xs)[0][-1:])


def test_a_batch_of_none() -> None:
    options: Any = {"criterion": Normal(), "samples": 2, "rng": np.random.default_rng(0)}
    ys, _ = forecast(network(D, 2 * D), np.zeros((T, 0, D)), steps=STEPS, **options)
    assert ys.shape == (2, STEPS, 0, D)


GENERATOR = np.random.default_rng(0)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": rnn.Tanh()}, TypeError, "forecast: model must be a Recurrent, such as Sequential, not Tanh()"),
        ({"model": rnn.Sequential(rnn.OneHot(3))}, TypeError, "takes ids, not numbers: use generate"),
        (
            {"model": rnn.Bidirectional(*(rnn.RNNCell(D, 1, rng=GENERATOR).to(dtype="float64") for _ in range(2)))},
            ValueError,
            "has no step: its outputs depend on later inputs",
        ),
        ({"xs": [1.0, 2.0]}, TypeError, "forecast: xs is a list, not an array"),
        ({"xs": np.zeros((T, D))}, ValueError, "forecast: xs has shape (9, 2), expected (T, B, D)"),
        ({"xs": np.zeros((0, B, D))}, ValueError, "forecast: xs has shape (0, 3, 2), expected (T, B, D), a series of"),
        ({"xs": np.zeros((T, B, D), "f4")}, TypeError, "xs is float32, but the parameters are float64"),
        ({"xs": np.zeros((T, B, 1))}, ValueError, "xs has shape (9, 3, 1), but its last axis must have size 2"),
        ({"state": ()}, TypeError, "state must be"),
        ({"steps": 0}, ValueError, "forecast: steps must be at least 1, not 0"),
        ({"steps": 2.0}, TypeError, "forecast: steps must be an integer, not 2.0"),
        ({"future": np.zeros((2, B, 1), "f4")}, TypeError, "future is float32, but the parameters are float64"),
        (
            {"future": np.zeros((3, B, 1))},
            ValueError,
            "forecast: future has shape (3, 3, 1), expected (N, 3, C) with N at least 4: a row for each of 5 values",
        ),
        ({"future": np.zeros((4, 1, 1))}, ValueError, "forecast: future has shape (4, 1, 1), expected (N, 3, C)"),
        (
            {"future": np.zeros((4, B, 1))},
            ValueError,
            "forecast: the next input would have 3 features, 2 of the value that the model gave and 1 of future, but "
            "xs has 2. Give the features",
        ),
        ({"model": network(D, 2 * D)}, ValueError, "forecast: the next input would have 4 features, 4 of the value"),
        (
            {"criterion": rnn.MeanSquaredError()},
            TypeError,
            "forecast: criterion must be a loss with mean and sample, such as GaussianNLL, not MeanSquaredError(",
        ),
        ({"samples": 2, "rng": GENERATOR}, ValueError, "forecast: samples need criterion"),
        ({"samples": 0, "criterion": Normal()}, ValueError, "forecast: samples must be at least 1, not 0"),
        ({"samples": 2, "criterion": Normal()}, TypeError, "forecast: rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"model": network(), "xs": np.zeros((T, B, D)), "steps": STEPS, **arguments}
    with pytest.raises(error, match=re.escape(message)):
        forecast(given.pop("model"), given.pop("xs"), **given)
