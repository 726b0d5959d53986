r"""The optimal schedule of checkpointing: where to store a state, and how many blocks run forward in all.

To go back through t blocks with room for m states, the first of which is the one before the first block, run y blocks
forward, store the state there, go back through the t - y behind it with m - 1 states, and then through the first y:

.. math::
    C(t, m) = \min_{1 \le y < t} \; y + C(t - y, m - 1) + C(y, m), \qquad
    C(1, m) = 1, \quad C(t, 1) = \frac{t (t + 1)}{2}

The solution is known in binomial coefficients, which takes no table.

Griewank and Walther, *Algorithm 799: Revolve*, 2000; Gruslys et al., *Memory-Efficient Backpropagation Through Time*,
2016.
"""

from __future__ import annotations

from math import comb


def forward_blocks(t: int, m: int) -> int:
    """C(t, m): how many blocks run forward, each time counted, to go back through `t` with room for `m` states."""
    r = _repetitions(t, m)
    return (r + 1) * t - comb(m + r, r - 1)


def first_stop(t: int, m: int) -> int:
    """The y of the minimum: after how many of `t` blocks, at least 2, the next state is stored."""
    r = _repetitions(t, m)
    return min(_reach(m, r - 1), t - _reach(m - 1, r - 1))


def _repetitions(t: int, m: int) -> int:
    """How often a block runs at most, beside its last run; at least 1, which gives the same for one block."""
    r = 1
    while _reach(m, r) < t:
        r += 1
    return r


def _reach(m: int, r: int) -> int:
    """The most blocks for `m` states, if none runs more than `r` times beside its last run."""
    return comb(m + r, m)
