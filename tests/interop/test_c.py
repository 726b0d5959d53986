"""`to_c` in floating point: the C computes what the model does, and what cannot be written is refused."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from compiling import SANITIZED, build, run_c, self_test
from tinygrad_rnn.core import files as core_files
from tinygrad_rnn.interop import round_weights, steps, to_c
from tinygrad_rnn.interop.c import files as writing

V = 30
Rng = np.random.Generator


class LearntLSTM(rnn.LSTMCell):
    """An LSTM that begins with a state of its own."""

    def __init__(self, in_size: int, out_size: int, *, rng: Any) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h_0 = rnn.Parameter(rng.normal(size=out_size).astype("float32"))

    @property
    def state_spec(self) -> Any:
        return rnn.Leaf("h", (self.out_size,), self.h_0), rnn.Leaf("c", (self.out_size,), -0.5)


def tied(rng: Rng) -> rnn.Sequential:
    table = rnn.Embedding(V, 12, rng=rng)
    return rnn.Sequential(table, rnn.LockedDropout(0.5, rng=rng), rnn.RNNCell(12, 12, rng=rng), rnn.TiedLinear(table))


MODELS: dict[str, Callable[[Rng], Any]] = {
    "RNN tanh": lambda rng: rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 17, rng=rng), rnn.Linear(17, V, rng=rng)),
    "RNN relu": lambda rng: rnn.Sequential(rnn.RNNCell(5, 9, rng=rng, nonlinearity="relu"), rnn.ReLU()),
    "LSTM": lambda rng: rnn.Sequential(
        rnn.Embedding(V, 6, rng=rng), rnn.LSTMCell(6, 21, rng=rng), rnn.Linear(21, V, rng=rng), rnn.Softmax()
    ),
    "LSTM learnt": lambda rng: LearntLSTM(4, 8, rng=rng),
    "GRU after": lambda rng: rnn.Sequential(
        rnn.OneHot(V), rnn.GRUCell(V, 16, rng=rng), rnn.Dropout(0.5, rng=rng), rnn.GRUCell(16, 7, rng=rng)
    ),
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
        rnn.Residual(rnn.DropConnect(rnn.LSTMCell(10, 10, rng=rng), 0.5, rng=rng)),
        rnn.Residual(rnn.LayerNorm(10, bias=False), rnn.Residual(rnn.Linear(10, 10, rng=rng)), rnn.Sigmoid()),
        rnn.Linear(10, 1, rng=rng),
    ),
    "tied": tied,
    "no state": lambda rng: rnn.Sequential(rnn.Linear(3, 4, rng=rng), rnn.Sigmoid()),
    "one layer": lambda rng: rnn.Embedding(V, 3, rng=rng),
}


def made(name: str, seed: int = 0) -> Any:
    """A model with biases and norms that are not those of the start."""
    rng = np.random.default_rng(seed)
    model = MODELS[name](rng)
    for parameter in model.parameters():
        if parameter.value.ndim == 1:
            parameter.value += 0.2 * rng.normal(size=parameter.shape)
    return model


def inputs(model: Any, steps: int, batch: int, seed: int = 1) -> Any:
    """Ids (T, B), or numbers (T, B, D), with gaps where the model takes them."""
    rng = np.random.default_rng(seed)
    first = model.layers[0] if isinstance(model, rnn.Sequential) else model
    if getattr(first, "takes_ids", False):
        return rng.integers(0, V, (steps, batch))
    xs = rng.normal(size=(steps, batch, first.in_size or 0)).astype("float32")
    if isinstance(first, rnn.Standardize):
        xs = xs * np.array(first.scale, "float32") + np.array(first.mean, "float32")
        xs[rng.random(xs.shape) < 0.1] = np.nan
    return xs


def outputs(model: Any, xs: Any) -> Any:
    return model(xs)[0] if isinstance(model, rnn.Recurrent) else model(xs)


def error(ys: Any, expected: Any) -> float:
    """The largest difference, relative to the largest output."""
    return float(np.abs(ys - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "int8_weights"])
@pytest.mark.parametrize("name", MODELS)
def test_the_c_computes_what_the_model_does(name: str, dtype: str, tmp_path: Path) -> None:
    model = made(name)
    written = to_c(model, tmp_path, dtype=dtype)
    xs = inputs(model, 300, 2)
    expected = outputs(model if dtype == "float32" else round_weights(model), xs)
    ys, printed = run_c(written, xs)
    assert error(ys, expected) < 1e-6
    assert f"state of {written.ram} bytes" in printed


@pytest.mark.long
@pytest.mark.parametrize("flags", ["-O0", "-O3", "-O2 -m32"])
@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "LayerNormLSTM"])
def test_it_does_so_for_10000_steps_by_every_compiler(name: str, compiler: str, flags: str, tmp_path: Path) -> None:
    model = made(name)
    xs = inputs(model, 10_000, 1)
    ys, _ = run_c(to_c(model, tmp_path), xs, flags=tuple(flags.split()), compiler=compiler)
    assert error(ys, outputs(model, xs)) < 1e-6


FROM_A_STATE = """
#include "model.h"
#include <stdio.h>

/* Takes every step from a state that is read with its id, and writes y and the next state. */
int main(void)
{
    static model_state state;
    static float y[MODEL_OUT];
    int32_t x;
    model_init(&state);
    while (fread(&x, sizeof x, 1, stdin) == 1 && fread(state.layers_1_h, sizeof state.layers_1_h, 1, stdin) == 1
           && fread(state.layers_1_c, sizeof state.layers_1_c, 1, stdin) == 1) {
        if (model_step(&state, x, y) != 0)
            return 1;
        fwrite(y, sizeof y, 1, stdout);
        fwrite(state.layers_1_h, sizeof state.layers_1_h, 1, stdout);
        fwrite(state.layers_1_c, sizeof state.layers_1_c, 1, stdout);
    }
    return 0;
}
"""


@pytest.mark.parametrize(
    ("compiler", "flags", "steps"),
    [
        ("cc", " ".join(SANITIZED), 1000),
        *(
            pytest.param(compiler, flags, 10_000, marks=pytest.mark.long)
            for compiler in ("cc", "clang")
            for flags in ("-O0", "-O3", "-O2 -m32")
        ),
    ],
)
def test_every_step_of_a_layer_norm_lstm_is_exact(compiler: str, flags: str, steps: int, tmp_path: Path) -> None:
    """From each state of a long run, as a run of its own drifts.

    Where the next states of two nearby states lie further apart than these, which happens for some steps in a row with
    random weights, no float32 keeps 1e-6: in float64 with states that are rounded to float32, the outputs of these
    10,000 steps are off by 6e-6, and with another seed by 2e-4.
    """
    model = made("LayerNormLSTM")
    written, xs, state = to_c(model, tmp_path), inputs(model, steps, 1), model.initial_state(1)
    sent, expected = b"", []
    for x in xs:
        sent += b"".join(a.tobytes() for a in (x.astype("int32"), *state[1]))
        y, state = model.step(x, state)
        expected.append(np.concatenate([y, *state[1]], axis=1)[0])
    (tmp_path / "main.c").write_text(FROM_A_STATE)
    program = build(tmp_path, written.source, tmp_path / "main.c", flags=tuple(flags.split()), compiler=compiler)
    done = subprocess.run([str(program)], input=sent, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    found = np.frombuffer(done.stdout, "float32").reshape(steps, -1)
    assert error(found, np.array(expected)) < 1e-6


def wide(xs: Any) -> Any:
    return xs.astype("float64") if xs.dtype.kind == "f" else xs


def test_a_float64_model_is_written_in_float32(tmp_path: Path) -> None:
    model = made("series").to(dtype="float64")
    xs = inputs(model, 50, 2)
    assert error(run_c(to_c(model, tmp_path), xs)[0], outputs(model, wide(xs))) < 1e-6


def test_a_step_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = to_c(made("GRU after"), tmp_path, name="ids")
    layers = rnn.Standardize((0.0, 0.0), (1.0, 1.0)), rnn.RNNCell(2, 3, rng=rng)
    numbers = to_c(rnn.Sequential(*layers), tmp_path, name="numbers")
    main = tmp_path / "main.c"
    main.write_text(
        """
#include "ids.h"
#include "numbers.h"
#include <math.h>
#include <string.h>
int main(void)
{
    static ids_state one, other;
    static numbers_state third, fourth;
    float y[IDS_OUT];
    const float gap[NUMBERS_IN] = {1.0f, NAN};
    memset(&one, 1, sizeof one), memset(&other, 1, sizeof other);
    memset(&third, 1, sizeof third), memset(&fourth, 1, sizeof fourth);
    ids_init(&one), ids_init(&other), numbers_init(&third), numbers_init(&fourth);
    if (ids_step(&one, -1, y) != -1 || ids_step(&one, IDS_IN, y) != -1 || ids_step(&one, INT32_MIN, y) != -1)
        return 1;
    if (numbers_step(&third, gap, y) != -1)
        return 2;
    return memcmp(&one, &other, sizeof one) || memcmp(&third, &fourth, sizeof third) ? 3 : 0;
}
"""
    )
    program = build(tmp_path, main, ids.source, numbers.source, flags=SANITIZED)
    assert subprocess.run([str(program)]).returncode == 0


def test_equal_arrays_are_written_once(tmp_path: Path) -> None:
    written = to_c(made("tied"), tmp_path)
    table, b, w = V * 12, V, 2 * 12 * 12 + 12
    assert written.flash == 4 * (table + b + w)


@pytest.mark.messages
def test_all_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    class Mine(rnn.RNNCell):
        def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
            return super().step_forward(x, state, training=training)

    cells = rnn.GRUCell(5, 4, rng=rng), rnn.GRUCell(5, 4, rng=rng)
    linear = rnn.Linear(4, 3, rng=rng)
    linear.w.value[1, 2] = np.nan
    model = rnn.Sequential(
        rnn.OneHot(5),
        rnn.Bidirectional(*cells),
        rnn.Residual(Mine(8, 8, rng=rng)),
        rnn.Zoneout(rnn.LSTMCell(8, 4, rng=rng), 0.1, rng=rng),
        rnn.Standardize((0.0,) * 4, (1.0,) * 4),
        linear,
    )
    with pytest.raises(ValueError, match="this model cannot be written") as raised:
        to_c(model, tmp_path)
    first, *lines = str(raised.value).splitlines()
    assert first == "to_c: this model cannot be written:"
    for line, words in zip(
        lines,
        (
            "layers.1, Bidirectional(GRUCell(5, 4), GRUCell(5, 4)): it reads the sequence from its end too",
            "layers.2.layers.0, Mine(8, 8): no C is known for a layer of this class",
            "layers.3, Zoneout(LSTMCell(8, 4), (0.1, 0.1)): it mixes the states at inference too",
            "layers.4, Standardize(",
            "layers.5, Linear(4, 3): w is nan at (1, 2), which is not a finite number in float32. Go back to",
        ),
        strict=True,
    ):
        assert line.startswith(f"  {words}"), line
    assert not list(tmp_path.iterdir())


@pytest.mark.messages
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda rng: rnn.OneHot(5), "the last layer, OneHot(5): its one-hot rows are never made dense"),
        (lambda rng: rnn.Sequential(rnn.Tanh()), "layers.0, Tanh(): no layer says how many features there are"),
        (lambda rng: rnn.Residual(rnn.Dropout(0.1, rng=rng)), "Residual(Dropout(0.1)): its layers do nothing"),
        (lambda rng: rnn.Dropout(0.1, rng=rng), "does nothing at inference"),
        (lambda rng: rnn.Standardize((0.0,), (1e-60,)), "a scale is 0 in float32"),
        (lambda rng: rnn.AdditiveAttention(3, 3, 3, rng=rng), "model, AdditiveAttention(3, 3, 3): no C is known"),
        (lambda rng: rnn.VanillaRNN(3, 3, 3, rng=rng), "model, VanillaRNN(3, 3, 3"),
    ],
)
def test_what_makes_no_sense_is_refused(model: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        to_c(model(np.random.default_rng(0)), tmp_path)


def test_a_replaced_step_is_refused(tmp_path: Path) -> None:
    cell: Any = rnn.RNNCell(2, 3, rng=np.random.default_rng(0))
    cell.step_forward = lambda x, state, *, training=True: (x, state, None)
    with pytest.raises(ValueError, match="its step is not that of the built-in class"):
        to_c(cell, tmp_path)


def test_weights_beyond_float32_are_refused(tmp_path: Path) -> None:
    model = rnn.Linear(2, 3, rng=np.random.default_rng(0)).to(dtype="float64")
    model.b.value[1] = 1e300
    with pytest.raises(ValueError, match=r"b is 1e\+300 at \(1,\), which is not a finite number in float32"):
        to_c(model, tmp_path)


def test_weights_beyond_32_bits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LARGEST", 4 * 20)
    rng = np.random.default_rng(0)
    model = rnn.Sequential(rnn.Linear(3, 4, rng=rng), rnn.Linear(4, 2, rng=rng))
    with pytest.raises(ValueError, match=r"layers\.1, Linear\(4, 2\): with it there are more than 80 bytes"):
        to_c(model, tmp_path)


@pytest.mark.messages
@pytest.mark.parametrize(
    "name", ["", "a b", "1st", "é", "a-b", "../up", "a\0", "_mine", "int", "Class", "math", "stdint", "NUL", "a" * 25]
)
def test_a_name_is_one_of_files_and_of_c(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^to_c: name "):
        to_c(made("RNN relu"), tmp_path, name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.messages
def test_arguments_of_other_types_are_refused(tmp_path: Path) -> None:
    model = made("RNN relu")
    calls: list[tuple[Any, str]] = [
        (lambda: to_c(3, tmp_path), "to_c: model must be a layer, such as a Sequential, not a int"),
        (lambda: to_c(model, 3), "to_c: folder is a int"),
        (lambda: to_c(model, tmp_path, name=3), "to_c: name must be a str, not 3"),  # type: ignore[arg-type]
        (lambda: round_weights(3), "round_weights: model must be a layer"),  # type: ignore[type-var]
    ]
    for call, message in calls:
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            call()
    with pytest.raises(ValueError, match=r'^to_c: dtype must be "float32", "int8_weights" or "int8", not'):
        to_c(model, tmp_path, dtype="float16")


def test_any_other_name_compiles(tmp_path: Path) -> None:
    model, flags = made("LayerNormLSTM"), (*SANITIZED, "-O0")  # a name means nothing to the optimizer
    for name in ("model", "lstm", "zero", "copy", "x", "layers_0", "a" * 24):
        self_test(to_c(model, tmp_path, name=name), flags=flags)


def test_files_are_replaced_only_where_they_are_ours(tmp_path: Path) -> None:
    model = made("RNN relu")
    written = to_c(model, tmp_path)
    before = written.source.read_bytes()
    model.layers[0].b.value += 1
    to_c(model, tmp_path)
    assert written.source.read_bytes() != before
    written.source.write_text("int main(void) { return 0; }")
    header = written.header.read_bytes()
    with pytest.raises(FileExistsError, match="was not written by to_c, and is not replaced"):
        to_c(made("LSTM"), tmp_path)
    assert written.source.read_text() == "int main(void) { return 0; }"
    assert written.header.read_bytes() == header


def test_a_folder_must_be_one(tmp_path: Path) -> None:
    model = made("RNN relu")
    (tmp_path / "file").touch()
    (tmp_path / "model.c").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^to_c: there is no folder"):
        to_c(model, tmp_path / "missing")
    with pytest.raises(NotADirectoryError, match=r"^to_c: there is no folder"):
        to_c(model, tmp_path / "file")
    with pytest.raises(IsADirectoryError, match="this is a directory"):
        to_c(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model.c"]


def test_where_one_file_cannot_be_written_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_c(made("RNN relu"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    @contextlib.contextmanager
    def full(path: str, call: str) -> Any:
        if path.endswith(".c"):
            raise OSError(28, f"{call}: no space")
        with replacing(path, call) as file:
            yield file

    replacing = core_files.replacing
    monkeypatch.setattr(writing, "replacing", full)
    with pytest.raises(OSError, match="no space"):
        to_c(made("LSTM"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_header_and_a_source_of_two_models_do_not_compile(tmp_path: Path) -> None:
    header = to_c(made("RNN relu"), tmp_path).header.read_text()
    written = to_c(made("RNN relu", seed=5), tmp_path)
    written.header.write_text(header)
    with pytest.raises(AssertionError, match="were not written together"):
        self_test(written)


def test_no_repr_ends_a_comment(tmp_path: Path) -> None:
    kind = type("Gru_é", (rnn.GRUCell,), {"__repr__": lambda self: "a */ int x; /* ?" + "?/ \\\n b"})
    self_test(to_c(kind(3, 4, rng=np.random.default_rng(0)), tmp_path))


def test_rounding_keeps_the_model_and_what_is_tied() -> None:
    model = made("tied")
    before = model.flat_value.copy()
    rounded = round_weights(model)
    np.testing.assert_array_equal(model.flat_value, before)
    table = rounded.layers[0].w.value
    assert table is rounded.layers[3].w.value
    scale = np.abs(table).max(axis=1, keepdims=True) / 127
    np.testing.assert_allclose(np.rint(table / scale) * scale, table, rtol=1e-5)
    assert 0 < np.abs(table - model.layers[0].w.value).max() <= scale.max() / 2 * 1.01
