"""The roles of a layer: `Feedforward` has no state, `Recurrent` maps sequences with a state, `Loss` gives a number.

All of them keep one contract. A call never writes to what it is given: inputs, upstream gradients or caches. A cache
holds all that backward needs from its forward, so backwards may run in any order and any number of times. Each backward
adds its parameter gradients once, and uses the current parameters. Every axis but that of the features may be empty.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, final

from .arguments import check_bool, check_size
from .arrays import Array, Bool, Booleans, Float, Integer, Integers, is_empty, no_gradient
from .blas import with_one_blas_thread
from .checks import check_array, check_cache, check_flags, check_integers, check_one_hot
from .chunks import is_long, joined
from .device import keep_freed_memory
from .layer import Layer
from .returns import check_tuple
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
    """A map without a state, over any leading axes: (T, B, D), (B, D) or (D,). A subclass writes the two methods."""

    in_size: int | None = None
    """Features of the input; None takes any number. For a layer of ids, the size of the vocabulary."""
    out_size: int | None = None
    """Features of the output; None means as many as the input has."""
    takes_ids = False
    """Whether the input is integer ids, which have no axis of features."""

    @abstractmethod
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        """Map `x` (..., D) to `(y, cache)`, y (..., H)."""

    @abstractmethod
    def backward(self, dy: Any, cache: Any) -> Any:
        """Map `dy` (..., H) to `dx` (..., D), None where x holds integers; add to the parameters' gradients."""

    def forward_rows(self, x: Any, *, training: bool) -> tuple[Any, Any]:
        """Like `forward`, if a cell comes next: an embedding then gives `TableRows`, without the look-up."""
        return self.forward(x, training=training)

    @final
    def __call__(self, x: Any) -> Any:
        """`y` at inference: `forward` with `training=False`, without the cache."""
        return self.forward(x, training=False)[0]


class SequenceCache(NamedTuple):
    """What `Recurrent.forward` keeps."""

    inner: Any
    """The cache of the subclass; for a cell, the cache of its steps."""
    rows: Rows
    """Where rows end and documents begin."""
    began: Any
    """Which parts of the state were initial, a tree of bools; None where no initial state is a parameter."""
    no_dys: Array | None
    """Zeros for an absent `dys`, in the memory of one number."""
    no_dstate: State
    """Zeros for an absent `dstate`, stored in the same way."""
    no_dxs: Array | None
    """Zeros for an absent `dxs`, stored in the same way; None where xs holds ids or one-hot rows."""


class Recurrent(Layer):
    """A map of a sequence, with a state that is passed in and out.

    `forward` and `backward` of this class do what every subclass needs: they check the input, fill in absent states and
    gradients, and clear the padding (what lies past a row's length), so that its content never matters. They call
    `unroll_forward` and `unroll_backward` of the subclass, which run the sequence.
    """

    in_size: int | None = None
    """Features of the input; None takes any number. For a layer of ids, the size of the vocabulary."""
    out_size: int | None = None
    """Features of the output; None means as many as the input has."""
    takes_ids = False
    """Whether the input is integer ids, which have no axis of features."""
    causal = True
    """Whether no output depends on later inputs, so that `step` makes sense."""

    @property
    @abstractmethod
    def state_spec(self) -> StateSpec:
        """The declaration of the state: a tree of tuples with a `Leaf` for each array; `()` where there is no state."""

    @abstractmethod
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        """Map `x` (B, D) and the state to `(y, next state, cache)`, y (B, H): one step."""

    @abstractmethod
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Back through one step: map `dy` (B, H) and the gradient w.r.t. the next state to `(dx, dstate)`.

        Neither argument is ever None.
        """

    @abstractmethod
    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        """Map `xs` (T, B, D) and the state to `(ys, final state, cache)`: the whole sequence.

        Where `rows.starts` is True, the state is reset to the initial state before the step. Past a row's end the state
        does not change, and output and cache may hold anything.
        """

    @abstractmethod
    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Back through the sequence: map `dys` (T, B, H), 0 in the padding, and `dstate` to `(dxs, dstate)`."""

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        """`step` without its checks, for a given state: `step_forward` at inference, without the cache.

        A subclass may compute it faster, because no cache is needed.
        """
        y, state, _ = self.step_forward(x, state, training=False)
        return y, state

    @final
    def initial_state(self, batch: int) -> State:
        """The state before the first step, as declared by `state_spec`: arrays with `batch` rows.

        They have the dtype and device of the parameters; without parameters, float32 on the CPU.

        Raises:
            TypeError: `batch` is not an integer.
            ValueError: it is below 0.
        """
        return initial_state(self.state_spec, check_size(self, "batch", batch, least=0), self._like())

    @final
    def begin(self, state: State, starts: Bool[Booleans, " B"]) -> State:
        """`state`, reset to the initial state in the rows where `starts` (B,) is True; for a loop over `step_forward`.

        Arrays declared as kept, such as the memory of an attention, stay.
        """
        return begin(self.state_spec, state, starts)

    @final
    def begin_backward(self, dstate: State, starts: Bool[Booleans, " B"]) -> State:
        """Back through `begin`: in the rows that began, only an initial state that is a parameter gets a gradient."""
        return begin_backward(self.state_spec, dstate, starts)

    @with_one_blas_thread
    def forward(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        starts: Bool[Booleans, "T B"] | None = None,
        training: bool = True,
    ) -> tuple[Any, State, SequenceCache]:
        """Run a sequence, or a chunk of one that continues from `state`.

        Args:
            xs: (T, B, D), or ids (T, B).
            state: the state before the sequence; None, for all or a part of it, is `initial_state`.
            lengths: (B,), steps of each row, 0 to T. Past a row's end, its output is 0 and its state is frozen.
            starts: (T, B), True where a document begins in the row: the state is reset before that step.
            training: False at inference, where layers such as dropout do nothing.

        Returns:
            ys (T, B, H), the final state, and the cache for `backward`.

        Raises:
            ValueError: a shape, an id or a length does not fit.
            TypeError: a dtype or device differs from the parameters'.
        """
        check_bool(self, "training", training)
        if training:
            keep_freed_memory()
        takes = "(T, B), ids" if self.takes_ids else "(T, B, D)"
        instead = "For one step call `step`; for a batch of one row, give xs[:, None]"
        like = self._check_input("xs", xs, f"forward takes {takes}", 3, instead)
        steps, batch = xs.shape[:2]
        rows, spec = make_rows(self, lengths, starts, steps, batch, xs), self.state_spec
        given, state = state, given_or_initial(self, "state", state, spec, batch, like)
        began = absent(given) if given is not state and learns(spec) else None
        xs = rows.clear(xs)
        check_one_hot(self, xs)
        made = self.unroll_forward(xs, state, rows=rows, training=training)
        ys, state, inner = check_tuple(self, "unroll_forward", None, made, "(ys, state, cache)")
        cache = SequenceCache(inner, rows, began, no_gradient(ys), tree_map(no_gradient, state), no_gradient(xs))
        return rows.clear(ys), state, cache

    @with_one_blas_thread
    def backward(self, dys: Any, dstate: Any, cache: SequenceCache) -> tuple[Any, State]:
        """Back through time; adds to the parameters' gradients.

        Args:
            dys: (T, B, H), the gradient of the loss w.r.t. `ys`; None is zeros.
            dstate: the gradient of the loss w.r.t. the final state; None is zeros, which truncates backpropagation.
            cache: the one that `forward` gave.

        Returns:
            The gradients w.r.t. `xs` (None for ids) and w.r.t. the state before the sequence.

        Raises:
            ValueError: `dys` or `dstate` differs in shape from what `forward` gave.
            TypeError: it differs in dtype or device.
        """
        check_cache(self, cache, SequenceCache)
        inner, rows, began, no_dys, no_dstate, no_dxs = cache
        dys = rows.clear(given_or_zeros(self, "dys", dys, no_dys))
        dstate = given_or_zeros(self, "dstate", dstate, no_dstate)
        made = self.unroll_backward(dys, dstate, inner)
        dxs, dstate = check_tuple(self, "unroll_backward", None, made, "(dxs, dstate)")
        if began is not None:
            add_initial_gradient(self.state_spec, dstate, began)
        return (None if no_dxs is None else rows.clear(dxs)), dstate

    @final
    def __call__(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        starts: Bool[Booleans, "T B"] | None = None,
    ) -> tuple[Any, State]:
        """`(ys, state)` at inference: `forward` with `training=False`, without the cache.

        Long sequences are computed in chunks, so that the memory needed is little more than that of `ys`.
        """
        if is_long(self, xs):
            return joined(self, xs, state, lengths, starts)
        ys, state, _ = self.forward(xs, state, lengths=lengths, starts=starts, training=False)
        return ys, state

    @final
    def step(self, x: Any, state: State | None, *, starts: Bool[Booleans, " B"] | None = None) -> tuple[Any, State]:
        """One step at inference: map `x` to `(y, state)`.

        Args:
            x: (B, D), or ids (B,).
            state: the state before the step; None is `initial_state`.
            starts: (B,), True where a document begins in the row: its state is reset before the step.

        Raises:
            ValueError: a shape or id does not fit, or the layer is not causal.
            TypeError: a dtype or device differs from the parameters'.
        """
        if not self.causal:
            raise ValueError(f"{self!r} has no step: its outputs depend on later inputs. Give it whole sequences")
        takes = "(B,), ids" if self.takes_ids else "(B, D)"
        like, batch = self._check_input("x", x, f"step takes {takes}", 2, "For a sequence call `forward`"), x.shape[0]
        check_one_hot(self, x)
        state = given_or_initial(self, "state", state, self.state_spec, batch, like)
        if starts is not None:
            check_flags(self, "starts", starts, (batch,), x)
            if not is_empty(starts):
                state = self.begin(state, starts)
        return self.take_step(x, state)

    def _check_input(self, name: str, x: Any, takes: str, ndim: int, instead: str) -> Any:
        """Raise unless `x` is an input of this layer; gives an array with the dtype and device of the state."""
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
    """`gradient`, with the same part of `zeros` wherever it is None; it must match their shapes, dtype and device."""
    if gradient is None:
        return zeros
    if isinstance(zeros, tuple):
        if not isinstance(gradient, tuple) or len(gradient) != len(zeros):
            raise ValueError(
                f"{owner!r}: {name} must be None or a tuple of {len(zeros)}, like the state that forward gave"
            )
        pairs = enumerate(zip(gradient, zeros, strict=True))
        return tuple(given_or_zeros(owner, f"{name}[{i}]", part, zero) for i, (part, zero) in pairs)
    if zeros is not None:
        check_array(owner, name, gradient, zeros)
        if gradient.shape != zeros.shape:
            raise ValueError(f"{owner!r}: {name} has shape {gradient.shape}, but forward gave an array {zeros.shape}")
    return gradient


class Loss(Layer):
    """A map from predictions and targets to a number.

    A loss of your own may leave out the argument `weights`, which is passed only if there are weights.
    """

    takes_ids = False
    """Whether the targets are class ids (T, B) rather than numbers (T, B, V)."""
    takes_distributions = False
    """Whether the targets may also be a distribution over the classes (T, B, V) for each id."""
    outputs_per_target: int = 1
    """How many numbers of `ys` belong to one number of the targets, such as 2 for a mean and a variance."""

    @abstractmethod
    def forward(
        self, ys: Any, targets: Any, *, lengths: Integer[Integers, " B"] | None = None, weights: Any = None
    ) -> tuple[Float[Array, "..."], Any]:
        """`(loss, cache)`; the loss is an array without axes.

        Args:
            ys: the predictions, (T, B, V).
            targets: (T, B, V), or ids (T, B).
            lengths: (B,), the steps of each row, 0 to T. Steps past a row's end do not count.
            weights: (T, B), at least 0: floats, integers or bools. A step with weight 0 does not count, even if it is
                NaN.
        """

    @abstractmethod
    def backward(self, cache: Any, dloss: Any = None) -> Float[Array, "..."]:
        """The gradient w.r.t. `ys`, a new array, times `dloss`, the upstream gradient w.r.t. the loss (None: 1)."""

    @final
    def __call__(
        self, ys: Any, targets: Any, *, lengths: Integer[Integers, " B"] | None = None, weights: Any = None
    ) -> Float[Array, "..."]:
        """The loss, without the cache."""
        given = {} if weights is None else {"weights": weights}
        return self.forward(ys, targets, lengths=lengths, **given)[0]

    def count(self, cache: Any) -> Float[Array, ""]:
        """The divisor of the mean: the sum of the weights that counted in the `forward` that gave `cache`.

        It joins the means of several batches, `sum(count * loss) / sum(count)`, for any reduction. Without weights it
        is the number of targets that counted.

        Raises:
            TypeError: `cache` is not of this loss, or a loss of your own keeps no `counted` in its cache.
        """
        counted: Any = getattr(cache, "counted", None)
        if counted is None:
            raise TypeError(
                f"{self!r}: cache must be what forward gave, with the sum of the weights that counted as the field "
                f"`counted`, not a {type(cache).__name__}"
            )
        return counted  # type: ignore[no-any-return]
