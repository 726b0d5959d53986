from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from textbook import CLIPS, Weights, check
from tinygrad_rnn import RMSprop


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("eps", [1e-8, 0.5])
@pytest.mark.parametrize("rho", [0.99, 0.5, 0.0])
def test_rmsprop(rho: float, eps: float, clip: Any) -> None:
    """Ten steps against the textbook; eps stands outside the root."""

    def update(w: float, g: float, memory: dict[str, float], step: int, is_bias: bool) -> float:
        memory["s"] = rho * memory.get("s", 0) + (1 - rho) * g * g
        return w - 0.1 / (1 + step) * g / (math.sqrt(memory["s"]) + eps)

    check(lambda model, clip: RMSprop(model, lambda n: 0.1 / (1 + n), rho=rho, eps=eps, clip=clip), update, clip)


def test_the_first_step_does_not_depend_on_the_size_of_the_gradient() -> None:
    for size in (1e-6, 1.0, 1e6):
        model = Weights()
        before = model.w.value.copy()
        optimizer = RMSprop(model, 0.1, rho=0.99, eps=1e-20)
        model.w.grad.fill(-size)
        optimizer.step()
        np.testing.assert_allclose(model.w.value, before + 0.1 / math.sqrt(0.01), rtol=1e-12)


def test_a_parameter_without_gradient_stays() -> None:
    model = Weights("float32")
    before = model.b.value.copy()
    optimizer = RMSprop(model, 0.1)
    model.w.grad.fill(1)
    optimizer.step()
    np.testing.assert_array_equal(model.b.value, before)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 1.0}, r"rho must be 0 to below 1, not 1\.0"),
        ({"rho": -0.1}, r"rho must be 0 to below 1, not -0\.1"),
        ({"rho": math.nan}, "rho must be 0 to below 1, not nan"),
        ({"eps": 0.0}, r"eps must be above 0, not 0\.0"),
        ({"eps": math.nan}, "eps must be above 0, not nan"),
        ({"eps": 1e-50}, "eps is 1e-50, which float32 may take for 0: give at least 1e-37"),
    ],
)
def test_arguments_out_of_range_are_refused_and_change_nothing(options: dict[str, float], message: str) -> None:
    model: Any = Weights()
    with pytest.raises(ValueError, match=f"^RMSprop: {message}$"):
        RMSprop(model, 0.1, **options)  # type: ignore[arg-type]  # mypy cannot see that none is `clip`
    assert model.w.vector is None
