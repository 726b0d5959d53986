"""Cross-entropy of a softmax, the loss of a classifier and of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core.arguments import check_numbers
from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, Shaped, namespace
from ..core.checks import (
    check_array,
    check_cache,
    check_device,
    check_distributions,
    check_features,
    check_ids,
    check_integers,
    check_lengths,
    check_rate,
    check_size,
)
from ..core.constant import Constant
from ..core.one_hot import as_rows
from ..core.roles import Loss
from ..kernels.backends import backend
from . import soft_targets
from .reduction import (
    check_dloss,
    check_reduction,
    check_sequence,
    check_weights,
    reduce,
    rows_of,
    scaled,
    weights_of,
)


class SoftmaxCrossEntropyCache(NamedTuple):
    """What the backward needs."""

    ys: Float[Array, "*lead V"]
    """The logits as they were given, which must not change before the backward."""
    largest: Float[Array, "..."]
    """The largest logit of each token: (N,), or the leading axes of `ys` where targets are distributions."""
    total: Float[Array, "..."]
    """The sum of `exp(ys - largest)` of each token, likewise."""
    targets: Shaped[Any, "..."]
    """The targets, 0 where the token does not count: ids, or how much each class is wanted (..., V)."""
    counts: Bool[Booleans, "*lead"]
    """Whether the token counts."""
    scale: Float[Array, "..."]
    """The factor of each token's loss in the sum: its weight; divided by the sum of the weights if that is a mean."""
    counted: Float[Array, ""]
    """The sum of the weights of the tokens that count."""


class SoftmaxCrossEntropy(Loss):
    r"""Cross-entropy of the targets with the softmax of the logits, in nats.

    Forward and backward for one token, with :math:`q` the target distribution: 1 at the target, else 0. With label
    smoothing :math:`\varepsilon` this is scaled by :math:`1 - \varepsilon`, and :math:`\varepsilon / V` is added:

    .. math::
        \log p_v &= y_v - m - \log \sum_u e^{y_u - m}, \qquad m = \max_u y_u \\
        \ell &= -\sum_v q_v \log p_v, \qquad d\ell / dy = p - q

    With class weights :math:`w`, each :math:`q_v` is multiplied by :math:`w_v`, and :math:`d\ell / dy` is
    :math:`(\sum_v w_v q_v) \, p - w q`.

    Args:
        reduction: `"mean"` over the tokens that count (0 if none does), `"sum"`, or `"none"`, one loss per token. The
            classic recipes (Adagrad at 0.1, clipped at 5, 25 steps) assume the sum.
        ignore_index: the target of tokens that do not count.
        label_smoothing: :math:`\varepsilon`, 0 to below 1.
        class_weights: :math:`w`, V numbers of at least 0, for classes that are rare or matter more. `to` moves them.
            The mean divides by the sum of the weights of the targets, or, for soft targets, by the number of tokens
            that count.

    `forward` takes logits (..., V) and targets (...). With shapes (T, B, V) and (T, B) it also takes `lengths` (B,):
    tokens past a row's end do not count. `weights` (...) are factors of the tokens' losses, and the mean is then
    weighted. Tokens that do not count, or have weight 0, have neither loss nor gradient, whatever their logits and
    targets are. Perplexity is `exp` of the mean; bits per token are the mean divided by ln 2.

    Soft targets are floats (..., V), each row a distribution that sums to 1. Compiled code takes only ids: soft
    targets, and class weights together with label smoothing, run in NumPy or CuPy and keep one more array (..., V).

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, a weight is below 0, a target is outside
            0 to V - 1, or a soft one does not sum to 1.
        TypeError: `class_weights` are not numbers, or on another device than the logits; in `forward`, logits or
            targets have the wrong kind of dtype.

    References:
        Bridle, 1990. Label smoothing: Szegedy et al., *Rethinking the Inception Architecture*, 2016.

    Example:
        >>> criterion = SoftmaxCrossEntropy()
        >>> print(criterion(np.zeros((2, 1, 4)), np.array([[3], [-1]])))  # ln 4
        1.3862943611198906
    """

    takes_ids = takes_distributions = True

    def __init__(
        self,
        *,
        reduction: str = "mean",
        ignore_index: int = -1,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | Array | None = None,
    ) -> None:
        check_reduction("SoftmaxCrossEntropy", reduction)
        label_smoothing = check_rate("SoftmaxCrossEntropy", "label_smoothing", label_smoothing)
        ignore_index = check_size("SoftmaxCrossEntropy", "ignore_index", ignore_index, -(1 << 63))
        self.reduction, self.ignore_index, self.label_smoothing = reduction, ignore_index, label_smoothing
        self.class_weights = self._class_weights = None
        if class_weights is not None:
            self.class_weights = check_numbers("SoftmaxCrossEntropy", "class_weights", class_weights, 0)
            self._class_weights = Constant(self.class_weights)

    def forward(
        self,
        ys: Float[Array, "*lead V"],
        targets: Shaped[Any, "..."],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> tuple[Float[Array, "..."], SoftmaxCrossEntropyCache]:
        check_features(self, "ys", ys, None, None)
        whole = backend(ys).cross_entropy
        if whole is not None and ys.size and self._is_covered(targets):
            return self._forward_whole(whole.forward, ys, targets, lengths, weights)
        xp = namespace(ys)
        targets, counts = self._read(targets, ys)
        rows = rows_of(self, lengths, ys)
        if rows.active is not None:
            ys, counts = rows.clear(ys), counts & rows.active
        if weights is not None:
            weights = weights_of(self, weights, rows, ys)
            counts = counts & (weights != 0)
            weights = xp.where(counts, weights, 0)
        soft = targets.ndim == ys.ndim
        targets = xp.where(counts[..., None] if soft else counts, targets, 0)
        mass = counts if weights is None else weights
        of_class = None if self._class_weights is None else self._of_class(self._class_weights, ys)
        if soft:
            check_distributions(self, "targets", targets, counts)
        else:
            self.check_targets(targets, ys.shape[-1])
            if of_class is not None:
                mass = mass * of_class[targets]
                soft = self.label_smoothing > 0  # which spreads a target over classes of other weights
                if soft:
                    targets = soft_targets.one_hot(targets, ys)
                else:
                    weights, counts = mass, mass != 0
        if soft:
            targets = soft_targets.smoothed(targets, self.label_smoothing)
            targets = targets if of_class is None else targets * of_class
            losses, largest, total = soft_targets.forward(ys, targets)
        else:
            forward = backend(ys).softmax_forward
            losses, largest, total = forward(as_rows(ys), targets.reshape(-1), self.label_smoothing)
            losses = losses.reshape(targets.shape)
        losses = xp.where(counts, losses, 0)

        loss, scale, counted = reduce(self.reduction, losses, mass.sum(), weights)
        return loss, SoftmaxCrossEntropyCache(ys, largest, total, targets, counts, scale, counted)

    def backward(
        self, cache: SoftmaxCrossEntropyCache, dloss: Float[Array, "..."] | float | None = None
    ) -> Float[Array, "*lead V"]:
        check_cache(self, cache, SoftmaxCrossEntropyCache)
        ys, largest, total, targets, counts, scale, _ = cache
        whole = backend(ys).cross_entropy
        if whole is not None and ys.size and targets.shape == scale.shape:
            check_dloss(self, dloss, scale, counts.shape if self.reduction == "none" else ())
            rows = as_rows(ys), targets.reshape(-1), self.label_smoothing, largest, total, scale.reshape(-1), dloss
            return whole.backward(*rows).reshape(ys.shape)
        xp = namespace(ys)
        dlosses = scaled(self, scale, dloss, counts.shape if self.reduction == "none" else ())
        dlosses = xp.where(counts, dlosses, 0)  # no gradient where no token counts
        if targets.ndim == ys.ndim:
            return soft_targets.backward(ys, targets, largest, total, dlosses)
        dlosses = dlosses.reshape(-1).astype(ys.dtype)
        backward = backend(ys).softmax_backward
        dys = backward(as_rows(ys), targets.reshape(-1), self.label_smoothing, largest, total, dlosses)
        return dys.reshape(ys.shape)

    def _is_covered(self, targets: Any) -> bool:
        """Whether `CrossEntropy` of a backend computes it: ids, of which CUDA knows the dtype."""
        kind = getattr(getattr(targets, "dtype", None), "char", "")
        return kind in "bhilqBHI" and kind != "" and not (self.label_smoothing and self._class_weights is not None)

    def _forward_whole(
        self, forward: Any, ys: Array, targets: Any, lengths: Any, weights: Any
    ) -> tuple[Array, SoftmaxCrossEntropyCache]:
        """`forward` by such a backend, of which the cache keeps the targets as they were given."""
        self._check_ids(targets, ys)
        if lengths is not None:
            check_sequence(self, ys)
            check_lengths(self, lengths, ys.shape[0], ys.shape[1], ys)
        if weights is not None:
            check_weights(self, weights, ys)
        shape = targets.shape
        losses, largest, total, scale, counts, loss, counted = forward(
            as_rows(ys),
            targets.reshape(-1),
            weights=None if weights is None else weights.reshape(-1),
            lengths=lengths,
            of_class=None if self._class_weights is None else self._of_class(self._class_weights, ys),
            rows=ys.shape[1] if lengths is not None else 1,
            ignore_index=self.ignore_index,
            smoothing=self.label_smoothing,
            reduction=self.reduction,
        )
        loss = losses.reshape(shape) if self.reduction == "none" else loss
        scale, counts = scale.reshape(shape), counts.reshape(shape)
        return loss, SoftmaxCrossEntropyCache(ys, largest, total, targets, counts, scale, counted)

    def check_targets(self, targets: Integer[Integers, "*lead"], classes: int) -> None:
        """`targets`, ids of which those that do not count are 0, must be below `classes`; looked at on the CPU only.

        Raises:
            ValueError: one is not; the message says which and where.
        """
        check_ids(self, targets, classes, ", or say by ignore_index which target does not count")

    def _read(self, targets: Any, ys: Array) -> tuple[Any, Booleans]:
        """The targets, ids as 64 bits, and which of them count."""
        xp = namespace(ys)
        if getattr(targets, "ndim", -1) == ys.ndim and getattr(targets.dtype, "kind", None) == "f":
            check_array(self, "targets", targets, None)
            check_device(self, "targets", targets, ys)
            if targets.dtype != ys.dtype:
                raise TypeError(
                    f"{self!r}: targets is {targets.dtype}, but ys {ys.dtype}. Convert it, targets.astype('{ys.dtype}')"
                )
            if targets.shape != ys.shape:
                raise ValueError(f"{self!r}: soft targets have shape {targets.shape}, but ys {ys.shape}")
            return targets, xp.ones(ys.shape[:-1], bool)
        self._check_ids(targets, ys)
        if targets.dtype == xp.uint64:  # 2^64 - 1 would become -1
            targets = xp.minimum(targets, (1 << 63) - 1)
        targets = targets.astype(xp.int64, copy=False)  # CuPy cannot compare unsigned integers with -1
        return targets, targets != self.ignore_index

    def _check_ids(self, targets: Any, ys: Array) -> None:
        """Targets that are no floats must be ids, one for each row of logits."""
        check_integers(self, "targets", targets)
        check_device(self, "targets", targets, ys)
        if targets.shape != ys.shape[:-1]:
            raise ValueError(
                f"{self!r}: targets has shape {targets.shape}, but ys {ys.shape}; expected {ys.shape[:-1]}"
            )

    def _of_class(self, class_weights: Constant, ys: Array) -> Array:
        """The weight of each class (V,), in an array like `ys`."""
        of_class = class_weights.like(self, "class_weights", ys)
        if of_class.shape != ys.shape[-1:]:
            raise ValueError(f"{self!r}: class_weights has {of_class.size} entries, but ys {ys.shape[-1]} classes")
        return of_class
