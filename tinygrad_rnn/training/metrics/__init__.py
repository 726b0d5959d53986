"""What a model gets right, in numbers for people: metrics that are accumulated over batches.

Each metric keeps sums: `update(ys, targets)` adds a batch, `value()` gives the metric of all batches since the last
`reset()`. So it is that of the whole data set, and not a mean of the means of batches. `update` computes on the device
of the arrays, in float64, and never waits; `value()` reads the numbers. Padding, ignored targets and what has weight 0
do not count, NaN there included. Where nothing counted, the value is NaN.
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
