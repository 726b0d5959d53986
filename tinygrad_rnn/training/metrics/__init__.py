"""How good the predictions of a model are: metrics that are accumulated over batches.

Each metric keeps sums: `update(ys, targets)` adds a batch, `value()` gives the metric of all batches since the last
`reset()`. So it is the metric of the whole data set, and not a mean of the means of batches. `update` computes on the
device of the arrays, in float64, and never waits; `value()` reads the numbers. Padding, ignored targets and vectors of
weight 0 do not count, even if they hold NaN. If nothing counted, the value is NaN.
"""

from .base import Metric
from .classification import F1, Accuracy, ConfusionMatrix, Precision, Recall
from .language import BitsPerToken, Perplexity
from .regression import R2, AbsoluteError, SquaredError

__all__ = [
    "F1",
    "R2",
    "AbsoluteError",
    "Accuracy",
    "BitsPerToken",
    "ConfusionMatrix",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "SquaredError",
]
