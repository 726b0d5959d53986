"""Whole numbers: the C computes what `Quantized` does, to the bit, and that is near to the model."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from compiling import SANITIZED, build, run_c, self_test
from tinygrad_rnn.interop import quality, quantize, to_c
from tinygrad_rnn.interop.quantized import arithmetic

V = 30


def tied(rng: Any) -> rnn.Sequential:
    table = rnn.Embedding(V, 12, rng=rng)
    return rnn.Sequential(table, rnn.RNNCell(12, 12, rng=rng), rnn.TiedLinear(table))


class LearntLSTM(rnn.LSTMCell):
    """An LSTM that begins with a state of its own."""

    def __init__(self, in_size: int, out_size: int, *, rng: Any) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h_0 = rnn.Parameter(rng.normal(size=out_size).astype("float32"))

    @property
    def state_spec(self) -> Any:
        return rnn.Leaf("h", (self.out_size,), self.h_0), rnn.Leaf("c", (self.out_size,), -0.5)


MODELS: dict[str, Any] = {
    "RNN tanh": lambda rng: rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 17, rng=rng), rnn.Linear(17, V, rng=rng)),
    "RNN relu": lambda rng: rnn.Sequential(rnn.RNNCell(5, 9, rng=rng, nonlinearity="relu"), rnn.ReLU()),
    "LSTM": lambda rng: rnn.Sequential(
        rnn.Embedding(V, 6, rng=rng), rnn.LSTMCell(6, 21, rng=rng), rnn.Linear(21, V, rng=rng), rnn.Softmax()
    ),
    "LSTM learnt": lambda rng: LearntLSTM(4, 8, rng=rng),
    "GRU after": lambda rng: rnn.Sequential(rnn.OneHot(V), rnn.GRUCell(V, 16, rng=rng), rnn.GRUCell(16, 7, rng=rng)),
    "GRU before": lambda rng: rnn.Sequential(rnn.GRUCell(3, 18, rng=rng, reset="before"), rnn.Linear(18, 2, rng=rng)),
    "LSTM options": lambda rng: rnn.Sequential(
        rnn.OneHot(V),
        rnn.LSTMCell(V, 9, rng=rng, peepholes=True),
        rnn.LSTMCell(9, 7, rng=rng, peepholes=True, coupled=True, bias=False),
        rnn.LSTMCell(7, 5, rng=rng, coupled=True),
    ),
    "no biases": lambda rng: rnn.Sequential(
        rnn.RNNCell(3, 5, rng=rng, bias=False),
        rnn.GRUCell(5, 6, rng=rng, bias=False),
        rnn.GRUCell(6, 4, rng=rng, reset="before", bias=False),
    ),
    "LayerNormLSTM": lambda rng: rnn.Sequential(
        rnn.OneHot(V), rnn.LayerNormLSTMCell(V, 11, rng=rng), rnn.Linear(11, V, rng=rng)
    ),
    "series": lambda rng: rnn.Sequential(
        rnn.Standardize((1.0, -2.0, 30.0), (1.0, 0.5, 7.0), gaps="mark"),
        rnn.Sequential(rnn.Linear(6, 10, rng=rng), rnn.Tanh(), rnn.LayerNorm(10)),
        rnn.Residual(rnn.LSTMCell(10, 10, rng=rng)),
        rnn.Residual(rnn.LayerNorm(10, bias=False), rnn.Residual(rnn.Linear(10, 10, rng=rng)), rnn.Sigmoid()),
        rnn.Linear(10, 1, rng=rng),
    ),
    "tied": tied,
    "softmax within": lambda rng: rnn.Sequential(
        rnn.Linear(3, 5, rng=rng), rnn.Softmax(), rnn.RNNCell(5, 4, rng=rng), rnn.Sigmoid()
    ),
    "one layer": lambda rng: rnn.Embedding(V, 3, rng=rng),
}


def made(name: str) -> Any:
    """A model whose biases and norms are not those of the start."""
    rng = np.random.default_rng(0)
    model = MODELS[name](rng)
    for parameter in model.parameters():
        if parameter.value.ndim == 1:
            parameter.value += 0.2 * rng.normal(size=parameter.shape)
    return model


def read_in_use(model: Any, steps: int, seed: int = 1) -> Any:
    """Ids (T,), or numbers (T, D), with gaps where the model takes them."""
    rng = np.random.default_rng(seed)
    first = model.layers[0] if isinstance(model, rnn.Sequential) else model
    if getattr(first, "takes_ids", False):
        return rng.integers(0, V, steps)
    xs = rng.normal(size=(steps, first.in_size or 0)).astype("float32")
    if isinstance(first, rnn.Standardize):
        xs = xs * np.array(first.scale, "float32") + np.array(first.mean, "float32")
        xs[rng.random(xs.shape) < 0.1] = np.nan
    return xs


def any_inputs(quantized: Any, steps: int, batch: int) -> Any:
    """All that a step in C may be given: ids, or whole numbers of 8 bits, most of them larger than in use."""
    rng = np.random.default_rng(2)
    if quantized.takes_ids:
        return rng.integers(0, V, (steps, batch))
    size = quantized.steps.layers[0].operation.in_size
    return (rng.integers(-128, 128, (steps, batch, size)) >> rng.integers(0, 7, (steps, batch, 1))).astype("int8")


def emulated(quantized: Any, xs: Any) -> Any:
    state, ys = quantized.initial_state(xs.shape[1]), []
    for x in xs:
        y, state = quantized.integers(x, state)
        ys.append(y)
    return np.stack(ys)


@pytest.mark.parametrize("name", MODELS)
def test_the_c_computes_the_same_integers(name: str, tmp_path: Path) -> None:
    model = made(name)
    calibration = read_in_use(model, 300)
    written, quantized = to_c(model, tmp_path, dtype="int8", calibration=calibration), quantize(model, calibration)
    xs = any_inputs(quantized, 300, 3)
    ys, printed = run_c(written, xs)
    np.testing.assert_array_equal(ys, emulated(quantized, xs))
    assert len(np.unique(ys)) > 50
    assert f"largest difference 0, state of {written.ram} bytes" in printed
    assert not re.search(r"\b(float|double)\b(?!.*\*x, int8_t \*q)", written.source.read_text().partition("#ifdef")[0])


@pytest.mark.long
@pytest.mark.parametrize("how", ["cc -O0", "cc -O3", "clang -O0", "clang -O3", "cc -O2 -m32"])
@pytest.mark.parametrize("name", MODELS)
def test_it_does_so_for_a_million_steps_by_every_compiler(name: str, how: str, tmp_path: Path) -> None:
    model, (compiler, *flags) = made(name), how.split()
    calibration = read_in_use(model, 300)
    written, quantized = to_c(model, tmp_path, dtype="int8", calibration=calibration), quantize(model, calibration)
    xs = any_inputs(quantized, 1000, 1000)
    ys, _ = run_c(written, xs, flags=tuple(flags), compiler=compiler)
    np.testing.assert_array_equal(ys, emulated(quantized, xs))


@pytest.mark.parametrize("name", MODELS)
def test_whole_numbers_are_near_the_model(name: str) -> None:
    model = made(name)
    if name == "LayerNormLSTM":
        model.layers[1].norm_h.g.value *= 0.2  # otherwise it enlarges any error until the states have nothing in common
    if isinstance(model, rnn.Recurrent):
        lost = quality(model, quantize(model, read_in_use(model, 400)), read_in_use(model, 400, seed=5))
        assert 0 < lost.error < 0.04
        assert lost.same > 0.95
        if lost.loss is not None:
            assert lost.quantized_loss == pytest.approx(lost.loss, abs=0.01)


def test_measured_numbers_become_the_same_whole_ones_in_c(tmp_path: Path) -> None:
    model = made("series")
    calibration = read_in_use(model, 200)
    written, quantized = to_c(model, tmp_path, dtype="int8", calibration=calibration), quantize(model, calibration)
    xs = np.concatenate([calibration[:100], np.array([[np.inf, -np.inf, 3e38]], "float32")])
    (tmp_path / "main.c").write_text(
        """
#include "model.h"
#include <stdio.h>
int main(void)
{
    float x[3];
    int8_t q[MODEL_IN];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        if (model_quantize(x, q) != 0)
            return 1;
        fwrite(q, sizeof q, 1, stdout);
    }
    return 0;
}
"""
    )
    flags = (*SANITIZED, "-DMODEL_WITH_FLOAT")
    program = build(tmp_path, written.source, tmp_path / "main.c", flags=flags)
    done = subprocess.run([str(program)], input=xs.tobytes(), capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(done.stdout, "int8").reshape(-1, 6), quantized.numbers(xs))


def test_any_other_name_compiles(tmp_path: Path) -> None:
    model = made("series")
    calibration = read_in_use(model, 50)
    for name in ("x", "q", "mean_of_x", "layers_0", "a" * 24):
        written = to_c(model, tmp_path, name=name, dtype="int8", calibration=calibration)
        flags = (*SANITIZED, "-O0", f"-D{name.upper()}_WITH_FLOAT")  # a name means nothing to the optimizer
        self_test(written, flags=flags)


def test_the_package_runs_a_quantized_model_as_any_other() -> None:
    rng = np.random.default_rng(0)
    model = rnn.Sequential(rnn.OneHot(V), rnn.GRUCell(V, 16, rng=rng), rnn.Linear(16, V, rng=rng))
    ids = rng.integers(0, V, 500)
    quantized = quantize(model, ids)
    stream = rnn.TokenStream(ids, batch=4, steps=20)
    assert rnn.evaluate(quantized, stream) == pytest.approx(rnn.evaluate(model, stream), abs=0.01)
    written = list(rnn.generate(quantized, [3], length=20, rng=rng))
    assert len(written) == 20
    with pytest.raises(TypeError, match="has no gradient; train the model of which it was made"):
        quantized.backward(quantized.forward(ids[:3, None])[0], None, quantized.forward(ids[:3, None])[2])


@pytest.mark.parametrize("factor", [1e-30, 3e-19, 1e-12, 0.4999, 0.5, 1.0, 1.7, 1 - 2**-40, 12345.6, 1e9, -0.3])
def test_a_multiplier_is_its_factor(factor: float) -> None:
    values = np.array([-(2**31) + 1, -1000, -3, 0, 5, 2**20, 2**31 - 1])
    exact = np.clip(np.floor(values * factor + 0.5), -arithmetic.LIMIT, arithmetic.LIMIT)
    whole, shift = arithmetic.multiplier(factor)
    assert abs(whole) < 2**31
    assert 1 <= shift <= 62
    np.testing.assert_allclose(arithmetic.rescaled(values, whole, shift, arithmetic.LIMIT), exact, atol=2, rtol=1e-8)


def test_rounding_is_to_the_nearest_and_a_half_goes_up() -> None:
    assert arithmetic.rounded(np.array([-6, -5, -2, -1, 0, 1, 2, 3, 6]), 2).tolist() == [-1, -1, 0, 0, 0, 0, 1, 1, 2]


def test_tables_are_near_their_functions() -> None:
    values = np.arange(-32767, 32768)
    for entries, function in ((arithmetic.TANH, math.tanh), (arithmetic.SIGMOID, lambda x: 1 / (1 + math.exp(-x)))):
        exact = np.array([function(v / 4096) for v in values.tolist()])
        assert np.abs(arithmetic.looked_up(entries, values) / 32768 - exact).max() < 5e-4


def test_square_roots_are_exact() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.arange(100), rng.integers(0, 2**60, 1000), np.arange(2**30 - 5, 2**30) ** 2 - 1])
    assert arithmetic.square_root(values).tolist() == [math.isqrt(v) for v in values.tolist()]


def test_extreme_weights_and_ranges_stay_the_same_in_c(tmp_path: Path) -> None:
    """All that clips: weights of zero, of 1e-30 and 1e9, a calibration of zeros, a memory beyond 16 bits."""
    rng = np.random.default_rng(0)
    for i, size in enumerate((1e-30, 30.0, 1e9)):
        cell, linear = rnn.LSTMCell(3, 4, rng=rng), rnn.Linear(4, 3, rng=rng)
        model = rnn.Sequential(rnn.LayerNorm(3), cell, linear)
        for parameter in model.parameters():
            parameter.value *= size
        linear.w.value[:, 0] = 0
        cell.b.value[4:8] = 50  # never forgets
        folder = tmp_path / str(i)
        folder.mkdir()
        calibration = rng.normal(size=(300, 3)).astype("float32") * (size != 30)
        written = to_c(model, folder, dtype="int8", calibration=calibration)
        quantized = quantize(model, calibration)
        xs = any_inputs(quantized, 200, 2)
        np.testing.assert_array_equal(run_c(written, xs)[0], emulated(quantized, xs))


@pytest.mark.messages
def test_what_makes_no_calibration_is_refused(tmp_path: Path) -> None:
    ids, series = made("GRU after"), made("series")
    tiny = rnn.Sequential(rnn.Standardize((1.0,), (1e-44,)), rnn.Linear(1, 1, rng=np.random.default_rng(0)))
    calls: list[tuple[type[Exception], Any, str]] = [
        (
            TypeError,
            lambda: quantize(ids, "text"),
            "quantize: calibration must be an array of ids (T,) or (T, B), not a",
        ),
        (TypeError, lambda: quantize(ids, np.zeros(3)), "quantize: calibration must be an array of ids"),
        (
            TypeError,
            lambda: quantize(series, np.zeros((5, 3), int)),
            "quantize: calibration must be an array of floating",
        ),
        (ValueError, lambda: quantize(ids, np.zeros(0, int)), "quantize: calibration has shape (0,), expected ids"),
        (ValueError, lambda: quantize(series, np.zeros(3)), "quantize: calibration has shape (3,), expected floating"),
        (ValueError, lambda: to_c(ids, tmp_path, dtype="int8"), 'to_c: dtype="int8" needs calibration'),
        (ValueError, lambda: to_c(ids, tmp_path, calibration=np.ones(3, int)), 'to_c: dtype="float32" takes no cal'),
        (ValueError, lambda: quantize(series, np.full((5, 3), np.inf)), "quantize: calibration drives layers.0 to"),
        (ValueError, lambda: quantize(tiny, np.ones((5, 1), "float32")), "quantize: layers.0, Standardize("),
        (TypeError, lambda: quality(ids, None, np.ones(3, int)), "quality: other must be a Recurrent"),  # type: ignore[arg-type]
    ]
    for kind, call, message in calls:
        with pytest.raises(kind, match=f"^{re.escape(message)}"), np.errstate(all="ignore"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.messages
def test_sums_beyond_32_bits_are_refused() -> None:
    linear = rnn.Linear(140_000, 1, rng=np.random.default_rng(0))
    linear.w.value[...] = 1
    with pytest.raises(ValueError, match=r"^quantize: model, Linear\(140000, 1\): the sums of w, of 140000 products"):
        quantize(linear, np.ones((1, 140_000), "float32"))
