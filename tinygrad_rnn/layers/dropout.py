"""Dropout."""

from __future__ import annotations

from ..core.arrays import Array, Float, Generator
from ..core.checks import check_array, check_bool, check_cached_array, check_gradient, check_rate, check_rng
from ..core.roles import Feedforward
from .masks import dropout_mask


class Dropout(Feedforward):
    r"""Sets entries to 0 at random during training; each call draws a new mask, with one entry for each entry of x.

    Kept entries are scaled up, so that the mean stays the same and nothing needs to change at inference. Forward and
    backward, with :math:`p` the rate:

    .. math::
        m = \begin{cases} 0 & \text{with probability } p \\ \frac{1}{1 - p} & \text{else} \end{cases} \qquad
        y = m \odot x, \qquad dx = m \odot dy

    With `training=False`, or rate 0, y is x. Between recurrent layers `LockedDropout` adds less noise: it has one mask
    for all steps.

    Args:
        rate: the probability that an entry is dropped, 0 to below 1.
        rng: the layer spawns its own stream from it.

    The cache is the mask, None where nothing is dropped. Only training advances the stream; the masks are the same on
    every device and in every dtype.

    Raises:
        ValueError: `rate` is below 0, or 1 or more.
        TypeError: `rate` is not a number, or `rng` is not a generator; in `forward`, x does not hold floating-point
            numbers.

    References:
        Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, 2014.

    Example:
        >>> dropout = Dropout(0.5, rng=np.random.default_rng(0))
        >>> y, mask = dropout.forward(np.ones((2, 4)))
        >>> sorted(set(y.ravel().tolist())), dropout(np.ones(2))
        ([0.0, 2.0], array([1., 1.]))
    """

    def __init__(self, rate: float, *, rng: Generator) -> None:
        rate = check_rate("Dropout", "rate", rate)
        check_rng("Dropout", rng)
        self.rate = rate
        self.rng = rng.spawn(1)[0]

    def forward(
        self, x: Float[Array, "*shape"], *, training: bool = True
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"] | None]:
        check_array(self, "x", x, None)
        check_bool(self, "training", training)
        mask = dropout_mask(self.rng, self.rate, x.shape, x, training)
        return x if mask is None else x * mask, mask

    def backward(self, dy: Float[Array, "*shape"], cache: Float[Array, "*shape"] | None) -> Float[Array, "*shape"]:
        mask = cache
        if mask is None:
            check_array(self, "dy", dy, None)
        else:
            check_cached_array(self, mask)
            check_gradient(self, "dy", dy, mask.shape, mask)
        return dy if mask is None else dy * mask
