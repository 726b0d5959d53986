from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pytest

from table import SteppedGRU, SteppedLSTM, SteppedRNN
from tinygrad_rnn import (
    AdditiveAttention,
    AttentionDecoder,
    Bidirectional,
    Bridge,
    ByteTokenizer,
    Cell,
    CharTokenizer,
    DropConnect,
    Dropout,
    Embedding,
    EncoderDecoder,
    GeneralAttention,
    GRUCell,
    IndRNNCell,
    InputFeedingDecoder,
    LayerNormLSTMCell,
    Linear,
    LockedDropout,
    LSTMCell,
    MeanSquaredError,
    MinGRUCell,
    MinLSTMCell,
    OneHot,
    OneHotRows,
    Parameter,
    Recording,
    Residual,
    RNNCell,
    Sequential,
    SLSTMCell,
    SoftmaxCrossEntropy,
    Tanh,
    VanillaRNN,
    Zoneout,
    record,
)
from tinygrad_rnn.core.states import Leaf, State, StateSpec
from tinygrad_rnn.kernels.caches import RNNCache, RNNWeights
from tinygrad_rnn.kernels.kernel import Kernel
from tinygrad_rnn.testing import StrictDevice

T, B = 4, 2
IDS: Any = np.random.default_rng(1).integers(0, 5, (T + 1, B))


def in_float64(model: Any) -> Any:
    """`model` with parameters that are all random, biases too."""
    model.to(dtype="float64")
    rng = np.random.default_rng(2)
    for parameter in model.parameters():
        parameter.value = 0.6 * rng.standard_normal(parameter.shape)
    return model


def language_model(cell: Any) -> Any:
    rng = np.random.default_rng(0)
    return in_float64(Sequential(Embedding(5, 3, rng=rng), cell, Linear(cell.out_size, 5, rng=rng)))


def slopes(loss: Callable[[Any], float], shape: tuple[int, ...]) -> Any:
    """The central differences of a loss by a perturbation of that shape."""
    found = np.zeros(shape)
    for index in np.ndindex(shape):
        for shift in (1e-5, -1e-5):
            nudge = np.zeros(shape)
            nudge[index] = shift
            found[index] += loss(nudge) / (2 * shift)
    return found


def close(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


# The gates and states of the cells, in plain loops whose every value can be moved.

Moved = Callable[[str, Any], Any]


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def normed(norm: Any, a: Any) -> Any:
    scaled = (a - a.mean(axis=-1, keepdims=True)) / np.sqrt(a.var(axis=-1, keepdims=True) + norm.eps)
    return scaled * norm.g.value + (norm.b.value if norm.bias else 0)


def rnn_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    a = x @ cell.w_x.value + state[0] @ cell.w_h.value + cell.b.value
    return (moved("h", np.tanh(a) if cell.nonlinearity == "tanh" else np.where(a > 0, a, 0)),)


def lstm_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    h, c = state
    *i, f, o, g = np.split(x @ cell.w_x.value + h @ cell.w_h.value + cell.b.value, len(cell.gates), axis=1)
    *p_i, p_f, p_o = np.split(cell.p.value, len(cell.gates) - 1) if cell.peepholes else (0, 0, 0)
    f, g = moved("f", sigmoid(f + p_f * c)), moved("g", np.tanh(g))
    i = moved("i", 1 - f if cell.coupled else sigmoid(i[0] + p_i[0] * c))
    c = moved("c", f * c + i * g)
    return moved("h", moved("o", sigmoid(o + p_o * c)) * np.tanh(c)), c


def layer_norm_lstm_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    h, c = state
    a = normed(cell.norm_x, x @ cell.w_x.value) + normed(cell.norm_h, h @ cell.w_h.value) + cell.b.value
    i, f, o, g = np.split(a, 4, axis=1)
    i, f, o, g = moved("i", sigmoid(i)), moved("f", sigmoid(f)), moved("o", sigmoid(o)), moved("g", np.tanh(g))
    c = moved("c", f * c + i * g)
    return moved("h", o * moved("m", np.tanh(normed(cell.norm_c, c)))), c


def gru_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    (h,) = state
    (w_r, w_z, w_n), (u_r, u_z, u_n) = (np.split(w.value, 3, axis=1) for w in (cell.w_x, cell.w_h))
    b_r, b_z, b_n = np.split(cell.b.value, 3)
    r, z = moved("r", sigmoid(x @ w_r + h @ u_r + b_r)), moved("z", sigmoid(x @ w_z + h @ u_z + b_z))
    if cell.reset == "after":
        n = np.tanh(x @ w_n + b_n + r * moved("m", h @ u_n + cell.b_h.value))
    else:
        n = np.tanh(x @ w_n + b_n + (r * h) @ u_n)
    n = moved("n", n)
    return (moved("h", (1 - z) * n + z * h),)


def slstm_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    h, c, m = state
    i, f, o, z = np.split(x @ cell.w_x.value + h @ cell.w_h.value + cell.b.value, 4, axis=1)
    old = np.log(sigmoid(moved("a_f", f))) + m
    m = moved("m", np.log(np.exp(old) + np.exp(i)))
    i, f, o, z = moved("i", np.exp(i - m)), moved("f", np.exp(old - m)), moved("o", sigmoid(o)), moved("z", np.tanh(z))
    c = moved("c", f * c + i * z)
    return moved("h", o * c), c, m


def of_candidate(name: str, a: Any) -> Any:
    return {"linear": a, "tanh": np.tanh(a), "positive": np.where(a < 0, sigmoid(a), a + 0.5)}[name]


def min_gru_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    (h,), (z, n) = state, np.split(x @ cell.w_x.value + cell.b.value, 2, axis=1)
    z, n = moved("z", sigmoid(z)), moved("n", of_candidate(cell.candidate, n))
    return (moved("h", (1 - z) * h + z * n),)


def min_lstm_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    (h,), (f, i, n) = state, np.split(x @ cell.w_x.value + cell.b.value, 3, axis=1)
    k = moved("k", sigmoid(i) / (sigmoid(f) + sigmoid(i)))
    n = moved("n", of_candidate(cell.candidate, n))
    return (moved("h", (1 - k) * h + k * n),)


def ind_rnn_step(cell: Any, x: Any, state: Any, moved: Moved) -> Any:
    a = x @ cell.w_x.value + cell.u.value * state[0] + cell.b.value
    return (moved("h", np.tanh(a) if cell.nonlinearity == "tanh" else np.where(a > 0, a, 0)),)


RNG = np.random.default_rng(0)
STEPS: dict[str, tuple[Any, Any, list[str]]] = {
    "RNNCell": (RNNCell(3, 4, rng=RNG), rnn_step, ["h"]),
    "RNNCell relu": (RNNCell(3, 4, rng=RNG, nonlinearity="relu"), rnn_step, ["h"]),
    "LSTMCell": (LSTMCell(3, 4, rng=RNG), lstm_step, [*"hcifog"]),
    "LSTMCell with peepholes": (LSTMCell(3, 4, rng=RNG, peepholes=True), lstm_step, [*"hcifog"]),
    "LSTMCell coupled": (LSTMCell(3, 4, rng=RNG, peepholes=True, coupled=True), lstm_step, [*"hcifog"]),
    "GRUCell": (GRUCell(3, 4, rng=RNG), gru_step, [*"hrznm"]),
    "GRUCell reset before": (GRUCell(3, 4, rng=RNG, reset="before"), gru_step, [*"hrzn"]),
    "LayerNormLSTMCell": (LayerNormLSTMCell(3, 4, rng=RNG), layer_norm_lstm_step, [*"hcifogm"]),
    "SLSTMCell": (SLSTMCell(3, 4, rng=RNG), slstm_step, ["h", "c", "m", "a_f", *"ifoz"]),
    "MinGRUCell": (MinGRUCell(3, 4, rng=RNG, candidate="positive"), min_gru_step, [*"hzn"]),
    "MinLSTMCell": (MinLSTMCell(3, 4, rng=RNG, candidate="tanh"), min_lstm_step, [*"hnk"]),
    "IndRNNCell": (IndRNNCell(3, 4, rng=RNG, nonlinearity="tanh"), ind_rnn_step, ["h"]),
}


# Slopes call a forward thousands of times, of which other tests check the shapes: so without these, as messages.
@pytest.mark.messages
@pytest.mark.parametrize(("cell", "step", "names"), STEPS.values(), ids=STEPS.keys())
def test_states_and_gates_are_the_equations_and_their_gradients_the_slopes(cell: Any, step: Any, names: Any) -> None:
    model = language_model(copy.deepcopy(cell))
    embedding, cell, linear = model.layers
    rng = np.random.default_rng(3)
    state = tuple(rng.standard_normal((B, 4)) for _ in cell.state_spec)
    recording = record(model, IDS[:-1], IDS[1:], state=((), state, ()))
    values, gradients = recording["layers.1"]
    assert list(gradients) == names
    assert list(values) == (names if not isinstance(cell, MinLSTMCell) else [*"hfink"])  # its f and i are k alone

    def loss(name: str = "", at: int = 0, nudge: Any = 0.0, seen: Any = None) -> float:
        total, after = 0.0, state
        for t in range(T):

            def moved(what: str, value: Any, t: int = t) -> Any:
                value = value + nudge if (what, t) == (name, at) else value
                if seen is not None:
                    seen[what, t] = value
                return value

            after = step(cell, embedding.w.value[IDS[t]], after, moved)
            scores = after[0] @ linear.w.value + linear.b.value
            chosen = scores[np.arange(B), IDS[t + 1]]
            total += float((np.log(np.exp(scores).sum(axis=1)) - chosen).sum())
        return total

    seen: Any = {}
    assert recording.loss == pytest.approx(loss(seen=seen), rel=1e-12)
    for name in names:
        for t in range(T):
            close(values[name][t], seen[name, t])
            close(gradients[name][t], slopes(lambda nudge, name=name, t=t: loss(name, t, nudge), (B, 4)))  # type: ignore[misc]


class Model(NamedTuple):
    make: Callable[[], Any]
    cells: dict[str, int]
    """Every cell, and its steps; negative where it reads backward."""
    inputs: Any = IDS[:-1]
    targets: Any = IDS[1:]
    criterion: Any = None


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def lstm_attention() -> EncoderDecoder:
    both = Bidirectional(SteppedLSTM(2, 3, rng=rng()), SteppedLSTM(2, 2, rng=rng()))
    reader = Sequential(Embedding(5, 2, rng=rng()), SteppedLSTM(2, 4, rng=rng()))
    decoder = AttentionDecoder(
        reader, AdditiveAttention(4, 5, 3, rng=rng()), Dropout(0.5, rng=rng()), Linear(9, 5, rng=rng())
    )
    return EncoderDecoder(Sequential(Embedding(5, 2, rng=rng()), both), decoder, bridge=Bridge(10, (4, 4), rng=rng()))


def input_feeding() -> EncoderDecoder:
    parts = Linear(3, 2, rng=rng()), SteppedRNN(5, 4, rng=rng()), GeneralAttention(4, 4, rng=rng())
    decoder = InputFeedingDecoder(*parts, Linear(8, 3, rng=rng()), Linear(3, 2, rng=rng()))
    return EncoderDecoder(SteppedRNN(3, 4, rng=rng()), decoder)


def nested() -> Bidirectional:
    """Two cells that read forward, the second because its text is turned round twice; two that read backward."""
    inner = Sequential(SteppedRNN(3, 2, rng=rng()), Tanh())
    return Bidirectional(
        Bidirectional(SteppedRNN(3, 2, rng=rng()), SteppedRNN(3, 3, rng=rng())),
        Bidirectional(inner, SteppedGRU(3, 3, rng=rng())),
    )


def drawn(*shape: int) -> Any:
    return np.random.default_rng(4).standard_normal(shape)


MODELS = {
    "a stack": Model(
        lambda: Sequential(
            Embedding(5, 3, rng=rng()),
            SteppedLSTM(3, 4, rng=rng()),
            SteppedGRU(4, 3, rng=rng()),
            Linear(3, 5, rng=rng()),
        ),
        {"layers.1": T, "layers.2": T},
    ),
    "a cell alone": Model(
        lambda: SteppedRNN(3, 4, rng=rng()), {"": T}, drawn(T, B, 3), drawn(T, B, 4), MeanSquaredError()
    ),
    "Zoneout": Model(
        lambda: language_model(Zoneout(SteppedLSTM(3, 4, rng=rng()), (0.2, 0.5), rng=rng())),
        {"layers.1": T, "layers.1.cell": T},
    ),
    "Zoneout of Zoneout": Model(
        lambda: Zoneout(Zoneout(SteppedRNN(3, 4, rng=rng()), 0.3, rng=rng()), 0.1, rng=rng()),
        {"": T, "cell": T, "cell.cell": T},
        drawn(T, B, 3),
        drawn(T, B, 4),
        MeanSquaredError(reduction="none"),
    ),
    "DropConnect": Model(
        lambda: language_model(DropConnect(SteppedRNN(3, 4, rng=rng()), 0.4, rng=rng())), {"layers.1.cell": T}
    ),
    "Residual": Model(
        lambda: Sequential(Embedding(5, 4, rng=rng()), Residual(SteppedRNN(4, 4, rng=rng())), Linear(4, 5, rng=rng())),
        {"layers.1.layers.0": T},
    ),
    "dropout": Model(
        lambda: Sequential(
            Embedding(5, 3, rng=rng()),
            LockedDropout(0.5, rng=rng()),
            SteppedRNN(3, 4, rng=rng()),
            Dropout(0.5, rng=rng()),
            Linear(4, 5, rng=rng()),
        ),
        {"layers.2": T},
    ),
    "Bidirectional in Bidirectional": Model(
        lambda: Sequential(Embedding(5, 3, rng=rng()), nested(), Linear(10, 5, rng=rng())),
        {
            "layers.1.forward_cell.forward_cell": T,
            "layers.1.forward_cell.backward_cell": -T,
            "layers.1.backward_cell.forward_cell.layers.0": -T,
            "layers.1.backward_cell.backward_cell": T,
        },
    ),
    "EncoderDecoder with attention": Model(
        lstm_attention,
        {
            "encoder.layers.1.forward_cell": 6,
            "encoder.layers.1.backward_cell": -6,
            "decoder.decoder.layers.1": T,
        },
        (np.random.default_rng(5).integers(0, 5, (6, B)), IDS[:-1]),
    ),
    "EncoderDecoder of vectors": Model(
        input_feeding,
        {"encoder": 5, "decoder.decoder": T},
        (drawn(5, B, 3), drawn(T, B, 3)),
        drawn(T, B, 2),
        MeanSquaredError(),
    ),
}
every_model = pytest.mark.parametrize("case", MODELS.values(), ids=MODELS.keys())


def at(model: Any, name: str) -> Any:
    """The layer of that name."""
    for part in name.split(".") if name else ():
        model = model[int(part)] if part.isdecimal() else getattr(model, part)
    return model


def with_moved_state(cell: Any, step: int, nudge: Any, run: Callable[[], Any]) -> Any:
    """What `run` gives where the first array of the state, which is the output, is moved after a step of `cell`."""
    calls = count()

    def step_forward(x: Any, state: Any, *, training: bool = True) -> Any:
        y, after, cache = type(cell).step_forward(cell, x, state, training=training)
        if next(calls) == step:
            y = after[0] + nudge
        return y, (y, *after[1:]), cache

    cell.step_forward = step_forward
    try:
        return run()
    finally:
        del cell.step_forward


@pytest.mark.messages
@every_model
def test_gradients_by_the_states_of_any_model_are_the_slopes_at_their_tokens(case: Model) -> None:
    model = in_float64(case.make())
    criterion = case.criterion or SoftmaxCrossEntropy(reduction="sum")
    recording = record(model, case.inputs, case.targets, criterion=case.criterion)
    inputs = case.inputs if isinstance(case.inputs, tuple) else (case.inputs,)

    def outputs() -> Any:
        ys = model(*inputs)
        return ys if isinstance(model, EncoderDecoder) else ys[0]

    np.testing.assert_allclose(recording.outputs, outputs(), rtol=0, atol=1e-12)
    loss_then: Any = recording.loss
    np.testing.assert_allclose(loss_then, criterion(outputs(), case.targets), rtol=1e-12)
    assert list(recording.layers) == list(case.cells)
    for name, steps in case.cells.items():
        cell, (values, gradients) = at(model, name), recording[name]
        assert values.keys() == gradients.keys() >= {"h"}
        for k in range(abs(steps)):
            t = k if steps > 0 else -steps - 1 - k

            def loss(nudge: Any, cell: Any = cell, k: int = k) -> float:
                return float(criterion(with_moved_state(cell, k, nudge, outputs), case.targets).sum())

            close(gradients["h"][t], slopes(loss, values["h"][t].shape))


@every_model
def test_nothing_of_the_model_changes(case: Model) -> None:
    for packed, trained in np.ndindex(2, 2):
        model = in_float64(case.make())
        if packed:
            vector = model.flat_value
        if trained:
            for parameter in model.parameters():
                parameter.grad += 1.5
        criterion = copy.deepcopy(case.criterion)
        kept = copy.deepcopy(model)
        inputs = case.inputs if isinstance(case.inputs, tuple) else (case.inputs,)
        given = copy.deepcopy((inputs, case.targets))
        record(model, case.inputs, case.targets, criterion=criterion)
        assert not packed or model.flat_value is vector or np.shares_memory(model.flat_value, vector)
        for (_, parameter), (_, old) in zip(model.named_parameters(), kept.named_parameters(), strict=True):
            np.testing.assert_array_equal(parameter.value, old.value)
            assert (parameter._grad is None) == (not trained)
            assert not trained or (parameter.grad == 1.5).all()
        for name, stream in model.generators().items():
            assert stream.bit_generator.state == kept.generators()[name].bit_generator.state
        for name in case.cells:
            assert type(at(model, name)) is type(at(kept, name))
            assert vars(at(model, name)).keys() == vars(at(kept, name)).keys()
        for array, old in zip((*inputs, case.targets), (*given[0], given[1]), strict=True):
            np.testing.assert_array_equal(array, old)
        for training in (False, True):
            first, second = (m.forward(*inputs, training=training)[0] for m in (model, kept))
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_what_the_kernel_keeps(kind: Any, dtype: str) -> None:
    model = language_model(kind(3, 4, rng=rng())).to(dtype=dtype)
    ids = np.random.default_rng(1).integers(0, 5, (12, 3))  # so many that the embedding is folded into the cell
    recording = record(model, ids)
    ys, _, cache = model.forward(ids, training=False)
    kept = cache.inner.layers[1].steps
    assert type(kept).__name__ == f"{kind.__name__.removesuffix('Cell')}Cache"
    fields = [name for name in kept._fields if name != "x" and not name.endswith("_prev")]
    values, gradients = recording["layers.1"]
    assert gradients == {}
    assert recording.loss is None
    assert {*values} == {"h", *fields}
    for name in fields:
        assert values[name].dtype == dtype
        np.testing.assert_allclose(values[name], getattr(kept, name), atol=1e-12 if dtype == "float64" else 1e-6)
    np.testing.assert_allclose(recording.outputs, ys, atol=1e-12 if dtype == "float64" else 1e-6)


def test_the_state_that_goes_on_is_told_from_that_within_a_zoneout() -> None:
    model = language_model(Zoneout(SteppedRNN(3, 4, rng=rng()), 0.25, rng=rng()))
    recording = record(model, IDS)
    zoned, new = recording["layers.1"].values["h"], recording["layers.1.cell"].values["h"]
    old = np.concatenate([np.zeros((1, B, 4)), zoned[:-1]])
    close(zoned, 0.25 * old + 0.75 * new)


def test_a_chunk_goes_on_from_its_state() -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    whole = record(model, IDS)
    _, state = model(IDS[:2])
    chunk = record(model, IDS[2:], state=state)
    close(chunk.outputs, whole.outputs[2:])
    for name, array in chunk["layers.1"].values.items():
        close(array, whole["layers.1"].values[name][2:])


@pytest.mark.parametrize("cell", ["LSTMCell", "Zoneout", "Bidirectional"])
def test_documents_in_a_row_are_recorded_as_if_each_were_alone(cell: str) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "LSTMCell": lambda: LSTMCell(3, 4, rng=rng()),
        "Zoneout": lambda: Zoneout(GRUCell(3, 4, rng=rng()), 0.25, rng=rng()),
        "Bidirectional": lambda: Bidirectional(RNNCell(3, 2, rng=rng()), GRUCell(3, 2, rng=rng())),
    }
    model = language_model(makers[cell]())
    starts: Any = np.array([[0, 1], [0, 0], [1, 0], [0, 1]], bool)
    whole = record(model, IDS[:-1], IDS[1:], starts=starts)
    for row, document in ((0, slice(0, 2)), (0, slice(2, 4)), (1, slice(0, 3)), (1, slice(3, 4))):
        alone = record(model, IDS[:-1][document, [row]], IDS[1:][document, [row]])
        close(whole.outputs[document, [row]], alone.outputs)
        assert whole.layers.keys() == alone.layers.keys()
        for name, (values, gradients) in alone.layers.items():
            for found, expected in zip(whole[name], (values, gradients), strict=True):
                assert found.keys() == expected.keys()
                for key, array in expected.items():
                    close(found[key][document, [row]], array)


# Cells of one's own.


class LeakyCache(NamedTuple):
    x: Any
    old: Any
    rate: Any
    n: Any
    on: Any
    level: Any
    mean: Any
    w: Any
    at_first: Any


class Leaky(Cell):
    """Has no `inner_gradients`; what it shows is not its state; its cache holds more than arrays of rows."""

    def __init__(self, size: int, *, rng: np.random.Generator) -> None:
        self.in_size = self.out_size = size
        self.w = Parameter(rng.standard_normal((size, size)))
        self.k = Parameter(rng.standard_normal(size))

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("level", (self.out_size,)),)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        (old,) = state
        rate, n = sigmoid(self.k.value), np.tanh(x @ self.w.value)
        after = old + rate * (n - old)
        return (
            2 * after,
            (after,),
            LeakyCache(x, old, rate, n, n > 0, n - old, n.mean(axis=1), self.w.value, None if old.any() else n),
        )

    def step_backward(self, dy: Any, dstate: State, cache: LeakyCache) -> Any:
        x, old, rate, n, *_ = cache
        d = 2 * dy + dstate[0]
        da = d * rate * (1 - n * n)
        self.w.grad += x.T @ da
        self.k.grad += (d * (n - old)).sum(axis=0) * rate * (1 - rate)
        return da @ self.w.value.T, (d * (1 - rate),)


def test_a_cell_without_inner_gradients_has_those_by_the_state_that_goes_on() -> None:
    cell, xs, targets = Leaky(3, rng=rng()), drawn(T, 5, 3), drawn(T, 5, 3)
    values, gradients = record(cell, xs, targets, criterion=MeanSquaredError(reduction="sum"))[""]
    assert {name: array.shape for name, array in values.items()} == {"level": (T, 5, 3), "n": (T, 5, 3)}
    assert list(gradients) == ["level"]
    for t in range(T):
        ys, _, cache = cell.forward(xs[t + 1 :], (values["level"][t],))
        close(gradients["level"][t], cell.backward(2 * (ys - targets[t + 1 :]), None, cache)[1][0])


class Adder(Cell):
    """Keeps no cache; two arrays of three have their names from where they stand."""

    in_size = out_size = 3
    state_sizes = (3, 3, 3)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        first, second, third = state
        y = first + x
        return y, (y, second + first, third), None

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        first, second, third = dstate
        return dy + first, (dy + first + second, second, third)


def test_steps_without_a_cache_are_told_apart() -> None:
    xs = drawn(T, B, 3)
    values, gradients = record(Adder(), xs, drawn(T, B, 3), criterion=MeanSquaredError(reduction="sum"))[""]
    assert list(values) == list(gradients) == ["s0", "s1", "s2"]
    close(values["s0"], np.cumsum(xs, axis=0))
    dys = 2 * (values["s0"] - drawn(T, B, 3))
    close(gradients["s0"], np.cumsum(dys[::-1], axis=0)[::-1])
    assert not gradients["s1"].any()


class Clipped(LSTMCell):
    """Has a backward of its own, and says so: what reaches h is halved first."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        return super().step_backward(dy / 2, (dstate[0] / 2, dstate[1]), cache)

    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> Any:
        return super().inner_gradients(dy / 2, (dstate[0] / 2, dstate[1]), cache)


def test_inner_gradients_are_those_that_a_class_says_its_backward_used() -> None:
    model = language_model(Clipped(3, 4, rng=rng()))
    values, gradients = record(model, IDS[:-1], IDS[1:])["layers.1"]
    _, _, linear = model.layers
    logits = values["h"][-1] @ linear.w.value + linear.b.value
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p[np.arange(B), IDS[-1]] -= 1
    close(gradients["o"][-1], 0.5 * (p @ linear.w.value.T) * np.tanh(values["c"][-1]))


def not_run(*_: Any) -> Any:
    raise AssertionError("is not run")


class Fast(RNNCell):
    """Has a kernel of its own."""

    def kernel(self) -> Kernel | None:
        own = Kernel(RNNWeights, not_run, not_run, not_run)
        return own if self.has_steps(RNNCell.step_forward, RNNCell.step_backward) else None


def test_a_kernel_of_ones_own_is_not_run() -> None:
    own, usual = (language_model(kind(3, 4, rng=rng())) for kind in (Fast, RNNCell))
    with pytest.raises(AssertionError, match="is not run"):
        own(IDS)
    ids = np.random.default_rng(1).integers(0, 5, (12, 3))
    found, expected = (record(model, ids, ids) for model in (own, usual))
    np.testing.assert_array_equal(found["layers.1"].gradients["h"], expected["layers.1"].gradients["h"])


class Repacking(Cell):
    """Hands on a cache that it made anew."""

    def __init__(self, cell: RNNCell) -> None:
        self.cell = cell
        self.in_size, self.out_size, self.state_sizes = cell.in_size, cell.out_size, cell.state_sizes

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        y, after, cache = self.cell.step_forward(x, state, training=training)
        return y, after, (*cache,)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        return self.cell.step_backward(dy, dstate, RNNCache(*cache))


def test_gradients_that_belong_to_no_step_are_left_out() -> None:
    recording = record(language_model(Repacking(RNNCell(3, 4, rng=rng()))), IDS[:-1], IDS[1:])
    assert list(recording["layers.1"].gradients) == ["h"]
    assert recording["layers.1.cell"].gradients == {}
    close(recording["layers.1.cell"].values["h"], recording["layers.1"].values["h"])


class Holding(Sequential):
    """Has a name of its own for a cell, and a cell that it does not run."""

    def __init__(self, cell: Cell, *layers: Any, spare: Cell) -> None:
        self.mine, self.spare = cell, spare
        super().__init__(*layers)


def test_a_cell_has_the_first_of_its_names_and_is_left_out_where_it_does_not_step_with_the_text() -> None:
    forward, backward, spare, twice = (RNNCell(3, 3, rng=rng()) for _ in range(4))
    both = Bidirectional(forward, backward, merge="sum")
    model = in_float64(Holding(backward, both, twice, Tanh(), twice, spare=spare))
    xs = drawn(T, B, 3)
    recording = record(model, xs, drawn(T, B, 3), criterion=MeanSquaredError())
    assert list(recording.layers) == ["mine", "layers.0.forward_cell"]
    close(recording["mine"].values["h"], backward(xs[::-1])[0][::-1])
    same = record(in_float64(Sequential(Bidirectional(forward, forward))), xs)
    assert same.layers == {}
    assert repr(same) == "<Recording of 4 steps of 2 rows: no cell>"


class Knowing(RNNCell):
    """Knows itself, and what it is a part of."""

    whole: Any
    me: Any


def test_cells_that_know_each_other() -> None:
    cells = Knowing(3, 3, rng=rng()), Knowing(3, 3, rng=rng())
    model = in_float64(Sequential(*cells))
    for cell in cells:
        cell.me, cell.whole = cell, model
    assert list(record(model, drawn(T, B, 3)).layers) == ["layers.0", "layers.0.whole.layers.1"]  # each once


# Labels, devices, sizes.


def test_labels() -> None:
    model = language_model(RNNCell(3, 4, rng=rng()))
    ids = np.array([[0, 4], [2, 2], [1, 0]])
    assert record(model, ids).labels.tolist() == [["0", "4"], ["2", "2"], ["1", "0"]]
    recording = record(model, ids, tokenizer=CharTokenizer("a\0c", special=("<start>", "<end>")))
    assert recording.labels.tolist() == [["<start>", "c"], ["a", "a"], ["<end>", "<start>"]]
    bytes_model = Sequential(OneHot(256), RNNCell(256, 4, rng=rng()))
    recording = record(bytes_model, np.array([[110], [0], [195]]), tokenizer=ByteTokenizer())
    assert recording.labels.tolist() == [["n"], ["\0"], ["\ufffd"]]
    cell = RNNCell(5, 4, rng=rng())
    assert record(cell, OneHotRows(ids, 5)).labels.tolist() == [["0", "4"], ["2", "2"], ["1", "0"]]
    vectors = record(cell, np.zeros((3, 2, 5), np.float32))
    assert vectors.labels.tolist() == [["0", "0"], ["1", "1"], ["2", "2"]]
    source = np.array([[3, 3]])
    assert record(lstm_attention(), (source, ids)).labels.tolist() == [["0", "4"], ["2", "2"], ["1", "0"]]


def test_another_device() -> None:
    device = StrictDevice()
    for case in MODELS.values():
        model, inputs = in_float64(case.make()), case.inputs
        expected = record(model, inputs, case.targets, criterion=case.criterion)
        model.to(device)
        moved = tuple(map(device.asarray, inputs)) if isinstance(inputs, tuple) else device.asarray(inputs)
        found = record(model, moved, device.asarray(case.targets), criterion=case.criterion)
        assert found.labels.tolist() == expected.labels.tolist()
        close(device.to_host(found.outputs), expected.outputs)
        for name, arrays in found.layers.items():
            for kind in ("values", "gradients"):
                for key, array in getattr(arrays, kind).items():
                    close(device.to_host(array), getattr(expected[name], kind)[key])


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (1, 1)])
def test_sizes_of_0_and_1(steps: int, batch: int) -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    ids = np.zeros((steps, batch), int)
    recording = record(model, ids, ids)
    assert recording.labels.shape == (steps, batch)
    assert recording.outputs.shape == (steps, batch, 5)
    assert list(recording.layers) == (["layers.1"] if steps else [])
    for arrays in recording.layers.values():
        assert {array.shape for kind in arrays for array in kind.values()} == {(steps, batch, 4)}


def test_float32_stays_float32() -> None:
    recording = record(language_model(GRUCell(3, 4, rng=rng())).to(dtype="float32"), IDS[:-1], IDS[1:])
    assert {array.dtype.name for kind in recording["layers.1"] for array in kind.values()} == {"float32"}
    assert isinstance(recording, Recording)


def wrong_calls() -> Iterator[tuple[Any, Any, type[Exception], str]]:
    model = language_model(RNNCell(3, 4, rng=rng()))
    pair = lstm_attention()
    vectors = np.zeros((T, B, 3), np.float32)
    yield (
        (Linear(3, 4, rng=rng()), vectors),
        {},
        TypeError,
        r"record: model must be a Recurrent, such as Sequential, or",
    )
    yield (
        (VanillaRNN(3, 4, 3, rng=rng()), vectors),
        {},
        TypeError,
        r"or an EncoderDecoder, not VanillaRNN\(3, 4, 3, 0.01\)",
    )
    yield (model, IDS), {"criterion": SoftmaxCrossEntropy()}, ValueError, "but no targets to judge the outputs by"
    yield (model, IDS, IDS), {"criterion": len}, TypeError, "record: criterion must be a Loss, such as SoftmaxCross"
    yield (pair, IDS, IDS), {}, TypeError, r"record: xs is a ndarray, but an EncoderDecoder reads two sequences: give"
    yield (
        (pair, IDS[:2], IDS),
        {},
        TypeError,
        r"record: xs is a ndarray, but an EncoderDecoder reads two sequences: give",
    )
    yield (pair, (IDS,), IDS), {}, TypeError, r"record: xs is a tuple of 1, but an EncoderDecoder reads two"
    yield (pair, (IDS, IDS), IDS), {"state": ()}, ValueError, "a state was given, but an EncoderDecoder has none"
    yield (pair, (IDS, IDS), IDS), {"starts": IDS > 1}, ValueError, "starts were given, but an EncoderDecoder reads one"
    yield (model, IDS, IDS), {"starts": IDS[:2] > 1}, ValueError, r"starts has shape \(2, 2\), expected \(5, 2\)"
    cell = RNNCell(3, 4, rng=rng())
    yield (
        (cell, vectors),
        {"tokenizer": CharTokenizer("ab")},
        ValueError,
        r"names ids, but xs holds vectors \(4, 2, 3\)",
    )
    yield (model, IDS, IDS[1:]), {}, ValueError, r"targets has shape \(4, 2\), but ys \(5, 2, 5\)"


@pytest.mark.messages
def test_what_does_not_go_together_is_told_why() -> None:
    for arguments, options, error, message in wrong_calls():
        with pytest.raises(error, match=message):
            record(*arguments, **options)


@pytest.mark.messages
def test_a_name_that_was_not_recorded() -> None:
    recording = record(language_model(RNNCell(3, 4, rng=rng())), IDS)
    with pytest.raises(
        KeyError, match=r"recording\['layers.2'\]: there is 'layers.1'. A cell is recorded under the first"
    ):
        recording["layers.2"]
    with pytest.raises(KeyError, match="there is no cell"):
        record(Sequential(Tanh()), drawn(T, B, 3))[""]
