"""How far the gradient of a method is from the exact one: by parameter, and by distance in time."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import check_size
from ..core.arrays import namespace
from ..core.device import device_of, on_own_gpu
from ..core.roles import Loss, Recurrent
from ..data.batch import Batch
from ..training.gradients import check_batch, check_batches, check_parts
from .bptt import BPTT
from .method import Method, check_recurrent


class Agreement(NamedTuple):
    """How a gradient compares with the exact one."""

    cosine: float
    """The cosine of the angle between the two: 1 is the same direction; NaN if one is 0."""
    norm: float
    """The norm divided by that of the exact one; NaN if that is 0."""


class BiasReport:
    """The result of `bias_report`; `print` shows it as a table of cosines and norms.

    Args:
        parameters: by method, and then by dotted name of the parameter, how the gradients over whole batches agree;
            under `""` those of all parameters together.
        distances: the bands (first, last) of distances, in steps.
        by_distance: by method, for each band how the parts of the gradient agree.
        shares: for each band, the norm of the exact gradient's part.
    """

    def __init__(
        self,
        parameters: dict[str, dict[str, Agreement]],
        distances: list[tuple[int, int]],
        by_distance: dict[str, list[Agreement]],
        shares: list[float],
    ) -> None:
        self.parameters = parameters
        self.distances = distances
        self.by_distance = by_distance
        self.shares = shares

    def __str__(self) -> str:
        names = [*next(iter(self.parameters.values()))]
        bands = [_band(*band) for band in self.distances]
        rows = [["cosine / norm", *self.parameters]]
        rows += [[name or "all", *(_text(found[name]) for found in self.parameters.values())] for name in names]
        rows += [
            [f"{band} back", *(_text(found[i]) for found in self.by_distance.values())] for i, band in enumerate(bands)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"<BiasReport of {', '.join(self.parameters)}>"


@on_own_gpu
def bias_report(
    methods: Mapping[str, Any] | Sequence[Method],
    model: Recurrent,
    criterion: Loss,
    batches: Iterable[Batch],
    *,
    longest: int | None = None,
) -> BiasReport:
    r"""Compare the gradients of methods with those of back-propagation through all steps of each batch.

    *By parameter*: the gradients of the whole loss, summed over the batches. Each batch is computed separately, from
    the initial state.

    *By distance in time*: the loss of only the last step depends on the parameters through each earlier step. Its
    gradient is divided into bands by the number of steps between: 0 is the step of the loss itself, then 1, 2 to 3, 4
    to 7, and so on. To find the part of a band, a method computes the gradient of this loss from the last few steps,
    once with the band and once without it; the difference is the part. The steps begin from the state that the model
    had there. This shows what truncation at 25 steps costs: the parts of the bands beyond it. A part that is as small
    as rounding counts as 0.

    The model does not change: copies of it run, each with the same masks of dropout.

    Args:
        methods: a dict from names to methods of `through_time`, or to functions of the same arguments; or a list of
            methods, whose names are then how they print.
        model: any `Recurrent` that reads forward.
        criterion: its loss.
        batches: of whole rows, without `lengths`, on the device of the model. Longer batches show more of the past.
        longest: the largest distance to look at; None goes to the first step of the longest batch.

    Returns:
        The report; `plotting.bias` draws it.

    Raises:
        TypeError: `methods` are neither a mapping nor a list, or as `gradients` says.
        ValueError: there is no method or no batch, a batch has lengths, or the model reads backward.

    Example:
        >>> from tinygrad_rnn.through_time import SnAp1, TruncatedBPTT, bias_report
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 4, rng=rng), Linear(4, 5, rng=rng)).to(dtype="float64")
        >>> ids = rng.integers(0, 5, (13, 2))
        >>> batches = [Batch(ids[:-1], ids[1:])]
        >>> print(bias_report([TruncatedBPTT(1, 2), SnAp1()], model, SoftmaxCrossEntropy(), batches, longest=3))
        cosine / norm  TruncatedBPTT(1, 2)  SnAp1()
        all            0.937 / 0.94         0.915 / 0.95
        layers.1.w_x   0.847 / 0.93         0.756 / 0.90
        layers.1.w_h   0.871 / 0.73         0.733 / 0.73
        layers.1.b     0.759 / 0.96         0.999 / 1.22
        layers.2.w     1.000 / 1.00         1.000 / 1.00
        layers.2.b     1.000 / 1.00         1.000 / 1.00
        0 back         1.000 / 1.00         1.000 / 1.00
        1 back         1.000 / 1.00         0.772 / 0.77
        2-3 back           - / 0.00         0.416 / 0.81
    """
    check_parts("bias_report", model, criterion)
    named = _named(methods)
    check_recurrent("bias_report", model)
    check_batches("bias_report", "batches", batches)
    if longest is not None:
        check_size("bias_report", "longest", longest, least=0)
    model, criterion = copy.deepcopy((model, criterion))
    given = [_checked(model, batch) for batch in batches]
    steps = max((len(batch.xs) for batch in given), default=0)
    if not steps:
        raise ValueError("bias_report: there is no step in batches")
    bands = _bands(steps - 1 if longest is None else min(longest, steps - 1))
    exact, *found = (_gradients(method, model, criterion, given, bands) for method in (BPTT(), *named.values()))
    names = ["", *(name for name, _ in model.named_parameters())]
    parameters = {
        name: {p: agreement(whole[p], exact[0][p]) for p in names}
        for name, (whole, _) in zip(named, found, strict=True)
    }
    by_distance = {
        name: [agreement(*pair) for pair in zip(parts, exact[1], strict=True)]
        for name, (_, parts) in zip(named, found, strict=True)
    }
    return BiasReport(parameters, bands, by_distance, [float(np.linalg.norm(part)) for part in exact[1]])


def agreement(found: Any, exact: Any) -> Agreement:
    """How a vector compares with the exact one."""
    a, b = float(np.linalg.norm(found)), float(np.linalg.norm(exact))
    cosine = float((found / a) @ (exact / b)) if a and b else math.nan
    return Agreement(cosine, a / b if b else math.nan)


def _gradients(
    method: Any, model: Any, criterion: Any, batches: Sequence[Batch], bands: Sequence[tuple[int, int]]
) -> tuple[dict[str, Any], list[Any]]:
    """The gradients by parameter, and the parts of the bands, each summed over the batches."""
    whole: dict[str, Any] = {"": 0, **{name: 0 for name, _ in model.named_parameters()}}
    parts: list[Any] = [np.zeros(1) for _ in bands]
    rounding = 100 * np.finfo(model.dtype).eps  # a difference below that is none
    for batch in batches:
        for name, gradient in _gradient(method, model, criterion, batch, None).items():
            whole[name] = whole[name] + gradient
        T, last = len(batch.xs), 0
        for i, (_, far) in enumerate(bands):
            first = max(T - 1 - far, 0)
            reached = _gradient(
                method, model, criterion, _last_loss(model, batch, first), _state_at(model, batch, first)
            )[""]
            part = reached - last
            if np.linalg.norm(part) > rounding * np.linalg.norm(reached):
                parts[i] = parts[i] + part
            last = reached
    return whole, parts


def _gradient(method: Any, model: Any, criterion: Any, batch: Batch, state: Any) -> dict[str, Any]:
    """The gradients of one batch by parameter, in float64 on the host; each call draws the same masks."""
    streams = model.generators().values()
    random = [stream.bit_generator.state for stream in streams]
    model.zero_grad()
    carry_of = getattr(method, "carry_of", None)  # which a function has not
    method(model, criterion, batch, state if carry_of is None else carry_of(state))
    for stream, position in zip(streams, random, strict=True):
        stream.bit_generator.state = position
    found = {}
    for name, p in model.named_parameters():
        found[name] = device_of(p.grad).to_host(p.grad).astype(np.float64).ravel()
    return {"": np.concatenate([*found.values()]), **found}


def _state_at(model: Any, batch: Batch, first: int) -> Any:
    """The state before step `first`; None before the first."""
    if not first:
        return None
    starts = None if batch.starts is None else batch.starts[:first]
    return model(batch.xs[:first], None, starts=starts)[1]


def _last_loss(model: Any, batch: Batch, first: int) -> Batch:
    """The steps from `first` on, of which only the last has a loss."""
    weights = namespace(batch.targets).zeros(batch.xs[first:].shape[:2], model.dtype)
    weights[-1] = 1 if batch.weights is None else batch.weights[-1]
    return Batch(
        batch.xs[first:], batch.targets[first:], None, None if batch.starts is None else batch.starts[first:], weights
    )


def _bands(longest: int) -> list[tuple[int, int]]:
    """The distances 0 to `longest` in bands that double: 0, 1, 2 to 3, 4 to 7 ..."""
    firsts = [0, *(1 << i for i in range(longest.bit_length())), longest + 1]
    return [(first, following - 1) for first, following in pairwise(firsts)]


def _named(methods: Any) -> dict[str, Any]:
    if not isinstance(methods, (Mapping, list, tuple)):
        raise TypeError(f"bias_report: methods must be a dict of names and methods, or a list, not {methods!r:.80}")
    named: Any = methods if isinstance(methods, Mapping) else {repr(method): method for method in methods}
    if not named:
        raise ValueError("bias_report: there is no method")
    for name, method in named.items():
        if not isinstance(name, str) or isinstance(method, type) or not callable(method):
            raise TypeError(
                f"bias_report: methods has {name!r}: {method!r:.80}, where a name and a method were expected"
            )
    whole: dict[str, Any] = named
    return whole


def _checked(model: Any, batch: Any) -> Batch:
    check_batch("bias_report", model, batch)
    if batch.lengths is not None:
        raise ValueError("bias_report: a batch has lengths: give rows of one length, such as those of a TokenStream")
    return batch  # type: ignore[no-any-return]


def _band(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _text(found: Agreement) -> str:
    cosine, norm = (
        "    -" if math.isnan(number) else f"{number:5.{digits}f}" for number, digits in zip(found, (3, 2), strict=True)
    )
    return f"{cosine} / {norm.strip()}"
