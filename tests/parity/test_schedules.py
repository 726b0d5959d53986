"""Schedules against `torch.optim.lr_scheduler`, step for step, and `ReduceOnPlateau` against its namesake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import SGD, Linear, ReduceOnPlateau, schedules

from .conftest import Compare


class Peer(NamedTuple):
    """A schedule, and what makes the one of PyTorch that gives the same rates, of an optimizer with this rate."""

    ours: Callable[[int], float]
    lr: float
    theirs: Callable[[Any, Any], Any]
    steps: int = 60


def warmed_up(torch: Any, optimizer: Any, warmup: int, then: Any) -> Any:
    """Ours reach the rate at the last step of the warm-up, and have it once more at the step after."""
    rising = torch.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return torch.SequentialLR(optimizer, [rising, then], milestones=[warmup])


SCHEDULES = {
    "constant": Peer(schedules.constant(0.3), 0.3, lambda torch, o: torch.ConstantLR(o, factor=1.0)),
    "step_decay": Peer(
        schedules.step_decay(0.3, every=7, factor=0.5), 0.3, lambda torch, o: torch.StepLR(o, step_size=7, gamma=0.5)
    ),
    "piecewise": Peer(
        schedules.piecewise(0.3, then={10: 0.03, 25: 0.003, 40: 0.0003}),
        0.3,
        lambda torch, o: torch.MultiStepLR(o, milestones=[10, 25, 40], gamma=0.1),
    ),
    "exponential": Peer(
        schedules.exponential(0.3, rate=0.95), 0.3, lambda torch, o: torch.ExponentialLR(o, gamma=0.95)
    ),
    "linear": Peer(
        schedules.linear(0.3, steps=40, final=0.06),
        0.3,
        lambda torch, o: torch.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=40),
    ),
    "linear, rising": Peer(
        schedules.linear(0.1, steps=40, final=0.3),
        0.3,
        lambda torch, o: torch.LinearLR(o, start_factor=1 / 3, end_factor=1.0, total_iters=40),
    ),
    "linear with warm-up": Peer(
        schedules.linear(0.3, steps=50, warmup=10, final=0.06),
        0.3,
        lambda torch, o: warmed_up(torch, o, 10, torch.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=40)),
    ),
    "polynomial": Peer(
        schedules.polynomial(0.3, steps=40, power=2.5),
        0.3,
        lambda torch, o: torch.PolynomialLR(o, total_iters=40, power=2.5),
    ),
    "polynomial with warm-up": Peer(
        schedules.polynomial(0.3, steps=50, power=0.5, warmup=10),
        0.3,
        lambda torch, o: warmed_up(torch, o, 10, torch.PolynomialLR(o, total_iters=40, power=0.5)),
    ),
    "cosine": Peer(  # PyTorch's rises again after that
        schedules.cosine(0.3, steps=40, final=0.01),
        0.3,
        lambda torch, o: torch.CosineAnnealingLR(o, T_max=40, eta_min=0.01),
        41,
    ),
    "cosine with warm-up": Peer(
        schedules.cosine(0.3, steps=50, warmup=10, final=0.01),
        0.3,
        lambda torch, o: warmed_up(torch, o, 10, torch.CosineAnnealingLR(o, T_max=40, eta_min=0.01)),
        51,
    ),
    "warm_restarts": Peer(
        schedules.warm_restarts(0.3, steps=9, final=0.01),
        0.3,
        lambda torch, o: torch.CosineAnnealingWarmRestarts(o, T_0=9, eta_min=0.01),
    ),
    "warm_restarts, growing": Peer(
        schedules.warm_restarts(0.3, steps=5, growth=2, final=0.01),
        0.3,
        lambda torch, o: torch.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=0.01),
        200,
    ),
    "one_cycle": Peer(
        schedules.one_cycle(0.3, steps=60), 0.3, lambda torch, o: torch.OneCycleLR(o, max_lr=0.3, total_steps=60)
    ),
    "one_cycle with options": Peer(
        schedules.one_cycle(0.3, steps=60, rise=0.21, start=0.05, final=0.001),
        0.3,
        lambda torch, o: torch.OneCycleLR(
            o, max_lr=0.3, total_steps=60, pct_start=0.21, div_factor=6.0, final_div_factor=50.0
        ),
    ),
}


def peer_optimizer(torch: Any, lr: float) -> Any:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)  # which OneCycleLR wants


@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step:UserWarning")  # SequentialLR gives it
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(torch: Any, compare: Compare, name: str) -> None:
    peer = SCHEDULES[name]
    optimizer = peer_optimizer(torch, peer.lr)
    scheduler, theirs = peer.theirs(torch.optim.lr_scheduler, optimizer), []
    for step in range(peer.steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < peer.steps - 1:  # OneCycleLR raises an error at the end
            scheduler.step()
    ours = np.array([peer.ours(step) for step in range(peer.steps)])
    compare(
        f"`{name.partition(' ')[0].strip(',')}`", {"rate": ours}, {"rate": torch.tensor(theirs, dtype=torch.float64)}
    )


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_plateau(torch: Any, compare: Compare, mode: Any, cooldown: int, patience: int, seed: int) -> None:
    """On losses above 0, as PyTorch measures a part of the best; without its `eps`, the least change of a rate."""
    rng = np.random.default_rng(seed)
    fall = np.exp(-0.1 * np.arange(80)) if mode == "min" else 1 - np.exp(-0.1 * np.arange(80))
    losses = np.abs(fall + 0.02 * rng.standard_normal(80)) + 0.01
    losses[rng.integers(0, 80, 5)] = np.nan
    options: dict[str, Any] = {"factor": 0.7, "patience": patience, "threshold": 0.01, "min_lr": 1e-3}
    options["cooldown"] = cooldown
    optimizer = SGD(Linear(1, 1, rng=rng), lr=0.3)
    plateau = ReduceOnPlateau(optimizer, mode=mode, **options)
    peer = peer_optimizer(torch, 0.3)
    peer_plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(peer, mode=mode, threshold_mode="rel", eps=0, **options)
    ours, theirs = [], []
    for loss in losses.tolist():
        plateau.update(loss)
        peer_plateau.step(loss)
        ours.append(optimizer.lr)
        theirs.append(peer.param_groups[0]["lr"])
    assert len(set(ours)) > 3
    compare("`ReduceOnPlateau`", {"rate": np.array(ours)}, {"rate": torch.tensor(theirs, dtype=torch.float64)})


@pytest.mark.parametrize("best", [-100.0, 0.0])
def test_where_a_plateau_differs(torch: Any, best: float) -> None:
    """Below 0, a fraction of the best is above the best: there PyTorch takes what is worse by less than that."""
    worse = best - 0.5 * 0.01 * best
    peer = peer_optimizer(torch, 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(peer, patience=0, threshold=0.01)
    optimizer = SGD(Linear(1, 1, rng=np.random.default_rng(0)), lr=1.0)
    ours = ReduceOnPlateau(optimizer, patience=0, threshold=0.01)
    for loss in (best, worse):
        theirs.step(loss)
        ours.update(loss)
    assert optimizer.lr == 0.5
    assert peer.param_groups[0]["lr"] == (1.0 if best else 0.1)
