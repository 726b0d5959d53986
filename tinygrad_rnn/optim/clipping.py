"""The clippers of an optimizer: all of them on one gradient, and whether what they make of it may reach the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.arrays import Array, namespace
from .clip import ClipNorm, Clipper, ClipValue, within
from .settings import as_float, is_number, shown, takes

_OWN = (ClipNorm, ClipValue)
"""What these make of a finite gradient is finite."""


class Clipping:
    """Clippers in a row.

    Args:
        owner: what the message of an error begins with.
        clip: None, a clipper, or a tuple or list of them.

    Raises:
        TypeError: `clip` is something else.
    """

    def __init__(self, owner: str, clip: Any) -> None:
        several = () if clip is None else clip if isinstance(clip, (tuple, list)) else (clip,)
        for one in several:
            if type(one) not in _OWN and not takes(one, 1):
                limit = one if is_number(one) and 0 < as_float(one) < math.inf else 5.0
                raise TypeError(
                    f"{owner}: clip must be a clipper, such as ClipValue({limit}) or ClipNorm({limit}), or a tuple or "
                    f"list of clippers, not {shown(one)}"
                )
        self._owner, self.clippers = owner, tuple[Clipper, ...](several)
        self._keeps_finite = all(type(clip) in _OWN for clip in several)

    def limits(self, grad: Array) -> tuple[float, float] | None:
        """The norm and the limit of `ClipNorm` and `ClipValue` in this order, infinite where there is none.

        None where there are other clippers.
        """
        rest: list[Any] = list(self.clippers)
        max_norm = rest.pop(0).max_norm if rest and type(rest[0]) is ClipNorm else math.inf
        limit = rest.pop(0).limit if rest and type(rest[0]) is ClipValue else math.inf
        if rest:
            return None
        return (max_norm if max_norm == math.inf else within(max_norm, grad)), limit

    def clip(self, grad: Array, passes: Callable[[Array], Any]) -> tuple[Array | None, Any]:
        """Clip `grad` (P,) in place, if it passes; gives its norm before that, and whether the result may pass.

        Args:
            grad: the gradient.
            passes: says of a gradient whether it may reach the weights, as `Door` says it.

        Raises:
            TypeError: a clipper does not return a norm.
        """
        passed = passes(grad)
        if passed is True and not self.clippers:
            return None, passed
        xp = namespace(grad)
        if passed is False:
            return (xp.full((), math.nan, grad.dtype) if self.clippers else None), passed
        if passed is not True:  # a clipper would spread NaN into the gaps between parameters, where it would stay
            xp.copyto(grad, 0, where=xp.logical_not(passed))
        norms = [self._norm_of(clip, grad) for clip in self.clippers]
        if not self._keeps_finite:
            passed = passed & passes(grad)
        norm = norms[0] if norms else None
        return (norm if norm is None or isinstance(passed, bool) else xp.where(passed, norm, math.nan)), passed

    def _norm_of(self, clip: Clipper, grad: Array) -> Array:
        """What `clip` returns, which must be a number, or an array ()."""
        before: Any = clip(grad)
        if getattr(before, "shape", None) != () and not is_number(before):
            came = f"an array of shape {before.shape}" if hasattr(before, "shape") else f"a {type(before).__name__}"
            raise TypeError(
                f"{self._owner}: the clipper {shown(clip)} must change the gradient in place and return its norm "
                f"before that, a number; it returned {came}"
            )
        return before  # type: ignore[no-any-return]
