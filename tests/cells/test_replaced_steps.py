"""A step that was replaced, on the class or the instance, or overridden, is the one that runs; not the kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS
from tinygrad_rnn import (
    Bidirectional,
    Cell,
    DropConnect,
    Embedding,
    GRUCell,
    Linear,
    LSTMCell,
    RNNCell,
    Sequential,
    Zoneout,
    generate,
    generate_samples,
    greedy_search,
    record,
)
from tinygrad_rnn.cells.base import KernelCache, StepCaches
from tinygrad_rnn.core.states import State
from tinygrad_rnn.kernels import backends
from tinygrad_rnn.kernels.compiled.backend import COMPILED

KINDS: list[Any] = [RNNCell, LSTMCell, GRUCell]
HOWS = ["overridden", "on the instance", "a method of the instance", "on the class", "its backward alone"]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_way = pytest.mark.parametrize("how", HOWS)
XS: Any = np.random.default_rng(1).standard_normal((5, 4, 3))
IDS: Any = np.random.default_rng(2).integers(0, 6, (5, 4))


class OwnRNN(RNNCell):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(2 * x, state, training=training)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return 2 * dx, dstate


class OwnLSTM(LSTMCell):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(2 * x, state, training=training)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return 2 * dx, dstate


class OwnGRU(GRUCell):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(2 * x, state, training=training)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return 2 * dx, dstate


OWN: dict[Any, Any] = {RNNCell: OwnRNN, LSTMCell: OwnLSTM, GRUCell: OwnGRU}


def plain(kind: Any) -> Any:
    """In float64, in which the bits of a kernel and of a step may differ by rounding."""
    return kind(3, 4, rng=np.random.default_rng(0)).to(dtype="float64")


def twice(kind: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The steps of a cell that doubles its input, to be set on a cell or a class."""
    forward, backward = kind.step_forward, kind.step_backward

    def forth(self: Any, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        found: tuple[Any, State, Any] = forward(self, 2 * x, state, training=training)
        return found

    def back(self: Any, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = backward(self, dy, dstate, cache)
        return 2 * dx, dstate

    return forth, back


def replace(cell: Any, kind: Any, how: str, patch: pytest.MonkeyPatch) -> Any:
    """`cell`, from now on with steps that double its input, forward (but for one way) and back."""
    forth, back = twice(kind)
    if how == "on the class":
        patch.setattr(kind, "step_forward", forth)
        patch.setattr(kind, "step_backward", back)
    elif how == "a method of the instance":
        cell.step_forward, cell.step_backward = MethodType(forth, cell), MethodType(back, cell)
    elif how == "on the instance":

        def own_forth(x: Any, state: State, *, training: bool = True) -> Any:
            return forth(cell, x, state, training=training)

        cell.step_forward = own_forth
        cell.step_backward = lambda dy, dstate, cache: back(cell, dy, dstate, cache)
    elif how == "its backward alone":
        cell.step_backward = MethodType(back, cell)
    return cell


def made(kind: Any, how: str, patch: pytest.MonkeyPatch) -> Any:
    return replace(plain(OWN[kind] if how == "overridden" else kind), kind, how, patch)


def forward_factor(how: str) -> int:
    return 1 if how == "its backward alone" else 2


def everything(layer: Any, xs: Any, **rows: Any) -> list[Any]:
    layer.zero_grad()
    ys, _, cache = layer.forward(xs, **rows)
    dxs, _ = layer.backward(np.cos(np.arange(ys.size).reshape(ys.shape)), None, cache)
    return [ys, dxs, *(p.grad.copy() for p in layer.parameters())]


def close(found: Any, expected: Any) -> None:
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-12)


@pytest.fixture(params=[False, True], ids=["plain", "compiled"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Numba's kernels are there to be taken wrongly."""
    on: bool = request.param
    monkeypatch.setattr(backends, "_compiled", COMPILED if on else None)
    return on


@every_way
@every_kind
@pytest.mark.parametrize(
    "rows",
    [
        {},
        pytest.param({"lengths": LENGTHS}, marks=pytest.mark.long),
        pytest.param({"starts": STARTS}, marks=pytest.mark.long),
        {"lengths": LENGTHS, "starts": STARTS},
    ],
)
def test_it_runs_in_a_sequence_forward_and_back(
    kind: Any, how: str, rows: Any, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ys, dxs, *gradients = everything(plain(kind), forward_factor(how) * XS, **rows)
    cell = made(kind, how, monkeypatch)
    assert cell.kernel() is None
    close(everything(cell, XS, **rows), [ys, 2 * dxs, *gradients])


@every_way
@every_kind
def test_it_runs_in_a_step(kind: Any, how: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    state = plain(kind)(XS)[1]
    expected = [plain(kind).step(forward_factor(how) * XS[0], state, starts=s)[0] for s in (None, STARTS[0])]
    cell = made(kind, how, monkeypatch)
    close([cell.step(XS[0], state, starts=s)[0] for s in (None, STARTS[0])], expected)
    wrapped = Sequential(Sequential(cell))
    close([wrapped.step(XS[0], ((state,),), starts=s)[0] for s in (None, STARTS[0])], expected)


@every_way
@every_kind
def test_it_runs_in_a_model(kind: Any, how: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an embedding, whose look-up it must not put off either."""

    def model(cell: Any) -> Any:
        rng = np.random.default_rng(5)
        return Sequential(Embedding(6, 3, rng=rng), cell, Linear(4, 4, rng=rng)).to(dtype="float64")

    usual = model(plain(kind))
    usual.layers[0].w.value *= forward_factor(how)
    ys, _, cache = usual.forward(IDS, lengths=LENGTHS, starts=STARTS)
    usual.backward(np.cos(ys), None, cache)
    own = model(made(kind, how, monkeypatch))
    found, _, cache = own.forward(IDS, lengths=LENGTHS, starts=STARTS)
    own.backward(np.cos(found), None, cache)
    close([found], [ys])
    for (name, p), (_, q) in zip(own.named_parameters(), usual.named_parameters(), strict=True):
        np.testing.assert_allclose(
            p.grad, (2 if name == "layers.0.w" else 1) * q.grad, rtol=0, atol=1e-12, err_msg=name
        )


@every_way
@every_kind
def test_it_runs_in_every_composition(kind: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, factor = np.random.default_rng, forward_factor(how)
    compositions: list[Callable[[Any], Any]] = [
        lambda cell: Zoneout(cell, 0.4, rng=rng(3)),
        lambda cell: Bidirectional(cell, cell, merge="mean"),
        lambda cell: DropConnect(cell, 0.0, rng=rng(3)),
        lambda cell: Sequential(cell),
    ]
    cell = plain(kind)
    expected = [everything(make(cell), factor * XS, lengths=LENGTHS, starts=STARTS) for make in compositions]
    cell = made(kind, how, monkeypatch)
    for make, (ys, dxs, *gradients) in zip(compositions, expected, strict=True):
        close(everything(make(cell), XS, lengths=LENGTHS, starts=STARTS), [ys, 2 * dxs, *gradients])


@pytest.mark.parametrize(
    "how",
    [
        "overridden",
        "on the class",
        "a method of the instance",
        "its backward alone",
    ],
)
@every_kind
def test_weights_drop_in_it(kind: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training, where the cell that runs is a copy with a masked `w_h`."""

    def dropped(cell: Any) -> DropConnect:
        return DropConnect(cell, 0.4, rng=np.random.default_rng(3))

    ys, dxs, *gradients = everything(dropped(plain(kind)), forward_factor(how) * XS)
    close(everything(dropped(made(kind, how, monkeypatch)), XS), [ys, 2 * dxs, *gradients])


@every_way
@every_kind
def test_it_is_recorded(kind: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ys = plain(kind)(forward_factor(how) * XS)[0]
    cell = made(kind, how, monkeypatch)
    before = dict(vars(cell))
    recording = record(cell, XS, np.zeros((5, 4), int))
    close([recording.outputs, recording[""].values["h"]], [ys, ys])
    assert recording[""].gradients["h"].any()
    assert vars(cell) == before  # notes are taken on a copy


@every_way
@every_kind
def test_ids_are_generated_by_it(kind: Any, how: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def model(cell: Any, factor: int) -> Any:
        rng = np.random.default_rng(5)
        whole = Sequential(Embedding(6, 3, rng=rng), cell, Linear(4, 6, rng=rng)).to(dtype="float64")
        for parameter in whole.parameters():
            parameter.value = 2 * rng.standard_normal(parameter.shape)
        whole.layers[0].w.value *= factor  # type: ignore[union-attr]
        return whole

    def written(whole: Any) -> Any:
        ids = list(generate(whole, [1, 2], length=12, rng=np.random.default_rng(0)))
        several = generate_samples(whole, [1, 2], samples=3, length=6, rng=np.random.default_rng(0))
        return ids, [token.id for token in several], greedy_search(whole, [1, 2], length=12)

    usual, other = (
        written(model(plain(kind), forward_factor(how))),
        written(model(plain(kind), 3 - forward_factor(how))),
    )
    assert written(model(made(kind, how, monkeypatch), 1)) == usual
    assert usual != other


@every_kind
def test_backward_follows_its_cache_where_a_step_was_replaced_since(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel goes back where the kernel went, whatever the steps are now."""
    for how in ("on the instance", "on the class"):
        cell = plain(kind)
        ys, _, cache = cell.forward(XS, lengths=LENGTHS, starts=STARTS)
        assert type(cache.inner) is KernelCache
        dys = np.cos(ys)
        expected = cell.backward(dys, None, cache)[0]
        gradient = cell.flat_grad.copy()
        with monkeypatch.context() as patch:
            replace(cell, kind, how, patch)
            assert cell.kernel() is None
            cell.zero_grad()
            np.testing.assert_array_equal(cell.backward(dys, None, cache)[0], expected)
            np.testing.assert_array_equal(cell.flat_grad, gradient)


@every_kind
def test_backward_goes_step_by_step_where_forward_did_and_the_kernel_is_back(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, before = plain(kind), (kind.step_forward, kind.step_backward)
    with monkeypatch.context() as patch:
        replace(cell, kind, "on the class", patch)
        ys, _, cache = cell.forward(XS, lengths=LENGTHS, starts=STARTS)
        dxs = cell.backward(np.cos(ys), None, cache)[0]
    assert (kind.step_forward, kind.step_backward) == before
    assert type(cache.inner) is StepCaches
    assert cell.kernel() is not None
    np.testing.assert_array_equal(2 * cell.backward(np.cos(ys), None, cache)[0], dxs)  # by the steps that it has now
    close([cell(2 * XS, lengths=LENGTHS, starts=STARTS)[0]], [ys])
    assert type(cell.forward(XS)[2].inner) is KernelCache


@every_kind
def test_a_subclass_that_leaves_the_steps_alone_keeps_the_kernel(kind: Any) -> None:
    named: Any = type("Named", (kind,), {})
    cell = named(3, 4, rng=np.random.default_rng(0)).to(dtype="float64")
    assert cell.kernel() is plain(kind).kernel()
    assert cell.kernel() is not None
    close(everything(cell, XS), everything(plain(kind), XS))


def test_a_cell_of_ones_own_has_no_kernel() -> None:
    class Sum(Cell):
        in_size, out_size, state_sizes = 3, 3, (3,)

        def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
            return x + state[0], (x + state[0],), None

        def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
            return dy + dstate[0], (dy + dstate[0],)

    cell = Sum()
    assert cell.kernel() is None
    assert type(cell.forward(XS)[2].inner) is StepCaches
    assert GRUCell(3, 4, rng=np.random.default_rng(0), reset="before").kernel() is None


@pytest.mark.parametrize("how", ["on the instance", "a method of the instance"])
@every_kind
def test_a_copy_of_a_cell_keeps_the_step_that_it_has(kind: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = made(kind, how, monkeypatch)
    for other in (copy.copy(cell), copy.deepcopy(cell)):
        assert other.kernel() is None
        np.testing.assert_array_equal(other(XS)[0], cell(XS)[0])


def test_a_function_in_place_of_a_step_would_not_see_masked_weights(rng: np.random.Generator) -> None:
    cell: Any = RNNCell(3, 4, rng=rng)
    step = cell.step_forward
    cell.step_forward = lambda x, state, *, training=True: step(x, state, training=training)
    layer = DropConnect(cell, 0.4, rng=rng)
    layer(XS.astype("float32"))  # at inference nothing is masked
    with pytest.raises(TypeError, match="step_forward of its cell was replaced by a function"):
        layer.forward(XS.astype("float32"))
