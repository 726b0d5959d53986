"""`Pool`, the base class of what makes one vector of each row of a sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, final

from ...core.arrays import Array, Float, Integer, Integers, no_gradient
from ...core.checks import check_array, check_cache
from ...core.layer import Layer
from ...core.roles import given_or_zeros
from ...core.rows import Rows, make_rows


class PoolCache(NamedTuple):
    """What `Pool.forward` keeps."""

    inner: Any
    """The cache of the subclass."""
    rows: Rows
    """Where rows end."""
    no_dy: Float[Array, "B H"]
    """Zeros for an absent `dy`, in the memory of one number."""


class Pool(Layer):
    """A map of a sequence to one vector a row, which leaves out the padding: what `ManyToOne` puts after its encoder.

    `forward` and `backward` of this class do what every subclass needs: they check the input and clear the padding.
    They call `pool_forward` and `pool_backward` of the subclass, as `ManyToOne` does.
    """

    in_size: int | None = None
    """Features of the input; None takes any number."""
    out_size: int | None = None
    """Features of the output; None means as many as the input has."""

    @abstractmethod
    def pool_forward(self, xs: Any, *, rows: Rows, training: bool) -> tuple[Any, Any]:
        """Map `xs` (T, B, D), 0 past a row's end, to `(y, cache)`, y (B, H).

        T may be 0, and so may the length of a row: without any step, y is 0.
        """

    @abstractmethod
    def pool_backward(self, dy: Any, cache: Any) -> Any:
        """Map `dy` (B, H) to `dxs` (T, B, D), which may hold anything past a row's end; add to parameters' gradients.

        `dy` is never None.
        """

    def forward(
        self, xs: Float[Array, "T B D"], *, lengths: Integer[Integers, " B"] | None = None, training: bool = True
    ) -> tuple[Float[Array, "B H"], PoolCache]:
        """Make one vector of each row.

        Args:
            xs: (T, B, D).
            lengths: (B,), steps of each row, 0 to T. A row without steps gives 0.
            training: False at inference.

        Returns:
            y (B, H), and the cache for `backward`.

        Raises:
            ValueError: a shape or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        check_array(self, "xs", xs, self._like())
        if xs.ndim != 3 or self.in_size not in (None, xs.shape[-1]):
            raise ValueError(f"{self!r}: xs has shape {xs.shape}, expected (T, B, {self.in_size or 'D'})")
        rows = make_rows(self, lengths, None, xs.shape[0], xs.shape[1], xs)
        y, inner = self.pool_forward(rows.clear(xs), rows=rows, training=training)
        return y, PoolCache(inner, rows, no_gradient(y))

    def backward(self, dy: Any, cache: PoolCache) -> Float[Array, "T B D"]:
        """Back to the sequence; adds to the parameters' gradients.

        Args:
            dy: (B, H), the gradient of the loss w.r.t. `y`; None is zeros.
            cache: the one that `forward` gave.

        Returns:
            The gradient w.r.t. `xs`.

        Raises:
            ValueError: `dy` differs in shape from what `forward` gave.
            TypeError: it differs in dtype or device.
        """
        check_cache(self, cache, PoolCache)
        dy = given_or_zeros(self, "dy", dy, cache.no_dy)
        dxs: Array = cache.rows.clear(self.pool_backward(dy, cache.inner))
        return dxs

    @final
    def __call__(
        self, xs: Float[Array, "T B D"], *, lengths: Integer[Integers, " B"] | None = None
    ) -> Float[Array, "B H"]:
        """`y` at inference: `forward` with `training=False`, without the cache."""
        return self.forward(xs, lengths=lengths, training=False)[0]
