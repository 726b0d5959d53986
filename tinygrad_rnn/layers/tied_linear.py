"""The linear layer whose matrix is the table of an embedding."""

from __future__ import annotations

from ..core.arrays import Array, Float, Shaped, namespace
from ..core.checks import check_cached_array, check_features, check_gradient
from ..core.one_hot import Input, OneHotRows, as_rows
from ..core.parameter import Parameter
from ..core.roles import Feedforward
from ..kernels.plain.products import product
from .embedding import Embedding


class TiedLinear(Feedforward):
    r"""Logits computed with the table of an embedding, which a model then uses both at its input and at its output.

    Forward and backward, with :math:`W` the table of the embedding, and sums over all leading axes:

    .. math::
        y &= x W^\top + b \\
        dx &= dy\, W, \qquad dW \mathrel{+}= \sum dy^\top x, \qquad db \mathrel{+}= \sum dy

    In a language model this saves one of the two largest matrices, and a rare word learns at both input and output.

    Args:
        embedding: its `w` (V, D) is used here, and gets the gradient, too. `w` stays one `Parameter`, which is counted,
            saved and updated once, and stays tied in a copy and after loading.

    Parameters `w` (V, D), which is `embedding.w`; `b` (V,), 0. `forward` takes (..., D) and gives (..., V).

    Raises:
        TypeError: `embedding` is not an `Embedding`; in `forward`, the dtype or device of x differs from that of `w`.
        ValueError: in `forward`, the last axis of x is not D.

    References:
        Press and Wolf, *Using the Output Embedding to Improve Language Models*, 2017. Inan, Khosravi and Socher, *Tying
        Word Vectors and Word Classifiers*, 2017.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> table = Embedding(10, 4, rng=rng)
        >>> model = Sequential(table, RNNCell(4, 4, rng=rng), TiedLinear(table))
        >>> [name for name, _ in model.named_parameters()]
        ['layers.0.w', 'layers.1.w_x', 'layers.1.w_h', 'layers.1.b', 'layers.2.b']
    """

    in_size: int
    out_size: int

    def __init__(self, embedding: Embedding) -> None:
        if not isinstance(embedding, Embedding):
            raise TypeError(f"TiedLinear takes the Embedding whose table it shares, not {embedding!r}")
        self.embedding = embedding
        self.out_size, self.in_size = embedding.w.shape
        like = embedding.w.value
        self.b = Parameter(namespace(like).zeros((self.out_size,), like.dtype))

    @property
    def w(self) -> Parameter:
        """The table (V, D), a `Parameter` of the embedding."""
        return self.embedding.w

    def forward(
        self, x: Shaped[Input, "*lead D"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead V"], Shaped[Input, "*lead D"]]:
        check_features(self, "x", x, self.in_size, self.w.value)
        y = product(as_rows(x), self.w.value.T)
        y += self.b.value
        return y.reshape(*x.shape[:-1], self.out_size), x

    def backward(self, dy: Float[Array, "*lead V"], cache: Shaped[Input, "*lead D"]) -> Float[Array, "*lead D"] | None:
        check_cached_array(self, cache, self.w.value)
        x = cache
        check_gradient(self, "dy", dy, (*x.shape[:-1], self.out_size), self.w.value)
        dy_rows = as_rows(dy)
        self.w.grad += product(as_rows(x).T, dy_rows).T
        self.b.grad += dy_rows.sum(axis=0)
        return None if isinstance(x, OneHotRows) else product(dy_rows, self.w.value).reshape(x.shape)
