"""The roles of a layer: `Feedforward` knows no time, `Recurrent` maps sequences with a state, `Loss` ends in a number.

All keep one contract. Nothing given to a call is written to: not inputs, upstream gradients or caches. What backward
needs of a forward is its cache, a value: backwards may come in any order, any number of times, and each adds its
parameter gradients once, with the parameters as they are then. No axis but the features' must be non-empty.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, final

from .arrays import Array, Bool, Booleans, Float, Integer, Integers, is_empty, no_gradient
from .checks import check_array, check_flags, check_integers
from .layer import Layer
from .rows import Rows, make_rows
from .states import (
    State,
    StateSpec,
    absent,
    add_initial_gradient,
    begin,
    begin_backward,
    given_or_initial,
    initial_state,
    learns,
    tree_map,
)


class Feedforward(Layer):
    """A map that knows no time: any leading axes, (T, B, D), (B, D) or (D,). Its author writes the two methods."""

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

    def forward_rows(self, x: Any, *, training: bool) -> tuple[Any, Any]:
        """As `forward`, for a cell that comes next: an embedding then gives `TableRows`, which it does not look up."""
        return self.forward(x, training=training)

    @final
    def __call__(self, x: Any) -> Any:
        """`x` to `y` at inference: `forward` with `training=False`, less the cache."""
        return self.forward(x, training=False)[0]


class SequenceCache(NamedTuple):
    """What `Recurrent.forward` keeps."""

    inner: Any
    """The cache of the subclass: of a cell, that of its steps."""
    rows: Rows
    """Where rows end and documents begin."""
    began: Any
    """Which parts of the state were initial, a tree of bools; None where no initial state learns."""
    no_dys: Array | None
    """Zeros for an absent `dys`, in the memory of one number."""
    no_dstate: State
    """Zeros for an absent `dstate`, likewise."""
    no_dxs: Array | None
    """Zeros for an absent `dxs`, likewise; None where xs holds ids or one-hot rows."""


class Recurrent(Layer):
    """A map of a sequence, with a state that is passed in and out.

    `forward` and `backward` do once what every subclass needs: they check the input, put zeros in place of absent
    states and gradients, and clear the padding (what lies past a row's length), so that its content never matters.
    Between that, `unroll_forward` and `unroll_backward` of the subclass run the sequence.
    """

    in_size: int | None = None
    """Features of the input; None takes what comes. For a layer of ids, how many ids there are."""
    out_size: int | None = None
    """Features of the output; None keeps as many as came."""
    takes_ids = False
    """Whether the input is integers, which have no features axis."""
    causal = True
    """Whether an output depends on nothing later, so that `step` makes sense."""

    @property
    @abstractmethod
    def state_spec(self) -> StateSpec:
        """The declaration of the state: a tree of tuples with a `Leaf` for each array; `()` where there is none."""

    @abstractmethod
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        """One step: `x` (B, D) and the state to `(y, next state, cache)`, y (B, H)."""

    @abstractmethod
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Back through one step: `dy` (B, H) and the gradient of its next state to `(dx, dstate)`; never given None."""

    @abstractmethod
    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        """The sequence: `xs` (T, B, D) to `(ys, state, cache)`.

        Where `rows.starts` is True the state begins anew before the step; past a row's end it stays as it is. Output
        and cache may hold anything there.
        """

    @abstractmethod
    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Back through the sequence: `dys` (T, B, H), 0 in the padding, and `dstate` to `(dxs, dstate)`."""

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        """`step` without its checks, for a state that is given: `step_forward` at inference, less the cache.

        A subclass that needs no cache may be quicker.
        """
        y, state, _ = self.step_forward(x, state, training=False)
        return y, state

    @final
    def initial_state(self, batch: int) -> State:
        """The state before the first step, as it is declared: arrays with `batch` rows.

        They have the dtype and device of the parameters; without parameters, float32 on the CPU.
        """
        return initial_state(self.state_spec, batch, self._like())

    @final
    def begin(self, state: State, starts: Bool[Booleans, " B"]) -> State:
        """`state` begun anew in the rows where `starts` (B,) is True, for a loop over `step_forward`.

        What is declared as kept, such as the memory of an attention, stays.
        """
        return begin(self.state_spec, state, starts)

    @final
    def begin_backward(self, dstate: State, starts: Bool[Booleans, " B"]) -> State:
        """Back through `begin`: no gradient goes to what was before; an initial state that learns gets it."""
        return begin_backward(self.state_spec, dstate, starts)

    def forward(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        starts: Bool[Booleans, "T B"] | None = None,
        training: bool = True,
    ) -> tuple[Any, State, SequenceCache]:
        """A sequence, or a chunk of one that goes on from `state`.

        Args:
            xs: (T, B, D), or ids (T, B).
            state: the state before it; None is `initial_state`, for a part of it too.
            lengths: (B,), steps of each row, 0 to T. Past its end a row's output is 0 and its state frozen.
            starts: (T, B), True where the state begins anew before the step: a document begins in the row.
            training: False at inference: layers such as dropout do nothing.

        Returns:
            ys (T, B, H), the state after it, and the cache for `backward`.

        Raises:
            ValueError: a shape, an id or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        takes = "(T, B), ids" if self.takes_ids else "(T, B, D)"
        like = self._check_input("xs", xs, f"forward takes {takes}", 3, "One step is `step`")
        steps, batch = xs.shape[:2]
        rows, spec = make_rows(self, lengths, starts, steps, batch, xs), self.state_spec
        began = absent(state) if learns(spec) else None
        state = given_or_initial(self, "state", state, spec, batch, like)
        xs = rows.clear(xs)
        ys, state, inner = self.unroll_forward(xs, state, rows=rows, training=training)
        cache = SequenceCache(inner, rows, began, no_gradient(ys), tree_map(no_gradient, state), no_gradient(xs))
        return rows.clear(ys), state, cache

    def backward(self, dys: Any, dstate: Any, cache: SequenceCache) -> tuple[Any, State]:
        """Back through time; adds to the parameters' gradients.

        Args:
            dys: (T, B, H), the gradient of the loss w.r.t. `ys`; None is zeros.
            dstate: that w.r.t. the state after the sequence; None is zeros, and is what truncates.
            cache: what `forward` gave.

        Returns:
            The gradients w.r.t. `xs` (None for ids) and w.r.t. the state before the sequence.

        Raises:
            ValueError: `dys` or `dstate` is not of the shape of what forward gave.
            TypeError: a dtype or device differs from that.
        """
        inner, rows, began, no_dys, no_dstate, no_dxs = cache
        dys = rows.clear(given_or_zeros(self, "dys", dys, no_dys))
        dstate = given_or_zeros(self, "dstate", dstate, no_dstate)
        dxs, dstate = self.unroll_backward(dys, dstate, inner)
        if began is not None:
            add_initial_gradient(self.state_spec, dstate, began)
        return (no_dxs if no_dxs is None or dxs is None else rows.clear(dxs)), dstate

    @final
    def __call__(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        starts: Bool[Booleans, "T B"] | None = None,
    ) -> tuple[Any, State]:
        """`(ys, state)` at inference: `forward` with `training=False`, less the cache."""
        ys, state, _ = self.forward(xs, state, lengths=lengths, starts=starts, training=False)
        return ys, state

    @final
    def step(self, x: Any, state: State | None, *, starts: Bool[Booleans, " B"] | None = None) -> tuple[Any, State]:
        """One step at inference: `x` (B, D) or ids (B,), to `(y, state)`.

        Args:
            x: (B, D), or ids (B,).
            state: the state before it; None is `initial_state`.
            starts: (B,), True where the row begins anew, whatever its state was.

        Raises:
            ValueError: a shape or id does not fit, or the layer is not causal.
            TypeError: a dtype or device differs from the parameters'.
        """
        if not self.causal:
            raise ValueError(f"{self!r} has no step: its outputs depend on later inputs. Give it whole sequences")
        takes = "(B,), ids" if self.takes_ids else "(B, D)"
        like, batch = self._check_input("x", x, f"step takes {takes}", 2, "A sequence goes to `forward`"), x.shape[0]
        state = given_or_initial(self, "state", state, self.state_spec, batch, like)
        if starts is not None:
            check_flags(self, "starts", starts, (batch,), x)
            if not is_empty(starts):
                state = self.begin(state, starts)
        return self.take_step(x, state)

    def _check_input(self, name: str, x: Any, takes: str, ndim: int, instead: str) -> Any:
        """Raise unless `x` is an input of this layer; gives what states have the dtype and device of."""
        like = self._like()
        if self.takes_ids:
            check_integers(self, name, x, like)
        else:
            check_array(self, name, x, like)
        if x.ndim != ndim - self.takes_ids:
            raise ValueError(f"{self!r}: {takes}; {name} has shape {x.shape}. {instead}")
        if not self.takes_ids and self.in_size not in (None, x.shape[-1]):
            raise ValueError(f"{self!r}: {name} has shape {x.shape}, but its last axis must have size {self.in_size}")
        return x if like is None else like


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


class Loss(Layer):
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
