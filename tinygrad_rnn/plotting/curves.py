"""Curves over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays import Array, Float
from .checks import check_floats, check_mapping
from .colours import draw_lines


def losses(
    curves: Mapping[str, Any], *, unit: str = "nats a token", xlabel: str = "iteration", axes: Axes | None = None
) -> Figure:
    """Losses during training: one line for each name, each with its own colour, dashes and marker.

    Args:
        curves: by name, the losses (N,) of the iterations 1 to N; or a tuple of the iterations (N,) and the losses
            (N,), such as a validation loss every hundred iterations. Lists or arrays, on the host. A loss that is not
            finite is a gap.
        unit: the unit of the losses.
        xlabel: what is counted.
        axes: the axes to draw in, of a figure of your own; None makes a figure.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: curves is not a mapping, or a curve does not hold numbers.
        ValueError: there is no curve; one is empty, has more than one axis, or not as many iterations as losses.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> held_out = [2, 4], [2.1, 1.9]
        >>> figure = plotting.losses({"training": [2.5, 2.0, 1.8, 1.7], "held out": held_out})
        >>> [line.get_xdata().tolist() for line in figure.axes[0].lines]
        [[1, 2, 3, 4], [2, 4]]
    """
    check_mapping("losses", "curves", curves, '{"training": losses}')
    lines = {name: _points(name, curve) for name, curve in curves.items()}
    if axes is None:
        axes = Figure(figsize=(8, 4), layout="constrained").subplots()
    draw_lines(axes, lines)
    axes.set_xlabel(xlabel, parse_math=False)
    axes.set_ylabel(f"loss, {unit}", parse_math=False)
    return axes.figure.figure


def gradient_flow(norms: Mapping[str, Float[Array, "T"]], *, axes: Axes | None = None) -> Figure:
    r"""How far a gradient reaches back through time: the norm of ∂L/∂h_t over t, with one line for each model.

    The scale is logarithmic: a gradient that shrinks by the same factor at each step, as in a plain RNN, is a straight
    line. Read it from the right, where the loss is, to the left. A norm of 0 cannot be drawn, and is a gap.

    Args:
        norms: by the name of the model, the norm (T,) of the gradient of the loss w.r.t. the state of each step, on the
            host. For `gradients = recording["layers.1"].gradients["h"]` (T, B, H) this is
            `np.linalg.norm(gradients.astype(float), axis=(1, 2))`; in float32, squares of numbers below 1e-23 are 0.
        axes: the axes to draw in, of a figure of your own; None makes a figure.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: norms is not a mapping, or a value is not a NumPy array of floating-point numbers.
        ValueError: norms is empty; a value is not (T,), or is negative somewhere.

    References:
        Bengio, Simard and Frasconi, *Learning Long-Term Dependencies with Gradient Descent is Difficult*, 1994.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> figure = plotting.gradient_flow({"RNN": 0.5 ** np.arange(9.0)[::-1], "LSTM": np.ones(9)})
        >>> figure.axes[0].get_yscale(), [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ('log', ['RNN', 'LSTM'])
    """
    check_mapping("gradient_flow", "norms", norms, '{"RNN": norms}')
    for name, line in norms.items():
        check_floats(
            "gradient_flow", f"norms[{name!r}]", line, "(T,)", "; for gradients (T, B, H) take the norm of each step"
        )
        if (line < 0).any():
            t = int((line < 0).argmax())
            raise ValueError(
                f"plotting.gradient_flow: norms[{name!r}] is {line[t]} at step {t}, but a norm is never negative"
            )
    if axes is None:
        axes = Figure(figsize=(8, 4), layout="constrained").subplots()
    draw_lines(axes, {name: (np.arange(len(line)), np.where(line > 0, line, np.nan)) for name, line in norms.items()})
    axes.set_yscale("log")
    axes.set_xlabel("step t")
    axes.set_ylabel("norm of ∂L / ∂h$_t$")
    return axes.figure.figure


def _points(name: str, curve: Any) -> tuple[Array, Array]:
    """Iterations and losses, both (N,), of a curve as `losses` takes it."""
    pair = isinstance(curve, tuple) and len(curve) == 2 and np.ndim(curve[0]) > 0
    try:
        ys = np.asarray(curve[1] if pair else curve, float)
        xs: Any = np.asarray(curve[0]) if pair else np.arange(1, ys.size + 1)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"plotting.losses: curves[{name!r}] is a {type(curve).__name__}, where losses (N,) were expected, or a "
            "tuple of iterations and losses; for losses on a GPU use device.to_host(loss)"
        ) from error
    if ys.ndim != 1 or xs.shape != ys.shape or not ys.size:
        shapes = f"iterations {xs.shape} and losses {ys.shape}" if pair else f"losses {ys.shape}"
        raise ValueError(f"plotting.losses: curves[{name!r}] has {shapes}, where (N,) was expected, N at least 1")
    return xs, ys
