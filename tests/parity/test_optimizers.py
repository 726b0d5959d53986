"""Optimizers and clippers against `torch.optim` and `torch.nn.utils`: ten steps on the same random gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import SGD, Adagrad, Adam, AdamW, ClipNorm, ClipValue, Layer, Linear, RMSprop, RNNCell, Sequential

from .conftest import Compare


class Peer(NamedTuple):
    """An optimizer of a model with a clipper, and the one of `torch.optim` that does the same."""

    make: Callable[[Layer, Any], Any]
    theirs: str
    options: Mapping[str, Any]


OPTIMIZERS = {
    "SGD": Peer(lambda model, clip: SGD(model, 0.1, clip=clip), "SGD", {"lr": 0.1}),
    "SGD momentum": Peer(
        lambda model, clip: SGD(model, 0.1, clip=clip, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}
    ),
    "SGD Nesterov": Peer(
        lambda model, clip: SGD(model, 0.1, clip=clip, momentum=0.9, nesterov=True),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    "Adagrad": Peer(lambda model, clip: Adagrad(model, 0.1, clip=clip, eps=0.01), "Adagrad", {"lr": 0.1, "eps": 0.01}),
    "RMSprop": Peer(
        lambda model, clip: RMSprop(model, 0.1, clip=clip, rho=0.9, eps=0.01),
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "eps": 0.01},
    ),
    "Adam": Peer(
        lambda model, clip: Adam(model, 0.1, clip=clip, betas=(0.8, 0.99), eps=0.01),
        "Adam",
        {"lr": 0.1, "betas": (0.8, 0.99), "eps": 0.01},
    ),
    "AdamW": Peer(  # in PyTorch all parameters decay
        lambda model, clip: AdamW(
            model, 0.1, clip=clip, betas=(0.8, 0.99), eps=0.01, decay=0.3, decays=lambda name, p: True
        ),
        "AdamW",
        {"lr": 0.1, "betas": (0.8, 0.99), "eps": 0.01, "weight_decay": 0.3},
    ),
}
"""A new optimizer is one line here, with an eps that is large enough to be seen."""

LIMIT, MAX_NORM = 0.8, 3.0


def clip_value(torch: Any, parameters: list[Any]) -> Any:
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    torch.nn.utils.clip_grad_value_(parameters, LIMIT)
    return norm


def clip_norm(torch: Any, parameters: list[Any]) -> Any:
    """PyTorch divides by the norm plus 1e-6, if that is above the limit; ours by the norm: the rest is made up for."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
    if norm + 1e-6 > MAX_NORM:
        for p in parameters:
            p.grad *= (norm + 1e-6) / norm
    return norm


CLIPPERS: dict[str, tuple[Any, tuple[Callable[[Any, list[Any]], Any], ...]]] = {
    "no clipper": (None, ()),
    "ClipValue": (ClipValue(LIMIT), (clip_value,)),
    "ClipNorm": (ClipNorm(MAX_NORM), (clip_norm,)),
    "value, norm": ((ClipValue(LIMIT), ClipNorm(MAX_NORM)), (clip_value, clip_norm)),
    "norm, value": ((ClipNorm(MAX_NORM), ClipValue(LIMIT)), (clip_norm, clip_value)),
}


def models(torch: Any, rng: np.random.Generator) -> tuple[Layer, dict[str, Any]]:
    """A model whose parameters have several shapes, and PyTorch's parameters of the same values by the same names."""
    layers = Linear(3, 5, rng=rng), RNNCell(5, 4, rng=rng), Linear(4, 3, rng=rng)
    model = Sequential(*layers).to(dtype="float64")
    return model, {name: torch.tensor(p.value, requires_grad=True) for name, p in model.named_parameters()}


def give_gradients(torch: Any, model: Layer, theirs: dict[str, Any], rng: np.random.Generator) -> None:
    """The same to both; small ones, which no clipper touches, and large ones."""
    scale = 10 ** rng.uniform(-1.5, 1.0)
    for name, parameter in model.named_parameters():
        parameter.grad = scale * rng.standard_normal(parameter.shape)
        theirs[name].grad = torch.tensor(parameter.grad)


@pytest.mark.parametrize("clipper", CLIPPERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps(torch: Any, compare: Compare, name: str, clipper: str) -> None:
    peer, (clip, clip_theirs) = OPTIMIZERS[name], CLIPPERS[clipper]
    rng = np.random.default_rng(0)
    model, theirs = models(torch, rng)
    optimizer = peer.make(model, clip)
    peer_optimizer = getattr(torch.optim, peer.theirs)(theirs.values(), **peer.options)
    for _ in range(10):
        give_gradients(torch, model, theirs, rng)
        optimizer.step()
        for function in clip_theirs:
            function(torch, list(theirs.values()))
        peer_optimizer.step()
        compare(f"`{name}`, ten steps", {name: p.value for name, p in model.named_parameters()}, theirs)


RATES = {"layers.0": 0.5, "layers.1": 0.0, "layers.1.b": 2.0}
FACTORS = {"layers.0.w": 0.5, "layers.0.b": 0.5, "layers.1.w_x": 0.0, "layers.1.w_h": 0.0, "layers.1.b": 2.0}


@pytest.mark.parametrize("clipper", CLIPPERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rates(torch: Any, compare: Compare, name: str, clipper: str) -> None:
    """Against a group for each parameter, with its own rate; PyTorch leaves alone what has no gradient.

    After five steps the rest is trained too.
    """
    peer, (clip, clip_theirs) = OPTIMIZERS[name], CLIPPERS[clipper]
    rng = np.random.default_rng(0)
    model, theirs = models(torch, rng)
    optimizer = peer.make(model, clip)
    optimizer.rates = RATES
    groups = [{"params": [p], "lr": 0.1 * (FACTORS.get(key, 1.0) or 0.25)} for key, p in theirs.items()]
    peer_optimizer = getattr(torch.optim, peer.theirs)(groups, **peer.options)
    for step in range(10):
        if step == 5:
            optimizer.rates = {**RATES, "layers.1": 0.25}
        give_gradients(torch, model, theirs, rng)
        frozen = [key for key in theirs if step < 5 and FACTORS.get(key) == 0]
        for key in frozen:
            theirs[key].grad = None
        optimizer.step()
        for function in clip_theirs:
            function(torch, [p for p in theirs.values() if p.grad is not None])
        peer_optimizer.step()
        compare(f"`{name}` with `rates`", {name: p.value for name, p in model.named_parameters()}, theirs)
    assert frozen == []


BY_THEMSELVES: dict[str, dict[str, Any]] = {"SGD": {}, "Adam": {"decoupled_weight_decay": True}, "AdamW": {}}
"""Where PyTorch's `weight_decay`, with these options, shrinks the weights: without momentum, as a part of the gradient,
too. For the others they are shrunk by hand before each step."""


@pytest.mark.parametrize("rates", [None, RATES], ids=["one rate", "rates"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay(torch: Any, compare: Compare, name: str, rates: Any) -> None:
    """Of what has two or more axes, but for AdamW all, by a learning rate that falls."""
    peer, decay = OPTIMIZERS[name], 0.3
    rng = np.random.default_rng(0)
    model, theirs = models(torch, rng)
    optimizer = peer.make(model, None)
    optimizer.lr, optimizer.decay, optimizer.rates = lambda step: 0.1 * 0.9**step, decay, rates
    of = {key: FACTORS.get(key, 1.0) if rates else 1.0 for key in theirs}
    decays = {key: decay * (p.ndim >= 2 or name == "AdamW") for key, p in theirs.items()}
    options = {**peer.options, "weight_decay": 0.0, **BY_THEMSELVES.get(name, {})}
    groups = [{"params": [p], "weight_decay": decays[key] * (name in BY_THEMSELVES)} for key, p in theirs.items()]
    peer_optimizer = getattr(torch.optim, peer.theirs)(groups, **options)
    for step in range(10):
        give_gradients(torch, model, theirs, rng)
        for key, group in zip(theirs, peer_optimizer.param_groups, strict=True):
            group["lr"] = 0.1 * 0.9**step * of[key]
            if not of[key]:
                theirs[key].grad = None
            elif name not in BY_THEMSELVES:
                theirs[key].data *= 1 - group["lr"] * decays[key]
        optimizer.step()
        peer_optimizer.step()
        compare(f"`{name}` with `decay`", {name: p.value for name, p in model.named_parameters()}, theirs)


@pytest.mark.parametrize("name", ["ClipValue", "ClipNorm"])
def test_clipper(torch: Any, compare: Compare, name: str) -> None:
    """What it makes of a gradient, and the norm from before."""
    rng = np.random.default_rng(0)
    clip, (clip_theirs,) = CLIPPERS[name]
    model, theirs = models(torch, rng)
    norms = []
    for _ in range(10):
        give_gradients(torch, model, theirs, rng)
        norm, norm_theirs = clip(model.flat_grad), clip_theirs(torch, list(theirs.values()))
        norms.append(norm)
        ours = {key: p.grad for key, p in model.named_parameters()}
        compare(f"`{name}`", {"norm": norm, **ours}, {"norm": norm_theirs, **{k: p.grad for k, p in theirs.items()}})
    assert min(norms) < LIMIT < MAX_NORM < max(norms), "one was clipped, another was not"
