"""UORO is right on average: shown without statistics, by the mean over all signs that there may be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from through_time_models import (
    B,
    LearntLSTM,
    V,
    batch,
    close,
    cut,
    differs,
    gradient,
    language_model,
    randomized,
    rng,
    rows_of,
    small,
)
from tinygrad_rnn import (
    Batch,
    Embedding,
    GRUCell,
    Linear,
    LSTMCell,
    MeanSquaredError,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
)
from tinygrad_rnn.through_time import BPTT, UORO
from tinygrad_rnn.through_time.uoro import _balance


class Signs(UORO):
    """With given signs for each step, (B, n), or (n,), the same in each row."""

    def __init__(self, given: Any) -> None:
        super().__init__(rng())
        self.given = given
        self.t = 0

    def signs(self, key: Any, n: int) -> Any:
        self.t += 1
        signs = self.given[self.t - 1]
        return np.tile(signs, (len(key), 1)) if signs.ndim == 1 else signs


def mean_of_all(model: Any, *batches: Batch, whole: Batch, n: int) -> float:
    """The mean of the gradients over all sign patterns, and how far one is off, as a part of the norm."""
    exact, steps = gradient(BPTT(), model, whole), len(whole.xs)
    found = [
        gradient(Signs(np.array(signs).reshape(steps, n)), model, *batches)
        for signs in itertools.product((-1.0, 1.0), repeat=steps * n)
    ]
    close(np.mean(found, axis=0), exact, 1e-10)
    return float(np.sqrt(np.mean([((each - exact) ** 2).sum() for each in found])) / np.linalg.norm(exact))


def test_the_mean_over_all_signs_is_the_exact_gradient() -> None:
    for cell, steps in ((RNNCell(3, 2, rng=rng()), 4), (GRUCell(3, 2, rng=rng()), 3), (LSTMCell(3, 1, rng=rng()), 3)):
        whole = batch(steps, 1)
        off = mean_of_all(language_model(cell), whole, whole=whole, n=2)
        assert 0.01 < off < 10
    model = language_model(RNNCell(3, 1, rng=rng()), RNNCell(1, 1, rng=rng()))
    mean_of_all(model, *cut(batch(3, 1), 1, 2), whole=batch(3, 1), n=2)


@pytest.mark.long
def test_the_mean_over_all_signs_of_three_units() -> None:
    off = mean_of_all(language_model(RNNCell(3, 3, rng=rng())), batch(4, 1), whole=batch(4, 1), n=3)
    assert 0.01 < off < 10


def test_rows_have_their_own_vectors() -> None:
    """With the same signs in each row, the gradient of a batch is the sum of those of its rows."""
    model, signs = small(), rng(5).choice([-1.0, 1.0], (7, 4))
    for rows in ({}, {"starts": True}, {"lengths": True}):
        whole = batch(**rows)
        each = sum(gradient(Signs(signs), model, row) for row in rows_of(whole))
        close(gradient(Signs(signs), model, whole), each)
    signs = rng(5).choice([-1.0, 1.0], (7, B, 4))
    each = sum(gradient(Signs(signs[:, b]), model, row) for b, row in enumerate(rows_of(batch())))
    close(gradient(Signs(signs), model, batch()), each)


def test_documents_are_those_that_run_alone() -> None:
    model, signs, whole = small(), rng(5).choice([-1.0, 1.0], (7, 4)), batch(rows=1)
    whole = whole._replace(starts=np.arange(7)[:, None] == 3)
    first, second = cut(whole, 3, 4)
    expected = gradient(Signs(signs[:3]), model, first) + gradient(
        Signs(signs[3:]), model, second._replace(starts=None)
    )
    close(gradient(Signs(signs), model, whole), expected)


def test_the_vectors_by_hand() -> None:
    """Identity weights, two units: the numbers follow from the equations with pencil and paper."""
    cell = randomized(RNNCell(1, 2, rng=rng(), nonlinearity="relu"))
    cell.w_x.value, cell.w_h.value, cell.b.value = 0.0, np.eye(2), 1.0
    state = (np.array([[1.0, 2.0]]),)
    method, given = Signs(np.array([[1.0, -1.0], [1.0, 1.0]])), Batch(np.ones((1, 1, 1)), np.zeros((1, 1, 2)))
    _, _, (state, (tangent, trace, _)) = method(cell, MeanSquaredError(), given, (state, None))
    np.testing.assert_array_equal(state[0], [[2, 3]])
    # ν ds/dw: for w_x ν, for w_h the outer product of h and ν, for b ν
    direct = np.array([1.0, -1, 1, -1, 2, -2, 1, -1])
    one = np.sqrt(np.linalg.norm(direct) / np.sqrt(2))
    close(tangent, [[one, -one]])
    close(trace, [direct / one])
    _, _, (_, (tangent, trace, key)) = method(
        cell, MeanSquaredError(), given, (state, (tangent, trace, np.zeros((1, 2), int)))
    )
    direct_then = np.array([1.0, 1, 2, 2, 3, 3, 1, 1])
    zero = np.sqrt(np.linalg.norm(direct / one) / np.linalg.norm([one, one]))
    two = np.sqrt(np.linalg.norm(direct_then) / np.sqrt(2))
    close(tangent, [[zero * one + two, -zero * one + two]])
    close(trace, [direct / one / zero + direct_then / two])
    np.testing.assert_array_equal(key, [[0, 1]])


def test_balance() -> None:
    ones, zeros = np.ones((1, 4)), np.zeros((1, 4))
    assert _balance(4 * ones, ones).item() == 2
    assert _balance(ones, zeros).item() == _balance(zeros, ones).item() == _balance(zeros, zeros).item() == 1
    np.testing.assert_array_equal(
        _balance(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 0], [5, 0]])), [[1], [1]]
    )
    np.testing.assert_array_equal(_balance(np.array([[9.0, 0.0]]), np.array([[1.0, 0]])), [[3]])


def test_signs_come_from_the_carry() -> None:
    """So a training that is resumed has the same; and those of two rows, and of two steps, differ."""
    model, parts = small(), cut(batch(), 3, 4)
    method = UORO(rng(9))
    _, _, carry = method(model, SoftmaxCrossEntropy(), parts[0])
    found = []
    for other in (method, UORO(rng(123))):
        model.zero_grad()
        _, _, (_, (_, _, key)) = other(model, SoftmaxCrossEntropy(), parts[1], carry)
        found.append(model.flat_grad.copy())
        np.testing.assert_array_equal(key[:, 1], 7)
        np.testing.assert_array_equal(key[:, 0], carry[1][2][:, 0])
    np.testing.assert_array_equal(*found)
    one = method.signs(np.array([[1, 0], [2, 0], [1, 1], [1, 0]]), 64)
    assert set(np.unique(one)) == {-1, 1}
    assert abs(one.mean()) < 0.2
    assert [np.array_equal(one[0], other) for other in one] == [True, False, False, True]
    assert differs(gradient(UORO(rng(1)), model, *parts), gradient(UORO(rng(2)), model, *parts))
    np.testing.assert_array_equal(gradient(UORO(rng(1)), model, *parts), gradient(UORO(rng(1)), model, *parts))
    _, _, (_, (_, _, key)) = UORO(rng(1))(model, SoftmaxCrossEntropy(), batch(0))
    assert len({*key[:, 0].tolist()}) == B
    assert not key[:, 1].any()


def test_what_it_cannot_go_through_is_named() -> None:
    model = language_model(LearntLSTM(3, 2, rng=rng()))
    with pytest.raises(ValueError, match=r"^UORO\(\): an initial state of Sequential.* is a Parameter.*use RTRL\(\)"):
        UORO(rng())(model, SoftmaxCrossEntropy(), batch())
    bad: Any = 3
    with pytest.raises(TypeError, match="UORO: rng must be"):
        UORO(bad)


def test_float32_stays_float32() -> None:
    model = Sequential(Embedding(V, 3, rng=rng()), RNNCell(3, 4, rng=rng()), Linear(4, V, rng=rng()))
    _, _, (_, (tangent, trace, key)) = UORO(rng())(model, SoftmaxCrossEntropy(), batch())
    assert (tangent.dtype, trace.dtype, key.dtype) == ("float32", "float32", "int64")
