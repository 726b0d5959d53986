"""What decoders with attention have in common: a memory in the state, and layers for what was found there."""

from __future__ import annotations

from abc import ABC
from typing import Any

from ..core.arrays import Array, Booleans, Float, Integer, Integers, namespace, select
from ..core.checks import check_array, check_lengths
from ..core.initializers import zeros
from ..core.roles import Feedforward, Recurrent
from ..core.rows import clear_padding
from ..core.states import State
from ..layers.attention.base import Attention


class Attending(Recurrent, ABC):
    """A recurrent layer that looks at a memory, which is part of its state.

    The state is `(state of decoder, ..., memory, lengths)`: the arrays between have the `feedback_sizes`; memory is
    (B, S, M), and lengths (B,) are integers, how much of each row of the memory there is. Both stay as they are from
    step to step: the very arrays, no copies.
    """

    decoder: Recurrent
    attention: Attention
    output: tuple[Feedforward, ...]
    query_size: int
    """H, features that come from the decoder, and look."""
    memory_size: int
    """M, features of the memory."""
    feedback_sizes: tuple[int, ...] = ()
    """Features of what is carried from step to step beside the state of `decoder`; it begins as zeros."""

    def __init__(self, decoder: Recurrent, attention: Attention) -> None:
        name = type(self).__name__
        if not isinstance(decoder, Recurrent):
            raise TypeError(f"{name}: decoder must be a Recurrent, such as a cell or a Sequential, not {decoder!r}")
        if not isinstance(attention, Attention):
            raise TypeError(f"{name}: attention must be an Attention, not {attention!r}")
        if not decoder.causal:
            raise ValueError(f"{name}: decoder, {decoder!r}, is not causal: it would see what it is to write")
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
        """`state` with another memory to look at.

        Args:
            state: of this layer; None is `initial_state`.
            memory: (S, B, M), as an encoder puts it out. The state holds a view of it, no copy.
            lengths: (B,), how much of each row there is, 0 to S; None is all.

        Raises:
            ValueError: a shape or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        check_array(self, "memory", memory, self._like())
        if memory.ndim != 3:
            raise ValueError(f"{self!r}: memory has shape {memory.shape}, expected (S, B, M)")
        steps, batch = memory.shape[:2]
        if lengths is None:
            lengths = namespace(memory).full((batch,), steps)
        if state is None:
            state = self.initial_state(batch)
        attached = (*state[:-2], memory.swapaxes(0, 1), lengths)
        self.check_state(attached, batch)
        return attached

    def alignments(
        self, xs: Any, state: State | None = None, *, lengths: Integer[Integers, " B"] | None = None
    ) -> Float[Array, "T B S"]:
        """The weights (T, B, S) that the memory has at each step, as in use; 0 past a row's end, of either.

        Arguments and errors are those of a call.
        """
        _, _, cache = self.forward(xs, state, lengths=lengths, training=False)
        weights: Array = clear_padding(cache.inner.weights, cache.active)
        return weights

    def initial_state(self, batch: int) -> State:
        """The state before the first step, which has a memory (B, 0, M) of nothing: see `attach`."""
        like = self._like()
        like = zeros(()) if like is None else like
        xp = namespace(like)
        feedback = tuple(xp.zeros((batch, size), like.dtype) for size in self.feedback_sizes)
        memory = xp.zeros((batch, 0, self.memory_size), like.dtype)
        return (self.decoder.initial_state(batch), *feedback, memory, xp.full((batch,), 0))

    def example_state(self, batch: int) -> State:
        """With a memory of three, of which the rows have three, none, one, two, and so on again."""
        begun = self.initial_state(batch)
        xp, memory = namespace(begun[-2]), begun[-2]
        three = xp.zeros((batch, 3, self.memory_size), memory.dtype)
        return (self.decoder.example_state(batch), *begun[1:-2], three, (3 + xp.arange(batch)) % 4)

    def check_state(self, state: Any, batch: int, name: str = "state") -> None:
        parts = 3 + len(self.feedback_sizes)
        if not isinstance(state, tuple) or len(state) != parts:
            came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
            raise TypeError(
                f"{self!r}: {name} must be a tuple of {parts}, the state of the decoder first, the memory and its "
                f"lengths last, not {came}"
            )
        self.decoder.check_state(state[0], batch, f"{name}[0]")
        like, memory, lengths = self._like(), state[-2], state[-1]
        for i, size in enumerate(self.feedback_sizes, 1):
            check_array(self, f"{name}[{i}]", state[i], like)
            if state[i].shape != (batch, size):
                raise ValueError(f"{self!r}: {name}[{i}] has shape {state[i].shape}, expected {(batch, size)}")
        place = f"{name}[{parts - 2}], the memory,"
        check_array(self, place, memory, like)
        if memory.ndim != 3 or memory.shape[::2] != (batch, self.memory_size):
            raise ValueError(
                f"{self!r}: {place} has shape {memory.shape}, expected ({batch}, S, {self.memory_size}): (B, S, M). "
                "What an encoder puts out, (S, B, M), goes in by `attach`"
            )
        check_lengths(self, lengths, memory.shape[1], batch, memory)

    def _output_forward(self, x: Any, training: bool) -> tuple[Any, tuple[Any, ...]]:
        """Through the output layers, first to last."""
        caches = []
        for layer in self.output:
            x, cache = layer.forward(x, training=training)
            caches.append(cache)
        return x, tuple(caches)

    def _output_backward(self, dy: Any, caches: tuple[Any, ...]) -> Any:
        """Back through them, last to first."""
        for layer, cache in zip(self.output[::-1], caches[::-1], strict=True):
            dy = layer.backward(dy, cache)
        return dy

    def _restart(self, state: State, fresh: Booleans) -> State:
        """The memory stays: it belongs to the source, and the row begins anew on that."""
        start = self.initial_state(fresh.shape[0])
        feedback = (select(fresh, new, old) for old, new in zip(state[1:-2], start[1:-2], strict=True))
        return (self.decoder.restart(state[0], fresh), *feedback, *state[-2:])


def width_after(name: str, output: tuple[Feedforward, ...], width: int, source: str) -> int:
    """The features that leave the layers of `output`, once each fits the one before; `width` enter, from `source`."""
    for i, layer in enumerate(output):
        if not isinstance(layer, Feedforward):
            raise TypeError(f"{name}: output.{i} must be a Feedforward, not {layer!r}")
        if layer.takes_ids or layer.in_size not in (None, width):
            takes = "ids" if layer.takes_ids else f"{layer.in_size} features"
            raise ValueError(f"{name}: output.{i}, {layer!r}, takes {takes}, but {width} features come from {source}")
        width, source = layer.out_size or width, f"output.{i}, {layer!r}"
    return width
