"""Pictures, drawn by matplotlib: functions that take arrays and give a `matplotlib.figure.Figure`, nothing shown.

`figure.savefig("attention.png")` writes one; a notebook shows what the last line of a cell gives.
"""

try:
    import matplotlib  # noqa: F401  # for the error: what is missing, and how to get it
except ModuleNotFoundError as error:
    raise ImportError(
        "tinygrad_rnn.plotting: matplotlib is not installed. Install it with the package: "
        "python -m pip install 'tinygrad-rnn[plot]'"
    ) from error

from .coloured_text import unit
from .curves import gradient_flow, losses
from .distributions import parameters
from .heatmaps import attention, credit
from .over_text import probabilities, states
from .scatter import projection

__all__ = [
    "attention",
    "credit",
    "gradient_flow",
    "losses",
    "parameters",
    "probabilities",
    "projection",
    "states",
    "unit",
]
