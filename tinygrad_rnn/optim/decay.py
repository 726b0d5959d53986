"""Which parameters decay."""

from __future__ import annotations

from typing import Any

from ..core.layer import Layer
from ..core.parameter import Parameter
from .settings import shown, takes


def decays_of(owner: str, model: Layer, decays: Any) -> dict[str, bool]:
    """Whether each parameter of `model` decays, by its dotted name.

    Args:
        owner: what the message of an error begins with.
        model: the layer.
        decays: a function of the dotted name and the `Parameter` that says so; or None: those of two or more axes do.

    Raises:
        TypeError: `decays` is neither, or does not return a bool.
    """
    if decays is not None and not takes(decays, 2):
        raise TypeError(f"{owner}: decays must be a function of a name and a Parameter, or None, not {shown(decays)}")
    return {name: _decays(owner, decays, name, parameter) for name, parameter in model.named_parameters()}


def _decays(owner: str, decays: Any, name: str, parameter: Parameter) -> bool:
    if decays is None:
        return len(parameter.shape) >= 2
    answer = decays(name, parameter)
    if not isinstance(answer, bool):
        raise TypeError(f"{owner}: decays must return True or False, but for {name} it returned {shown(answer)}")
    return answer
