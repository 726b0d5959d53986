from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import initializers

DRAWN = ["glorot", "he", "normal", "orthogonal", "uniform"]
SHAPE = (200, 300)


def draw(name: str, shape: tuple[int, int] = SHAPE, **options: Any) -> Any:
    """As drawn from seed 0, after the checks that hold for all."""
    function: Callable[..., Any] = getattr(initializers, name)
    if name in DRAWN:
        options = {"rng": np.random.default_rng(0)} | options
    w = function(shape, **options)
    assert (type(w), w.dtype, w.shape) == (np.ndarray, np.float32, shape)
    assert w.flags.c_contiguous
    assert w.flags.owndata
    return w


@pytest.mark.parametrize("name", [*DRAWN, "identity", "zeros"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 3)])
def test_every_initializer_gives_a_float32_array_in_c_order(name: str, shape: tuple[int, int]) -> None:
    draw(name, shape)


@pytest.mark.parametrize("name", DRAWN)
def test_one_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    np.testing.assert_array_equal(draw(name), draw(name))
    assert (draw(name) != draw(name, rng=np.random.default_rng(1))).any()


@pytest.mark.parametrize(
    ("name", "options", "limit"),
    [
        ("uniform", {}, 1 / math.sqrt(300)),
        ("uniform", {"limit": 0.25}, 0.25),
        ("glorot", {}, math.sqrt(6 / 500)),
    ],
)
def test_uniform_draws_fill_their_interval(name: str, options: dict[str, Any], limit: float) -> None:
    w = draw(name, **options).astype(float)
    assert 0.999 * limit < w.max() <= limit * (1 + 1e-7)
    assert -limit * (1 + 1e-7) <= w.min() < -0.999 * limit
    assert w.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert abs(w.mean()) < 0.01 * limit


@pytest.mark.parametrize(
    ("name", "options", "std"), [("normal", {}, 0.01), ("normal", {"std": 3.0}, 3.0), ("he", {}, math.sqrt(2 / 200))]
)
def test_normal_draws_have_their_deviation(name: str, options: dict[str, Any], std: float) -> None:
    w = draw(name, **options).astype(float) / std
    assert w.std() == pytest.approx(1, rel=0.01)
    assert abs(w.mean()) < 0.01
    assert (w**4).mean() == pytest.approx(3, rel=0.05)  # of a uniform draw it would be 1.8


@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (7, 4), (1, 3)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_the_shorter_side_of_an_orthogonal_draw_is_orthonormal(shape: tuple[int, int], gain: float) -> None:
    w = draw("orthogonal", shape, gain=gain).astype(float)
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(shape)), rtol=0, atol=1e-6 * gain**2)


def test_orthogonal_draws_favour_no_sign(rng: np.random.Generator) -> None:
    corners = [initializers.orthogonal((3, 3), rng=rng)[0, 0] for _ in range(200)]
    assert 70 < sum(corner > 0 for corner in corners) < 130


def test_identity_has_its_scale_on_the_diagonal() -> None:
    np.testing.assert_array_equal(draw("identity", (2, 3), scale=0.5), [[0.5, 0, 0], [0, 0.5, 0]])


def test_zeros_are_zeros() -> None:
    assert not draw("zeros").any()


@pytest.mark.parametrize("name", DRAWN)
def test_rng_is_required(name: str) -> None:
    with pytest.raises(TypeError, match="rng"):
        getattr(initializers, name)((2, 3))


@pytest.mark.messages
@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("wrong", [None, 0, np.random.RandomState(0)])
def test_what_is_no_generator_is_refused(name: str, wrong: object) -> None:
    message = r"\w+: rng must be a numpy\.random\.Generator, such as np\.random\.default_rng\(0\), not "
    with pytest.raises(TypeError, match=message):
        getattr(initializers, name)((2, 3), rng=wrong)


def test_blocks_are_drawn_one_after_the_other() -> None:
    drawn = initializers.blocks(initializers.orthogonal, (4, 4), 3, rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for k in range(3):
        np.testing.assert_array_equal(drawn[:, 4 * k : 4 * k + 4], initializers.orthogonal((4, 4), rng=rng))
    assert drawn.shape == (4, 12)


def test_a_ring_of_radius_0_is_finite() -> None:
    for array in initializers.ring(100, rng=np.random.default_rng(0), r_min=0.0, r_max=1e-30):
        assert np.isfinite(array).all()


def test_every_public_name_is_tested() -> None:
    own = ["blocks", "identity", "ring", "zeros"]  # that of a ring: tests/cells/test_linear_recurrences.py
    assert sorted([*DRAWN, *own]) == initializers.__all__
