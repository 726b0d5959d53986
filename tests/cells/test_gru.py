from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from table import SteppedGRU
from tinygrad_rnn import GRUCell, initializers

RESETS = ["after", "before"]
DTYPES = ["float32", "float64"]


def test_the_weights_are_drawn_block_by_block(rng: np.random.Generator) -> None:
    cell = GRUCell(40, 50, rng=rng)
    w_x, w_h = (np.split(parameter.value, 3, axis=1) for parameter in (cell.w_x, cell.w_h))
    again = np.random.default_rng(0)
    for block in w_x:
        np.testing.assert_array_equal(block, initializers.glorot((40, 50), rng=again))
        assert abs(block).max() == pytest.approx(math.sqrt(6 / 90), rel=0.01)
    for block in w_h:
        np.testing.assert_array_equal(block, initializers.orthogonal((50, 50), rng=again))
        np.testing.assert_allclose(block.T @ block, np.eye(50), rtol=0, atol=1e-5)


def test_the_biases_begin_at_0(rng: np.random.Generator) -> None:
    for reset, shapes in (("after", {"b": (12,), "b_h": (4,)}), ("before", {"b": (12,)})):
        cell = GRUCell(3, 4, rng=rng, reset=reset)
        parameters = dict(cell.named_parameters())
        assert {name: p.shape for name, p in parameters.items()} == {"w_x": (3, 12), "w_h": (4, 12)} | shapes
        assert not any(parameters[name].value.any() for name in shapes)


def sines(start: int, *shape: int) -> Any:
    """A matrix that can be had in any library."""
    return np.sin(np.arange(start, start + math.prod(shape))).reshape(shape)


def test_the_numbers_of_pytorch(rng: np.random.Generator) -> None:
    """Of `torch.nn.GRU(2, 3).double()`, version 2.13, whose further biases of r and z are 0."""
    cell = GRUCell(2, 3, rng=rng).to(dtype="float64")
    cell.w_x.value, cell.w_h.value, cell.b.value, cell.b_h.value = (
        sines(0, 2, 9),
        sines(100, 3, 9),
        sines(200, 9),
        sines(300, 3),
    )
    ys, _, cache = cell.forward(sines(400, 3, 1, 2), (sines(500, 1, 3),))
    expected = [
        [[-0.5644624237775866, -0.8771521963745292, 0.3363647109873451]],
        [[-0.5876475207148687, -0.8412324838671951, 0.2044863827186968]],
        [[-0.6410493949561793, -0.5867674244593255, 0.8099000404957819]],
    ]
    np.testing.assert_allclose(ys, expected, rtol=1e-14)
    _, (dh,) = cell.backward(None, (np.ones((1, 3)),), cache)
    np.testing.assert_allclose(dh, [[0.784867074146335, 0.05697636216753027, 0.09257566201208582]], rtol=1e-13)
    np.testing.assert_allclose(
        cell.b_h.grad, [0.04265525626128679, 0.29214680159549483, 0.14055342142626873], rtol=1e-13
    )


@pytest.mark.parametrize("reset", RESETS)
def test_a_closed_z_lets_the_new_state_in_and_an_open_one_keeps_the_old(reset: str, rng: np.random.Generator) -> None:
    cell = GRUCell(2, 3, rng=rng, reset=reset)
    xs, h = rng.standard_normal((4, 2, 2)).astype("float32"), rng.standard_normal((2, 3)).astype("float32")
    cell.b.value[3:6] = 50
    np.testing.assert_allclose(cell(xs, (h,))[0], np.broadcast_to(h, (4, 2, 3)), rtol=1e-6, atol=1e-6)
    cell.b.value[3:6] = -50
    cell.b.value[:3] = -50  # r closed as well: nothing of the old state is left
    w_xn = cell.w_x.value[:, 6:]
    np.testing.assert_allclose(cell(xs, (h,))[0], np.tanh(xs @ w_xn), rtol=1e-5, atol=1e-6)


class Negated(GRUCell):
    """Its output is -h."""

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        y, state, cache = super().step_forward(x, state, training=training)
        return -y, state, cache


def test_a_subclass_gets_its_own_step(rng: np.random.Generator) -> None:
    cell, negated = GRUCell(2, 3, rng=rng), Negated(2, 3, rng=np.random.default_rng(0))
    xs = np.ones((4, 1, 2), np.float32)
    np.testing.assert_allclose(negated(xs)[0], -cell(xs)[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [GRUCell, SteppedGRU])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_sums_saturate_without_a_warning(
    dtype: str, kind: type[GRUCell], reset: str, size: float, rng: np.random.Generator
) -> None:
    cell = kind(3, 4, rng=rng, reset=reset).to(dtype=dtype)
    xs = (size * rng.choice([-1, 1], (5, 2, 3))).astype(dtype)
    ys, state, cache = cell.forward(xs)
    assert (abs(ys) <= 1).all()
    dxs, (dh,) = cell.backward(np.ones_like(ys), state, cache)
    for array in (dxs, dh, *(parameter.grad for parameter in cell.parameters())):
        assert np.isfinite(array).all()


def test_the_reset_is_shown_where_it_is_not_the_usual_one(rng: np.random.Generator) -> None:
    assert repr(GRUCell(2, 3, rng=rng)) == "GRUCell(2, 3)"
    assert repr(GRUCell(2, 3, rng=rng, reset="before")) == "GRUCell(2, 3, reset='before')"


@pytest.mark.messages
def test_another_reset_is_refused(rng: np.random.Generator) -> None:
    for reset in ("none", None):
        with pytest.raises(ValueError, match=f'GRUCell: reset must be "after" or "before", not {reset!r}'):
            GRUCell(2, 3, rng=rng, reset=reset)  # type: ignore[arg-type]


@pytest.mark.messages
def test_what_is_no_generator_is_refused() -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        GRUCell(2, 3, rng=0)  # type: ignore[arg-type]
