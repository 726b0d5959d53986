"""Pictures made with matplotlib: functions that take arrays and give a `matplotlib.figure.Figure`, without showing it.

`figure.savefig("attention.png")` writes a picture; a notebook shows the figure in the last line of a cell.
"""

try:
    import matplotlib  # noqa: F401  # to say what is missing, and how to get it
except ModuleNotFoundError as error:
    raise ImportError(
        "tinygrad_rnn.plotting: matplotlib is not installed. Install it with the package: "
        "python -m pip install 'tinygrad-rnn[plot]'"
    ) from error

from .bias import bias
from .coloured_text import unit
from .curves import gradient_flow, losses
from .distributions import parameters
from .heatmaps import attention, credit
from .over_text import probabilities, states
from .scatter import projection

__all__ = [
    "attention",
    "bias",
    "credit",
    "gradient_flow",
    "losses",
    "parameters",
    "probabilities",
    "projection",
    "states",
    "unit",
]
