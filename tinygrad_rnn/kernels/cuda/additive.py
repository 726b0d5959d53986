"""The scores of an additive attention: one operation forward and four back, without an array of all the tanhs.

Notation as in `kernels.plain.additive`. Each sum is a reduction that computes the tanhs as it goes.
"""

from __future__ import annotations

from typing import Any

import cupy

from ...core.arrays import Array


def _sum(name: str, inputs: str, term: str, factor: str = "a") -> Any:
    return cupy.ReductionKernel(inputs, "T sum", term, "a + b", f"sum = {factor}", "0", f"additive_{name}")


_SCORES = _sum("scores", "T p, T k, T v", "tanh(p + k) * v")
_DZ = _sum("dz", "T de, T p, T k, T v", "de * (1 - tanh(p + k) * tanh(p + k)) * v")
_DV = _sum("dv", "T de, T p, T k", "de * tanh(p + k)")


def additive_scores(p: Array, keys: Array, v: Array) -> Array:
    """The scores (T, B, S)."""
    found: Array = _SCORES(p[:, :, None], keys.swapaxes(0, 1), v, axis=3)
    return found


def additive_backward(dscores: Array, p: Array, keys: Array, v: Array, dv: Array) -> tuple[Array, Array]:
    """The gradients by `p` and `keys` from those by the scores (T, B, S); adds to `dv`."""
    de, p_t, k_s = dscores[..., None], p[:, :, None], keys.swapaxes(0, 1)
    dv += _DV(de, p_t, k_s, axis=(0, 1, 2))
    return _DZ(de, p_t, k_s, v, axis=2), _DZ(de, p_t, k_s, v, axis=0).swapaxes(0, 1)
