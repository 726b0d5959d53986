"""The report against gradients that are written out by hand, and methods whose bias is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from through_time_models import LearntLSTM, T, V, batch, close, language_model, randomized, rng, small
from tinygrad_rnn import (
    Batch,
    Bidirectional,
    Dropout,
    GRUCell,
    Linear,
    MeanSquaredError,
    OneHot,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    gradients,
)
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.through_time import BPTT, RTRL, Agreement, BiasReport, Checkpointed, SnAp1, TruncatedBPTT, bias_report
from tinygrad_rnn.through_time.bias import agreement

LOSS = SoftmaxCrossEntropy()


def network() -> Any:
    return randomized(Sequential(OneHot(V), RNNCell(V, 4, rng=rng()), Linear(4, V, rng=rng())))


def parts_by_hand(model: Any, whole: Batch) -> list[Any]:
    """Of the loss of the last step: the gradient of the three parameters of the cell, by how many steps lie between."""
    w_x, w_h, b = (p.value for p in (model.layers[1].w_x, model.layers[1].w_h, model.layers[1].b))
    xs, h = np.eye(V)[whole.xs], np.zeros((whole.xs.shape[1], 4))
    hs = [h]
    for t, x in enumerate(xs):
        if whole.starts is not None:
            hs[-1] = np.where(whole.starts[t][:, None], 0, hs[-1])
        hs.append(np.tanh(x @ w_x + hs[-1] @ w_h + b))
    y = hs[-1] @ model.layers[2].w.value + model.layers[2].b.value
    p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    weights = np.ones(len(y)) if whole.weights is None else whole.weights[-1]
    dy = (p - np.eye(V)[whole.targets[-1]]) * (weights / weights.sum())[:, None]
    dh, parts = dy @ model.layers[2].w.value.T, []
    for t in reversed(range(len(xs))):
        da = dh * (1 - hs[t + 1] ** 2)
        parts.append(np.concatenate([(xs[t].T @ da).ravel(), (hs[t].T @ da).ravel(), da.sum(axis=0)]))
        dh = da @ w_h.T
        if whole.starts is not None:
            dh = np.where(whole.starts[t][:, None], 0, dh)
    return parts


def test_the_parts_by_distance() -> None:
    model, whole = network(), batch(8)
    for each in (whole, whole._replace(weights=None), batch(8, starts=True)):
        parts = parts_by_hand(model, each)
        report = bias_report({"three": TruncatedBPTT(1, 3), "exact": RTRL()}, model, LOSS, [each])
        assert report.distances == [(0, 0), (1, 1), (2, 3), (4, 7)]
        close(report.shares[1:], [np.linalg.norm(sum(parts[i:j])) for i, j in ((1, 2), (2, 4), (4, 8))])
        assert report.shares[0] > np.linalg.norm(parts[0])  # with that of the layer above
        exact, seen = parts[2] + parts[3], parts[2]
        found = report.by_distance["three"]
        close(found[:2], [(1, 1), (1, 1)])
        cosine = seen @ exact / np.linalg.norm(seen) / np.linalg.norm(exact)
        close(found[2], (cosine, np.linalg.norm(seen) / np.linalg.norm(exact)))
        assert math.isnan(found[3].cosine)
        assert found[3].norm == 0
        close(report.by_distance["exact"], [(1, 1)] * 4)


def test_several_batches_add_up() -> None:
    model, batches = network(), [batch(8), batch(3, seed=5), batch(8, seed=6)]
    parts = [parts_by_hand(model, each) for each in batches]
    report = bias_report([TruncatedBPTT(2, 2)], model, LOSS, batches)
    close(report.shares[1], np.linalg.norm(sum(p[1] for p in parts)))
    close(report.shares[2], np.linalg.norm(sum(sum(p[2:4]) for p in parts)))
    close(report.shares[3], np.linalg.norm(sum(sum(p[4:]) for p in parts)))
    for name, found in report.parameters["TruncatedBPTT(2, 2)"].items():
        sums = []
        for method in (TruncatedBPTT(2, 2), BPTT()):
            model.zero_grad()
            for each in batches:
                method(model, LOSS, each)
            grad = dict(model.named_parameters())[name].grad if name else model.flat_grad
            sums.append(grad.ravel().copy())
        close(found, agreement(*sums))


def test_the_last_distance() -> None:
    model = network()
    for longest, bands in (
        (0, [(0, 0)]),
        (1, [(0, 0), (1, 1)]),
        (2, [(0, 0), (1, 1), (2, 2)]),
        (5, [(0, 0), (1, 1), (2, 3), (4, 5)]),
        (None, [(0, 0), (1, 1), (2, 3), (4, 6)]),
        (99, [(0, 0), (1, 1), (2, 3), (4, 6)]),
    ):
        assert bias_report([BPTT()], model, LOSS, [batch()], longest=longest).distances == bands
    parts = parts_by_hand(model, batch(8))
    close(bias_report([BPTT()], model, LOSS, [batch(8)], longest=5).shares[3], np.linalg.norm(parts[4] + parts[5]))


def test_functions_and_names() -> None:
    def twice(model: Any, criterion: Any, given: Batch, carry: Any) -> Any:
        return gradients(model, criterion, given, carry, dloss=2.0)

    def reverse(model: Any, criterion: Any, given: Batch, carry: Any) -> Any:
        return gradients(model, criterion, given, carry, dloss=-0.5)

    report = bias_report(
        {"twice": twice, "reverse": reverse, "blocks": Checkpointed(2, block=2)}, small(), LOSS, [batch()]
    )
    names = ["", "layers.0.w", "layers.1.w_x", "layers.1.w_h", "layers.1.b", "layers.2.w", "layers.2.b"]
    for name, expected in (("twice", (1, 2)), ("reverse", (-1, 0.5)), ("blocks", (1, 1))):
        assert list(report.parameters[name]) == names
        close(list(report.parameters[name].values()), [expected] * 7)
        close(report.by_distance[name], [expected] * 4)
    assert list(bias_report([SnAp1(), RTRL()], small(), LOSS, [batch()]).parameters) == ["SnAp1()", "RTRL()"]
    assert repr(report) == "<BiasReport of twice, reverse, blocks>"


def test_the_table() -> None:
    parameters = {"a": {"": (0.5, 2.0), "w": (math.nan, 0.0)}, "long name": {"": (-1.0, 12.5), "w": (1.0, math.nan)}}
    named: Any = {m: {p: Agreement(c, n) for p, (c, n) in of.items()} for m, of in parameters.items()}
    report = BiasReport(named, [(0, 0), (2, 3)], {m: [*of.values()] for m, of in named.items()}, [1.0, 2.0])
    assert str(report) == (
        "cosine / norm  a             long name\n"
        "all            0.500 / 2.00  -1.000 / 12.50\n"
        "w                  - / 0.00  1.000 / -\n"
        "0 back         0.500 / 2.00  -1.000 / 12.50\n"
        "2-3 back           - / 0.00  1.000 / -"
    )


def test_agreement() -> None:
    assert agreement(np.array([3.0, 4.0]), np.array([0.0, 10.0])) == (0.8, 0.5)
    assert agreement(np.zeros(2), np.ones(2)).norm == 0
    assert math.isnan(agreement(np.zeros(2), np.ones(2)).cosine)
    assert all(map(math.isnan, agreement(np.ones(2), np.zeros(2))))
    assert {type(number) for number in agreement(np.ones(2), np.ones(2))} == {float}
    assert {type(share) for share in bias_report([BPTT()], network(), LOSS, [batch()]).shares} == {float}


def test_the_model_does_not_change_and_each_method_has_the_same_masks() -> None:
    model = language_model(Dropout(0.5, rng=rng()), RNNCell(3, 4, rng=rng()))
    (stream,) = model.generators().values()
    model.flat_grad[...] = 2.0
    before, position = model.flat_value.copy(), stream.bit_generator.state
    report = bias_report({"blocks": Checkpointed(45), "exact": BPTT()}, model, LOSS, [batch()])
    np.testing.assert_array_equal(model.flat_value, before)
    assert (model.flat_grad == 2).all()
    assert stream.bit_generator.state == position
    close([*report.parameters["blocks"].values()], [(1, 1)] * 7)


def test_float32_and_what_is_as_small_as_rounding() -> None:
    model = network().to(dtype="float32")
    report = bias_report([TruncatedBPTT(1, 2), RTRL()], model, LOSS, [batch(12)])
    assert [part.norm for part in report.by_distance["TruncatedBPTT(1, 2)"]][2:] == [0, 0, 0]
    close(report.by_distance["RTRL()"], [(1, 1)] * 5, 1e-2)
    model.layers[1].w_h.value *= 1e-6
    report = bias_report([RTRL()], model, LOSS, [batch(12)])
    assert report.shares[2:] == [0, 0, 0]
    assert math.isnan(report.by_distance["RTRL()"][3].norm)


def test_rounding_is_that_of_the_gradient() -> None:
    """However large the loss is."""
    whole = batch(12)
    whole = whole._replace(weights=1e9 * np.asarray(whole.weights))
    criterion = SoftmaxCrossEntropy(reduction="sum")
    report = bias_report([TruncatedBPTT(1, 2)], network(), criterion, [whole])
    assert [part.norm for part in report.by_distance["TruncatedBPTT(1, 2)"]][2:] == [0, 0, 0]
    assert report.shares[4] > 0


def test_the_first_step_begins_from_the_initial_state() -> None:
    model = language_model(LearntLSTM(3, 2, rng=rng()))
    model.zero_grad()
    BPTT()(model, LOSS, batch(1))
    assert model.layers[1].h0.grad.any()
    expected = np.linalg.norm(model.flat_grad)
    (share,) = bias_report([RTRL()], model, LOSS, [batch(1)]).shares
    close(share, expected)


def test_on_a_strict_device() -> None:
    device, here = StrictDevice(), network()
    there = network().to(device)
    whole = Batch(*(None if array is None else device.asarray(array) for array in batch(starts=True)))
    expected = bias_report([SnAp1()], here, LOSS, [batch(starts=True)])
    found = bias_report([SnAp1()], there, LOSS, [whole])
    close([*found.parameters["SnAp1()"].values()], [*expected.parameters["SnAp1()"].values()])
    close(found.shares, expected.shares)


def test_numbers_as_inputs_and_targets() -> None:
    model = randomized(RNNCell(3, 4, rng=rng()))
    whole = Batch(rng(1).standard_normal((T, 2, 3)), rng(2).standard_normal((T, 2, 4)))
    report = bias_report([RTRL()], model, MeanSquaredError(), [whole])
    close(report.by_distance["RTRL()"], [(1, 1)] * 4)


@pytest.mark.messages
def test_what_makes_no_sense_is_named() -> None:
    model, both = small(), Bidirectional(GRUCell(3, 2, rng=rng()), GRUCell(3, 2, rng=rng()))
    given: Any
    for given, error, says in (
        ({"methods": RTRL()}, TypeError, "methods must be a dict of names and methods, or a list"),
        ({"methods": []}, ValueError, "there is no method"),
        ({"methods": {"a": RTRL}}, TypeError, "methods has 'a'"),
        ({"methods": {3: RTRL()}}, TypeError, "methods has 3"),
        ({"methods": [3]}, TypeError, "methods has '3': 3"),
        ({"model": Linear(3, 4, rng=rng())}, TypeError, "model must be a Recurrent"),
        ({"model": both}, ValueError, "also reads backward"),
        ({"criterion": 3}, TypeError, "criterion must be a Loss"),
        ({"batches": []}, ValueError, "there is no batch"),
        ({"batches": iter([])}, ValueError, "there is no step in batches"),
        ({"batches": [batch(0)]}, ValueError, "there is no step in batches"),
        ({"batches": [3]}, TypeError, "batch must be a Batch"),
        ({"batches": [batch(lengths=True)]}, ValueError, "a batch has lengths"),
        ({"longest": -1}, ValueError, "longest must be at least 0"),
    ):
        arguments = {"methods": [RTRL()], "model": model, "criterion": LOSS, "batches": [batch()], **given}
        with pytest.raises(error, match=f"^bias_report: .*{says}"):
            bias_report(**arguments)
