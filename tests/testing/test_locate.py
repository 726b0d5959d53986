"""The gradient check says where a mistake is: measured on mutants, and as sentences."""

from __future__ import annotations

import ast
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest

from located import CELLS, judged, report_of
from tinygrad_rnn import (
    AdditiveAttention,
    AttentionDecoder,
    Bidirectional,
    Bridge,
    DotAttention,
    DropConnect,
    Embedding,
    EncoderDecoder,
    Feedforward,
    GeneralAttention,
    GRUCell,
    InputFeedingDecoder,
    Layer,
    LayerNorm,
    Linear,
    LSTMCell,
    OneHot,
    Parameter,
    Residual,
    RNNCell,
    Sequential,
    TiedLinear,
    Zoneout,
)
from tinygrad_rnn.core.states import State
from tinygrad_rnn.testing import check_contract, check_gradients, mutants
from tinygrad_rnn.testing.sources import compiled, definition_of, original_of

SAMPLE = 40

pytestmark = pytest.mark.messages  # a mutant raises where the checks of shapes would speak first


def test_nine_of_ten_mutants_of_the_steps_are_located() -> None:
    verdicts = []
    for kind in CELLS:
        for mutant in mutants(vars(kind)["step_backward"]):
            if zlib.crc32(mutant.description.encode()) % SAMPLE == 0:
                error = report_of(kind, mutant)
                if error is not None:
                    verdicts.append(judged(kind, mutant, error))
    assert len(verdicts) > 12
    assert verdicts.count("wrong") <= 0.1 * len(verdicts), verdicts


def report(layer: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check_gradients(layer, rng=np.random.default_rng(1), **options)
    return str(caught.value).splitlines()[0]


def broken(kind: type, old: str, new: str) -> Any:
    """The class, with one change in its `step_backward`."""
    changes = [m for m in mutants(vars(kind)["step_backward"]) if m.description.endswith(f"`{old}` {new}")]
    return type(kind.__name__, (kind,), {"step_backward": changes[0].function})


R = np.random.default_rng(0)
BEGIN = "backward does not fit forward. One step from a given state is already wrong. "


def test_a_gate_is_named_and_what_it_lacks() -> None:
    cell = broken(LSTMCell, "df * f", "-> `df`")(3, 4, rng=R)
    assert report(cell) == (
        f"LSTMCell(3, 4): {BEGIN}`da_f` in step_backward is wrong, though all that can be checked before it is right. "
        "It lacks the factor f. The gradients w.r.t. b (f, columns 4 to 7), state[0], w_h (f, columns 4 to 7), w_x (f, "
        "columns 4 to 7) and xs are wrong because of this. The gradient w.r.t. state[1] is right."
    )


def test_the_columns_of_a_weight_are_named_by_their_gates() -> None:
    cell = broken(GRUCell, "dw_rz += h_prev.T @ da_rz", "-> `dw_rz -= h_prev.T @ da_rz`")(3, 4, rng=R)
    assert report(cell) == (
        f"GRUCell(3, 4): {BEGIN}`dw_rz` in step_backward is wrong, though all that can be checked before it is right. "
        "It has the opposite sign. The gradient w.r.t. w_h (r and z, columns 0 to 7) is wrong because of this. "
        "The gradients w.r.t. b, b_h, state[0], w_x and xs are right."
    )


def test_equals_for_plus_equals_is_told() -> None:
    cell = broken(RNNCell, "self.w_h.grad += h_prev.T @ da", "-> `self.w_h.grad = h_prev.T @ da`")(3, 4, rng=R)
    assert "The gradient w.r.t. w_h is wrong" in report(cell)
    assert "`=` stands in place of `+=`" in report(cell)


class TForTMinusOne(RNNCell):
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, _, h = cache
        (dh,) = dstate
        dh = dy + dh
        da = dh * (1 - h * h)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


class NotTransposed(TForTMinusOne):
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        (dh,) = dstate
        da = (dy + dh) * (1 - h * h)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value,)


class NoTermOfTheState(TForTMinusOne):
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        da = dy * (1 - h * h)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


class OverTime(RNNCell):
    """The steps are right, the sequence is not."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dxs, dstate = super().unroll_backward(dys, dstate, cache)
        if len(dxs) > 1:
            dxs[1] *= -1
        return dxs, dstate


class StateNotCounted(TForTMinusOne):
    """The name of the whole gradient is `d`; `dh` is only what comes from the next step."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        (dh,) = dstate
        d = dy + dh
        da = d * (1 - h * h)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=1)
        return da @ self.w_x.value.T, (dh @ self.w_h.value.T,)


class NamedOtherwise(TForTMinusOne):
    """No name of the backward tells what it holds."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        g = dy
        k = g * (1 - h * h)
        self.w_x.grad += x.T @ k
        self.w_h.grad += h_prev.T @ k
        self.b.grad += k.sum(axis=0)
        return k @ self.w_x.value.T, (k @ self.w_h.value.T,)


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        (GRUCell, "[da_r, da_z]", "[da_z, da_r]", "Its blocks are in the order z and r, not r and z."),
        (GRUCell, "h_prev.T @ dm", "h_prev.T @ da_n", "It is h_prev.T @ da_n where h_prev.T @ dm belongs."),
        (GRUCell, "dh * z + da_rz", "dh * (1 - z) + da_rz", "It has the term dh * (1 - z) where dh * z belongs."),
        (GRUCell, "dh = dy + dh", "pass", "All of these are computed from `dh`, so look there."),
        (LSTMCell, "[da_i, da_f, da_o, da_g]", "[da_i, da_f, da_g, da_o]", "in the order i, f, g and o, not i, f, o"),
        (
            LSTMCell,
            "dc = dc + dh",
            "dc = dh",
            "`dc` in step_backward is wrong, though all that can be checked before it",
        ),
        (LSTMCell, "dc = dc + dh", "dc = dh", "It lacks the term dstate[1]."),
        (LSTMCell, "tanh_c = xp.tanh(c)", "tanh_c = c", "`dc` and `do` in step_backward are wrong. All of these are"),
    ],
)
def test_a_slip_in_a_built_in_cell_is_told(kind: type, old: str, new: str, words: str) -> None:
    function = original_of(vars(kind)["step_backward"])
    assert function is not None
    source = ast.unparse(definition_of(function))
    assert source.count(old) == 1
    changed = type(kind.__name__, (kind,), {"step_backward": compiled(source.replace(old, new), function)})
    assert words in report(changed(3, 4, rng=R))


class Gain(TForTMinusOne):
    """A parameter is one number, and the steps have a variable of its name. Its gradient lacks a factor."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.gain = Parameter(np.zeros((), np.float32))

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        (h_prev,) = state
        gain = np.exp(self.gain.value)
        n = np.tanh(x @ self.w_x.value + h_prev @ self.w_h.value + self.b.value)
        h = gain * n
        return h, (h,), (x, h_prev, n)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, n = cache
        gain = np.exp(self.gain.value)
        dh = dy + dstate[0]
        dgain = (dh * n).sum()
        da = dh * gain * (1 - n * n)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        self.gain.grad += dgain
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


def test_a_parameter_of_one_number_is_told_once() -> None:
    words = report(Gain(3, 4, rng=R))
    assert "The gradient w.r.t. gain is wrong, though all that can be checked before it is right. Nothing else" in words
    assert "is computed from `dgain`, so look there too. The gradients w.r.t. b, state[0], w_h, w_x and xs are" in words


TYPED = """
class Typed(RNNCell):
    def step_backward(self, dy, dstate, cache):
        dx, dstate = super().step_backward(dy, dstate, cache)
        return -dx, dstate
"""


def test_a_class_without_a_file_is_told_so() -> None:
    names: dict[str, Any] = {"RNNCell": RNNCell}
    exec(TYPED, names)  # as an interpreter does
    words = report(names["Typed"](3, 4, rng=R))
    assert "The gradients w.r.t. b, state[0], w_h and w_x are right." in words
    assert "More can be told if the source of step_backward can be read: write the class in a file." in words


class Kept(NamedTuple):
    x: Any
    hs: Any


class Twice(TForTMinusOne):
    """Two layers in a step; the forward keeps a list, the cache a tuple of it. The backward lacks a transpose."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        hs = [state[0]]
        hs.append(np.tanh(x @ self.w_x.value + hs[0] @ self.w_h.value + self.b.value))
        hs.append(np.tanh(hs[1] @ self.w_h.value))
        return hs[2], (hs[2],), Kept(x, tuple(hs))

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, hs = cache
        da = (dy + dstate[0]) * (1 - hs[2] * hs[2])
        self.w_h.grad += hs[1].T @ da
        da = (da @ self.w_h.value) * (1 - hs[1] * hs[1])
        self.w_h.grad += hs[0].T @ da
        self.w_x.grad += x.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


class PrivateSlope(TForTMinusOne):
    def __slope(self, h: Any) -> Any:
        return 1 + h * h

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        da = (dy + dstate[0]) * self.__slope(h)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


class TooMuch(Zoneout):
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, (dh,) = super().step_backward(dy, dstate, cache)
        return dx, (dh + dstate[0],)


def test_nothing_false_is_said() -> None:
    words = report(Twice(3, 3, rng=R))
    assert "hold" not in words
    assert "w_h, w_x, b, xs and state[0] are wrong. All of these are computed from `da`, so look there." in words
    words = report(PrivateSlope(3, 3, rng=R))
    assert "`da` in step_backward is wrong, though all that can be checked before it is right. The" in words
    assert "It has one term dstate[0] too many." in report(TooMuch(RNNCell(3, 4, rng=R), 0.4, rng=R))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (StateNotCounted, "The gradient w.r.t. b is wrong. It is da.sum(axis=1) where da.sum(axis=0) belongs."),
        (StateNotCounted, "The gradient w.r.t. state[0] is wrong. It is dh @ w_h.T where da @ w_h.T belongs."),
        (NamedOtherwise, "w_x, w_h, b, xs and state[0] are wrong. All of these are computed from `g` and `k`, so look"),
        (TForTMinusOne, "It is h.T @ da where h_prev.T @ da belongs."),
        (NotTransposed, "The product da @ w_h.T lacks the transpose."),
        (NoTermOfTheState, "It is right if the gradient w.r.t. the state that goes on is 0. `da` in step_backward"),
        (
            OverTime,
            "one of 4 steps is wrong. The gradient w.r.t. xs is wrong in step 1.",
        ),
    ],
)
def test_a_slip_is_told(kind: Any, words: str) -> None:
    assert words in report(kind(3, 3, rng=R))


def test_the_layer_inside_is_named() -> None:
    model = Sequential(Linear(3, 3, rng=R), TForTMinusOne(3, 3, rng=R))
    assert "The fault is in layers.1 by itself. TForTMinusOne(3, 3): backward" in report(model)


def test_an_exception_of_the_backward_says_what_could_not_be_computed() -> None:
    cell = broken(RNNCell, "h_prev.T", "-> `h_prev`")(3, 4, rng=R)
    with pytest.raises(ValueError, match="matmul") as caught:
        check_gradients(cell, rng=R)
    assert "RNNCell(3, 4)" in caught.value.__notes__[0]
    assert "The gradient w.r.t. w_h cannot be computed." in caught.value.__notes__[0]


class WrongInside(LSTMCell):
    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> Any:
        inner = super().inner_gradients(dy, dstate, cache)
        return inner | {"f": -inner["f"]}


def test_inner_gradients_are_checked_one_by_one() -> None:
    with pytest.raises(AssertionError) as caught:
        check_gradients(WrongInside(3, 4, rng=R), rng=R)
    assert str(caught.value) == (
        "WrongInside(3, 4): the backward is right, but inner_gradients is not.\n  inner_gradients, f: it is not the "
        "gradient w.r.t. f of step_forward. It has the opposite sign."
    )


class Float64Inside(LSTMCell):
    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> Any:
        inner = super().inner_gradients(dy, dstate, cache)
        return inner | {"f": inner["f"] * np.float64(1)}


class FarInFloat32(LSTMCell):
    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> Any:
        inner = super().inner_gradients(dy, dstate, cache)
        return inner | {"f": inner["f"] + dy.dtype.type(0.01) * (dy.dtype == "float32")}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Float64Inside, "with parameters of float32, f of inner_gradients is float64"),
        (FarInFloat32, "inner_gradients in float32 are far from float64: f at"),
    ],
)
def test_inner_gradients_stay_float32(kind: Any, words: str) -> None:
    check_gradients(kind(3, 4, rng=R), rng=R)
    with pytest.raises(AssertionError, match=words):
        check_contract(kind(3, 4, rng=R), rng=R)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_right_inner_gradients_pass(reset: str) -> None:
    check_gradients(GRUCell(3, 4, rng=R, reset=reset), rng=R)


def ones() -> dict[str, Layer]:
    """Layers whose every size is 1.

    Not `LayerNormLSTMCell`, nor an `AttentionDecoder` with a layer of output: their gradients are differences of nearly
    equal numbers there, which float32 does not hold to the 1e-4 that are allowed.
    """
    table = Embedding(1, 1, rng=R)
    cell = RNNCell(1, 1, rng=R)
    layers = (
        *(kind(1, 1, rng=R) for kind in (RNNCell, LSTMCell, GRUCell, Linear)),
        GRUCell(1, 1, rng=R, reset="before"),
        *(kind(RNNCell(1, 1, rng=R), 0.4, rng=R) for kind in (Zoneout, DropConnect)),
        *(OneHot(1), table, TiedLinear(table), LayerNorm(1), Bridge(1, (1, 1), rng=R), Residual(cell)),
        Sequential(OneHot(1), RNNCell(1, 1, rng=R), Linear(1, 1, rng=R)),
        *(Bidirectional(RNNCell(1, 1, rng=R), cell, merge=merge) for merge in ("concat", "sum", "mul", "mean")),
        *(DotAttention(), GeneralAttention(1, 1, rng=R), AdditiveAttention(1, 1, 1, rng=R)),
        InputFeedingDecoder(table, LSTMCell(2, 1, rng=R), DotAttention(), Linear(2, 1, rng=R)),
        EncoderDecoder(RNNCell(1, 1, rng=R), AttentionDecoder(RNNCell(1, 1, rng=R), DotAttention())),
        RNNCell(3, 1, rng=R),
    )
    return {f"{layer!r} {i}": layer for i, layer in enumerate(layers)}


@pytest.mark.parametrize("layer", ones().values(), ids=ones())
def test_a_right_layer_of_size_1_passes(layer: Layer) -> None:
    check_contract(layer, rng=np.random.default_rng(0))
    check_gradients(layer, rng=np.random.default_rng(0))
    for lengths in ([3], [1], [0]):
        if not isinstance(layer, Feedforward):
            check_gradients(layer, rng=np.random.default_rng(0), lengths=np.array(lengths))
