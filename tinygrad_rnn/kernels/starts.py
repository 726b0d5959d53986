"""Where documents begin in the rows of a batch: what a kernel does before such a step, and back through it."""

from __future__ import annotations

from ..core.arrays import Array, Booleans, namespace


def before_steps(states: Array, starts: Booleans | None) -> Array:
    """What each of T steps starts from (T, B, H), of `states` (T + 1, B, H), the first of which is given.

    It is h_{t-1}: a view. Only where documents begin is it an array of its own, which `begin_step` fills.
    """
    return states[:-1] if starts is None else namespace(states).empty_like(states[1:])


def begin_step(before: Array, state: Array, begun: Array, flags: Booleans) -> None:
    """Set `before` (B, H) to `begun` where `flags` (B,) is True, else to `state`."""
    xp = namespace(before)
    xp.copyto(before, state)
    xp.copyto(before, begun, where=flags[:, None])


def begin_step_backward(d: Array, dbegun: Array, flags: Booleans) -> None:
    """From the gradient `d` w.r.t. what `begin_step` set to that w.r.t. the state, in place; adds to `dbegun`."""
    xp, begins = namespace(d), flags[:, None]
    dbegun += xp.where(begins, d, 0)
    xp.copyto(d, 0, where=begins)
