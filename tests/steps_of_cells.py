"""Steps of a cell, forward and back, by their NumPy definition and by kernels on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels_on_host import Host
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.kernels.caches import GRUCache, LSTMCache
from tinygrad_rnn.kernels.plain import gru, lstm, rnn
from tinygrad_rnn.kernels.plain.products import by_gate
from tinygrad_rnn.kernels.starts import before_steps, begin_step, begin_step_backward

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
STATES = {"rnn": 1, "gru": 1, "lstm": 2}
SIGMOIDS = {"rnn": 0, "gru": 2, "lstm": 3}
SHIFTED = {"rnn": False, "gru": True, "lstm": False}


class Problem(NamedTuple):
    """What the steps of a cell are given. `a` (T, B, G, H) is x_t @ w_x + b."""

    cell: str
    relu: bool
    w_h: Any
    b_h: Any
    p: Any
    a: Any
    states: list[Any]
    begun: list[Any]
    rows: Rows
    dys: Any
    dstates: list[Any]
    dbegun: list[Any]


def problem(
    cell: str,
    T: int,
    B: int,
    H: int,
    dtype: str,
    *,
    relu: bool = False,
    peepholes: bool = False,
    lengths: bool = True,
    starts: bool = True,
) -> Problem:
    rng, G = np.random.default_rng(T + 10 * B + 100 * H), GATES[cell]

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    active = begins = None
    if lengths:
        active = np.arange(T)[:, None] < rng.integers(0, T + 1, B)
    if starts:
        begins = rng.random((T, B)) < 0.4
        begins = begins if active is None else begins & active
    dys = normal(T, B, H) if active is None else normal(T, B, H) * active[:, :, None]
    states, begun, dstates, dbegun = ([normal(B, H) for _ in range(STATES[cell])] for _ in range(4))
    w_h = normal(H, G * H) / np.sqrt(H).astype(dtype)
    rows = Rows(None, active, begins)
    b_h, a = normal(H), normal(T, B, G, H)
    p = normal(3 * H) if peepholes else None
    return Problem(cell, relu, w_h, b_h, p, a, states, begun, rows, dys, dstates, dbegun)


def laid_out(p: Problem, array: Any = lambda a: a) -> dict[str, Any]:
    """The arrays that a forward is given and changes, each made by `array`: `hs`, `cs`, `h_prev`, `c_prev`."""
    found: dict[str, Any] = {}
    for name, state in zip("hc", p.states, strict=False):
        whole = np.full((len(p.a) + 1, *state.shape), np.nan, state.dtype)
        whole[0] = state
        found[f"{name}s"] = whole = array(whole)
        before = before_steps(whole, p.rows.starts)
        found[f"{name}_prev"] = before if p.rows.starts is None else array(np.full_like(before, np.nan))
    return found


def by_definition(p: Problem) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a forward makes, and what a backward makes of it."""
    (T, B, G, H), rows, found = p.a.shape, p.rows, laid_out(p)
    given = None if rows.starts is None else p.begun
    dbegun = None if rows.starts is None else [d.copy() for d in p.dbegun]
    w = by_gate(p.w_h, G, SIGMOIDS[p.cell])
    gates = p.a.swapaxes(1, 2).copy()
    gates[:, : SIGMOIDS[p.cell]] *= 0.5
    hs, h_prev = found["hs"], found["h_prev"]
    dh, name = p.dstates[0].copy(), "relu" if p.relu else "tanh"
    if p.cell == "rnn":
        hs[1:] = p.a[:, :, 0]
        rnn.forward_steps(name, p.w_h, B)(hs, h_prev, rows, given and given[0])
        das, dh = rnn.backward_steps(name, p.w_h, B)(hs[1:], p.dys, dh, rows, dbegun and dbegun[0])
        return found, {"das": das, "dh": dh, "dbegun": dbegun}
    if p.cell == "gru":
        ms = np.empty((T, B, H), hs.dtype)
        gru.forward_steps(w, p.b_h, B)(gates, hs, h_prev, ms, rows, given and given[0])
        r, z, n = gates.swapaxes(0, 1)
        cache = GRUCache(None, h_prev, r, z, n, ms)
        das, dh = gru.backward_steps(p.w_h, B)(cache, p.dys, dh, rows, dbegun and dbegun[0])
        return found | {"ms": ms, "gates": gates.swapaxes(1, 2)}, {"das": das, "dh": dh, "dbegun": dbegun}
    cs, c_prev = found["cs"], found["c_prev"]
    halved = None if p.p is None else by_gate(p.p, 3, 3)
    lstm.forward_steps(w, halved, B)(gates, hs, cs, h_prev, c_prev, rows, given and tuple(given))
    i, f, o, g = gates.swapaxes(0, 1)
    steps = LSTMCache(None, h_prev, c_prev, i, f, o, g, cs[1:])
    dstate = dh, p.dstates[1].copy()
    das, (dh, dc) = lstm.backward_steps(p.w_h, p.p, B)(steps, p.dys, dstate, rows, dbegun and tuple(dbegun))
    return found | {"gates": gates.swapaxes(1, 2)}, {"das": das, "dh": dh, "dc": dc, "dbegun": dbegun}


def forward_on(host: Host, kind: str, p: Problem) -> dict[str, Any]:
    """The same forward, by "fused" or "persistent" kernels."""
    (T, B, _, H), (_, active, starts) = p.a.shape, p.rows
    found, flags = laid_out(p, host.array), {"active": host.array(active), "starts": host.array(starts)}
    if starts is not None and T:
        for name, begun in zip("hc", p.begun, strict=False):
            begin_step(found[f"{name}_prev"][0], found[f"{name}s"][0], begun, starts[0])
    if p.cell == "rnn":
        found["hs"][1:] = p.a[:, :, 0]
    else:
        found["gates"] = host.array(p.a)
    if p.cell == "gru":
        found["ms"] = host.array(np.full((T, B, H), np.nan, p.a.dtype))
    begun = [host.array(b) for b in p.begun]
    given = {"begun": begun[0], "begun_h": begun[0], "begun_c": begun[-1]}
    given |= {"b_h": host.array(p.b_h), "p": host.array(p.p)}
    steps = host.struct("Forward", **found, **flags, **given, T=T, B=B, H=H, relu=int(p.relu))
    if kind == "fused":
        host.fused_forward(steps, found["h_prev"], p.w_h)
    else:
        host.persistent("forward", steps, p.w_h)
    return found


def backward_on(host: Host, kind: str, p: Problem, cache: dict[str, Any]) -> dict[str, Any]:
    """The same backward, of what the definition made."""
    (T, B, _, H), (_, active, starts) = p.a.shape, p.rows
    width = 1 if p.cell == "rnn" else 4
    found = {"das": host.array(np.full((T, B, width * H), np.nan, p.a.dtype)), "dh": host.array(p.dstates[0])}
    if p.cell == "lstm":
        found["dc"] = host.array(p.dstates[1])
    found["dbegun"] = dbegun = None if starts is None else [host.array(d) for d in p.dbegun]
    given: dict[str, Any] = {name: host.array(cache[name]) for name in ("gates", "h_prev", "c_prev") if name in cache}
    given |= {"h": host.array(cache["hs"][1:]), "dys": host.array(p.dys)}
    given |= {"m": host.array(cache.get("ms")), "c": host.array(cache["cs"][1:]) if "cs" in cache else None}
    given["p"] = host.array(p.p)
    to_begun = {"dbegun": dbegun and dbegun[0], "dbegun_h": dbegun and dbegun[0], "dbegun_c": dbegun and dbegun[-1]}
    flags = {"active": host.array(active), "starts": host.array(starts)}
    arrays = {name: array for name, array in found.items() if name != "dbegun"}
    steps = host.struct("Backward", **given, **arrays, **to_begun, **flags, T=T, B=B, H=H, relu=int(p.relu))
    if kind == "fused":
        host.fused_backward(steps, found["das"], found["dh"], p.w_h, H if SHIFTED[p.cell] else 0)
    else:
        host.persistent("backward", steps, p.w_h)
    if dbegun is not None and starts is not None and T:
        for name, d in zip(("dh", "dc"), dbegun, strict=False):
            begin_step_backward(found[name], d, starts[0])
    return found


def check(host: Host, kind: str, p: Problem) -> None:
    """That both are the same.

    Raises:
        AssertionError: an array differs, a kernel never ends, or it touches what is not its own.
    """
    forward, backward = by_definition(p)
    _same(forward_on(host, kind, p), forward)
    _same(backward_on(host, kind, p, forward), backward)
    host.kernels.free_guarded()  # and not after a failure, whose report shows the arrays


def _same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, right in expected.items():
        for one, other in zip(*[v if isinstance(v, list) else [v] for v in (found[name], right)], strict=True):
            if other is not None and other.size:
                allowed = {"float64": 1e-13, "float32": 4e-6}[str(other.dtype)] * max(1, abs(other).max())
                np.testing.assert_allclose(one, other, rtol=0, atol=allowed, err_msg=name)
