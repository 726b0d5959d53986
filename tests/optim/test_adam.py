from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from textbook import CLIPS, Weights, check
from tinygrad_rnn import Adam, AdamW

BETAS = [(0.9, 0.999), (0.5, 0.8), (0.0, 0.9), (0.9, 0.0)]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("eps", [1e-8, 0.5])
@pytest.mark.parametrize("betas", BETAS)
def test_adam(betas: tuple[float, float], eps: float, clip: Any) -> None:
    """Ten steps against algorithm 1 of the paper; eps is added to the root of the corrected mean."""

    def update(w: float, g: float, memory: dict[str, float], step: int, is_bias: bool) -> float:
        t = step + 1
        memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
        memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g * g
        m_hat, v_hat = memory["m"] / (1 - betas[0] ** t), memory["v"] / (1 - betas[1] ** t)
        return w - 0.1 / t * m_hat / (math.sqrt(v_hat) + eps)

    check(lambda model, clip: Adam(model, lambda n: 0.1 / (1 + n), betas=betas, eps=eps, clip=clip), update, clip)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_step_is_the_learning_rate_whatever_the_gradient(dtype: str) -> None:
    for size in (1e-6, 1.0, 1e6):
        model = Weights(dtype)
        before = model.w.value.copy()
        optimizer = Adam(model, 0.1, eps=1e-20)
        model.w.grad.fill(-size)
        optimizer.step()
        np.testing.assert_allclose(model.w.value, before + 0.1, rtol=1e-6 if dtype == "float32" else 1e-13)
        assert (optimizer.gradients == model.flat_grad).all()  # as they are named in a checkpoint
        assert (optimizer.squares == model.flat_grad**2).all()


def test_it_goes_on_after_many_steps() -> None:
    """Where the corrections of the bias are 1."""
    model = Weights()
    optimizer = Adam(model, 0.1)
    optimizer.steps = 10**7
    before = model.b.value.copy()
    model.b.grad.fill(2)
    optimizer.step()
    np.testing.assert_allclose(model.b.value, before - 0.1 * 0.1 * 2 / math.sqrt(0.001 * 4), rtol=1e-7)


@pytest.mark.messages
@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betas": (1.0, 0.5)}, r"betas must be 0 to below 1, not 1\.0 and 0\.5"),
        ({"betas": (0.5, -0.1)}, r"betas must be 0 to below 1, not 0\.5 and -0\.1"),
        ({"betas": (math.nan, 0.1)}, r"betas must be 0 to below 1, not nan and 0\.1"),
        ({"eps": 0.0}, r"eps must be above 0, not 0\.0"),
        ({"eps": math.nan}, "eps must be above 0, not nan"),
        ({"eps": 1e-50}, "eps is 1e-50, which float32 may take for 0: give at least 1e-37"),
    ],
)
def test_arguments_out_of_range_are_refused_and_change_nothing(
    kind: Any, options: dict[str, Any], message: str
) -> None:
    model: Any = Weights()
    with pytest.raises(ValueError, match=f"^{kind.__name__}: {message}$"):
        kind(model, 0.1, **options)
    assert model.w.vector is None
