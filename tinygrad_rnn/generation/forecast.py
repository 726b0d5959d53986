"""Numbers from a model: a series that is continued by feeding predictions back."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..core.arrays import Array, Float, Generator, namespace
from ..core.checks import check_array, check_rng, check_size
from ..core.chunks import in_chunks
from ..core.device import on_own_gpu
from ..core.foreign import check_is_array
from ..core.roles import Recurrent
from ..core.states import State, tree_map


@runtime_checkable
class Distribution(Protocol):
    """A loss whose `ys` are the parameters of a distribution, such as mean and log-variance."""

    def mean(self, ys: Any, /) -> Any:
        """The mean (..., D) of each distribution."""

    def sample(self, ys: Any, rng: Any, /) -> Any:
        """A draw (..., D) from each distribution."""


@on_own_gpu
def forecast(
    model: Recurrent,
    xs: Float[Array, "T B D"],
    *,
    steps: int,
    state: State | None = None,
    future: Float[Array, "N B C"] | None = None,
    criterion: Distribution | None = None,
    samples: int | None = None,
    rng: Generator | None = None,
) -> tuple[Float[Array, "..."], State]:
    """The `steps` values that follow a series, each predicted from all before it, predictions included.

    The model reads `xs`; its last output is the first value. Then each value is the next input, and the output is the
    next value. Use a model that is trained to predict `xs[1:]` from `xs[:-1]`. Errors add up, so the error one step
    ahead says little about that of a long forecast: hold out the end of the series, and measure there.

    The model runs at inference: there is no dropout, and none of its random streams advances. A causal model reads a
    long series in chunks. To continue a forecast, pass its last value and its state:
    `forecast(model, ys[-1:], steps=n, state=state)` gives what more steps would have given.

    For series of different lengths, first read all but the last value of each: `_, state = model(xs, lengths=lengths -
    1)`. Then give the last values, `xs[lengths - 1, np.arange(B)][None]`, with this state.

    Args:
        model: a causal model that maps (T, B, D) to predictions of the next value, on any device.
        xs: the series so far (T, B, D), T >= 1, on the device of the model.
        steps: how many values to predict.
        state: the state before the series; None is the initial state.
        future: (N, B, C), what is known about the future, such as the day of the week: row t is appended to value t
            when that is fed back, as the last C features of the input. N is at least `steps - 1`.
        criterion: the loss that the model was trained with, if its outputs are parameters of a distribution: it has
            `mean(ys)` and `sample(ys, rng)`. Without samples, the mean is the value. None: the output is the value.
        samples: how many trajectories S to draw from the distribution, each fed back on its own; needs `criterion` and
            `rng`. Their quantiles over the first axis give a band.
        rng: draws the samples.

    Returns:
        The values (steps, B, D), and the state after the model has read all of them but the last, on the device of
        the model. With samples: values (S, steps, B, D), and a state of S · B rows, those of the first sample first; to
        continue, pass `ys[:, -1].reshape(1, S * B, D)`.

    Raises:
        ValueError: `xs` does not have three axes or has no step; `steps` or `samples` is below 1; values and `future`
            together do not have as many features as the model takes; `future` has too few steps or another batch size;
            there are samples without `criterion`; the model is not causal; and as in `model(xs, state)`.
        TypeError: `model` is not a `Recurrent` or takes ids, `criterion` has no `mean` and `sample`, there are samples
            without `rng`, and as in `model(xs, state)`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(GRUCell(2, 8, rng=rng), Linear(8, 2, rng=rng))
        >>> ys, state = forecast(model, np.zeros((50, 3, 2), "float32"), steps=10)
        >>> ys.shape
        (10, 3, 2)
        >>> more, _ = forecast(model, ys[-1:], steps=5, state=state)
        >>> more.shape
        (5, 3, 2)
    """
    steps = check_size("forecast", "steps", steps)
    _check_series(model, xs)
    if future is not None:
        _check_future(model, xs, future, steps)
    if criterion is not None and not isinstance(criterion, Distribution):
        raise TypeError(
            f"forecast: criterion must be a loss with mean and sample, such as GaussianNLL, not {criterion!r}. Leave "
            "it out where the outputs of the model are the values"
        )
    if samples is not None:
        samples = check_size("forecast", "samples", samples)
        check_rng("forecast", rng)
        if criterion is None:
            raise ValueError("forecast: samples need criterion, the loss whose distribution the model has learnt")

    output: Any = None
    for outputs, after in in_chunks(model, xs, state):
        output, state = outputs[-1], after
    xp, B = namespace(output), xs.shape[1]
    if samples is not None:
        rows = xp.tile(xp.arange(B), samples)
        output, state = tree_map(lambda array: array[rows], (output, state))
        future = None if future is None else future[:, rows]
    values: list[Any] = []
    for t in range(steps):
        if t > 0:
            x = values[-1] if future is None else xp.concatenate([values[-1], future[t - 1]], axis=-1)
            _check_width(values[-1], x, xs)
            output, state = model.step(x, state)
        if criterion is None:
            values.append(output)
        else:
            values.append(criterion.mean(output) if samples is None else criterion.sample(output, rng))
    ys: Any = xp.stack(values)
    if samples is not None:
        ys = ys.reshape(steps, samples, B, ys.shape[-1]).swapaxes(0, 1)
    return ys, state or ()


def _check_series(model: Any, xs: Any) -> None:
    if not isinstance(model, Recurrent):
        raise TypeError(f"forecast: model must be a Recurrent, such as Sequential, not {model!r}")
    if model.takes_ids:
        raise TypeError(f"forecast: {model!r} takes ids, not numbers: use generate")
    check_is_array("forecast", "xs", xs)
    if xs.ndim != 3 or not len(xs):
        raise ValueError(f"forecast: xs has shape {xs.shape}, expected (T, B, D), a series of at least one step")
    if not model.causal:
        model.step(xs[0], None)  # raises with the reason


def _check_future(model: Any, xs: Any, future: Any, steps: int) -> None:
    like = model._like()
    check_array(model, "future", future, xs if like is None else like)
    if future.ndim != 3 or len(future) < steps - 1 or future.shape[1] != xs.shape[1]:
        raise ValueError(
            f"forecast: future has shape {future.shape}, expected (N, {xs.shape[1]}, C) with N at least {steps - 1}: a "
            f"row for each of {steps} values but the last, which is not fed back"
        )


def _check_width(y: Any, x: Any, xs: Any) -> None:
    """The next input `x`, made of the value `y`, must have the features of the series."""
    if x.shape[-1] != xs.shape[-1]:
        known = x.shape[-1] - y.shape[-1]
        raise ValueError(
            f"forecast: the next input would have {x.shape[-1]} features, {y.shape[-1]} of the value that the model "
            f"gave and {known} of future, but xs has {xs.shape[-1]}. Give the features that are not predicted by "
            "future, and, where the outputs are the parameters of a distribution, the loss by criterion"
        )
