from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from table import SteppedRNN
from tinygrad_rnn import (
    Cell,
    Device,
    Dropout,
    Embedding,
    EncoderDecoder,
    Feedforward,
    GRUCell,
    Linear,
    Loss,
    ManyToOne,
    OneHot,
    OneHotRows,
    Recurrent,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
)
from tinygrad_rnn.core.arrays import device_name, namespace
from tinygrad_rnn.core.initializers import zeros
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.core.states import Leaf, State, StateSpec, leaves
from tinygrad_rnn.testing import StrictDevice


class Doubled(Feedforward):
    """Doubles its input, but only in training."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, None]:
        return (2 * x if training else x), None

    def backward(self, dy: Any, cache: None) -> Any:
        return 2 * dy


class DoubledCell(RNNCell):
    """As `RNNCell`, but doubles its input in training."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(2 * x if training else x, state, training=training)


def f32(*shape: int) -> Any:
    return np.asarray(np.random.default_rng(1).standard_normal(shape), np.float32)


def cell() -> RNNCell:
    return RNNCell(3, 4, rng=np.random.default_rng(0))


def of_ids() -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(OneHot(5), RNNCell(5, 4, rng=rng), Linear(4, 3, rng=rng))


IDS: Any = np.array([[0, 1], [2, 3], [4, 0]])


def test_a_call_is_forward_at_inference() -> None:
    x = f32(3, 2, 3)
    np.testing.assert_array_equal(Doubled()(x), x)
    doubled, plain = (kind(3, 4, rng=np.random.default_rng(0)) for kind in (DoubledCell, SteppedRNN))
    for model in (doubled, Sequential(Doubled(), doubled)):
        ys, _ = model(x)
        np.testing.assert_array_equal(ys, plain(x)[0])
        assert (model.forward(x)[0] != ys).any()  # training is what forward does unless told
        np.testing.assert_array_equal(model.forward(x, training=False)[0], ys)
        y, _ = model.step(x[0], None)
        np.testing.assert_allclose(y, ys[0], rtol=1e-6)


def test_a_call_passes_state_lengths_and_starts_on() -> None:
    model, x, state = cell(), f32(3, 2, 3), (f32(2, 4),)
    lengths: Any = np.array([1, 3])
    starts = np.array([[False, True], [False, False], [True, True]])
    for rows in ({"lengths": lengths}, {"starts": starts}, {"lengths": lengths, "starts": starts}):
        ys, (h,), _ = model.forward(x, state, **rows)
        found, (last,) = model(x, state, **rows)
        np.testing.assert_array_equal(found, ys)
        np.testing.assert_array_equal(last, h)
        assert (ys != model(x, state)[0]).any()


def test_a_loss_called_is_the_loss_alone() -> None:
    criterion, ys, targets = SoftmaxCrossEntropy(), f32(3, 2, 5), IDS
    assert criterion(ys, targets) == criterion.forward(ys, targets)[0]
    short: Any = np.array([1, 3])
    assert criterion(ys, targets, lengths=short) == criterion.forward(ys, targets, lengths=short)[0]


def test_none_as_state_begins_anew() -> None:
    for model, x in ((cell(), f32(3, 2, 3)), (of_ids(), IDS)):
        start = model.initial_state(2)
        np.testing.assert_array_equal(model(x)[0], model(x, start)[0])
        np.testing.assert_array_equal(model.step(x[0], None)[0], model.step(x[0], start)[0])
    (h,) = cell().initial_state(2)
    assert (h.shape, h.dtype, h.any()) == ((2, 4), np.dtype("float32"), False)


def test_a_sequential_takes_none_for_the_state_of_one_child() -> None:
    model = of_ids()
    np.testing.assert_array_equal(model(IDS, (None, None, ()))[0], model(IDS)[0])
    np.testing.assert_array_equal(model(IDS, ((), None, ()))[0], model(IDS)[0])
    np.testing.assert_array_equal(model.step(IDS[0], ((), None, ()))[0], model.step(IDS[0], None)[0])


def test_the_initial_state_has_the_dtype_and_device_of_the_parameters() -> None:
    (h,) = cell().to(dtype="float64").initial_state(2)
    assert h.dtype == np.float64
    (h,) = cell().to(StrictDevice()).initial_state(2)
    assert h.device == StrictDevice()


def test_absent_gradients_are_zeros() -> None:
    model, x = cell(), f32(3, 2, 3)
    ys, state, cache = model.forward(x)
    dxs, dstate = model.backward(None, None, cache)
    assert not dxs.any()
    assert not dstate[0].any()
    np.testing.assert_array_equal(
        model.backward(None, state, cache)[0], model.backward(np.zeros_like(ys), state, cache)[0]
    )


def test_begin_begins_only_the_rows_anew_that_start() -> None:
    model = of_ids()
    state = ((), (f32(3, 4),), ())
    begun = model.begin(state, np.array([False, True, False]))
    np.testing.assert_array_equal(begun[1][0], state[1][0] * [[1], [0], [1]])
    assert state[1][0].all()
    assert begun[0] == begun[2] == ()


def test_begin_selects_and_never_multiplies() -> None:
    state = (np.full((2, 4), np.nan, np.float32),)
    (h,) = cell().begin(state, np.array([True, False]))
    assert not h[0].any()
    assert np.isnan(h[1]).all()


def test_no_gradient_goes_back_through_a_begin() -> None:
    model, dstate = of_ids(), ((), (f32(3, 4),), ())
    before = model.begin_backward(dstate, np.array([False, True, False]))
    np.testing.assert_array_equal(before[1][0], dstate[1][0] * [[1], [0], [1]])


def test_a_step_with_starts_is_the_step_from_the_begun_state() -> None:
    state, starts = ((), (f32(2, 4),), ()), np.array([False, True])
    for model, x, given in ((of_ids(), IDS[0], state), (cell(), f32(2, 3), state[1])):
        expected = model.step(x, model.begin(given, starts))
        y, after = model.step(x, given, starts=starts)
        np.testing.assert_array_equal(y, expected[0])
        for array, other in zip(leaves(after), leaves(expected[1]), strict=True):
            np.testing.assert_array_equal(array, other)
        np.testing.assert_array_equal(model.step(x, given, starts=~starts & starts)[0], model.step(x, given)[0])
    assert state[1][0].all()


def test_a_step_from_none_begins_all_rows_anew() -> None:
    for starts in (np.array([False, False]), np.array([True, False])):
        for state in (None, ((), None, ())):
            np.testing.assert_array_equal(
                of_ids().step(IDS[0], state, starts=starts)[0], of_ids().step(IDS[0], None)[0]
            )


@pytest.mark.messages
def test_a_step_says_which_state_or_starts_do_not_fit() -> None:
    state, x, device = (f32(3, 4),), f32(2, 3), StrictDevice()
    with pytest.raises(
        ValueError, match=r"RNNCell\(3, 4\): state\[0\], which is h, has shape \(3, 4\), expected \(2, 4\)"
    ):
        cell().step(x, state, starts=np.array([True, False]))
    with pytest.raises(ValueError, match=r"RNNCell\(3, 4\): starts has shape \(3,\), expected \(2,\)"):
        cell().step(x, None, starts=np.array([True, False, False]))
    on_device = cell().to(device)
    message = (
        r"RNNCell\(3, 4\): starts is on cpu, but the parameters are on strict.*Device\('strict'\)\.asarray\(starts\)"
    )
    with pytest.raises(TypeError, match=message):
        on_device.step(device.asarray(x), None, starts=np.array([True, False]))


@pytest.mark.messages
@pytest.mark.parametrize("starts", [[True, False], True, np.array([1, 0])])
def test_a_step_refuses_starts_that_are_no_array_of_bools(starts: Any) -> None:
    with pytest.raises(
        TypeError, match=r"RNNCell\(3, 4\): starts must be an array of bools, True where a document begins"
    ):
        cell().step(f32(2, 3), None, starts=starts)


class Moved(Recurrent):
    """Without parameters: adds its state, which stays, to the input."""

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("by", (3,), initial=2.0),)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, None]:
        return x + state[0], state, None

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        return dy, (dy + dstate[0],)

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> Any:
        raise AssertionError("is not run")

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> Any:
        raise AssertionError("is not run")


class Counts(Cell):
    """Of each id, how often it came; without parameters."""

    in_size, out_size, state_sizes = 3, 3, (3,)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, None]:
        h = state[0] + x @ namespace(state[0]).eye(3, dtype=state[0].dtype)
        return h, (h,), None

    def step_backward(self, dy: Any, dstate: State, cache: None) -> tuple[Any, State]:
        return None, (dy + dstate[0],)


@pytest.mark.parametrize("device", [Device("cpu"), StrictDevice()])
def test_without_parameters_a_layer_of_ids_takes_the_states_that_it_gave(device: Device) -> None:
    layer, ids = Sequential(OneHot(3), Counts()), device.asarray(np.array([[0, 1], [2, 1], [0, 0]]))
    for dtype in ("float32", "float64"):
        state: Any = ((), (device.asarray(np.zeros((2, 3)), dtype),))
        for x in ids:
            _, state = layer.step(x, state)
        assert state[1][0].dtype == dtype
        np.testing.assert_array_equal(device.to_host(state[1][0]), [[2, 0, 1], [1, 2, 0]])
        for rows in (ids, ids[:0]):
            ys, after = layer(rows, state)
            assert ys.shape == (*rows.shape, 3)
            assert device_name(after[1][0]) == device_name(ys) == device.name
    for rows in (OneHotRows(ids, 3), OneHotRows(ids[:0], 3)):
        ys, _ = Counts()(rows)
        assert (ys.shape, ys.dtype, device_name(ys)) == (rows.shape, np.float32, device.name)


@pytest.mark.parametrize("device", [Device("cpu"), StrictDevice()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_parameters_a_state_begins_in_the_dtype_and_on_the_device_of_the_old(
    device: Device, dtype: str
) -> None:
    x, h = device.asarray(f32(2, 3), dtype), device.asarray(f32(2, 3), dtype)
    layer, starts = Moved(), device.asarray(np.array([True, False]))
    y, (after,) = layer.step(x, (h,), starts=starts)
    (begun,) = layer.begin((h,), starts)
    for array in (y, after, begun):
        assert (array.dtype, array.device) == (np.dtype(dtype), x.device)
    np.testing.assert_array_equal(device.to_host(after), np.stack([np.full(3, 2.0), device.to_host(h)[1]]))
    np.testing.assert_array_equal(device.to_host(begun), device.to_host(after))


def refused(call: Callable[[], object], error: Any, *parts: str) -> None:
    """The message names, in this order, all `parts`."""
    with pytest.raises(error, match=".*".join(map(re.escape, parts))):
        call()


CURES = (
    "float64, but the parameters are float32. Convert the array,",
    ".astype('float32')",
    "model.to(dtype='float64')",
)


@pytest.mark.messages
def test_a_float64_array_into_a_float32_model_is_told_both_cures() -> None:
    model, x = cell(), f32(3, 2, 3)
    wide, state = x.astype(float), (np.zeros((2, 4)),)
    for call, name in (
        (lambda: model(wide), "xs is"),
        (lambda: model.step(wide[0], None), "x is"),
        (lambda: model(x, state), "state[0] is"),
        (lambda: Sequential(model)(wide), "xs is"),
        (lambda: Sequential(Tanh(), model)(x, ((), state)), "state[1][0] is"),
        (lambda: Linear(3, 2, rng=np.random.default_rng(0))(wide), "x is"),
    ):
        refused(call, TypeError, "(", f"): {name}", *CURES)


@pytest.mark.messages
def test_a_step_where_a_sequence_is_expected_is_told_of_step() -> None:
    refused(
        lambda: cell()(f32(2, 3)),
        ValueError,
        "RNNCell(3, 4): forward takes (T, B, D); xs has shape (2, 3). "
        "For one step call `step`; for a batch of one row, give xs[:, None]",
    )
    refused(
        lambda: of_ids()(IDS[0]), ValueError, "forward takes (T, B), ids; xs has shape (2,). For one step call `step`"
    )
    refused(
        lambda: cell().step(f32(3, 2, 3), None),
        ValueError,
        "step takes (B, D); x has shape (3, 2, 3). For a sequence call `forward`",
    )
    refused(lambda: of_ids().step(IDS, None), ValueError, "step takes (B,), ids; x has shape (3, 2)")


@pytest.mark.messages
def test_a_wrong_width_is_told_the_right_one() -> None:
    message = "has shape (3, 2, 5), but its last axis must have size 3"
    linear = Linear(3, 2, rng=np.random.default_rng(0))
    for call, name in ((lambda: cell()(f32(3, 2, 5)), "xs"), (lambda: linear(f32(3, 2, 5)), "x")):
        refused(call, ValueError, f": {name} {message}")
    refused(lambda: cell().step(f32(2, 5), None), ValueError, "x has shape (2, 5), but its last axis must have size 3")
    refused(lambda: linear(f32()), ValueError, "Linear(3, 2): x has shape (), but its last axis must have size 3")


@pytest.mark.messages
def test_ids_that_are_floats_or_a_list_are_told_what_is_expected() -> None:
    for layer in (OneHot(5), Embedding(5, 2, rng=np.random.default_rng(0))):
        refused(partial(layer, IDS.astype(float)), TypeError, "(5", "x must be an integer array, not float64")
        refused(partial(layer, [0, 1]), TypeError, "x must be an integer array, not a list")
    refused(lambda: of_ids()(f32(3, 2)), TypeError, "Sequential(", "xs must be an integer array, not float32")
    refused(lambda: of_ids().step([0, 1], None), TypeError, "x must be an integer array, not a list")


@pytest.mark.messages
@pytest.mark.parametrize("wrong", [5, -1, 10**9])
def test_ids_outside_the_vocabulary_are_told_which_and_where(wrong: int) -> None:
    ids = IDS.copy()
    ids[2, 1] = wrong
    message = f"id {wrong} at index (2, 1) is outside the vocabulary, 0 to 4. Encode with the tokenizer"
    for layer in (OneHot(5), Embedding(5, 2, rng=np.random.default_rng(0)), of_ids()):
        refused(partial(layer, ids), ValueError, message)


@pytest.mark.messages
def test_a_list_is_told_how_to_make_an_array() -> None:
    refused(lambda: cell()([[[1.0]]]), TypeError, "RNNCell(3, 4): xs is a list, not an array", "device.asarray(xs)")
    refused(lambda: Tanh()(1.0), TypeError, "Tanh(): x is a float, not an array: make one with device.asarray(x)")


@pytest.mark.messages
def test_integers_where_numbers_are_expected_are_told_of_embeddings() -> None:
    refused(lambda: cell()(np.ones((3, 2, 3), int)), TypeError, "xs holds int64", "OneHot or Embedding", "astype")
    refused(lambda: Tanh()(np.ones(3, bool)), TypeError, "Tanh(): x holds bool, not floating-point numbers")


@pytest.mark.messages
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1, 2], TypeError, "lengths must be an integer array, not a list"),
        (2, TypeError, "lengths must be an integer array, not a int"),
        (np.array([1.0, 2.0]), TypeError, "lengths must be an integer array, not float64"),
        (np.array([True, False]), TypeError, "lengths must be an integer array, not bool"),
        (np.array([1, 2, 3]), ValueError, "lengths has shape (3,), expected (2,): one per row of the batch"),
        (np.array([[1], [2]]), ValueError, "lengths has shape (2, 1), expected (2,): one per row of the batch"),
        (np.array([1, 4]), ValueError, "lengths[1] is 4, but with 3 steps it must be 0 to 3"),
        (np.array([-1, 3]), ValueError, "lengths[0] is -1, but with 3 steps it must be 0 to 3"),
    ],
)
def test_lengths_that_do_not_fit_are_told_why(lengths: Any, error: type[Exception], message: str) -> None:
    refused(lambda: cell()(f32(3, 2, 3), lengths=lengths), error, f"RNNCell(3, 4): {message}")
    refused(lambda: of_ids()(IDS, lengths=lengths), error, "Sequential(", f"): {message}")
    refused(lambda: SoftmaxCrossEntropy()(f32(3, 2, 5), IDS, lengths=lengths), error, message)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (
            (f32(3, 4),),
            ValueError,
            "state[0], which is h, has shape (3, 4), expected (2, 4): the batch first. A state fits only the "
            "batch that it came from; state=None begins from the initial state",
        ),
        ((f32(2, 5),), ValueError, "state[0], which is h, has shape (2, 5), expected (2, 4)"),
        ((f32(4),), ValueError, "state[0], which is h, has shape (4,), expected (2, 4)"),
        (f32(2, 4), TypeError, "state must be (h,), a tuple of 1, not a ndarray"),
        ([f32(2, 4)], TypeError, "state must be (h,), a tuple of 1, not a list"),
        ((f32(2, 4), f32(2, 4)), TypeError, "state must be (h,), a tuple of 1, not a tuple of 2"),
        ((), TypeError, "state must be (h,), a tuple of 1, not a tuple of 0"),
        (([[0.0] * 4] * 2,), TypeError, "state[0] is a list, not an array"),
        ((np.zeros((2, 4), int),), TypeError, "state[0] holds int64, not floating-point numbers"),
    ],
)
def test_a_state_that_does_not_fit_is_told_why(state: Any, error: type[Exception], message: str) -> None:
    refused(lambda: cell()(f32(3, 2, 3), state), error, f"RNNCell(3, 4): {message}")
    refused(lambda: cell().step(f32(2, 3), state), error, f"RNNCell(3, 4): {message}")
    within = message.replace("state", "state[1]", 1)
    for call in (lambda: of_ids()(IDS, ((), state, ())), lambda: of_ids().step(IDS[0], ((), state, ()))):
        refused(call, error, f"{of_ids()!r}: {within}")


@pytest.mark.messages
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (((), (f32(2, 4),)), "state must be ((), (h,), ()), a tuple of 3, not a tuple of 2"),
        ([(), (f32(2, 4),), ()], "state must be ((), (h,), ()), a tuple of 3, not a list"),
        (((f32(2, 4),), (), ()), "state[0] must be (), a tuple of 0, not a tuple of 1"),
        (((), f32(2, 4), ()), "state[1] must be (h,), a tuple of 1, not a ndarray"),
    ],
)
def test_a_state_of_another_structure_is_told_the_right_one(state: Any, message: str) -> None:
    refused(lambda: of_ids()(IDS, state), TypeError, "Sequential(", f"): {message}")


@pytest.mark.messages
def test_upstream_gradients_that_do_not_fit_are_told_why() -> None:
    model = cell()
    ys, state, cache = model.forward(f32(3, 2, 3))
    for dys, error, message in (
        (ys[:, :1], ValueError, "dys has shape (3, 1, 4), but"),
        (ys[0], ValueError, "dys has shape (2, 4), but"),
        (ys.astype(float), TypeError, "dys is float64, but the parameters are float32"),
        (ys.tolist(), TypeError, "dys is a list, not an array"),
        (StrictDevice().asarray(ys), TypeError, "dys is on strict, but the parameters are on cpu"),
    ):
        refused(partial(model.backward, dys, state, cache), error, f"RNNCell(3, 4): {message}")
    assert not any(p.grad.any() for p in model.parameters())


@pytest.mark.messages
@pytest.mark.parametrize(
    "dstate",
    [(f32(1, 4),), (f32(4),), (np.zeros((2, 4)),), (f32(2, 4), f32(2, 4)), f32(1, 2, 4)],
    ids=["other batch", "no batch", "float64", "two", "no tuple"],
)
@pytest.mark.parametrize("kind", [RNNCell, SteppedRNN])
def test_a_gradient_of_the_state_that_does_not_fit_is_told_why(dstate: Any, kind: type[RNNCell]) -> None:
    model = kind(3, 4, rng=np.random.default_rng(0))
    ys, _, cache = model.forward(f32(3, 2, 3))
    refused(lambda: model.backward(ys, dstate, cache), (TypeError, ValueError), "dstate")


@pytest.mark.messages
def test_arrays_on_two_devices_are_told_both_cures() -> None:
    device, x = StrictDevice(), f32(3, 2, 3)
    there = device.asarray(x)
    cures = "move the array, Device('cpu').asarray(xs), or the model, model.to('strict')"
    on_cpu, on_device = cell(), cell().to(device)
    refused(lambda: on_cpu(there), TypeError, "xs is on strict, but the parameters are on cpu. Nothing moves", cures)
    refused(lambda: on_device(x), TypeError, "xs is on cpu, but the parameters are on strict")
    refused(lambda: on_device(there, (x[0],)), TypeError, "state[0] is on cpu, but the parameters are on strict")
    lengths: Any = np.array([1, 2])
    refused(lambda: on_device(there, lengths=lengths), TypeError, "lengths is on cpu, but the parameters are on strict")
    embedding = Embedding(5, 2, rng=np.random.default_rng(0)).to(device)
    refused(lambda: embedding(IDS), TypeError, "x is on cpu, but the parameters are on strict")


def test_a_failed_call_leaves_no_trace() -> None:
    model = cell()
    before = dict(vars(model))
    for x in (f32(3, 2, 5), f32(3, 2, 3).astype(float), f32(2, 3)):
        with pytest.raises((TypeError, ValueError)):
            model(x)
    assert vars(model) == before


def test_roles_are_abstract() -> None:
    for role in (Feedforward, Loss):
        with pytest.raises(TypeError, match="abstract"):
            role()  # type: ignore[abstract]  # what the test is about


def test_a_layer_without_parameters_takes_any_floating_dtype() -> None:
    for dtype in ("float32", "float64"):
        assert Tanh()(zeros((2, 3)).astype(dtype)).dtype == dtype


@pytest.mark.messages  # the shape checks know that it is a bool
@pytest.mark.parametrize("training", [1, 0, "no", None, np.True_])
def test_training_is_true_or_false_and_nothing_that_counts_as_one(training: Any) -> None:
    rng = np.random.default_rng(0)
    pairs = EncoderDecoder(GRUCell(3, 4, rng=rng), GRUCell(3, 4, rng=rng))
    for layer in (cell(), Sequential(cell()), ManyToOne(cell()), Dropout(0.5, rng=rng), pairs):
        inputs = (f32(2, 1, 3),) * (2 if layer is pairs else 1)
        message = f"{layer!r}: training must be True or False, not {training!r}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            layer.forward(*inputs, training=training)
