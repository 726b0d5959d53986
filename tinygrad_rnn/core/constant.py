"""Numbers of a layer that do not learn, as an array that moves with the layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, device_name
from .device import Device, device_of


class Constant:
    """An array that is no parameter. As an attribute of a layer it goes where `Layer.to` takes the layer.

    It is in float64, whatever the dtype of the layer, so that no digits are lost on the way. What is saved is the
    argument of the layer's `__init__` from which it was made.

    Args:
        numbers: a number or a tuple of numbers.
    """

    def __init__(self, numbers: Any) -> None:
        self._value: Array = np.array(numbers, np.float64)

    def to(self, device: Device) -> None:
        """Move it, in place."""
        self._value = device.asarray(device_of(self._value).to_host(self._value))

    def like(self, owner: object, name: str, x: Array) -> Array:
        """The array in the dtype of `x`, on whose device it must be.

        Raises:
            TypeError: it is on another.
        """
        home: Any = self._value.device
        if home != x.device:
            here, there = device_name(self._value), device_name(x)
            raise TypeError(
                f"{owner!r}: {name} is on {here}, but ys on {there}. Nothing moves by itself: move the loss, "
                f"criterion.to('{there}')"
            )
        return self._value.astype(x.dtype)
