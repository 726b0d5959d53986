"""A cell that learns the state that it begins from: `Leaf(..., initial=parameter)`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS
from tinygrad_rnn import (
    SGD,
    AttentionDecoder,
    Bidirectional,
    Cell,
    DotAttention,
    DropConnect,
    Embedding,
    GRUCell,
    InputFeedingDecoder,
    LayerNormLSTMCell,
    Linear,
    LSTMCell,
    Parameter,
    Recurrent,
    Residual,
    RNNCell,
    Sequential,
    Zoneout,
    load,
    record,
    save,
)
from tinygrad_rnn.core.states import Leaf, State, StateSpec, leaves, tree_map
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients

STEP = 1e-5


class Mixin(Cell):
    """The declaration, for any cell whose state is of arrays (H,); each begins from a parameter of its own."""

    h0: Parameter
    c0: Parameter

    def learn(self, names: str) -> None:
        for name in names:
            setattr(self, f"{name}0", Parameter(np.linspace(-0.5, 0.5, self.out_size, dtype=np.float32)))

    @property
    def state_spec(self) -> StateSpec:
        found = {"h": getattr(self, "h0", None), "c": getattr(self, "c0", None)}
        return tuple(Leaf(name, (self.out_size,), initial=p) for name, p in found.items() if p is not None)


class LearntRNN(Mixin, RNNCell):
    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.learn("h")


class LearntLSTM(Mixin, LSTMCell):
    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.learn("hc")


class LearntGRU(Mixin, GRUCell):
    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.learn("h")


class LearntLayerNormLSTM(Mixin, LayerNormLSTMCell):
    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.learn("hc")


class SteppedLearntRNN(LearntRNN):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


class SteppedLearntLSTM(LearntLSTM):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


class SteppedLearntGRU(LearntGRU):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


MAKERS: dict[str, Callable[[], Any]] = {
    "RNNCell": lambda: LearntRNN(3, 4, rng=rng()),
    "LSTMCell": lambda: LearntLSTM(3, 4, rng=rng()),
    "GRUCell": lambda: LearntGRU(3, 4, rng=rng()),
    "LayerNormLSTMCell": lambda: LearntLayerNormLSTM(3, 4, rng=rng()),
    "RNNCell by steps": lambda: SteppedLearntRNN(3, 4, rng=rng()),
    "LSTMCell by steps": lambda: SteppedLearntLSTM(3, 4, rng=rng()),
    "GRUCell by steps": lambda: SteppedLearntGRU(3, 4, rng=rng()),
    "Zoneout": lambda: Zoneout(LearntLSTM(3, 4, rng=rng()), 0.0, rng=rng()),
    "DropConnect": lambda: DropConnect(LearntLSTM(3, 4, rng=rng()), 0.0, rng=rng()),
    "Sequential": lambda: Sequential(Linear(3, 3, rng=rng()), LearntGRU(3, 4, rng=rng()), Linear(4, 2, rng=rng())),
    "stacked": lambda: Sequential(LearntRNN(3, 4, rng=rng()), LSTMCell(4, 3, rng=rng()), LearntLSTM(3, 2, rng=rng())),
    "Residual": lambda: Residual(LearntRNN(3, 3, rng=rng())),
    "Bidirectional": lambda: Bidirectional(LearntRNN(3, 4, rng=rng()), LearntLSTM(3, 2, rng=rng())),
    "the one of Bidirectional": lambda: Bidirectional(GRUCell(3, 4, rng=rng()), LearntRNN(3, 2, rng=rng())),
    "Bidirectional twice the same": lambda: Bidirectional(*[LearntRNN(3, 4, rng=rng())] * 2),
    "in a Sequential twice": lambda: Sequential(*[LearntRNN(3, 3, rng=rng())] * 2),
    "AttentionDecoder": lambda: AttentionDecoder(LearntRNN(3, 4, rng=rng()), DotAttention()),
    "InputFeedingDecoder": lambda: InputFeedingDecoder(
        Linear(3, 2, rng=rng()), LearntRNN(2 + 3, 4, rng=rng()), DotAttention(), Linear(4 + 4, 3, rng=rng())
    ),
}
every_layer = pytest.mark.parametrize("name", MAKERS)
rows = pytest.mark.parametrize(
    ("lengths", "starts"),
    [
        (None, None),
        pytest.param(LENGTHS, None, marks=pytest.mark.long),
        pytest.param(None, STARTS, marks=pytest.mark.long),
        (LENGTHS, STARTS),
    ],
    ids=["whole", "lengths", "starts", "both"],
)


def made(name: str) -> Any:
    """In float64, with parameters that are all random."""
    layer = MAKERS[name]().to(dtype="float64")
    for parameter in layer.parameters():
        parameter.value += 0.3 * np.random.default_rng(7).standard_normal(parameter.shape)
    return layer


def learnt(layer: Any) -> dict[str, Parameter]:
    return {name: p for name, p in layer.named_parameters() if name.endswith(("h0", "c0"))}


def drawn(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape)


def given_for(layer: Recurrent, whole: bool) -> Any:
    """No state, or, where there is an attention, one whose memory alone is given; or a whole one."""
    if whole:
        state = tree_map(lambda array: drawn(*array.shape), layer.initial_state(4))
    else:
        state = tree_map(lambda _: None, layer.initial_state(4))
    if hasattr(layer, "attention"):
        sizes: Any = np.array([3, 0, 2, 1])
        return (*state[:-2], drawn(4, 3, 4), sizes)
    return state if whole else None


def check(layer: Any, run: Callable[[], Any], upstream: Any, back: Callable[[], Any]) -> None:
    """The gradients that `back` adds are the central differences of what `run` gives times `upstream`."""
    for parameter in layer.parameters():
        parameter.grad = np.ones(parameter.shape)  # to be added to
    back()
    assert learnt(layer)
    for name, parameter in layer.named_parameters():
        numerical = np.zeros(parameter.shape)
        for index in np.ndindex(parameter.shape):
            kept = parameter.value[index]
            for shift in (STEP, -STEP):
                parameter.value[index] = kept + shift
                arrays = run()
                numerical[index] += sum((a * u).sum() for a, u in zip(arrays, upstream, strict=True)) / (2 * shift)
            parameter.value[index] = kept
        largest = abs(numerical).max()
        np.testing.assert_allclose(parameter.grad - 1, numerical, rtol=0, atol=1e-7 * largest, err_msg=name)


def floats(arrays: Any) -> list[Any]:
    return [array for array in arrays if array is not None and array.dtype.kind == "f"]


@pytest.mark.messages
@rows
@every_layer
def test_the_gradient_of_what_a_sequence_begins_from(name: str, lengths: Any, starts: Any) -> None:
    """By central differences, from no state, with gradients of outputs and of the last state."""
    layer = made(name)
    xs, given = drawn(5, 4, 3), given_for(layer, False)

    def run() -> Any:
        ys, state, _ = layer.forward(xs, given, lengths=lengths, starts=starts)
        return floats([ys, *leaves(state)])

    upstream = [np.random.default_rng(k).standard_normal(array.shape) for k, array in enumerate(run(), 10)]

    def back() -> None:
        _, state, cache = layer.forward(xs, given, lengths=lengths, starts=starts)
        rest = iter(upstream[1:])
        layer.backward(upstream[0], tree_map(lambda a: next(rest) if a.dtype.kind == "f" else None, state), cache)

    check(layer, run, upstream, back)


@pytest.mark.messages
@rows
@every_layer
def test_the_gradients_from_a_given_state(name: str, lengths: Any, starts: Any) -> None:
    errors = check_gradients(MAKERS[name](), rng=np.random.default_rng(1), lengths=lengths, starts=starts)
    assert learnt(MAKERS[name]()).keys() <= errors.keys()


@every_layer
def test_a_given_state_teaches_nothing_but_where_a_document_begins(name: str) -> None:
    layer = made(name)
    for starts in (None, STARTS):
        layer.zero_grad()
        ys, _, cache = layer.forward(drawn(5, 4, 3), given_for(layer, True), starts=starts)
        layer.backward(np.ones_like(ys), None, cache)
        assert {bool(p.grad.any()) for p in learnt(layer).values()} == {starts is not None}


# Of a Bidirectional, the check of the contract gives the state that lies behind the last document, in which nothing is
# learnt, to the whole row, but none to the document alone. The central differences above have it right.
@pytest.mark.parametrize("name", [name for name in MAKERS if "Bidirectional" not in name])
def test_it_keeps_the_contract(name: str) -> None:
    check_contract(MAKERS[name](), rng=np.random.default_rng(1))


@rows
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("absent", ["all", "none"])
def test_the_kernel_is_the_step(kind: str, absent: str, lengths: Any, starts: Any) -> None:
    found = []
    for name in (kind, f"{kind} by steps"):
        layer = made(name)
        assert (layer.kernel() is None) == name.endswith("steps")
        ys, state, cache = layer.forward(
            drawn(5, 4, 3), given_for(layer, absent == "none"), lengths=lengths, starts=starts
        )
        dxs, dstate = layer.backward(np.cos(ys), tree_map(np.sin, state), cache)
        found.append([ys, *state, dxs, *dstate, *(p.grad for p in layer.parameters())])
    for array, expected in zip(*found, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-12)


def test_a_part_that_is_none_learns_and_a_part_that_is_given_does_not() -> None:
    cell, h, c = made("LSTMCell"), drawn(4, 4), drawn(4, 4)
    for state, names in ((None, {"h0", "c0"}), ((None, None), {"h0", "c0"}), ((h, None), {"c0"}), ((None, c), {"h0"})):
        cell.zero_grad()
        ys, _, cache = cell.forward(drawn(5, 4, 3), state)
        _, dstate = cell.backward(np.ones_like(ys), None, cache)
        assert {name for name, p in learnt(cell).items() if p.grad.any()} == names
        for name, d in zip(("h0", "c0"), dstate, strict=True):
            if name in names:
                np.testing.assert_allclose(learnt(cell)[name].grad, d.sum(axis=0), rtol=1e-12)


def test_a_row_of_no_steps_hands_the_gradient_of_its_last_state_on() -> None:
    cell, lengths = made("RNNCell"), np.zeros(4, int)
    _, (h,), cache = cell.forward(drawn(5, 4, 3), lengths=lengths)
    np.testing.assert_array_equal(h, np.stack([cell.h0.value] * 4))
    cell.backward(None, (np.arange(16.0).reshape(4, 4),), cache)
    np.testing.assert_array_equal(cell.h0.grad, np.arange(16.0).reshape(4, 4).sum(axis=0))


def test_truncated_chunks_teach_it_once_a_document() -> None:
    """By hand, chunk by chunk: what is given on from one to the next is no beginning."""
    cell, xs = made("GRUCell"), drawn(5, 4, 3)
    expected, state = np.zeros(4), None
    for chunk in (slice(0, 2), slice(2, 5)):
        ys, state, cache = cell.forward(xs[chunk], state, starts=STARTS[chunk])
        cell.backward(np.ones_like(ys), None, cache)
    found = cell.h0.grad.copy()
    for row in range(4):
        firsts = [t for t in range(5) if t == 0 or STARTS[t, row]]
        for first, stop in zip(firsts, [*firsts[1:], 5], strict=True):
            cut = 2 if first < 2 < stop else stop  # the chunk ends, and with it the way back
            cell.zero_grad()
            ys, _, cache = cell.forward(xs[first:cut, row : row + 1])
            cell.backward(np.ones_like(ys), None, cache)
            expected += cell.h0.grad
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_step_begins_from_it() -> None:
    cell, x, state = made("LSTMCell"), drawn(4, 3), (drawn(4, 4), drawn(4, 4))
    begun = cell.initial_state(4)
    for array, parameter in zip(begun, (cell.h0, cell.c0), strict=True):
        np.testing.assert_array_equal(array, np.stack([parameter.value] * 4))
        assert not np.shares_memory(array, parameter.value)
    np.testing.assert_array_equal(cell.step(x, None)[0], cell.step(x, begun)[0])
    y, _ = cell.step(x, state, starts=np.array([True, False, True, True]))
    np.testing.assert_array_equal(y[[0, 2, 3]], cell.step(x, begun)[0][[0, 2, 3]])
    np.testing.assert_array_equal(y[1], cell.step(x, state)[0][1])
    cell.h0.value += 1
    assert (cell.step(x, None)[0] != cell.step(x, begun)[0]).any()


def test_it_is_trained_moved_and_packed_as_any_parameter() -> None:
    model = made("stacked")
    before = {name: p.value.copy() for name, p in learnt(model).items()}
    optimizer = SGD(model, 0.1)
    ys, _, cache = model.forward(drawn(5, 4, 3))
    model.zero_grad()
    model.backward(np.ones_like(ys), None, cache)
    optimizer.step()
    assert before.keys() == {"layers.0.h0", "layers.2.h0", "layers.2.c0"}
    for name, parameter in learnt(model).items():
        assert np.shares_memory(parameter.value, model.flat_value)
        np.testing.assert_allclose(parameter.value, before[name] - 0.1 * parameter.grad, rtol=1e-12)
    assert [array.dtype for array in leaves(model.to(dtype="float32").initial_state(2))] == ["float32"] * 5


@every_layer
def test_the_strict_device_computes_the_same(name: str) -> None:
    device, layer = StrictDevice(), made(name)
    given, xs = given_for(layer, False), drawn(5, 4, 3)
    moved = tree_map(lambda array: None if array is None else device.asarray(array), given)
    found = []
    for where, state in ((layer.device, given), (device, moved)):
        layer.to(where)
        layer.zero_grad()
        rows = {"lengths": where.asarray(LENGTHS), "starts": where.asarray(STARTS)}
        ys, after, cache = layer.forward(where.asarray(xs), state, **rows)
        layer.backward(where.xp.ones_like(ys), None, cache)
        arrays = [ys, *leaves(after), *(p.grad for p in layer.parameters())]
        found.append([where.to_host(array) for array in arrays])
    for array, expected in zip(*found, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-12)


def test_it_is_saved_and_loaded_by_name(tmp_path: Path) -> None:
    model: Any = Sequential(Embedding(5, 3, rng=rng()), LearntLSTM(3, 4, rng=rng()), LearntRNN(4, 2, rng=rng()))
    for parameter in learnt(model).values():
        parameter.value += np.float32(0.25)
    ids, path = np.array([[0, 1], [4, 2], [3, 3]]), tmp_path / "model.safetensors"
    save(path, model, state=model.initial_state(2))
    checkpoint = load(path, classes=(LearntLSTM, LearntRNN))
    loaded: Any = checkpoint.model
    assert learnt(loaded).keys() == {"layers.1.h0", "layers.1.c0", "layers.2.h0"}
    for name, parameter in learnt(model).items():
        np.testing.assert_array_equal(learnt(loaded)[name].value, parameter.value)
    tree_map(np.testing.assert_array_equal, checkpoint.state, model.initial_state(2))
    np.testing.assert_array_equal(loaded(ids)[0], model(ids)[0])
    np.testing.assert_array_equal(loaded(ids, checkpoint.state)[0], model(ids)[0])


def test_a_recording_tells_of_it_and_teaches_nothing() -> None:
    model = Sequential(Embedding(5, 3, rng=rng()), LearntLSTM(3, 4, rng=rng()), Linear(4, 5, rng=rng()))
    ids = np.array([[0, 1], [4, 2], [3, 3], [1, 1]])
    starts = np.array([[False, False], [False, True], [False, False]])
    recording = record(model, ids[:-1], ids[1:], starts=starts)
    np.testing.assert_allclose(recording.outputs, model(ids[:-1], starts=starts)[0], rtol=1e-5)
    assert list(recording["layers.1"].values) == ["h", "c", "i", "f", "o", "g"]
    assert not any(parameter.grad.any() for parameter in model.parameters())
