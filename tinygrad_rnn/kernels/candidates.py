"""The nonlinearities of a candidate in a linear recurrence, and their slopes.

`"linear"` is a itself; `"tanh"`; and `"positive"`, which keeps a state positive: a + 1/2 from a = 0 on, and below the
logistic function, which meets it there (Feng et al., *Were RNNs All We Needed?*, 2024).
"""

from __future__ import annotations

from ..core.arrays import Array, namespace, sigmoid

CANDIDATES = ("linear", "tanh", "positive")


def candidate(name: str, a: Array) -> Array:
    """Gives n = G(a); of `"linear"` it is `a` itself."""
    if name == "linear":
        return a
    if name == "tanh":
        tanh: Array = namespace(a).tanh(a)
        return tanh
    positive: Array = namespace(a).where(a >= 0, a + 0.5, sigmoid(a))
    return positive


def through_candidate(name: str, dn: Array, n: Array) -> Array:
    """The gradient w.r.t. a: G'(a), which n = G(a) tells, times `dn`."""
    if name == "linear":
        return dn
    if name == "tanh":
        return dn * (1 - n * n)
    through: Array = namespace(n).where(n >= 0.5, dn, dn * n * (1 - n))
    return through
