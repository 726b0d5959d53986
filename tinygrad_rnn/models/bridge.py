"""From the final state of an encoder to the initial state of a decoder."""

from __future__ import annotations

from typing import NamedTuple

from ..core import initializers
from ..core.arrays import Array, Float, Generator, namespace
from ..core.checks import check_cache, check_features, check_gradient, check_rng, check_size
from ..core.one_hot import as_rows
from ..core.parameter import Parameter
from ..core.roles import Feedforward


class BridgeCache(NamedTuple):
    """What `Bridge` keeps."""

    x: Array
    y: Array


class Bridge(Feedforward):
    r"""A linear map and tanh, from the final state of an encoder to the initial state of a decoder of another size.

    x holds all arrays of the encoder's state side by side, y those of the decoder's; `EncoderDecoder` joins and splits
    them. Forward and backward, where the sums run over all leading axes:

    .. math::
        y &= \tanh(x W + b) \\
        da &= dy \odot (1 - y^2), \qquad dx = da\, W^\top, \qquad
        dW \mathrel{+}= \sum x^\top da, \qquad db \mathrel{+}= \sum da

    With one array on each side, this is how Bahdanau et al. compute their decoder's initial state, from the half of the
    encoder that reads backward.

    Args:
        in_size: D, features of all arrays of the encoder's state together. A bidirectional encoder has twice as many
            as one of its cells.
        out_sizes: the features of each array of the decoder's state; their sum is H.
        rng: draws the weights.

    Parameters `w` (D, H), Glorot for each array separately; `b` (H,), 0. `forward` takes (..., D) and gives (..., H).

    Raises:
        ValueError: a size is below 1, or `out_sizes` is empty; in `forward`, the last axis of x is not D.
        TypeError: a size is not an integer, `out_sizes` is not a tuple, or `rng` is not a generator; in `forward`, the
            dtype or device of x differs from the parameters'.

    References:
        Bahdanau, Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> encoder = Bidirectional(LSTMCell(3, 4, rng=rng), LSTMCell(3, 4, rng=rng))
        >>> decoder = Sequential(LSTMCell(2, 5, rng=rng), Linear(5, 2, rng=rng))
        >>> model = EncoderDecoder(encoder, decoder, bridge=Bridge(4 + 4 + 4 + 4, (5, 5), rng=rng))
        >>> model(np.ones((7, 2, 3), np.float32), np.ones((6, 2, 2), np.float32)).shape
        (6, 2, 2)
    """

    in_size: int
    out_size: int

    def __init__(self, in_size: int, out_sizes: tuple[int, ...], *, rng: Generator) -> None:
        in_size = check_size("Bridge", "in_size", in_size)
        if not isinstance(out_sizes, tuple):
            raise TypeError(f"Bridge: out_sizes must be a tuple, one size for each array of a state, not {out_sizes!r}")
        if not out_sizes:
            raise ValueError("Bridge: out_sizes is empty, but must have one size for each array of a state")
        out_sizes = tuple(check_size("Bridge", f"out_sizes[{i}]", size) for i, size in enumerate(out_sizes))
        check_rng("Bridge", rng)
        self.in_size, self.out_sizes, self.out_size = in_size, out_sizes, sum(out_sizes)
        self.w, end = Parameter(initializers.zeros((in_size, self.out_size))), 0
        for size in out_sizes:
            self.w.value[:, end : end + size] = initializers.glorot((in_size, size), rng=rng)
            end += size
        self.b = Parameter(initializers.zeros((self.out_size,)))

    def forward(
        self, x: Float[Array, "*lead D"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead H"], BridgeCache]:
        check_features(self, "x", x, self.in_size, self.w.value)
        a = as_rows(x) @ self.w.value + self.b.value
        y = namespace(a).tanh(a).reshape(*x.shape[:-1], self.out_size)
        return y, BridgeCache(x, y)

    def backward(self, dy: Float[Array, "*lead H"], cache: BridgeCache) -> Float[Array, "*lead D"]:
        check_cache(self, cache, BridgeCache)
        x, y = cache
        check_gradient(self, "dy", dy, y.shape, self.w.value)
        da = as_rows(dy * (1 - y * y))
        self.w.grad += as_rows(x).T @ da
        self.b.grad += da.sum(axis=0)
        dx: Array = (da @ self.w.value.T).reshape(x.shape)
        return dx
