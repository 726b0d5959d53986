from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    AttentionDecoder,
    Bidirectional,
    DotAttention,
    DropConnect,
    Embedding,
    EncoderDecoder,
    GRUCell,
    Linear,
    LSTMCell,
    MeanSquaredError,
    OneHot,
    OneHotRows,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    Zoneout,
    credit_map,
    record,
)
from tinygrad_rnn.inspection.credit import _norms
from tinygrad_rnn.inspection.recording import Step
from tinygrad_rnn.testing import StrictDevice

T = 6
IDS: Any = np.random.default_rng(1).integers(0, 5, (T + 1, 1))
XS, TARGETS = IDS[:-1], IDS[1:]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def in_float64(model: Any) -> Any:
    model.to(dtype="float64")
    for parameter in model.parameters():
        parameter.value = 0.6 * np.random.default_rng(2).standard_normal(parameter.shape)
    return model


def language_model(*cells: Any) -> Any:
    return in_float64(Sequential(Embedding(5, 3, rng=rng()), *cells, Linear(cells[-1].out_size or 4, 5, rng=rng())))


def one_by_one(model: Any, xs: Any, name: str, of: str) -> Any:
    """A backward for each step, whose targets but one are ignored."""
    columns = []
    for t in range(T):
        targets = np.where(np.arange(T)[:, None] == t, TARGETS, -1)
        columns.append(np.linalg.norm(record(model, xs, targets)[name].gradients[of][:, 0], axis=-1))
    return np.stack(columns, axis=1)


def translator() -> EncoderDecoder:
    reader = Sequential(Embedding(5, 3, rng=rng()), GRUCell(3, 4, rng=rng()))
    decoder = AttentionDecoder(
        Sequential(Embedding(5, 3, rng=rng()), GRUCell(3, 4, rng=rng())), DotAttention(), Linear(8, 5, rng=rng())
    )
    model: EncoderDecoder = in_float64(EncoderDecoder(reader, decoder))
    return model


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_it_is_the_norm_of_what_the_rest_of_the_text_sends_back_to_a_state(kind: Any) -> None:
    """Without a record: the text is cut behind step s, and the loss of step t goes back to the state there."""
    model = language_model(kind(3, 4, rng=rng()))
    credit, expected = credit_map(model, XS, TARGETS), np.zeros((T, T))
    for s in range(T):
        _, state, _ = model.forward(XS[: s + 1])
        for t in range(s + 1, T):
            ys, _, cache = model.forward(XS[s + 1 :], state)
            targets = np.where(np.arange(s + 1, T)[:, None] == t, TARGETS[s + 1 :], -1)
            criterion = SoftmaxCrossEntropy(reduction="sum")
            dys = criterion.backward(criterion.forward(ys, targets)[1])
            expected[s, t] = np.linalg.norm(model.backward(dys, None, cache)[1][1][0])
        scores, linear = model(XS[: s + 1])[0][-1, 0], model.layers[2]
        p = np.exp(scores) / np.exp(scores).sum()
        p[TARGETS[s, 0]] -= 1
        expected[s, s] = np.linalg.norm(linear.w.value @ p)
    np.testing.assert_allclose(credit, expected, rtol=1e-9, atol=0)
    assert (credit[np.triu_indices(T)] > 0).all()


@pytest.mark.parametrize(
    ("make", "xs", "name", "of"),
    [
        (lambda: language_model(LSTMCell(3, 4, rng=rng())), XS, "layers.1", "c"),
        (lambda: language_model(LSTMCell(3, 4, rng=rng())), XS, "layers.1", "f"),
        (lambda: language_model(GRUCell(3, 4, rng=rng()), RNNCell(4, 2, rng=rng())), XS, "layers.1", "z"),
        (lambda: language_model(GRUCell(3, 4, rng=rng()), RNNCell(4, 2, rng=rng())), XS, "layers.2", "h"),
        (lambda: language_model(Zoneout(LSTMCell(3, 4, rng=rng()), 0.2, rng=rng())), XS, "layers.1.cell", "h"),
        (translator, (IDS[:4], XS), "encoder.layers.1", "h"),
        (translator, (IDS[:4], XS), "decoder.decoder.layers.1", "h"),
    ],
)
def test_it_is_a_backward_for_each_step(make: Any, xs: Any, name: str, of: str) -> None:
    model = make()
    credit = credit_map(model, xs, TARGETS, layer=name, of=of)
    np.testing.assert_allclose(credit, one_by_one(model, xs, name, of), rtol=1e-9, atol=1e-15)
    assert credit.shape == ((4, T) if name.startswith("encoder") else (T, T))
    if not name.startswith("encoder"):
        assert (credit == np.triu(credit)).all()


def test_in_a_cell_that_reads_backward_later_states_have_their_part() -> None:
    both = Bidirectional(RNNCell(4, 3, rng=rng()), RNNCell(4, 3, rng=rng()))
    model = in_float64(Sequential(Embedding(5, 4, rng=rng()), GRUCell(4, 4, rng=rng()), both, Linear(6, 5, rng=rng())))
    for name, shape in (("layers.2.forward_cell", np.triu), ("layers.2.backward_cell", np.tril), ("layers.1", abs)):
        credit = credit_map(model, XS, TARGETS, layer=name)
        np.testing.assert_allclose(credit, one_by_one(model, XS, name, "h"), rtol=1e-9, atol=1e-15)
        np.testing.assert_array_equal(credit > 0, shape(np.ones((T, T))) > 0)


@pytest.mark.parametrize("steps", [range(2, 5), (4, 0, 4), np.array([3])])
def test_columns_of_some_steps_are_those_of_the_whole_map(steps: Any) -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    whole = credit_map(model, XS, TARGETS, of="c")
    np.testing.assert_allclose(credit_map(model, XS, TARGETS, of="c", steps=steps), whole[:, list(steps)], rtol=1e-12)


@pytest.mark.parametrize("call", [credit_map, record])
def test_nothing_stays_in_memory(call: Any) -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    call(model, XS, TARGETS)
    gc.collect()
    gc.disable()
    try:
        result = call(model, XS, TARGETS)
        assert [thing for thing in gc.get_objects() if isinstance(thing, Step)] == []
    finally:
        gc.enable()
    assert result is not None


def test_what_is_ignored_has_no_credit_and_a_mean_is_divided() -> None:
    model = language_model(RNNCell(3, 4, rng=rng()))
    credit = credit_map(model, XS, TARGETS)
    ignored = TARGETS.copy()
    ignored[2] = -1
    np.testing.assert_allclose(credit_map(model, XS, ignored), np.where(np.arange(T) == 2, 0, credit), atol=1e-12)
    mean = credit_map(model, XS, TARGETS, criterion=SoftmaxCrossEntropy())
    np.testing.assert_allclose(mean, credit / T, rtol=1e-12)


def test_vectors_and_another_loss() -> None:
    cell, linear = RNNCell(3, 4, rng=rng()), Linear(4, 2, rng=rng())
    model = in_float64(Sequential(cell, linear))
    xs, targets = rng().standard_normal((T, 1, 3)), rng().standard_normal((T, 1, 2))
    credit = credit_map(model, xs, targets, criterion=MeanSquaredError(reduction="sum"))
    last = 2 * (model(xs)[0][-1] - targets[-1]) @ linear.w.value.T
    assert credit[-1, -1] == pytest.approx(np.linalg.norm(last), rel=1e-12)
    h = cell(xs)[0][-1]
    assert credit[-2, -1] == pytest.approx(np.linalg.norm(last * (1 - h * h) @ cell.w_h.value.T), rel=1e-12)
    rows = OneHotRows(XS, 3)
    ids = in_float64(Sequential(OneHot(3), cell, linear))
    found, expected = (
        credit_map(given, x % 3 if x is XS else OneHotRows(XS % 3, 3), targets, criterion=MeanSquaredError())
        for given, x in ((ids, XS), (model, rows))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_text_that_goes_on() -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    _, state = model(XS[:2])
    found = credit_map(model, XS[2:], TARGETS[2:], state=state)
    np.testing.assert_allclose(found, credit_map(model, XS, TARGETS)[2:, 2:], rtol=1e-12)
    begun = credit_map(model, XS, TARGETS, state=((), None, ()))
    np.testing.assert_array_equal(begun, credit_map(model, XS, TARGETS))


def test_norms_do_not_vanish_before_the_gradients_do() -> None:
    model = language_model(RNNCell(3, 1, rng=rng()))
    model.layers[1].w_h.value = 1e-12
    expected = np.diag(credit_map(model, XS, TARGETS), 2)
    found = np.diag(credit_map(model.to(dtype="float32"), XS, TARGETS), 2)
    assert (expected < 1e-23).all()  # whose square no float32 holds
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_norms_of_what_is_not_finite() -> None:
    found = _norms(np.array([[[0.0, 0.0], [3.0, -4.0], [np.inf, 1.0], [np.nan, 1.0]]]))
    np.testing.assert_array_equal(found, [[0.0, 5.0, np.inf, np.nan]])


def test_a_wrapped_cell_is_one() -> None:
    zoned = language_model(Zoneout(RNNCell(3, 4, rng=rng()), 0.2, rng=rng()))
    np.testing.assert_array_equal(credit_map(zoned, XS, TARGETS), credit_map(zoned, XS, TARGETS, layer="layers.1"))
    dropping = language_model(DropConnect(RNNCell(3, 4, rng=rng()), 0.5, rng=rng()))
    plain = Sequential(dropping.layers[0], dropping.layers[1].cell, dropping.layers[2])
    np.testing.assert_allclose(credit_map(dropping, XS, TARGETS), credit_map(plain, XS, TARGETS), rtol=1e-12)
    alone = in_float64(Zoneout(Zoneout(RNNCell(3, 4, rng=rng()), 0.2, rng=rng()), 0.1, rng=rng()))
    xs, targets = rng().standard_normal((T, 1, 3)), rng().standard_normal((T, 1, 4))
    found = [credit_map(alone, xs, targets, criterion=MeanSquaredError(), layer=name) for name in (None, "", "cell")]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_nothing_of_the_model_changes_and_another_device_gives_the_same() -> None:
    model = language_model(GRUCell(3, 4, rng=rng()))
    before = model.flat_value.copy()
    credit = credit_map(model, XS, TARGETS)
    np.testing.assert_array_equal(model.flat_value, before)
    assert all(parameter._grad is None for parameter in model.parameters())
    assert type(model.layers[1]) is GRUCell
    device = StrictDevice()
    model.to(device)
    found = credit_map(model, device.asarray(XS), device.asarray(TARGETS), state=None)
    np.testing.assert_allclose(device.to_host(found), credit, rtol=1e-12)


@pytest.mark.messages
def test_what_does_not_fit_is_told_why() -> None:
    two = language_model(RNNCell(3, 4, rng=rng()), RNNCell(4, 4, rng=rng()))
    one = language_model(LSTMCell(3, 4, rng=rng()))
    cell = RNNCell(3, 3, rng=rng())
    shared = in_float64(Sequential(Embedding(5, 3, rng=rng()), cell, cell, Linear(3, 5, rng=rng())))
    ten = in_float64(Sequential(*two.layers[:2], *(Tanh() for _ in range(8)), *two.layers[2:]))
    none = in_float64(Sequential(Embedding(5, 5, rng=rng()), Tanh()))
    wrong: Any = (
        (two, {}, r"has the cells 'layers.1', 'layers.2': give one as layer="),
        (ten, {}, r"has the cells 'layers.1', 'layers.10': give one as layer="),
        (none, {}, r"Sequential\(Embedding\(5, 5\), Tanh\(\)\) has no cell"),
        (two, {"layer": "layers.0"}, "credit_map: layer must be one of 'layers.1', 'layers.2', not 'layers.0'"),
        (one, {"of": "z"}, "'layers.1' has gradients w.r.t. 'h', 'c', 'i', 'f', 'o', 'g', not 'z'"),
        (one, {"steps": []}, "credit_map: steps is empty, but must hold integers from 0 to 5: the text has 6 steps"),
        (one, {"steps": (1, 6)}, "credit_map: steps holds 6, but must hold"),
        (one, {"steps": (-1,)}, "credit_map: steps holds -1, but must hold"),
        (shared, {}, r"'layers.1', RNNCell\(3, 3\), took 12 steps over a text of 6; there must be one for each token"),
    )
    for model, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            credit_map(model, XS, TARGETS, **options)
    both: Any = np.repeat(IDS, 2, axis=1)
    for xs, came in ((both, r"\(7, 2\)"), (both[:, 0], r"\(7,\)"), (XS[:0], r"\(0, 1\)"), (XS.tolist(), "a list")):
        with pytest.raises(
            ValueError, match=f"credit_map: xs is {came}, expected an array .* From a batch, give one row"
        ):
            credit_map(one, xs, both)
    with pytest.raises(TypeError, match="targets must be an integer array, not a list"):
        credit_map(one, XS, TARGETS.tolist())
    wrong_steps: Any = 3
    with pytest.raises(TypeError, match=r"credit_map: steps must be integers, such as range\(3\), not 3"):
        credit_map(one, XS, TARGETS, steps=wrong_steps)
    linear: Any = Linear(3, 4, rng=rng())
    with pytest.raises(TypeError, match="credit_map: model must be a Recurrent"):
        credit_map(linear, XS, TARGETS)
    with pytest.raises(TypeError, match="credit_map: xs is a ndarray, but an EncoderDecoder reads two"):
        credit_map(translator(), XS, TARGETS)


@pytest.mark.parametrize("of", ["h", "c", "f"])
def test_no_credit_goes_from_a_document_to_another(of: str) -> None:
    model = language_model(LSTMCell(3, 4, rng=rng()))
    starts: Any = (np.arange(T) == 2)[:, None]
    found, without = (credit_map(model, XS, TARGETS, of=of, starts=given) for given in (starts, None))
    for document in (slice(0, 2), slice(2, T)):
        alone = credit_map(model, XS[document], TARGETS[document], of=of)
        np.testing.assert_allclose(found[document, document], alone, rtol=0, atol=1e-12)
    assert not found[:2, 2:].any()
    assert not found[2:, :2].any()
    assert without[:2, 2:].any()


@pytest.mark.messages
def test_starts_of_several_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"starts has shape \(6, \d+\), expected \(6, 6\)"):
        credit_map(language_model(LSTMCell(3, 4, rng=rng())), XS, TARGETS, starts=np.ones((T, 2), bool))
