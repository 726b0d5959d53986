"""What both decoders with attention do alike."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    AdditiveAttention,
    AttentionDecoder,
    Bidirectional,
    Cell,
    Device,
    DotAttention,
    Dropout,
    Embedding,
    GeneralAttention,
    InputFeedingDecoder,
    Linear,
    LockedDropout,
    LSTMCell,
    OneHot,
    RNNCell,
    Sequential,
    Tanh,
    generate,
)
from tinygrad_rnn.core.states import tree_map
from tinygrad_rnn.models.attention_decoder_base import AttentionDecoderBase
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.testing.named import leaves

RNG = np.random.default_rng
LENGTHS = np.array([4, 0, 2])


def after(*, seed: int = 0) -> AttentionDecoder:
    """Ids to logits, with a memory of five features; attention after the recurrence."""
    rng = RNG(seed)
    recurrent = Sequential(Embedding(6, 2, rng=rng), LSTMCell(2, 4, rng=rng))
    layer = AttentionDecoder(recurrent, GeneralAttention(4, 5, rng=rng), Linear(4 + 5, 6, rng=rng))
    return layer.to(dtype="float64")


def within(*, seed: int = 0) -> InputFeedingDecoder:
    """The same, with attention within the recurrence."""
    rng = RNG(seed)
    layer = InputFeedingDecoder(
        Embedding(6, 2, rng=rng),
        LSTMCell(2 + 3, 4, rng=rng),
        AdditiveAttention(4, 5, 3, rng=rng),
        Linear(4 + 5, 3, rng=rng),
        Linear(3, 6, rng=rng),
    )
    return layer.to(dtype="float64")


both = pytest.mark.parametrize("make", [after, within])


def memory(steps: int = 4, batch: int = 3) -> Any:
    return RNG(1).standard_normal((steps, batch, 5))


def ids(steps: int = 7, batch: int = 3) -> Any:
    return RNG(2).integers(0, 6, (steps, batch))


def random_state(layer: AttentionDecoderBase, *, lengths: Any = LENGTHS) -> Any:
    """With a memory, all else not at its beginning."""
    state = layer.attach(None, memory(), lengths=lengths)
    drawn = tree_map(lambda array: RNG(3).standard_normal(array.shape), state[:-2])
    return (*drawn, *state[-2:])


def equal(expected: Any, found: Any) -> None:
    """Two states are the same, to the bit."""
    first, second = leaves("state", expected), leaves("state", found)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@both
def test_a_padded_memory_never_matters(make: Any) -> None:
    layer = make()
    dys, found = RNG(4).standard_normal((7, 3, 6)), []
    for padding in (0.0, np.nan):
        state = random_state(layer)
        state[-2][np.arange(4) >= LENGTHS[:, None]] = padding
        layer.zero_grad()
        ys, last, cache = layer.forward(ids(), state)
        _, dstate = layer.backward(dys, None, cache)
        found.append([ys, *tree_map(lambda a: a, last[:-2]), *dstate[:-1], *(p.grad for p in layer.parameters())])
        assert not dstate[-2][np.arange(4) >= LENGTHS[:, None]].any()
        assert not dstate[-2][1].any()
        assert dstate[-2][0].all()
    for one, other in zip(*found, strict=True):
        equal(one, other)


@both
def test_the_memory_goes_through_as_it_is(make: Any) -> None:
    layer = make()
    given, lengths = memory(), LENGTHS.copy()
    state = layer.attach(None, given, lengths=lengths)
    assert state[-2].base is given
    starts = RNG(6).random((7, 3)) < 0.5
    for last in (
        layer(ids(), state)[1],
        layer(ids(), state, starts=starts)[1],
        layer.step(ids()[0], state)[1],
        layer.step(ids()[0], state, starts=starts[0])[1],
        layer.begin(state, starts[0]),
    ):
        assert last[-2] is state[-2]
        assert last[-1] is state[-1] is lengths


@both
def test_the_gradient_by_the_memory_is_that_of_the_state_and_that_of_the_attention(make: Any) -> None:
    layer, dys, later = make(), RNG(4).standard_normal((7, 3, 6)), RNG(5).standard_normal((3, 4, 5))
    _, _, cache = layer.forward(ids(), random_state(layer))
    nothing = tree_map(lambda _: None, cache.no_dstate)
    looked = layer.backward(dys, nothing, cache)[1][-2]
    through = layer.backward(None, (*nothing[:-2], later, None), cache)[1][-2]
    np.testing.assert_array_equal(through, later)
    np.testing.assert_allclose(layer.backward(dys, (*nothing[:-2], later, None), cache)[1][-2], looked + later)
    assert layer.backward(dys, None, cache)[1][-1] is None


@both
def test_without_a_memory_nothing_is_found(make: Any) -> None:
    layer = make()
    begun = layer.initial_state(3)
    assert begun[-2].shape == (3, 0, 5)
    equal(begun[-1], np.zeros(3))
    nothing = layer.attach(None, memory(), lengths=np.array([0, 0, 0]))
    np.testing.assert_array_equal(layer(ids())[0], layer(ids(), nothing)[0])
    assert layer.alignments(ids()).shape == (7, 3, 0)


@both
def test_all_of_a_memory_is_looked_at_unless_told_otherwise(make: Any) -> None:
    layer = make()
    equal(layer.attach(None, memory())[-1], [4, 4, 4])
    equal(layer.attach(None, memory(steps=0))[-1], [0, 0, 0])
    device = StrictDevice()
    assert layer.to(device).attach(None, device.asarray(memory()))[-1].device == device


@both
def test_another_memory_may_be_attached_on_the_way(make: Any) -> None:
    layer = make()
    state = random_state(layer)
    other = layer.attach(state, 2 * memory()[:2])
    equal(other[:-2], state[:-2])
    equal(other[-2], 2 * state[-2][:, :2])


@both
def test_a_row_begins_anew_on_its_memory(make: Any) -> None:
    layer, starts = make(), np.array([True, False, False])
    state = random_state(layer)
    begun = layer.begin(state, starts)
    expected = layer.attach(None, memory(), lengths=LENGTHS)
    for row, source in enumerate((expected, state, state)):
        equal(tree_map(lambda array, row=row: array[row], source), tree_map(lambda a, row=row: a[row], begun))
    for given, same in ((state, begun), (None, layer.initial_state(3))):
        equal(layer.step(ids()[0], given, starts=starts), layer.step(ids()[0], same))
    equal(layer.step(ids()[0], state, starts=np.zeros(3, bool)), layer.step(ids()[0], state))


@both
def test_beginning_anew_reaches_into_a_model(make: Any) -> None:
    layer, starts = make(), np.array([True, False, False])
    model, state = Sequential(layer, Tanh()), random_state(layer)
    equal(model.begin((state, ()), starts), (layer.begin(state, starts), ()))
    for given, same in ((state, layer.begin(state, starts)), (None, layer.initial_state(3))):
        equal(model.step(ids()[0], (given, ()), starts=starts), model.step(ids()[0], (same, ())))


@both
def test_a_document_begins_on_the_memory_of_its_row(make: Any) -> None:
    """And what each document sends back to the memory is added."""
    layer, state = make(), random_state(make())
    starts = np.zeros((7, 3), bool)
    starts[3] = True
    dys, nothing = RNG(4).standard_normal((7, 3, 6)), tree_map(lambda _: None, state)
    ys, last, cache = layer.forward(ids(), state, starts=starts)
    dbefore = layer.backward(dys, None, cache)[1]
    first, _, head = layer.forward(ids()[:3], state)
    second, after, tail = layer.forward(ids()[3:], layer.attach(None, memory(), lengths=LENGTHS))
    np.testing.assert_allclose(ys, np.concatenate((first, second)), atol=1e-13)
    equal(tree_map(lambda a, b: abs(a - b).max() < 1e-13, last[:-2], after[:-2]), tree_map(lambda _: True, last[:-2]))
    dsecond = layer.backward(dys[3:], None, tail)[1][-2]
    dfirst = layer.backward(dys[:3], (*nothing[:-2], dsecond, None), head)[1]
    np.testing.assert_allclose(dbefore[-2], dfirst[-2], atol=1e-13)
    for array, other in zip(leaves("d", dbefore[:-2]).values(), leaves("d", dfirst[:-2]).values(), strict=True):
        np.testing.assert_allclose(array, other, atol=1e-13)


@both
def test_alignments_take_starts(make: Any) -> None:
    layer, state = make(), random_state(make())
    starts = np.zeros((7, 3), bool)
    starts[4, 0] = True
    found, without = layer.alignments(ids(), state, starts=starts), layer.alignments(ids(), state)
    np.testing.assert_allclose(found[:4], without[:4], atol=1e-13)
    np.testing.assert_allclose(found[:, 1:], without[:, 1:], atol=1e-13)
    begun = layer.attach(None, memory(), lengths=LENGTHS)
    np.testing.assert_allclose(found[4:, 0], layer.alignments(ids()[4:], begun)[:, 0], atol=1e-13)
    assert abs(found - without).max() > 1e-3


@both
def test_a_state_is_repeated_and_picked_by_rows_for_beams(make: Any) -> None:
    layer = make()
    state = random_state(layer)
    ys, last = layer.step(ids()[0], state)
    repeated = tree_map(lambda array: array.repeat(2, axis=0), state)
    picked = tree_map(lambda array: array[np.array([5, 0, 0, 2])], repeated)  # rows 2, 0, 0 and 1
    rows = np.array([2, 0, 0, 1])
    found, after = layer.step(ids()[0][rows], picked)
    np.testing.assert_allclose(found, ys[rows], rtol=1e-12)
    for name, array in leaves("state", after).items():
        np.testing.assert_allclose(array, leaves("state", last)[name][rows], rtol=1e-12, err_msg=name)


@both
def test_ids_are_generated_from_a_state(make: Any) -> None:
    layer = make()
    state = layer.attach(None, memory(batch=1))
    written = list[int]()
    y, last = layer.step(np.array([1]), state)
    for _ in range(4):
        written.append(int(y[0].argmax()))
        y, last = layer.step(np.array(written[-1:]), last)
    assert list(generate(layer, [1], length=4, state=state, temperature=0, rng=RNG(0))) == written


@both
def test_alignments_are_what_the_attention_finds_at_each_step(make: Any) -> None:
    layer, lengths = make(), np.array([7, 3, 5])
    state = random_state(layer)
    weights = layer.alignments(ids(), state, lengths=lengths)
    assert weights.shape == (7, 3, 4)
    t = np.arange(7)
    for row, (steps, size) in enumerate(zip(lengths, LENGTHS, strict=True)):
        np.testing.assert_allclose(weights[:, row].sum(axis=1), (t < steps) & (size > 0), atol=1e-12)
        assert not weights[:, row, size:].any()
        assert weights[:steps, row, :size].all()
    assert layer.alignments(ids(0), state).shape == (0, 3, 4)
    _, last = layer.step(ids()[0], state)  # the second step, by its own query
    later = layer.alignments(ids()[1:2], last)
    np.testing.assert_allclose(later[0], layer.alignments(ids(), state)[1], atol=1e-12)


def test_alignments_draw_nothing() -> None:
    rng = RNG(0)
    layer = AttentionDecoder(
        Sequential(LockedDropout(0.5, rng=rng), RNNCell(5, 5, rng=rng)), DotAttention(), Dropout(0.5, rng=rng)
    )
    upcoming = [stream.bit_generator.state for stream in layer.generators().values()]
    layer.alignments(np.ones((3, 2, 5), np.float32), layer.attach(None, np.ones((4, 2, 5), np.float32)))
    assert len(upcoming) == 2
    assert upcoming == [stream.bit_generator.state for stream in layer.generators().values()]


class Sum(Cell):
    """The sum of its inputs: a cell without parameters."""

    in_size, out_size, state_sizes = 2, 2, (2,)

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        return x + state[0], (x + state[0],), ()

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        return dy + dstate[0], (dy + dstate[0],)


def test_without_any_parameter_it_begins_in_float32() -> None:
    layer = AttentionDecoder(Sum(), DotAttention())
    assert [array.dtype.kind for array in leaves("state", layer.initial_state(2)).values()] == ["f", "f", "i"]
    ys, _ = layer(np.ones((3, 2, 2), np.float32), layer.attach(None, np.ones((4, 2, 2), np.float32)))
    np.testing.assert_array_equal(ys[2], [[3, 3, 1, 1]] * 2)
    assert ys.dtype == np.float32


def refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.messages
@both
def test_a_memory_that_does_not_fit_is_refused(make: Any) -> None:
    layer = make()
    name = repr(layer)
    wrong: Any = [[1.0]]
    refused(TypeError, f"{name}: memory is a list, not an array", lambda: layer.attach(None, wrong))
    refused(TypeError, f"{name}: memory is float32, but", lambda: layer.attach(None, memory().astype(np.float32)))
    message = f"{name}: memory has shape (4, 3), expected (S, B, M)"
    refused(ValueError, message, lambda: layer.attach(None, memory()[..., 0]))
    place = f"{name}: state[{1 + len(layer.feedback_sizes)}], which is memory, has shape"
    refused(ValueError, f"{place} (3, 4, 4), expected (3, any, 5)", lambda: layer.attach(None, memory()[..., :4]))
    message = f"{name}: lengths[1] is 5, but with 4 steps it must be 0 to 4"
    refused(ValueError, message, lambda: layer.attach(None, memory(), lengths=np.array([1, 5, 2])))
    message = f"{name}: lengths has shape (2,), expected (3,)"
    refused(ValueError, message, lambda: layer.attach(None, memory(), lengths=np.array([1, 2])))
    message = f"{name}: lengths must be an integer array, not float64"
    refused(TypeError, message, lambda: layer.attach(None, memory(), lengths=np.array([1.0, 2, 0])))
    state = layer.initial_state(2)
    refused(ValueError, "expected (3, 4): the batch first", lambda: layer.attach(state, memory()))


@pytest.mark.messages
@both
def test_a_state_that_does_not_fit_is_refused(make: Any) -> None:
    layer = make()
    state = random_state(layer)
    structure = "(((), (h, c)), memory, lengths)" if make is after else "((h, c), a, memory, lengths)"
    must = f"must be {structure}, a tuple of {3 + len(layer.feedback_sizes)}, not"
    refused(TypeError, f"{layer!r}: state {must} a tuple of 2", lambda: layer(ids(), state[:2]))
    refused(TypeError, f"{layer!r}: state {must} a list", lambda: layer(ids(), list(state)))
    turned = (*state[:-2], state[-2].swapaxes(0, 1), state[-1])
    message = "which is memory, has shape (4, 3, 5), expected (3, any, 5): the batch first"
    refused(ValueError, message, lambda: layer(ids(), turned))
    refused(ValueError, message, lambda: layer.step(ids()[0], turned))
    flat = (*state[:-2], state[-2][0], state[-1])
    refused(ValueError, "has shape (4, 5), expected (3, any, 5)", lambda: layer(ids(), flat))
    single = (*state[:-2], state[-2].astype(np.float32), state[-1])
    place = f"state[{len(state) - 2}]"
    refused(TypeError, f"{place} is float32, but the parameters are float64", lambda: layer(ids(), single))
    refused(TypeError, f"state[0] {must} a tuple of 0", lambda: Sequential(layer)(ids(), ((),)))
    for wrong in (5, -1):
        far = (*state[:-1], np.array([1, wrong, 2]))
        message = f"{layer.attention!r}: lengths[1] is {wrong}, but with 4 steps it must be 0 to 4"
        refused(ValueError, message, lambda far=far: layer(ids(), far))
        refused(ValueError, message, lambda far=far: layer.step(ids()[0], far))


@pytest.mark.messages
def test_what_is_fed_back_must_fit() -> None:
    layer = within()
    inner, a, *source = random_state(layer)
    message = f"{layer!r}: state[1], which is a, has shape (3, 2), expected (3, 3)"
    refused(ValueError, message, lambda: layer(ids(), (inner, a[:, :2], *source)))
    refused(TypeError, "state[1] is float32, but", lambda: layer(ids(), (inner, a.astype(np.float32), *source)))


@pytest.mark.messages
def test_a_device_that_differs_is_named() -> None:
    layer = after()
    message = f"{layer!r}: state[1] is on strict, but the parameters are on cpu"
    state = random_state(layer)
    there = StrictDevice().asarray(state[-2])
    refused(TypeError, message, lambda: layer(ids(), (*state[:-2], there, state[-1])))
    assert layer.device == Device("cpu")


def wrap(name: str, decoder: Any, attention: Any, *output: Any) -> Any:
    """The decoder of that name, of parts that fit but for these."""
    if name == "AttentionDecoder":
        return AttentionDecoder(decoder, attention, *output)
    return InputFeedingDecoder(Embedding(6, 2, rng=RNG(0)), decoder, attention, Linear(9, 1, rng=RNG(0)), *output)


@pytest.mark.messages
@pytest.mark.parametrize("name", ["AttentionDecoder", "InputFeedingDecoder"])
def test_parts_that_do_not_fit_are_named(name: str) -> None:
    rng = RNG(0)
    cell, attention = RNNCell(3, 4, rng=rng), GeneralAttention(4, 5, rng=rng)
    bidirectional = Bidirectional(RNNCell(3, 2, rng=rng), RNNCell(3, 2, rng=rng))
    width = 9 if name == "AttentionDecoder" else 1
    source = f"{cell!r} and {attention!r} together" if width == 9 else "combine, Linear(9, 1)"
    linear = Linear(3, 4, rng=rng)
    for error, message, parts in (
        (
            TypeError,
            f"decoder must be a Recurrent, such as a cell or a Sequential, not {linear!r}",
            (linear, attention),
        ),
        (TypeError, "attention must be an Attention, not Tanh()", (cell, Tanh())),
        (
            ValueError,
            f"decoder, {bidirectional!r}, is not causal: it would see what it must predict",
            (bidirectional, attention),
        ),
        (
            ValueError,
            "decoder, LockedDropout(0.0), has no out_size, which is the size of a query",
            (LockedDropout(0.0, rng=rng), attention),
        ),
        (
            ValueError,
            "attention, GeneralAttention(3, 5), takes queries of 3 features, but 4 come from RNNCell(3, 4)",
            (cell, GeneralAttention(3, 5, rng=rng)),
        ),
        (TypeError, f"output.0 must be a Feedforward, not {cell!r}", (cell, attention, cell)),
        (
            ValueError,
            f"output.0, Linear(8, 2), takes 8 features, but {width} features come from {source}",
            (cell, attention, Linear(8, 2, rng=rng)),
        ),
        (
            ValueError,
            f"output.1, Linear(8, 2), takes 8 features, but {width} features come from output.0, Tanh()",
            (cell, attention, Tanh(), Linear(8, 2, rng=rng)),
        ),
        (ValueError, f"output.0, OneHot({width}), takes ids, but {width} features", (cell, attention, OneHot(width))),
    ):
        refused(error, f"{name}: {message}", lambda parts=parts: wrap(name, *parts))
