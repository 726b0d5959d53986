"""Cross-entropy of a softmax, the loss of a classifier and of a language model."""

from __future__ import annotations

from typing import NamedTuple

from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace
from ..core.checks import check_cache, check_device, check_features, check_ids, check_integers, check_rate, check_size
from ..core.one_hot import as_rows
from ..core.roles import Loss
from ..kernels.backends import backend
from .reduction import check_reduction, reduce, rows_of, scaled


class SoftmaxCrossEntropyCache(NamedTuple):
    """What the backward needs."""

    ys: Float[Array, "*lead V"]
    """The logits as they were given, which must not change before the backward."""
    largest: Float[Array, " N"]
    """The largest logit of each token."""
    total: Float[Array, " N"]
    """The sum of `exp(ys - largest)` of each token."""
    targets: Integer[Integers, "*lead"]
    """The targets, 0 where the token does not count."""
    counts: Bool[Booleans, "*lead"]
    """Whether the token counts."""
    scale: Float[Array, ""]
    """The factor of each token's loss in the sum: 1, or 1 / (how many tokens count)."""


class SoftmaxCrossEntropy(Loss):
    r"""Cross-entropy of the targets with the softmax of the logits, in nats.

    Forward and backward for one token, with :math:`q` the target distribution: 1 at the target, else 0. With label
    smoothing :math:`\varepsilon` this is scaled by :math:`1 - \varepsilon`, and :math:`\varepsilon / V` is added:

    .. math::
        \log p_v &= y_v - m - \log \sum_u e^{y_u - m}, \qquad m = \max_u y_u \\
        \ell &= -\sum_v q_v \log p_v, \qquad d\ell / dy = p - q

    Args:
        reduction: `"mean"` over the tokens that count (0 if none does), `"sum"`, or `"none"`, one loss per token. The
            classic recipes (Adagrad at 0.1, clipped at 5, 25 steps) assume the sum.
        ignore_index: the target of tokens that do not count.
        label_smoothing: :math:`\varepsilon`, 0 to below 1.

    `forward` takes logits (..., V) and targets (...). With shapes (T, B, V) and (T, B) it also takes `lengths` (B,):
    tokens past a row's end do not count. Tokens that do not count have neither loss nor gradient, whatever their logits
    are. Perplexity is `exp` of the mean; bits per token are the mean divided by ln 2.

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, or a target is outside 0 to V - 1.
        TypeError: in `forward`, logits or targets have the wrong kind of dtype.

    References:
        Bridle, 1990. Label smoothing: Szegedy et al., *Rethinking the Inception Architecture*, 2016.

    Example:
        >>> criterion = SoftmaxCrossEntropy()
        >>> print(criterion(np.zeros((2, 1, 4)), np.array([[3], [-1]])))  # ln 4
        1.3862943611198906
    """

    takes_ids = True

    def __init__(self, *, reduction: str = "mean", ignore_index: int = -1, label_smoothing: float = 0.0) -> None:
        check_reduction("SoftmaxCrossEntropy", reduction)
        label_smoothing = check_rate("SoftmaxCrossEntropy", "label_smoothing", label_smoothing)
        ignore_index = check_size("SoftmaxCrossEntropy", "ignore_index", ignore_index, -(1 << 63))
        self.reduction, self.ignore_index, self.label_smoothing = reduction, ignore_index, label_smoothing

    def forward(
        self,
        ys: Float[Array, "*lead V"],
        targets: Integer[Integers, "*lead"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
    ) -> tuple[Float[Array, "..."], SoftmaxCrossEntropyCache]:
        check_features(self, "ys", ys, None, None)
        check_integers(self, "targets", targets)
        check_device(self, "targets", targets, ys)
        if targets.shape != ys.shape[:-1]:
            raise ValueError(
                f"{self!r}: targets has shape {targets.shape}, but ys {ys.shape}; expected {ys.shape[:-1]}"
            )
        xp = namespace(ys)
        if targets.dtype == xp.uint64:  # 2^64 - 1 would become -1
            targets = xp.minimum(targets, (1 << 63) - 1)
        targets = targets.astype(xp.int64, copy=False)  # CuPy cannot compare unsigned integers with -1
        counts = targets != self.ignore_index
        rows = rows_of(self, lengths, targets)
        if rows.active is not None:
            ys, counts = rows.clear(ys), counts & rows.active
        targets = xp.where(counts, targets, 0)
        check_ids(self, targets, ys.shape[-1], ", or say by ignore_index which target does not count")

        forward = backend(ys).softmax_forward
        losses, largest, total = forward(as_rows(ys), targets.reshape(-1), self.label_smoothing)
        losses = xp.where(counts, losses.reshape(targets.shape), 0)

        loss, scale = reduce(self.reduction, losses, counts.sum())
        return loss, SoftmaxCrossEntropyCache(ys, largest, total, targets, counts, scale)

    def backward(
        self, cache: SoftmaxCrossEntropyCache, dloss: Float[Array, "..."] | None = None
    ) -> Float[Array, "*lead V"]:
        check_cache(self, cache, SoftmaxCrossEntropyCache)
        ys, largest, total, targets, counts, scale = cache
        xp = namespace(ys)
        dlosses = scaled(self, scale, dloss, counts.shape if self.reduction == "none" else ())
        dlosses = xp.where(counts, dlosses, 0).reshape(-1).astype(ys.dtype)  # no gradient where no token counts
        backward = backend(ys).softmax_backward
        dys = backward(as_rows(ys), targets.reshape(-1), self.label_smoothing, largest, total, dlosses)
        return dys.reshape(ys.shape)
