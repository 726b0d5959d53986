"""The roles of a layer: `Feedforward` knows no time, `Recurrent` maps sequences with a state, `Loss` ends in a number.

All keep one contract. Nothing given to a call is written to: not inputs, upstream gradients or caches. What backward
needs of a forward is its cache, a value: backwards may come in any order, any number of times, and each adds its
parameter gradients once, with the parameters as they are then. No axis but the features' must be non-empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, final

from .arrays import Array, Bool, Booleans, Float, Integer, Integers, is_empty, namespace, no_gradient, select
from .checks import check_array, check_device, check_integers, check_lengths
from .layer import Layer
from .rows import clear_padding
from .states import State, tree_map


class Feedforward(Layer, ABC):
    """A map that knows no time: any leading axes, (T, B, D), (B, D) or (D,). Its author writes the two methods."""

    knows_time: ClassVar[Literal[False]] = False
    """Tells a `Feedforward` from a `Recurrent` in a tenth of what `isinstance` takes for an abstract class."""
    in_size: int | None = None
    """Features of the input; None takes what comes. For a layer of ids, how many ids there are."""
    out_size: int | None = None
    """Features of the output; None keeps as many as came."""
    takes_ids = False
    """Whether the input is integers, which have no features axis."""

    @abstractmethod
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        """`x` (..., D) to `(y, cache)`, y (..., H)."""

    @abstractmethod
    def backward(self, dy: Any, cache: Any) -> Any:
        """`dy` (..., H) to `dx` (..., D), None where x holds integers; adds to the parameters' gradients."""

    @final
    def __call__(self, x: Any) -> Any:
        """`x` to `y`, as in use: `training=False`, and no cache."""
        return self.forward(x, training=False)[0]


class SequenceCache(NamedTuple):
    """What `Recurrent.forward` keeps."""

    inner: Any
    """The cache of the subclass: of a cell, that of its steps."""
    active: Booleans | None
    """(T, B), True where the row still runs; None without lengths."""
    no_dys: Array | None
    """Zeros for an absent `dys`, in the memory of one number."""
    no_dstate: State
    """Zeros for an absent `dstate`, likewise."""
    no_dxs: Array | None
    """Zeros for an absent `dxs`, likewise; None where xs holds ids or one-hot rows."""


class Recurrent(Layer, ABC):
    """A map of a sequence, with a state that is passed in and out.

    `forward` and `backward` do here, once, what every subclass needs: absent states and gradients become zeros, input
    is checked, and padding (what lies past a row's length) is cleared, so that its content never matters. Between
    that, `unroll_forward` and `unroll_backward` of the subclass run the sequence.
    """

    knows_time: ClassVar[Literal[True]] = True
    """As in `Feedforward`."""
    in_size: int | None = None
    """Features of the input; None takes what comes. For a layer of ids, how many ids there are."""
    out_size: int | None = None
    """Features of the output; None keeps as many as came."""
    takes_ids = False
    """Whether the input is integers, which have no features axis."""
    causal = True
    """Whether an output depends on nothing later, so that `step` makes sense."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state before the first step, a tree of arrays (B, ...)."""

    @abstractmethod
    def check_state(self, state: Any, batch: int, name: str = "state") -> None:
        """Raise TypeError or ValueError unless `state` is one of this layer, for `batch` rows."""

    @abstractmethod
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        """One step: `x` (B, D) and the state to `(y, next state, cache)`, y (B, H)."""

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        """`step`, less its checks and with a state that is given: `step_forward` as in use, less the cache.

        A subclass that needs no cache may be quicker.
        """
        y, state, _ = self.step_forward(x, state, training=False)
        return y, state

    @abstractmethod
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Back through one step: `dy` (B, H) and the gradient of its next state to `(dx, dstate)`; never given None."""

    @abstractmethod
    def unroll_forward(
        self, xs: Any, state: State, *, lengths: Integers | None, active: Booleans | None, training: bool
    ) -> tuple[Any, State, Any]:
        """The sequence: `xs` (T, B, D) to `(ys, state, cache)`. Past a row's end its state stays as it is.

        `lengths` (B,) and `active` (T, B) say the same; both are None where every row is whole.
        """

    @abstractmethod
    def unroll_backward(self, dys: Any, dstate: State, cache: Any, *, active: Booleans | None) -> tuple[Any, State]:
        """Back through the sequence: `dys` (T, B, H) and `dstate` to `(dxs, dstate)`."""

    def forward(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        training: bool = True,
    ) -> tuple[Any, State, SequenceCache]:
        """A sequence, or a chunk of one that goes on from `state`.

        Args:
            xs: (T, B, D), or ids (T, B).
            state: the state before it; None is `initial_state`.
            lengths: (B,), steps of each row, 0 to T. Past its end a row's output is 0 and its state frozen.
            training: False as in use: layers such as dropout do nothing.

        Returns:
            ys (T, B, H), the state after it, and the cache for `backward`.

        Raises:
            ValueError: a shape, an id or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        takes = "(T, B), ids" if self.takes_ids else "(T, B, D)"
        self._check_input("xs", xs, f"forward takes {takes}", 3, "One step is `step`")
        steps, batch = xs.shape[:2]
        active = None
        if lengths is not None:
            check_lengths(self, lengths, steps, batch, xs)
            active = namespace(lengths).arange(steps)[:, None] < lengths
            xs = clear_padding(xs, active)
        if state is None:
            state = self._start(xs, batch)
        self.check_state(state, batch)
        ys, state, inner = self.unroll_forward(xs, state, lengths=lengths, active=active, training=training)
        cache = SequenceCache(inner, active, no_gradient(ys), tree_map(no_gradient, state), no_gradient(xs))
        return clear_padding(ys, active), state, cache

    def backward(self, dys: Any, dstate: Any, cache: SequenceCache) -> tuple[Any, State]:
        """Back through time; adds to the parameters' gradients.

        Args:
            dys: (T, B, H), the gradient of the loss by `ys`; None is zeros.
            dstate: that by the state after the sequence; None is zeros, and is what truncates.
            cache: what `forward` gave.

        Returns:
            The gradients by `xs` (None for ids) and by the state before the sequence.

        Raises:
            ValueError: `dys` or `dstate` is not of the shape of what forward gave.
            TypeError: a dtype or device differs from that.
        """
        inner, active, no_dys, no_dstate, no_dxs = cache
        dys = clear_padding(given_or_zeros(self, "dys", dys, no_dys), active)
        dstate = given_or_zeros(self, "dstate", dstate, no_dstate)
        dxs, dstate = self.unroll_backward(dys, dstate, inner, active=active)
        if no_dxs is None or dxs is None:
            return no_dxs, dstate
        return clear_padding(dxs, active), dstate

    @final
    def __call__(
        self, xs: Any, state: State | None = None, *, lengths: Integer[Integers, " B"] | None = None
    ) -> tuple[Any, State]:
        """`(ys, state)` as in use: `forward` with `training=False`, less the cache."""
        ys, state, _ = self.forward(xs, state, lengths=lengths, training=False)
        return ys, state

    @final
    def step(self, x: Any, state: State | None) -> tuple[Any, State]:
        """One step as in use: `x` (B, D) or ids (B,), to `(y, state)`. `state` None is `initial_state`.

        Raises:
            ValueError: a shape or id does not fit, or the layer is not causal.
            TypeError: a dtype or device differs from the parameters'.
        """
        if not self.causal:
            raise ValueError(f"{self!r} has no step: its outputs depend on later inputs. Give it whole sequences")
        takes = "(B,), ids" if self.takes_ids else "(B, D)"
        self._check_input("x", x, f"step takes {takes}", 2, "A sequence goes to `forward`, or a call")
        batch = x.shape[0]
        if state is None:
            state = self.initial_state(batch)
        self.check_state(state, batch)
        return self.take_step(x, state)

    def restart(self, state: State | None, fresh: Bool[Booleans, " B"]) -> State:
        """`state` with the rows where `fresh` is True begun anew; with `state` None, all of them.

        Raises:
            TypeError: `fresh` lies on another device than the parameters.
        """
        if not hasattr(fresh, "device") or fresh.dtype.kind != "b":
            raise TypeError(f"{self!r}: fresh must be an array (B,) of bools, True where a row begins anew")
        check_device(self, "fresh", fresh, self._like())
        if state is None:
            return self.initial_state(fresh.shape[0])
        if is_empty(fresh):
            return state
        self.check_state(state, fresh.shape[0])
        return self._restart(state, fresh)

    def example_state(self, batch: int) -> State:
        """A state like those in use, for the checks of `testing`, which draw its floating-point numbers anew.

        `initial_state`, but of a layer where that leaves out what a state may hold.
        """
        return self.initial_state(batch)

    def _restart(self, state: State, fresh: Booleans) -> State:
        """As `restart`, of a state that is one of this layer; None in place of a part begins anew."""
        start = self.initial_state(fresh.shape[0])
        begun: State = tree_map(lambda old, new: new if old is None else select(fresh, new, old), state, start)
        return begun

    def _start(self, xs: Any, batch: int) -> State:
        """The state for `state=None`."""
        return self.initial_state(batch)

    def _check_input(self, name: str, x: Any, takes: str, ndim: int, instead: str) -> None:
        like = self._like()
        if self.takes_ids:
            check_integers(self, name, x, like)
        else:
            check_array(self, name, x, like)
        if x.ndim != ndim - self.takes_ids:
            raise ValueError(f"{self!r}: {takes}; {name} has shape {x.shape}. {instead}")
        if not self.takes_ids and self.in_size not in (None, x.shape[-1]):
            raise ValueError(f"{self!r}: {name} has shape {x.shape}, but its last axis must have size {self.in_size}")


def given_or_zeros(owner: object, name: str, gradient: Any, zeros: Any) -> Any:
    """`gradient` with the like part of `zeros` wherever it is None; its shapes, dtype and device must be those."""
    if gradient is None:
        return zeros
    if isinstance(zeros, tuple):
        if not isinstance(gradient, tuple) or len(gradient) != len(zeros):
            raise ValueError(
                f"{owner!r}: {name} must be None or a tuple of {len(zeros)}, as the state that forward gave"
            )
        pairs = enumerate(zip(gradient, zeros, strict=True))
        return tuple(given_or_zeros(owner, f"{name}[{i}]", part, zero) for i, (part, zero) in pairs)
    if zeros is not None:
        check_array(owner, name, gradient, zeros)
        if gradient.shape != zeros.shape:
            raise ValueError(f"{owner!r}: {name} has shape {gradient.shape}, but it belongs to an array {zeros.shape}")
    return gradient


class Loss(Layer, ABC):
    """A map of predictions and targets to a number, and back."""

    takes_ids = False
    """Whether the targets are class ids (T, B) rather than numbers (T, B, V)."""

    @abstractmethod
    def forward(
        self, ys: Any, targets: Any, *, lengths: Integer[Integers, " B"] | None = None
    ) -> tuple[Float[Array, "..."], Any]:
        """`(loss, cache)`; the loss is an array without axes."""

    @abstractmethod
    def backward(self, cache: Any, dloss: Any = None) -> Float[Array, "..."]:
        """The gradient by `ys`, a fresh array, times `dloss`, the gradient by the loss (None: 1)."""

    @final
    def __call__(self, ys: Any, targets: Any, *, lengths: Integer[Integers, " B"] | None = None) -> Float[Array, "..."]:
        """The loss alone."""
        return self.forward(ys, targets, lengths=lengths)[0]
