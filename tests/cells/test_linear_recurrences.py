"""What the cells without a product with the state promise beside their equations, which the table of checks has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS
from tinygrad_rnn import (
    Embedding,
    IndRNNCell,
    Leaf,
    Linear,
    LRUCell,
    MinGRUCell,
    MinLSTMCell,
    Parameter,
    Sequential,
    SLSTMCell,
    SRUCell,
    load,
    save,
)
from tinygrad_rnn.core.rows import WHOLE
from tinygrad_rnn.kernels import backends
from tinygrad_rnn.kernels.compiled.backend import COMPILED
from tinygrad_rnn.testing import check_gradients


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_toy_of_the_lru() -> None:
    """Three steps by hand: lambda 1/2, B = 2 + 2i, C = 2 + i, gamma 1, no D; half the squared distance from 1."""
    cell = LRUCell(1, 1, rng=rng()).to(dtype="float64")
    cell.nu.value[...], cell.theta.value[...], cell.gamma.value[...] = math.log(math.log(2)), -99, 0
    cell.w_x.value[...], cell.w_y.value[...] = [[2, 2, 0]], [[2], [1]]
    xs = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    ys, _, cache = cell.forward(xs)
    np.testing.assert_allclose(ys.ravel(), [2, 5, 8.5], rtol=1e-14)
    cell.backward(ys - 1, None, cache)
    np.testing.assert_allclose(cell.w_x.grad, [[85.75, -42.875, 31.5]], rtol=1e-14)
    np.testing.assert_allclose(cell.w_y.grad, [[85.75], [-85.75]], rtol=1e-14)
    np.testing.assert_allclose(cell.gamma.grad, [85.75], rtol=1e-14)
    # w.r.t. lambda it is 53 - 159i, or its conjugate: times lambda, that w.r.t. its logarithm, -e^nu + i e^theta.
    np.testing.assert_allclose(cell.nu.grad, [-math.log(2) * 53 / 2], rtol=1e-14)
    assert abs(cell.theta.grad[0]) < 1e-30


@pytest.mark.parametrize("table", [None, COMPILED], ids=["plain", "compiled"])
@pytest.mark.parametrize("kind", ["near 1", "any"])
def test_rounding_errors_do_not_grow_with_the_length(kind: str, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, over 16,384 steps: forward and back against float64, relative to the largest."""
    monkeypatch.setattr(backends, "_compiled", table)
    random, shape = rng(), (16_384, 1, 8)
    uniform = random.random(shape)
    numbers = uniform if kind == "any" else 0.9 + 0.099 * uniform, *random.standard_normal((2, *shape))
    a, b, dys = (array.astype(np.float32) for array in numbers)
    found = []
    for dtype in (np.float32, np.float64):
        factors, hs = a.astype(dtype), np.zeros((len(b) + 1, *b.shape[1:]), dtype)
        served = backends.backend(hs)
        served.linear_forward_steps(factors, b.astype(dtype), hs, hs[:-1], WHOLE, None)
        dhs = dys.astype(dtype)
        served.linear_backward_steps(factors, dhs, np.zeros_like(hs[0]), WHOLE, None)
        found.append((hs, dhs))
    for rough, exact in zip(*found, strict=True):
        assert abs(rough - exact).max() <= 1e-6 * abs(exact).max()


def test_an_lru_loses_no_digits_either() -> None:
    """With factors of up to 0.9999, whose memory is of ten thousand steps."""
    xs, dys = rng().standard_normal((2, 16_384, 1, 4)).astype(np.float32)
    found = []
    for dtype in ("float32", "float64"):
        cell = LRUCell(4, 4, units=32, rng=rng(), r_max=0.9999).to(dtype=dtype)
        ys, _, cache = cell.forward(xs.astype(dtype))
        found.append((ys, cell.backward(dys.astype(dtype), None, cache)[0]))
    for rough, exact in zip(*found, strict=True):
        assert abs(rough - exact).max() <= 1e-6 * abs(exact).max()


def test_two_closed_gates_share_out_one() -> None:
    """In float32 both are 0 there, and their quotient is none. It is the difference of the sums that decides."""
    cell = MinLSTMCell(1, 3, rng=rng())
    cell.w_x.value[...] = 0
    cell.b.value[...] = [-150, -152, -500, -150, -150, -120, 1, 1, 1]
    ys, _, cache = cell.forward(np.zeros((1, 1, 1), np.float32))
    np.testing.assert_allclose(ys.ravel(), [0.5, 1 / (1 + math.exp(-2)), 1], rtol=1e-6)
    cell.backward(np.ones_like(ys), None, cache)
    k = ys.ravel()
    np.testing.assert_allclose(cell.b.grad[3:6], k * (1 - k), rtol=1e-5)
    np.testing.assert_allclose(cell.b.grad[:3], -k * (1 - k), rtol=1e-5)


@pytest.mark.parametrize("kind", [MinGRUCell, MinLSTMCell])
def test_a_positive_candidate_keeps_a_positive_state_positive(kind: Any) -> None:
    cell = kind(3, 8, rng=rng(), candidate="positive")
    xs = 30 * rng().standard_normal((50, 4, 3)).astype("float32")
    ys, _ = cell(xs, (np.full((4, 8), 0.1, np.float32),))
    assert (ys >= 0).all()
    assert (kind(3, 8, rng=rng())(xs)[0] < 0).any()


def test_the_ring() -> None:
    cell = LRUCell(3, 4, units=2000, rng=rng(), r_min=0.5, r_max=0.8, max_phase=1.0)
    size, angle = np.exp(-np.exp(cell.nu.value)), np.exp(cell.theta.value)
    assert (size.min(), size.max()) == pytest.approx((0.5, 0.8), abs=2e-3)
    assert (angle.min(), angle.max()) == pytest.approx((0, 1), abs=2e-3)
    assert (size**2).mean() == pytest.approx((0.25 + 0.64) / 2, rel=0.02)  # uniform by area, not by radius
    np.testing.assert_allclose(np.exp(cell.gamma.value), np.sqrt(1 - size**2), rtol=1e-5)
    assert repr(cell) == "LRUCell(3, 4, units=2000, r_min=0.5, r_max=0.8, max_phase=1.0)"


def test_a_unit_of_an_lru_has_the_size_of_its_inputs() -> None:
    cell = LRUCell(4, 2, units=300, rng=rng())
    _, state = cell(rng().standard_normal((5000, 1, 4)).astype("float32"))
    assert float(np.mean(np.square(state))) == pytest.approx(1, rel=0.15)


def test_the_output_of_an_lru_need_not_have_as_many_numbers_as_there_are_units() -> None:
    cell = LRUCell(3, 5, units=2, rng=rng())
    ys, (re, im) = cell(np.ones((4, 2, 3), np.float32))
    assert (ys.shape, re.shape, im.shape) == ((4, 2, 5), (2, 2), (2, 2))
    assert LRUCell(3, 5, rng=rng()).units == 5


def test_the_memory_of_an_slstm_is_the_weighted_mean_of_what_came_in() -> None:
    """With forget gates that are open, the weights are e^a: from 1 to e^200, and never infinite."""
    cell = SLSTMCell(1, 1, rng=rng())
    cell.w_h.value[...] = 0
    cell.w_x.value[...] = [[1, 0, 0, 0.01]]
    cell.b.value[...] = [0, 200, 200, 0]
    xs = np.array([0.0, 1.0, 200.0, 199.0, -300.0], np.float32)
    ys, (h, c, m) = cell(xs.reshape(5, 1, 1))
    weights, new = xs.astype(float), np.tanh(0.01 * xs.astype(float))
    for t in range(5):
        share = np.exp(weights[: t + 1] - weights[: t + 1].max())
        assert ys[t, 0, 0] == pytest.approx((share * new[: t + 1]).sum() / share.sum(), abs=1e-5)
    assert m[0, 0] == pytest.approx(200 + math.log1p(math.exp(-1)), rel=1e-6)
    assert h == c == ys[-1]


def test_the_first_step_of_an_slstm_forgets_nothing_there_was() -> None:
    """In each row by itself, whatever stands in c: no weight is on it."""
    cell, x = SLSTMCell(2, 3, rng=rng()), np.ones((2, 2), np.float32)
    state = cell.initial_state(2)
    assert (state[2] == -np.inf).all()
    state[1][1] = 7
    y, (_, c, m) = cell.step(x, state)
    np.testing.assert_array_equal(c[0], c[1])
    assert np.isfinite(m).all()
    _, _, cache = cell.forward(x[None])
    cell.backward(y[None], None, cache)
    assert np.isfinite(cell.flat_grad).all()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MinGRUCell(0, 4, rng=rng()), ValueError, "MinGRUCell: in_size must be at least 1, not 0"),
        (lambda: MinLSTMCell(3, 4.0, rng=rng()), TypeError, "MinLSTMCell: out_size must be an integer, not 4.0"),  # type: ignore[arg-type]
        (lambda: MinGRUCell(3, 4, rng=rng(), candidate="relu"), ValueError, 'MinGRUCell: candidate must be "linear", '),
        (lambda: MinLSTMCell(3, 4, rng=rng(), candidate="relu"), ValueError, 'MinLSTMCell: candidate must be "line'),
        (lambda: IndRNNCell(3, 4, rng=rng(), nonlinearity="no"), ValueError, 'IndRNNCell: nonlinearity must be "relu"'),
        (lambda: SRUCell(3, 4, rng=0), TypeError, "SRUCell: rng must be a numpy.random.Generator"),  # type: ignore[arg-type]
        (lambda: SLSTMCell(3, 0, rng=rng()), ValueError, "SLSTMCell: out_size must be at least 1, not 0"),
        (lambda: LRUCell(3, 4, units=0, rng=rng()), ValueError, "LRUCell: units must be at least 1, not 0"),
        (lambda: LRUCell(3, 4, rng=rng(), r_max=1.0), ValueError, "r_min and r_max must be 0 <= r_min < r_max < 1"),
        (lambda: LRUCell(3, 4, rng=rng(), r_min=math.nan), ValueError, "r_min and r_max must be 0 <= r_min < r_max"),
        (lambda: LRUCell(3, 4, rng=rng(), max_phase=0), ValueError, "max_phase must be above 0 and at most 2 pi"),
        (lambda: LRUCell(3, 4, rng=rng(), max_phase="1"), TypeError, "max_phase must be a number, not '1'"),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_do_not_fit_are_told_why(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_gradient_of_another_width_is_refused_by_the_kernel_of_an_lru() -> None:
    """It may have other outputs than units, so the shape of its cache does not tell."""
    cell = LRUCell(3, 4, units=2, rng=rng())
    kernel = cell.kernel()
    assert kernel is not None
    weights = kernel.weights(*(getattr(cell, name).value for name in kernel.weights._fields))  # type: ignore[attr-defined]
    state = cell.initial_state(2)
    _, _, cache = kernel.forward(np.ones((5, 2, 3), np.float32), state, weights, WHOLE, None)
    with pytest.raises(ValueError, match=r"not of one call: .* dys \(5, 2, 3\), .*of dys \(T, B, 4\)"):
        kernel.backward(np.ones((5, 2, 3), np.float32), state, cache, weights, WHOLE, weights)


def learning(kind: Any) -> Any:
    """A cell of that kind, each array of whose initial state is a parameter."""

    class Learning(kind):  # type: ignore[misc]
        def __init__(self, *sizes: int, rng: np.random.Generator) -> None:
            super().__init__(*sizes, rng=rng)
            self.names = tuple(leaf.name for leaf in super().state_spec)
            for name, size in zip(self.names, self.state_sizes, strict=True):
                setattr(self, f"{name}0", Parameter(np.linspace(-0.5, 0.5, size, dtype=np.float32)))

        @property
        def state_spec(self) -> Any:
            return tuple(
                Leaf(name, (size,), initial=getattr(self, f"{name}0"))
                for name, size in zip(self.names, self.state_sizes, strict=True)
            )

    return Learning(3, 4, rng=rng())


@pytest.mark.messages
@pytest.mark.parametrize("kind", [MinGRUCell, MinLSTMCell, LRUCell, IndRNNCell, SRUCell, SLSTMCell])
def test_where_documents_begin_the_initial_state_has_its_gradient(kind: Any) -> None:
    check_gradients(learning(kind), rng=rng(), lengths=LENGTHS, starts=STARTS)


@pytest.mark.parametrize("kind", [MinGRUCell, LRUCell, SLSTMCell])
def test_a_model_is_saved_in_the_middle_of_a_text_and_goes_on(kind: Any, tmp_path: Path) -> None:
    model = Sequential(Embedding(5, 3, rng=rng()), kind(3, 4, rng=rng()), Linear(4, 5, rng=rng()))
    ids = rng().integers(0, 5, (8, 2))
    _, state = model(ids[:4])
    save(tmp_path / "model.safetensors", model, state=state)
    loaded = load(tmp_path / "model.safetensors")
    assert repr(loaded.model) == repr(model)
    np.testing.assert_array_equal(loaded.model(ids[4:], loaded.state)[0], model(ids[4:], state)[0])
