"""The scores of an additive attention, forward and back: a tanh for each query, entry of the memory and unit.

Notation: `p` (T, B, A), the part of T queries in the sums, `keys` (S, B, A), that of S entries, and `v` (A,).

    u_ts = tanh(p_t + k_s),   e_ts = u_ts v

All u together would be an array (T, S, B, A). It is never made: this goes through the queries one by one, with arrays
(S, B, A), and the backward computes every tanh again. So the memory use grows with T + S, not with T · S.
"""

from __future__ import annotations

from ...core.arrays import Array, namespace
from ...core.one_hot import as_rows


def additive_scores(p: Array, keys: Array, v: Array) -> Array:
    """The scores (T, B, S)."""
    T, S, B, xp = len(p), *keys.shape[:2], namespace(keys)
    found: Array = xp.empty((T, B, S), keys.dtype)
    for t in range(T):
        u = p[t] + keys
        xp.tanh(u, out=u)
        found[t] = (as_rows(u) @ v).reshape(S, B).T
    return found


def additive_backward(dscores: Array, p: Array, keys: Array, v: Array, dv: Array) -> tuple[Array, Array]:
    """The gradients by `p` and `keys` from those by the scores (T, B, S); adds to `dv`."""
    xp = namespace(keys)
    dp, dkeys = xp.empty_like(p), xp.zeros_like(keys)
    for t in range(len(p)):
        u = p[t] + keys
        xp.tanh(u, out=u)
        de = dscores[t].T
        dv += de.reshape(-1) @ as_rows(u)
        u *= u
        dz = de[..., None] * (1 - u)  # without the factor v, which all sums share
        dz.sum(axis=0, out=dp[t])
        dkeys += dz
    dp *= v
    dkeys *= v
    return dp, dkeys
