"""The base class of decoders with attention: a memory in the state, and output layers."""

from __future__ import annotations

from typing import Any

from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace
from ..core.checks import check_array, check_lengths
from ..core.roles import Feedforward, Recurrent
from ..core.states import Leaf, State, StateSpec, given_or_initial, learns
from ..layers.attention.base import Attention


class AttentionDecoderBase(Recurrent):
    """A recurrent layer that attends to a memory, which is part of its state.

    The state is `(state of decoder, ..., memory, lengths)`: the arrays between have the `feedback_sizes`; memory is
    (B, S, M), and lengths (B,) are integers, the length of each row of the memory. Each step passes on these two arrays
    themselves, not copies.
    """

    decoder: Recurrent
    attention: Attention
    output: tuple[Feedforward, ...]
    query_size: int
    """H, the output features of the decoder, and so those of a query."""
    memory_size: int
    """M, features of the memory."""
    feedback_sizes: tuple[int, ...] = ()
    """Features of the arrays that are carried from step to step beside the state of `decoder`; they start as zeros."""

    def __init__(self, decoder: Recurrent, attention: Attention) -> None:
        name = type(self).__name__
        if not isinstance(decoder, Recurrent):
            raise TypeError(f"{name}: decoder must be a Recurrent, such as a cell or a Sequential, not {decoder!r}")
        if not isinstance(attention, Attention):
            raise TypeError(f"{name}: attention must be an Attention, not {attention!r}")
        if not decoder.causal:
            raise ValueError(f"{name}: decoder, {decoder!r}, is not causal: it would see what it must predict")
        if decoder.out_size is None:
            raise ValueError(f"{name}: decoder, {decoder!r}, has no out_size, which is the size of a query")
        self.decoder, self.attention = decoder, attention
        self.query_size, self.memory_size = decoder.out_size, attention.memory_size or decoder.out_size
        query_size = attention.query_size or self.memory_size
        if query_size != decoder.out_size:
            raise ValueError(
                f"{name}: attention, {attention!r}, takes queries of {query_size} features, but {decoder.out_size} "
                f"come from {decoder!r}"
            )

    def attach(
        self,
        state: State | None,
        memory: Float[Array, "S B M"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
    ) -> State:
        """`state` with another memory.

        Args:
            state: a state of this layer; None is `initial_state`.
            memory: (S, B, M), such as the output of an encoder. The state holds a view of it, not a copy.
            lengths: (B,), the length of each row of the memory, 0 to S; None means that all rows are whole.

        Raises:
            ValueError: a shape or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        if not isinstance(state, tuple | None):
            raise TypeError(
                f"{self!r}: state is a {type(state).__name__}, where a tuple was expected, as forward gives it"
            )
        check_array(self, "memory", memory, self._like())
        if memory.ndim != 3:
            raise ValueError(f"{self!r}: memory has shape {memory.shape}, expected (S, B, M)")
        steps, batch = memory.shape[:2]
        if lengths is None:
            lengths = namespace(memory).full((batch,), steps)
        check_lengths(self, lengths, steps, batch, memory)
        spec = self.state_spec
        rest = (None,) * len(spec[:-2]) if state is None else state[:-2]
        attached = (*rest, memory.swapaxes(0, 1), lengths)
        checked = given_or_initial(self, "state", attached, spec, batch, self._like(memory))
        return attached if learns(spec) else checked  # an initial state that learns stays None, or it would not

    def alignments(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        starts: Bool[Booleans, "T B"] | None = None,
    ) -> Float[Array, "T B S"]:
        """The attention weights (T, B, S) of each step at inference; 0 past the end of a row of `xs` or of the memory.

        Arguments and errors are those of a call.
        """
        _, _, cache = self.forward(xs, state, lengths=lengths, starts=starts, training=False)
        weights: Array = cache.rows.clear(cache.inner.weights)
        return weights

    @property
    def state_spec(self) -> StateSpec:
        feedback = (Leaf("a", (size,)) for size in self.feedback_sizes)
        source = Leaf("memory", (None, self.memory_size), kept=True), Leaf("lengths", (), integer=True, kept=True)
        return (self.decoder.state_spec, *feedback, *source)

    def _output_forward(self, x: Any, training: bool) -> tuple[Any, tuple[Any, ...]]:
        """Run the output layers, first to last."""
        caches = []
        for layer in self.output:
            x, cache = layer.forward(x, training=training)
            caches.append(cache)
        return x, tuple(caches)

    def _output_backward(self, dy: Any, caches: tuple[Any, ...]) -> Any:
        """Back through the output layers, last to first."""
        for layer, cache in zip(self.output[::-1], caches[::-1], strict=True):
            dy = layer.backward(dy, cache)
        return dy


def width_after(
    name: str, layers: tuple[Feedforward, ...], width: int | None, source: str, path: str = "output"
) -> int | None:
    """The output features of the last of `layers`, after checking that each fits.

    Args:
        name: what an error begins with.
        layers: what stands in the attribute `path`.
        width: how many features come from `source` and enter the first layer; None where that is not known.
        source: its name in an error.
        path: the name of the attribute.

    Raises:
        TypeError: a layer is not `Feedforward`.
        ValueError: one does not fit what is before it.
    """
    for i, layer in enumerate(layers):
        if not isinstance(layer, Feedforward):
            raise TypeError(f"{name}: {path}.{i} must be a Feedforward, not {layer!r}")
        if layer.takes_ids or (width is not None and layer.in_size not in (None, width)):
            takes = "ids" if layer.takes_ids else f"{layer.in_size} features"
            came = "vectors" if width is None else f"{width} features"
            raise ValueError(f"{name}: {path}.{i}, {layer!r}, takes {takes}, but {came} come from {source}")
        width, source = layer.out_size or width, f"{path}.{i}, {layer!r}"
    return width
