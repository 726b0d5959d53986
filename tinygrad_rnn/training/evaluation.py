"""How well a model predicts a text that it was not trained on."""

from __future__ import annotations

from typing import Any

from ..core.chunks import in_chunks
from ..core.device import on_own_gpu
from ..core.roles import Recurrent
from ..data.streams import TokenStream
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .measuring import on_device, read


@on_own_gpu
def evaluate(model: Recurrent, stream: TokenStream) -> float:
    """The mean loss of a model over one epoch of a stream, in nats per predicted token.

    The state is carried from chunk to chunk and reset at each document, so a stream of `batch=1` measures every
    document from its start to its end, whatever its `steps`. The model runs at inference: there is no dropout, no
    random stream advances, and training in progress is not disturbed. A causal model runs long chunks in shorter ones,
    so memory does not grow with the `steps` of the stream. Perplexity is `math.exp` of the result; for bits divide it
    by `math.log(2)`.

    Args:
        model: maps ids (T, B) to logits (T, B, V), on any device.
        stream: the tokens to predict.

    Returns:
        The mean cross-entropy over all `stream.transitions`; 0.0 if there are none.

    Raises:
        TypeError: `model` is not a `Recurrent`, or `stream` not a `TokenStream`.
        ValueError: an id is outside the vocabulary.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> loss = evaluate(model, TokenStream(rng.integers(0, 5, 100), batch=1, steps=20))
        >>> 1 < loss < 3
        True
    """
    if not isinstance(model, Recurrent):
        raise TypeError(f"evaluate: model must be a Recurrent, such as Sequential, not {model!r}")
    if not isinstance(stream, TokenStream):
        raise TypeError(f"evaluate: stream must be a TokenStream, not {stream!r}")
    criterion = SoftmaxCrossEntropy(reduction="sum")
    state: Any = None
    losses: list[Any] = []
    for batch in stream:
        (xs, targets, _, starts, _), first = on_device(model, criterion, batch), 0
        for logits, after in in_chunks(model, xs, state, starts=starts):
            losses.append(criterion(logits, targets[first : first + len(logits)]))
            first, state = first + len(logits), after
    return sum(read(losses)) / max(stream.transitions, 1)
