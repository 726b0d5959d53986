"""Sequence to sequence: an encoder reads the source, a decoder writes the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple, final

from ..core.arrays import Array, Float, Integer, Integers, namespace
from ..core.blas import with_one_blas_thread
from ..core.checks import check_bool, check_cache
from ..core.layer import Layer
from ..core.roles import Recurrent
from ..core.states import State, leaves, tree_map
from .attention_decoder_base import AttentionDecoderBase
from .bridge import Bridge


class EncoderDecoderCache(NamedTuple):
    """The caches of the parts."""

    encoder: Any
    bridge: Any
    """None where there is no bridge."""
    decoder: Any


class EncoderDecoder(Layer):
    r"""Sequence to sequence: an encoder reads the source, and from its final state a decoder writes the target.

    Forward, with :math:`m` the output of the encoder, which only a decoder with attention, such as `AttentionDecoder`,
    uses:

    .. math::
        (m, s) &= \mathrm{encoder}(x) \\
        s_0 &= s \quad \text{or} \quad \mathrm{bridge}(s) \\
        (y, \cdot) &= \mathrm{decoder}(z, s_0, m)

    During training the decoder reads z, the targets delayed by one step (teacher forcing): a loss compares its output
    at step t with the target, and the decoder reads this target at step t + 1. Backward, through the decoder, the
    bridge and the encoder:

    .. math::
        (dz, ds_0, dm) &= \mathrm{decoder}'^\top dy \\
        ds &= ds_0 \quad \text{or} \quad \mathrm{bridge}'^\top ds_0 \\
        dx &= \mathrm{encoder}'^\top (dm, ds)

    Args:
        encoder: a `Recurrent`, such as a `Sequential` with a `Bidirectional`. Its final state becomes the decoder's
            initial state; with attention, its output is the memory.
        decoder: any causal `Recurrent`; with attention, an `AttentionDecoder` or `InputFeedingDecoder`.
        bridge: a `Bridge` from the arrays of the encoder's state to those of the decoder's; None where these have the
            same sizes, and are passed on unchanged and in their order.

    The model itself has no state: `encode` gives the initial state for `decoder.step`, `generate` and the searches.
    Parameters are those of `encoder`, `decoder` and `bridge`.

    Raises:
        TypeError: an argument is of the wrong class.
        ValueError: the state of the encoder, or the bridge, does not fit the decoder; the decoder attends to a memory
            of another size than the output of the encoder, or is not causal.

    References:
        Sutskever, Vinyals and Le, *Sequence to Sequence Learning with Neural Networks*, 2014. With attention: Bahdanau,
        Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> encoder = Sequential(Embedding(10, 4, rng=rng), LSTMCell(4, 8, rng=rng))
        >>> recurrent = Sequential(Embedding(12, 4, rng=rng), LSTMCell(4, 8, rng=rng))
        >>> model = EncoderDecoder(encoder, AttentionDecoder(recurrent, DotAttention(), Linear(8 + 8, 12, rng=rng)))
        >>> sources, targets = np.array([[3, 1], [4, 1], [5, 0]]), np.array([[0, 0], [7, 8]])
        >>> model(sources, targets, source_lengths=np.array([3, 2])).shape
        (2, 2, 12)
        >>> logits, state = model.decoder.step(np.array([0, 0]), model.encode(sources, lengths=np.array([3, 2])))
        >>> logits.shape
        (2, 12)
    """

    def __init__(self, encoder: Recurrent, decoder: Recurrent, *, bridge: Bridge | None = None) -> None:
        for name, layer in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(layer, Recurrent):
                raise TypeError(f"EncoderDecoder: {name} must be a Recurrent, not {layer!r}")
        if not isinstance(bridge, Bridge | None):
            raise TypeError(f"EncoderDecoder: bridge must be a Bridge or None, not {bridge!r}")
        if not decoder.causal:
            raise ValueError(f"EncoderDecoder: decoder, {decoder!r}, is not causal: it would see what it must predict")
        if isinstance(decoder, AttentionDecoderBase) and encoder.out_size not in (None, decoder.memory_size):
            raise ValueError(
                f"EncoderDecoder: {decoder.attention!r} of the decoder looks at a memory of {decoder.memory_size} "
                f"features, but {encoder.out_size} come from the encoder, {encoder!r}"
            )
        self.encoder, self.decoder, self.bridge = encoder, decoder, bridge
        self._check_states()
        self.out_size = decoder.out_size

    @with_one_blas_thread
    def forward(
        self,
        sources: Any,
        targets: Any,
        *,
        source_lengths: Integer[Integers, " B"] | None = None,
        target_lengths: Integer[Integers, " B"] | None = None,
        training: bool = True,
    ) -> tuple[Float[Array, "T B H"], EncoderDecoderCache]:
        """Read `sources`, then predict what follows each of `targets`.

        Args:
            sources: (S, B, D), or ids (S, B).
            targets: what the decoder reads, (T, B, E), or ids (T, B): a start token, then the target without its last
                token.
            source_lengths: (B,), steps of each row of the sources, 0 to S.
            target_lengths: (B,), steps of each row of the targets, 0 to T.
            training: False at inference, where layers such as dropout do nothing.

        Returns:
            ys (T, B, H), and the cache for `backward`.

        Raises:
            ValueError: a shape, an id or a length does not fit, or sources and targets differ in their number of rows.
            TypeError: a dtype or device differs from the parameters'.
        """
        check_bool(self, "training", training)
        state, encoder, bridge = self._encode(sources, source_lengths, training)
        rows = getattr(targets, "shape", ())[1:2]  # if it is not a sequence, the decoder raises
        if rows and rows != sources.shape[1:2]:
            raise ValueError(
                f"{self!r}: sources have shape {sources.shape}, but targets {targets.shape}; their second axis, the "
                "rows of the batch, must be the same"
            )
        ys, _, decoder = self.decoder.forward(targets, state, lengths=target_lengths, training=training)
        return ys, EncoderDecoderCache(encoder, bridge, decoder)

    @with_one_blas_thread
    def backward(self, dys: Any, cache: EncoderDecoderCache) -> tuple[Any, Any]:
        """Back through decoder, bridge and encoder; adds to the parameters' gradients.

        Args:
            dys: (T, B, H), the gradient of the loss w.r.t. `ys`; None is zeros.
            cache: the one that `forward` gave.

        Returns:
            The gradients w.r.t. `sources` and `targets`, None where these are ids.

        Raises:
            ValueError: `dys` differs in shape from what `forward` gave.
            TypeError: it differs in dtype or device.
        """
        check_cache(self, cache, EncoderDecoderCache)
        dtargets, dstate = self.decoder.backward(dys, None, cache.decoder)
        dmemory = None
        if isinstance(self.decoder, AttentionDecoderBase):
            dmemory, dstate = dstate[-2].swapaxes(0, 1), dstate[0]
        last, dbegun = cache.encoder.no_dstate, leaves(dstate)
        if self.bridge is not None:
            dlast = self.bridge.backward(_joined(dbegun), cache.bridge)
            dbegun = _cut(dlast, [array.shape[1] for array in leaves(last)])
        dsources, _ = self.encoder.backward(dmemory, _filled(last, dbegun), cache.encoder)
        return dsources, dtargets

    @final
    def __call__(
        self,
        sources: Any,
        targets: Any,
        *,
        source_lengths: Integer[Integers, " B"] | None = None,
        target_lengths: Integer[Integers, " B"] | None = None,
    ) -> Float[Array, "T B H"]:
        """`ys` at inference: `forward` with `training=False`, without the cache."""
        ys, _ = self.forward(
            sources, targets, source_lengths=source_lengths, target_lengths=target_lengths, training=False
        )
        return ys

    def encode(self, sources: Any, *, lengths: Integer[Integers, " B"] | None = None) -> State:
        """The decoder's initial state at inference, for `decoder.step`, `generate` and the searches.

        To get k rows from each source, as for a beam, repeat every array: `array.repeat(k, axis=0)`.

        Args:
            sources: as in `forward`.
            lengths: their `source_lengths`.

        Raises:
            ValueError: a shape, an id or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        state, _, _ = self._encode(sources, lengths, training=False)
        return state

    def alignments(
        self,
        sources: Any,
        targets: Any,
        *,
        source_lengths: Integer[Integers, " B"] | None = None,
        target_lengths: Integer[Integers, " B"] | None = None,
    ) -> Float[Array, "T B S"]:
        """The attention weights (T, B, S) of each target step over the source, at inference; 0 in the padding.

        Arguments and errors are those of a call.

        Raises:
            ValueError: the decoder has no attention.
        """
        if not isinstance(self.decoder, AttentionDecoderBase):
            raise ValueError(f"{self!r} has no alignments: its decoder has no attention. See AttentionDecoder")
        state = self.encode(sources, lengths=source_lengths)
        return self.decoder.alignments(targets, state, lengths=target_lengths)

    def _encode(self, sources: Any, lengths: Integers | None, training: bool) -> tuple[State, Any, Any]:
        """The decoder's initial state, and the caches of encoder and bridge."""
        ys, last, encoder = self.encoder.forward(sources, lengths=lengths, training=training)
        arrays, bridge = leaves(last), None
        if self.bridge is not None:
            joined, bridge = self.bridge.forward(_joined(arrays), training=training)
            arrays = _cut(joined, self.bridge.out_sizes)
        begun = self.decoder.initial_state(ys.shape[1])
        if not isinstance(self.decoder, AttentionDecoderBase):
            return _filled(begun, arrays), encoder, bridge
        state = (_filled(begun[0], arrays), *begun[1:])
        return self.decoder.attach(state, ys, lengths=lengths), encoder, bridge

    def _check_states(self) -> None:
        begun = self.decoder.initial_state(0)
        given, wanted = (
            tuple(math.prod(array.shape[1:]) for array in leaves(state))
            for state in (
                self.encoder.initial_state(0),
                begun[0] if isinstance(self.decoder, AttentionDecoderBase) else begun,
            )
        )
        if self.bridge is None and given != wanted:
            raise ValueError(
                f"EncoderDecoder: the state of the encoder, {self.encoder!r}, has arrays of sizes {given}, but that of "
                f"the decoder, {self.decoder!r}, has {wanted}. Give bridge=Bridge({sum(given)}, {wanted}, rng=rng)"
            )
        if self.bridge is not None and (self.bridge.in_size, self.bridge.out_sizes) != (sum(given), wanted):
            raise ValueError(
                f"EncoderDecoder: bridge is {self.bridge!r}, but from the state of the encoder, {self.encoder!r}, to "
                f"that of the decoder, {self.decoder!r}, it must be Bridge({sum(given)}, {wanted}, rng=rng)"
            )


def _filled(like: State, arrays: list[Any]) -> State:
    """A state with the structure of `like` and these arrays: the inverse of `leaves`."""
    rest = iter(arrays)
    state: State = tree_map(lambda _: next(rest), like)
    return state


def _joined(arrays: list[Any]) -> Array:
    """Arrays (B, size) side by side."""
    joined: Array = namespace(arrays[0]).concatenate(arrays, axis=1)
    return joined


def _cut(joined: Array, sizes: Sequence[int]) -> list[Any]:
    """Split `joined` into arrays (B, size): the inverse of `_joined`."""
    return [joined[:, end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
