from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Adam,
    AdditiveAttention,
    AttentionDecoder,
    Bidirectional,
    Bridge,
    ClipNorm,
    Dropout,
    Embedding,
    EncoderDecoder,
    GeneralAttention,
    GRUCell,
    InputFeedingDecoder,
    Linear,
    LSTMCell,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    TiedLinear,
    generate,
    load,
    save,
)
from tinygrad_rnn.core.states import tree_map
from tinygrad_rnn.testing.named import leaves

RNG = np.random.default_rng
SOURCES, TARGETS = RNG(1).integers(0, 7, (6, 3)), RNG(2).integers(0, 7, (5, 3))
LENGTHS: Any = {"source_lengths": np.array([2, 6, 0]), "target_lengths": np.array([5, 0, 3])}


def plain() -> EncoderDecoder:
    rng = RNG(0)
    encoder = Sequential(Embedding(7, 3, rng=rng), LSTMCell(3, 4, rng=rng))
    decoder = Sequential(Embedding(7, 3, rng=rng), LSTMCell(3, 4, rng=rng), Linear(4, 7, rng=rng))
    return EncoderDecoder(encoder, decoder)


def attention() -> EncoderDecoder:
    """Of two bidirectional layers, one table of ids for all, attention after the recurrence."""
    rng = RNG(0)
    table = Embedding(7, 3, rng=rng)
    encoder = Sequential(table, Bidirectional(GRUCell(3, 2, rng=rng), GRUCell(3, 2, rng=rng)))
    recurrent = Sequential(table, LSTMCell(3, 5, rng=rng))
    output = (Linear(5 + 4, 3, rng=rng), Tanh(), TiedLinear(table))
    decoder = AttentionDecoder(recurrent, AdditiveAttention(5, 4, 3, rng=rng), *output)
    return EncoderDecoder(encoder, decoder, bridge=Bridge(2 + 2, (5, 5), rng=rng))


def input_feeding(size: int = 4) -> EncoderDecoder:
    rng = RNG(0)
    encoder = Sequential(Embedding(7, 3, rng=rng), LSTMCell(3, size, rng=rng))
    decoder = InputFeedingDecoder(
        Embedding(7, 3, rng=rng),
        LSTMCell(3 + size, size, rng=rng),
        GeneralAttention(size, size, rng=rng),
        Linear(size + size, size, rng=rng),
        Linear(size, 7, rng=rng),
    )
    return EncoderDecoder(encoder, decoder)


every = pytest.mark.parametrize("make", [plain, attention, input_feeding])
attentive = pytest.mark.parametrize("make", [attention, input_feeding])


@every
def test_a_loop_of_steps_from_what_encode_gives_is_the_same(make: Any) -> None:
    model = make()
    state, ys = model.encode(SOURCES, lengths=LENGTHS["source_lengths"]), []
    for ids in TARGETS:
        y, state = model.decoder.step(ids, state)
        ys.append(y)
    expected = model(SOURCES, TARGETS, source_lengths=LENGTHS["source_lengths"])
    np.testing.assert_allclose(np.stack(ys), expected, rtol=1e-4, atol=1e-6)


@every
def test_a_state_serves_beams(make: Any) -> None:
    model = make()
    state = model.encode(SOURCES)
    y, _ = model.decoder.step(TARGETS[0], state)
    beams = tree_map(lambda array: array.repeat(4, axis=0), state)
    repeated, after = model.decoder.step(TARGETS[0].repeat(4), beams)
    np.testing.assert_allclose(repeated, y.repeat(4, axis=0), rtol=1e-5, atol=1e-6)
    picked = tree_map(lambda array: array[np.array([11, 0, 0, 5])], after)
    assert model.decoder.step(np.array([1, 2, 3, 4]), picked)[0].shape == (4, 7)


@every
def test_what_is_generated_is_what_the_model_finds_likeliest(make: Any) -> None:
    model = make()
    model.flat_value[...] *= 2  # so that it says something
    text = list(generate(model.decoder, [0], length=8, state=model.encode(SOURCES[:, :1]), temperature=0, rng=RNG(0)))
    told = np.array([[0, *text[:-1]]]).T
    assert model(SOURCES[:, :1], told)[:, 0].argmax(axis=1).tolist() == text


def test_the_state_of_the_encoder_is_handed_on_in_order() -> None:
    model = plain()
    _, (_, (h, c)) = model.encoder(SOURCES)
    (), found, () = model.encode(SOURCES)
    np.testing.assert_array_equal(found, (h, c))


def test_the_bridge_is_given_all_arrays_in_order_and_its_output_cut() -> None:
    model = attention()
    memory, (_, ((h,), (g,))) = model.encoder(SOURCES, lengths=LENGTHS["source_lengths"])
    assert model.bridge is not None
    joined = model.bridge(np.concatenate([h, g], axis=1))
    ((), (first, second)), attached, lengths = model.encode(SOURCES, lengths=LENGTHS["source_lengths"])
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), joined)
    np.testing.assert_array_equal(attached, memory.swapaxes(0, 1))
    assert lengths is LENGTHS["source_lengths"]


def test_a_decoder_that_is_fed_back_begins_with_nothing_of_that() -> None:
    _, a, _, _ = input_feeding().encode(SOURCES)
    assert a.shape == (3, 4)
    assert not a.any()


@attentive
def test_gradients_reach_the_encoder_by_its_outputs_and_by_its_last_state(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make().to(dtype="float64")
    backward = model.decoder.backward
    dys = RNG(3).standard_normal((5, 3, 7))

    def gradients(*, by_memory: int, by_state: int) -> list[Any]:
        """By the parameters of the encoder's cells, with what goes back each way times 0 or 1."""

        def cut(*given: Any) -> Any:
            dtargets, (dstate, *between, dmemory, dlengths) = backward(*given)
            return dtargets, (tree_map(lambda d: by_state * d, dstate), *between, by_memory * dmemory, dlengths)

        monkeypatch.setattr(model.decoder, "backward", cut)
        _, cache = model.forward(SOURCES, TARGETS, **LENGTHS)
        model.zero_grad()
        model.backward(dys, cache)
        return [parameter.grad.copy() for parameter in model.encoder.layers[1].parameters()]

    whole = gradients(by_memory=1, by_state=1)
    one, other = gradients(by_memory=1, by_state=0), gradients(by_memory=0, by_state=1)
    assert not any(grad.any() for grad in gradients(by_memory=0, by_state=0))
    for expected, *parts in zip(whole, one, other, strict=True):
        assert all(abs(part).max() > 1e-6 for part in parts)
        np.testing.assert_allclose(sum(parts), expected, atol=1e-12)


def test_an_empty_source_teaches_the_encoder_nothing() -> None:
    model = plain()
    _, cache = model.forward(SOURCES, TARGETS, source_lengths=np.zeros(3, int))
    model.backward(np.ones((5, 3, 7), np.float32), cache)
    assert not any(parameter.grad.any() for parameter in model.encoder.parameters())
    assert all(parameter.grad.any() for parameter in model.decoder.parameters())


@attentive
def test_alignments_are_those_of_the_decoder(make: Any) -> None:
    model = make()
    found = model.alignments(SOURCES, TARGETS, **LENGTHS)
    assert found.shape == (5, 3, 6)
    assert found.dtype == np.float32
    state = model.encode(SOURCES, lengths=LENGTHS["source_lengths"])
    expected = model.decoder.alignments(TARGETS, state, lengths=LENGTHS["target_lengths"])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found.sum(axis=2), [[1, 0, 0]] * 5, atol=1e-6)
    assert not found[:, 0, 2:].any()


@every
def test_a_saved_model_is_the_same(make: Any, tmp_path: Any) -> None:
    model = make()
    save(tmp_path / "model.safetensors", model)
    loaded = load(tmp_path / "model.safetensors").model
    assert repr(loaded) == repr(model)
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in model.named_parameters()]
    np.testing.assert_array_equal(loaded(SOURCES, TARGETS, **LENGTHS), model(SOURCES, TARGETS, **LENGTHS))


@every
def test_a_copy_is_independent(make: Any) -> None:
    model = make()
    expected, other = model(SOURCES, TARGETS), copy.deepcopy(model)
    np.testing.assert_array_equal(other(SOURCES, TARGETS), expected)
    other.flat_value[...] *= 2
    np.testing.assert_array_equal(model(SOURCES, TARGETS), expected)
    assert abs(other(SOURCES, TARGETS) - expected).max() > 0.01


def test_the_summary_names_all_parts() -> None:
    lines = [" ".join(line.split()) for line in attention().summary().splitlines()]
    for line in (
        "EncoderDecoder(..., bridge=...) 7 397",
        "encoder Sequential(...) 4 97",
        "decoder AttentionDecoder(...) 7 250",
        "decoder.decoder Sequential(...) 5 180",
        "decoder.decoder.layers.0.w is encoder.layers.0.w, shared (7, 3) 0",
        "decoder.attention.w_memory (4, 3) 12",
        "decoder.output.2.b (7,) 7",
        "bridge Bridge(4, (5, 5)) 10 50",
    ):
        assert line in lines
    names = [name.split(".")[1] for name, _ in input_feeding().named_parameters() if name.startswith("decoder")]
    assert list(dict.fromkeys(names)) == ["embedding", "decoder", "attention", "combine", "output"]


def test_training_draws_and_use_does_not() -> None:
    rng = RNG(0)
    encoder = Sequential(Embedding(7, 3, rng=rng), Dropout(0.5, rng=rng), RNNCell(3, 4, rng=rng))
    decoder = Sequential(Embedding(7, 3, rng=rng), RNNCell(3, 4, rng=rng), Dropout(0.5, rng=rng))
    model = EncoderDecoder(encoder, decoder)
    one, other = model.forward(SOURCES, TARGETS)[0], model.forward(SOURCES, TARGETS)[0]
    assert (one != other).any()
    used = model.forward(SOURCES, TARGETS, training=False)[0]
    np.testing.assert_array_equal(model(SOURCES, TARGETS), used)
    np.testing.assert_array_equal(model.decoder(TARGETS, model.encode(SOURCES))[0], used)


@pytest.mark.parametrize("make", [lambda: input_feeding(24)])
def test_it_learns_to_reverse(make: Any) -> None:
    model, criterion, rng = make(), SoftmaxCrossEntropy(), RNG(3)
    optimizer, losses = Adam(model, lr=0.01, clip=ClipNorm(1.0)), []
    for _ in range(250):
        sources = rng.integers(1, 7, (4, 32))
        told = np.concatenate([np.zeros((1, 32), int), sources[:0:-1]])
        logits, cache = model.forward(sources, told)
        loss, loss_cache = criterion.forward(logits, sources[::-1])
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), cache)
        optimizer.step()
        losses.append(float(loss))
    assert losses[0] > 1.5
    assert max(losses[-5:]) < 0.15


def refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.messages
def test_parts_that_do_not_fit_are_named() -> None:
    rng, wrong = RNG(0), Linear(3, 4, rng=RNG(0))
    cell, lstm = RNNCell(3, 4, rng=rng), LSTMCell(3, 4, rng=rng)
    both = Bidirectional(RNNCell(3, 2, rng=rng), RNNCell(3, 2, rng=rng))
    attending = AttentionDecoder(cell, GeneralAttention(4, 5, rng=rng))
    for error, message, parts, bridge in (
        (TypeError, "encoder must be a Recurrent, not Linear(3, 4)", (wrong, cell), None),
        (TypeError, "decoder must be a Recurrent, not Linear(3, 4)", (cell, wrong), None),
        (TypeError, "bridge must be a Bridge or None, not Linear(3, 4)", (cell, cell), wrong),
        (ValueError, f"decoder, {both!r}, is not causal: it would see what it must predict", (cell, both), None),
        (
            ValueError,
            "GeneralAttention(4, 5) of the decoder looks at a memory of 5 features, but 4 come from the encoder, "
            "RNNCell(3, 4)",
            (cell, attending),
            None,
        ),
        (
            ValueError,
            f"the state of the encoder, {both!r}, has arrays of sizes (2, 2), but that of the decoder, {cell!r}, "
            "has (4,). Give bridge=Bridge(4, (4,), rng=rng)",
            (both, cell),
            None,
        ),
        (
            ValueError,
            f"the state of the encoder, {cell!r}, has arrays of sizes (4,), but that of the decoder, "
            "AttentionDecoder(LSTMCell(3, 4), GeneralAttention(4, 4)), has (4, 4). Give bridge=Bridge(4, (4, 4), "
            "rng=rng)",
            (cell, AttentionDecoder(lstm, GeneralAttention(4, 4, rng=rng))),
            None,
        ),
        (
            ValueError,
            f"bridge is Bridge(4, (8,)), but from the state of the encoder, {both!r}, to that of the decoder, {lstm!r},"
            " it must be Bridge(4, (4, 4), rng=rng)",
            (both, lstm),
            Bridge(4, (8,), rng=rng),
        ),
        (ValueError, "bridge is Bridge(8, (4, 4)), but", (both, lstm), Bridge(8, (4, 4), rng=rng)),
    ):
        given: Any = parts
        refused(
            error,
            f"EncoderDecoder: {message}",
            lambda given=given, bridge=bridge: EncoderDecoder(*given, bridge=bridge),
        )


@pytest.mark.messages
def test_inputs_that_do_not_fit_are_told_why() -> None:
    model = plain()
    name = repr(model)
    message = f"{name}: sources have shape (6, 3), but targets (5, 2); their second axis, the rows of the batch, must"
    refused(ValueError, message, lambda: model(SOURCES, TARGETS[:, :2]))
    refused(ValueError, f"{model.decoder!r}: forward takes (T, B), ids", lambda: model(SOURCES, TARGETS[0]))
    wrong: Any = [[1, 2, 3]]
    refused(TypeError, f"{model.decoder!r}: xs must be an integer array, not a list", lambda: model(SOURCES, wrong))
    refused(TypeError, f"{model.encoder!r}: xs must be an integer array, not a list", lambda: model(wrong, TARGETS))
    message = f"{model.encoder!r}: lengths[1] is 7, but with 6 steps it must be 0 to 6"
    refused(ValueError, message, lambda: model(SOURCES, TARGETS, source_lengths=np.array([1, 7, 1])))
    refused(ValueError, message, lambda: model.encode(SOURCES, lengths=np.array([1, 7, 1])))
    message = f"{model.decoder!r}: lengths[2] is 6, but with 5 steps it must be 0 to 5"
    refused(ValueError, message, lambda: model(SOURCES, TARGETS, target_lengths=np.array([1, 2, 6])))
    message = f"{name} has no alignments: its decoder has no attention. See AttentionDecoder"
    refused(ValueError, message, lambda: model.alignments(SOURCES, TARGETS))
    _, cache = model.forward(SOURCES, TARGETS)
    message = f"{model.decoder!r}: dys has shape (5, 3, 6), but forward gave an array (5, 3, 7)"
    refused(ValueError, message, lambda: model.backward(np.zeros((5, 3, 6), np.float32), cache))
    message = f"{model.decoder!r}: dys is float64, but the parameters are float32"
    refused(TypeError, message, lambda: model.backward(np.zeros((5, 3, 7)), cache))


def test_absent_gradients_are_zeros() -> None:
    model = attention()
    _, cache = model.forward(SOURCES, TARGETS)
    assert model.backward(None, cache) == (None, None)
    assert not model.flat_grad.any()
    assert leaves("state", model.encode(SOURCES)).keys() == leaves("state", model.encode(SOURCES[:0])).keys()
