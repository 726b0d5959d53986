"""The state of an optimizer in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.arrays import Array
from ..optim.state import OptimizerState
from .safe_file import shortened

_LATER: dict[str, Any] = {"skipped": 0, "missed": {}, "rates": {}}
"""What an optimizer has in files of today, and what that is in those of before."""


def describe_optimizer(
    memory: OptimizerState, host: Callable[[Array], Array], tensors: dict[str, Array]
) -> dict[str, Any]:
    """The JSON of an optimizer's state; its arrays are added to `tensors`, on the `host`."""
    for key, arrays in memory.arrays.items():
        tensors |= {f"optimizer/{key}/{name}": host(array) for name, array in arrays.items()}
    later = {"missed": memory.missed, "rates": memory.rates} if memory.missed or memory.rates else {}
    counts = {"steps": memory.steps, "skipped": memory.skipped}
    return {"kind": memory.kind, "arrays": list(memory.arrays), **counts, **later}


def optimizer_state(described: Any, tensors: dict[str, Array]) -> OptimizerState:
    """The inverse of `describe_optimizer`.

    Raises:
        ValueError: `described` is not what that gives.
    """
    match described:
        case {"kind": str(kind), "steps": int(steps), "arrays": list(keys)} if all(isinstance(k, str) for k in keys):
            skipped, missed, rates = (described.get(key, none) for key, none in _LATER.items())
            if isinstance(skipped, int) and isinstance(missed, dict) and isinstance(rates, dict):
                return OptimizerState(kind, steps, {key: _group(tensors, key) for key in keys}, skipped, missed, rates)
    raise ValueError(f"The optimizer is {shortened(repr(described))}, which is not what `save` writes")


def _group(tensors: dict[str, Array], key: str) -> dict[str, Array]:
    """The optimizer state under `key`, by parameter name."""
    prefix = f"optimizer/{key}/"
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
