"""The contract check can fail: for every clause there is a layer that breaks it and is caught."""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import numpy as np
import pytest

from table import SteppedRNN
from tinygrad_rnn import (
    Attention,
    AttentionDecoder,
    DotAttention,
    EncoderDecoder,
    Feedforward,
    Layer,
    Loss,
    MeanSquaredError,
    Parameter,
    Recurrent,
    RNNCell,
    SoftmaxCrossEntropy,
)
from tinygrad_rnn.cells.base import StepCaches
from tinygrad_rnn.core.arrays import namespace, select
from tinygrad_rnn.core.checks import check_array
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.core.states import Leaf, State, StateSpec, begin, tree_map
from tinygrad_rnn.testing import check_contract, contract, sequences

pytestmark = pytest.mark.messages  # of a clause that is broken, which the shape checks may tell before


class Twice(Feedforward):
    """Keeps the contract: `y = 2 x`."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return 2 * x, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * dy


class Scale(Feedforward):
    """Keeps the contract: `y = w x`."""

    def __init__(self) -> None:
        self.w = Parameter(np.ones(5, np.float32))

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        check_array(self, "x", x, self.w.value)
        return x * self.w.value, x

    def backward(self, dy: Any, cache: Any) -> Any:
        check_array(self, "dy", dy, self.w.value)
        self.w.grad += (dy * cache).reshape(-1, 5).sum(axis=0)
        return dy * self.w.value


class MixesItsDtypes(Scale):
    def __init__(self) -> None:
        super().__init__()
        self.b = Parameter(np.zeros(5))

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        y, cache = super().forward(x, training=training)
        return y + self.b.value, cache

    def backward(self, dy: Any, cache: Any) -> Any:
        self.b.grad += dy.reshape(-1, 5).sum(axis=0)
        return super().backward(dy, cache)


class TakesAnyDtype(Scale):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return x * self.w.value, x


class WritesToItsInput(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        y = 2 * x
        x += 1
        return y, None


class WritesToTheUpstreamGradient(Twice):
    def backward(self, dy: Any, cache: Any) -> Any:
        dy *= 2
        return dy


class WritesToItsCache(SteppedRNN):
    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        gradients = super().step_backward(dy, dstate, cache)
        cache.x[...] = 0
        return gradients


class UsesUpItsCache(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return 2 * x, [x]

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy * 2 * np.ones_like(cache.pop())


class KeepsItsCache(Twice):
    """`y = x²`, with x on the layer, so that a second forward overwrites what the first left."""

    def __init__(self) -> None:
        self.kept: Any = {}

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.kept["x"] = x
        return x * x, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * dy * self.kept["x"]


class OverwritesItsGradient(Scale):
    def backward(self, dy: Any, cache: Any) -> Any:
        check_array(self, "dy", dy, self.w.value)
        self.w.grad = (dy * cache).reshape(-1, 5).sum(axis=0)
        return dy * self.w.value


class AddsAtTheFirstBackwardOnly(Scale):
    def backward(self, dy: Any, cache: Any) -> Any:
        check_array(self, "dy", dy, self.w.value)
        if self.w.grad.any():
            return dy * self.w.value
        return super().backward(dy, cache)


class ReusesABuffer(Twice):
    """One for each shape and dtype."""

    def __init__(self) -> None:
        self.buffers: Any = {}

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        buffer = self.buffers.setdefault((x.shape, x.dtype), np.empty_like(x))
        return np.multiply(x, 2, out=buffer), None


class LeavesAnAttribute(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.last = 2 * x
        return self.last, None


class NeedsAnAttribute(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.factor = 2
        return 2 * x, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return self.factor * dy


class SpreadsFloat64(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return x * np.float64(2), None


class SpreadsFloat64Backward(Twice):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy * np.float64(2)


class LosesDigits(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return (2 * x + 1e6) - 1e6, None


class NamesNoCure(Scale):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        if x.dtype != self.w.value.dtype:
            raise TypeError("wrong dtype")
        return super().forward(x)


class WantsItContiguous(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        y = x.copy(order="K")
        y.reshape(-1)[...] *= 2  # of other layouts, a copy is doubled
        return y, None


class CrashesWhereEmpty(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return 2 * x + 0 * x.max(), None


class NaNWhereEmpty(SoftmaxCrossEntropy):
    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> tuple[Any, Any]:
        loss, cache = super().forward(ys, targets, lengths=lengths, weights=weights)
        return (loss if ys.size else loss * np.nan), cache


class MisshapenWhereEmpty(Twice):
    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * dy if dy.size else np.zeros(0)


class SharesAScratch(Twice):
    """Adds up in one place, and lets others in between."""

    def __init__(self) -> None:
        self.scratch: Any = [0]

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.scratch[0] = x
        time.sleep(1e-3)
        self.scratch[0] = self.scratch[0] + x
        return self.scratch[0], None


class DrawsAtInference(Twice):
    def __init__(self) -> None:
        self.stream = np.random.default_rng(0)

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return 2 * x + self.stream.random(), None


class PaddingCounts(SoftmaxCrossEntropy):
    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> tuple[Any, Any]:
        return super().forward(ys, np.where(targets < ys.shape[-1], targets, 0), weights=weights)


class NothingIsMultiplied(MeanSquaredError):
    """What should weigh 0 weighs hardly anything, and may be NaN."""

    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> tuple[Any, Any]:
        weights = None if weights is None else np.maximum(weights, 1e-30)
        return super().forward(ys, targets, lengths=lengths, weights=weights)


class PaddingIsMultiplied(SteppedRNN):
    """0 times what is there, which may be NaN."""

    def forward(
        self, xs: Any, state: Any = None, *, lengths: Any = None, starts: Any = None, training: bool = True
    ) -> tuple[Any, Any, Any]:
        ys, state, cache = super().forward(xs, state, lengths=lengths, starts=starts, training=training)
        return ys + 0 * xs.sum(axis=-1, keepdims=True), state, cache


class BeginsWithOnes(SteppedRNN):
    """But not where it is asked for its initial state."""

    def forward(
        self, xs: Any, state: Any = None, *, lengths: Any = None, starts: Any = None, training: bool = True
    ) -> tuple[Any, Any, Any]:
        if state is None:
            state = (self.initial_state(xs.shape[1])[0] + 1,)
        return super().forward(xs, state, lengths=lengths, starts=starts, training=training)


class TakesNoneForOnes(SteppedRNN):
    def backward(self, dys: Any, dstate: Any, cache: Any) -> tuple[Any, State]:
        if dys is None:
            dys = np.ones_like(cache.no_dys)
        return super().backward(dys, dstate, cache)


class TakesAnyGradient(SteppedRNN):
    """That of one row is spread over all, unasked."""

    def backward(self, dys: Any, dstate: Any, cache: Any) -> tuple[Any, State]:
        if dys is not None:
            dys = np.broadcast_to(dys, cache.no_dys.shape)
        return super().backward(dys, dstate, cache)


class LastStateIsAView(SteppedRNN):
    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        ys, state, cache = super().unroll_forward(xs, state, rows=rows, training=training)
        if rows.active is None and xs.shape[0]:
            state = (ys[-1],)
        return ys, state, cache


class ForgetsRowsThatDidNotRun(SteppedRNN):
    """A row of length 0 ends in zeros."""

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        ran = np.full(xs.shape[1], xs.shape[0] > 0) if rows.lengths is None else rows.lengths > 0
        ys, (h,), cache = super().unroll_forward(xs, state, rows=rows, training=training)
        return ys, (h * ran[:, None],), (cache, ran)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        inner, ran = cache
        return super().unroll_backward(dys, (dstate[0] * ran[:, None],), inner)


class IgnoresLengths(SteppedRNN):
    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        return super().unroll_forward(xs, state, rows=rows._replace(lengths=None, active=None), training=training)


class MixesRows(SteppedRNN):
    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x - 0.1 * x.sum(axis=0), state, training=training)


class CountsSteps(SteppedRNN):
    """What it does in training depends on where a chunk begins."""

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        if training:
            xs = xs * namespace(xs).arange(1, xs.shape[0] + 1, dtype=xs.dtype)[:, None, None]
        return super().unroll_forward(xs, state, rows=rows, training=training)


class StepsDifferently(SteppedRNN):
    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        return super().unroll_forward(2 * xs, state, rows=rows, training=training)


class StepsThoughNotCausal(SteppedRNN):
    causal = False

    def step(self, x: Any, state: Any, *, starts: Any = None) -> tuple[Any, State]:  # type: ignore[misc]  # it is final
        return x, state


class UnrollsItself(SteppedRNN):
    """Keeps the contract, and lets others begin a document in another way."""

    def fresh(self, state: State, flags: Any) -> State:
        return self.begin(state, flags)

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        if rows.starts is None or not len(xs):
            return super().unroll_forward(xs, state, rows=rows, training=training)
        ys, caches = [], []
        for t, x in enumerate(xs):
            state = self.fresh(state, rows.starts[t])
            y, after, cache = self.step_forward(x, state, training=training)
            active = np.ones(xs.shape[1], bool) if rows.active is None else rows.active[t]
            state = tree_map(functools.partial(select, active), after, state)
            ys.append(y)
            caches.append(cache)
        return np.stack(ys), state, StepCaches(tuple(caches), rows)


class MultipliesWhereADocumentBegins(UnrollsItself):
    """0 times NaN is NaN."""

    def fresh(self, state: State, flags: Any) -> State:
        fresh: State = tree_map(lambda array: array * ~flags[:, None], state)
        return fresh


class BeginsOnlyTheFirstRow(UnrollsItself):
    def fresh(self, state: State, flags: Any) -> State:
        return self.begin(state, flags & (np.arange(len(flags)) == 0))


class LetsGradientsCross(SteppedRNN):
    """From a document into the one before it."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        return super().unroll_backward(dys, dstate, cache._replace(rows=cache.rows._replace(starts=None)))


class Offset(UnrollsItself):
    """Keeps the contract: an `RNNCell` that is given what to add to its state, and keeps that."""

    @property
    def state_spec(self) -> StateSpec:
        return Leaf("h", (self.out_size,)), Leaf("offset", (self.out_size,), kept=True)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        h, offset = state
        y, (h,), cache = super().step_forward(x, (h + offset,), training=training)
        return y, (h, offset), cache

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, (dh,) = super().step_backward(dy, dstate[:1], cache)
        return dx, (dh, dh + dstate[1])


class BeginsAnewWhatItKeeps(Offset):
    def fresh(self, state: State, flags: Any) -> State:
        return begin(tuple(Leaf(leaf.name, leaf.shape) for leaf in self.state_spec), state, flags)


class KeepsWhatItBeginsAnew(Offset):
    def fresh(self, state: State, flags: Any) -> State:
        return state


class Learns(SteppedRNN):
    """Keeps the contract: an `RNNCell` that learns its first state."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h0 = Parameter(np.zeros(out_size, np.float32))

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("h", (self.out_size,), initial=self.h0),)


class LearnsButBeginsWithZeros(Learns, UnrollsItself):
    def fresh(self, state: State, flags: Any) -> State:
        return (select(~flags, state[0], 0),)


class StepsOn(SteppedRNN):
    """A step does not know where a document begins."""

    def step(self, x: Any, state: Any, *, starts: Any = None) -> tuple[Any, State]:  # type: ignore[misc]  # it is final
        return super().step(x, state)


class WeighsPadding(DotAttention):
    """Its content does not matter, but it gets a share."""

    def forward(self, queries: Any, memory: Any, *, lengths: Any = None, training: bool = True) -> tuple[Any, Any, Any]:
        if lengths is not None:
            memory = np.where((np.arange(len(memory))[:, None] < lengths)[..., None], memory, 0)
        return super().forward(queries, memory)


class TakesNoWeightsForSome(DotAttention):
    def backward(self, dcontext: Any, dweights: Any, cache: Any) -> tuple[Any, Any]:
        return super().backward(dcontext, cache.weights if dweights is None else dweights, cache)


class TakesAnyContext(DotAttention):
    """The gradient of one row is spread over all, unasked."""

    def backward(self, dcontext: Any, dweights: Any, cache: Any) -> tuple[Any, Any]:
        if dcontext is not None:
            dcontext = np.broadcast_to(dcontext, cache.no_dcontext.shape)
        return super().backward(dcontext, dweights, cache)


class CentresQueries(DotAttention):
    """Over the batch."""

    def scores(self, queries: Any, memory: Any) -> tuple[Any, Any]:
        return super().scores(queries - 0.1 * queries.sum(axis=1, keepdims=True), memory)


class NaNWithoutMemory(DotAttention):
    def forward(self, queries: Any, memory: Any, *, lengths: Any = None, training: bool = True) -> tuple[Any, Any, Any]:
        context, weights, cache = super().forward(queries, memory, lengths=lengths)
        return context if len(memory) else context * np.nan, weights, cache


class Translates(EncoderDecoder):
    """Keeps the contract."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        super().__init__(RNNCell(3, 4, rng=rng), AttentionDecoder(RNNCell(2, 4, rng=rng), DotAttention()))


class ReadsOnAfterTheSource(Translates):
    def forward(self, sources: Any, targets: Any, **lengths: Any) -> tuple[Any, Any]:
        return super().forward(sources, targets, **lengths | {"source_lengths": None})


class ReadsOnAfterTheTarget(Translates):
    def forward(self, sources: Any, targets: Any, **lengths: Any) -> tuple[Any, Any]:
        return super().forward(sources, targets, **lengths | {"target_lengths": None})


class NaNWithoutSource(Translates):
    def forward(self, sources: Any, targets: Any, **lengths: Any) -> tuple[Any, Any]:
        ys, cache = super().forward(sources, targets, **lengths)
        return ys if len(sources) else ys * np.nan, cache


class Case(NamedTuple):
    kind: Any
    clause: str
    message: str
    also: tuple[str, ...] = ()
    """The clauses that cannot hold either."""


GIVEN, ORDER, KEPT = (
    "nothing_given_is_written_to",
    "backwards_come_in_any_order_and_add_up",
    "nothing_kept_is_overwritten",
)
ON_LAYER, EMPTY, THREADS = "nothing_is_kept_on_the_layer", "empty_axes_are_legal", "threads_may_run_forward"
LAYOUT = "layout_does_not_matter"
CHUNKS, ROWS, FROZEN = "a_sequence_equals_its_chunks", "a_batch_equals_its_rows", "a_state_is_frozen_past_the_end"
ALONE, APART = "documents_in_a_row_equal_documents_alone", "documents_do_not_see_each_other"
STEPS = "a_loop_of_step_begins_documents_too"
ARRAY_AT = r"(ys|(gradient of )?(xs|state\[\d\])) at"  # whichever comes first
ARRAY = r"\[.*\] at \[.*\] is .*, expected "

BREAKING = [
    Case(WritesToItsInput, GIVEN, "a call wrote to what it was given or had given: " + ARRAY, (THREADS, LAYOUT)),
    Case(WritesToTheUpstreamGradient, GIVEN, "a call wrote to what it was given or had given: " + ARRAY, (LAYOUT,)),
    Case(
        WritesToItsCache,
        GIVEN,
        "a call wrote to what it was given or had given: " + ARRAY,
        (ORDER, CHUNKS, LAYOUT, ALONE, APART),
    ),
    Case(UsesUpItsCache, GIVEN, "there are .*, expected", (ORDER, ON_LAYER)),
    Case(
        KeepsItsCache, ORDER, r"a backward depends on earlier backwards: gradient of x at \[0, 0, 0\] is .*, expected"
    ),
    Case(OverwritesItsGradient, ORDER, "backwards do not add up: gradient of w at"),
    Case(AddsAtTheFirstBackwardOnly, ORDER, "backwards do not add up: gradient of w at"),
    Case(ReusesABuffer, KEPT, "a later call overwrote a cache or an output: " + ARRAY),
    Case(LeavesAnAttribute, ON_LAYER, "forward left .* on the layer"),
    Case(NeedsAnAttribute, ON_LAYER, "factor"),
    Case(
        MixesItsDtypes,
        "parameters_have_one_dtype",
        r"MixesItsDtypes\(\): its parameters are of several dtypes: w float32, b float64\. An array made without",
    ),
    Case(SpreadsFloat64, "float32_stays_float32", "with parameters of float32, y is float64"),
    Case(SpreadsFloat64Backward, "float32_stays_float32", "with parameters of float32, gradient of x is float64"),
    Case(LosesDigits, "float32_stays_float32", "float32 is far from float64: y at"),
    Case(TakesAnyDtype, "mixed_dtypes_raise", "takes x in float64 with parameters in float32"),
    Case(NamesNoCure, "mixed_dtypes_raise", "wrong dtype gives no fix"),
    Case(WantsItContiguous, LAYOUT, "the strides of its inputs matter: y at"),
    Case(CrashesWhereEmpty, EMPTY, "zero-size array"),
    Case(NaNWhereEmpty, EMPTY, "T = 0, B = 3: loss holds NaN"),
    Case(MisshapenWhereEmpty, EMPTY, r"T = 0, B = 3: gradient of x has shape \(0,\)"),
    Case(SharesAScratch, THREADS, "threads disturb each other: y at"),
    Case(DrawsAtInference, "nothing_is_drawn_in_use", r"DrawsAtInference\(\): a call at inference drew from stream"),
    Case(PaddingCounts, "padding_never_matters", "the content past a row's end matters: loss at"),
    Case(NothingIsMultiplied, "what_weighs_nothing_never_matters", r"NothingIsMultiplied\(\): what weighs 0 matters: "),
    Case(PaddingIsMultiplied, "padding_never_matters", "the content past a row's end matters: ys at"),
    Case(BeginsWithOnes, "none_is_zeros", "state=None is not the initial state: ys at"),
    Case(TakesNoneForOnes, "none_is_zeros", r"None for \['ys'\] is not zeros: xs at"),
    Case(TakesAnyGradient, "gradients_that_do_not_fit_raise", "takes gradients that do not fit, without a ValueError"),
    Case(LastStateIsAView, "the_last_state_is_small", r"the final state\[0\] is a view of an array \(4, 3, 4\)"),
    Case(ForgetsRowsThatDidNotRun, FROZEN, r"a row of length 0 is not passed through: state\[0\] at"),
    Case(IgnoresLengths, FROZEN, r"a row of length 0 is not passed through: state\[0\] at", (ROWS,)),
    Case(MixesRows, ROWS, "is not .* alone: " + ARRAY_AT, (ALONE, APART)),
    Case(CountsSteps, CHUNKS, "a sequence is not its chunks: ys at", (ALONE,)),
    Case(StepsDifferently, CHUNKS, r"a sequence is not a loop of step: (ys|state\[0\]) at"),
    Case(
        WeighsPadding, "padding_never_matters", "the content past a row's end matters: gradient of queries at", (ROWS,)
    ),
    Case(TakesNoWeightsForSome, "none_is_zeros", r"None for \['weights'\] is not zeros: queries at"),
    Case(TakesAnyContext, "gradients_that_do_not_fit_raise", "takes gradients that do not fit, without a ValueError"),
    Case(CentresQueries, ROWS, "row 0 in a batch is not row 0 alone: context at"),
    Case(NaNWithoutMemory, EMPTY, "T = 6, B = 3, S = 0: context holds NaN", (ROWS,)),
    Case(ReadsOnAfterTheSource, "padding_never_matters", "the content past a row's end matters: ys at", (ROWS,)),
    Case(ReadsOnAfterTheTarget, "padding_never_matters", "the content past a row's end matters: ys at", (ROWS,)),
    Case(NaNWithoutSource, EMPTY, "T = 4, B = 3, S = 0: ys holds NaN", (ROWS,)),
    Case(StepsThoughNotCausal, "step_raises", "is not causal, but step does not raise ValueError"),
    Case(LetsGradientsCross, ALONE, "the document from step 0 of row 0 is not that document alone: " + ARRAY_AT),
    Case(
        BeginsOnlyTheFirstRow,
        ALONE,
        "the document from step 1 of row 1 is not that document alone: " + ARRAY_AT,
        (APART,),
    ),
    Case(BeginsAnewWhatItKeeps, ALONE, "the document from step 0 of row 0 is not that document alone: " + ARRAY_AT),
    Case(
        KeepsWhatItBeginsAnew,
        ALONE,
        "the document from step 0 of row 0 is not that document alone: " + ARRAY_AT,
        (APART,),
    ),
    Case(LearnsButBeginsWithZeros, ALONE, "the document from step 0 of row 0 is not that document alone: " + ARRAY_AT),
    Case(
        MultipliesWhereADocumentBegins,
        APART,
        "(ys|gradient of xs) of a document depends on another document: (ys|gradient of xs) at",
    ),
    Case(StepsOn, STEPS, r"y at step \d of row \d is not that of the document alone: y at"),
]


def make(kind: Any) -> Layer:
    layer: Layer = kind(3, 4, rng=np.random.default_rng(0)) if issubclass(kind, RNNCell) else kind()
    return layer


@functools.cache
def clauses_of(role: type[Layer]) -> list[str]:
    keeps: list[Layer] = [Twice(), SoftmaxCrossEntropy(), make(SteppedRNN), DotAttention(), Translates()]
    return check_contract(next(layer for layer in keeps if isinstance(layer, role)), rng=np.random.default_rng(1))


def clauses(layer: Layer) -> list[str]:
    """Those of the role of `layer`."""
    roles = (Feedforward, Loss, Recurrent, Attention, EncoderDecoder)
    names = clauses_of(next(role for role in roles if isinstance(layer, role)))
    if getattr(layer, "causal", True):
        return names
    return [name if name != CHUNKS else "step_raises" for name in names if name != STEPS]


def broken(layer: Layer) -> set[str]:
    """The clauses that do not hold."""
    found = set()
    for name in clauses(layer):
        clause = getattr(contract, name, None) or getattr(sequences, name)
        try:
            clause(layer, np.random.default_rng(1))
        except Exception:
            found.add(name)
    return found


@pytest.mark.parametrize("case", BREAKING, ids=lambda case: case.kind.__name__)
def test_a_layer_that_breaks_a_clause_is_caught_by_that_clause(case: Case) -> None:
    layer = make(case.kind)
    assert broken(layer) == {case.clause, *case.also}
    with pytest.raises(Exception, match=case.message):
        check_contract(layer, rng=np.random.default_rng(1))


KEEPING = [
    Twice,
    Scale,
    SteppedRNN,
    RNNCell,
    UnrollsItself,
    Offset,
    Learns,
    SoftmaxCrossEntropy,
    DotAttention,
    Translates,
]


@pytest.mark.parametrize("kind", KEEPING)
def test_a_layer_that_keeps_the_contract_passes(kind: Any) -> None:
    layer = make(kind)
    before = {name: p.value.copy() for name, p in layer.named_parameters()}
    assert check_contract(layer, rng=np.random.default_rng(1)) == clauses(layer)
    for name, parameter in layer.named_parameters():
        np.testing.assert_array_equal(parameter.value, before[name])
        assert not parameter.grad.any()


def test_every_clause_has_a_layer_that_breaks_it() -> None:
    kinds = (Twice, SoftmaxCrossEntropy, SteppedRNN, StepsThoughNotCausal, DotAttention, Translates)
    every = {name for kind in kinds for name in clauses(make(kind))}
    assert {case.clause for case in BREAKING} == every


def test_a_layer_of_no_role_is_refused() -> None:
    message = (
        r"Layer\(\) is neither Feedforward, Recurrent, Attention, Pool, EncoderDecoder, ManyToOne nor Loss, so there"
    )
    with pytest.raises(TypeError, match=message):
        check_contract(Layer(), rng=np.random.default_rng(1))


class ClipsItsInput(Twice):
    """Writes to its input, but what it wrote at the first call it writes again at each."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        np.maximum(x, 0, out=x)
        return 2 * x, None


class ClearsItsTargets(SoftmaxCrossEntropy):
    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> tuple[Any, Any]:
        targets[targets == -1] = 0
        return super().forward(ys, targets, lengths=lengths, weights=weights)


class SortsItsLengths(SteppedRNN):
    def forward(
        self, xs: Any, state: Any = None, *, lengths: Any = None, starts: Any = None, training: bool = True
    ) -> tuple[Any, Any, Any]:
        if lengths is not None:
            lengths.sort()
        return super().forward(xs, state, lengths=lengths, starts=starts, training=training)


class KeepsTheShape(Twice):
    """Of the last input, under a name that it had before."""

    def __init__(self) -> None:
        self.shape: Any = None

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.shape = x.shape
        return 2 * x, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * dy.reshape(self.shape)


class KeepsParameters(Scale):
    """Goes back through the parameters as they were at forward."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        y, _ = super().forward(x)
        return y, (x, self.w.value.copy())

    def backward(self, dy: Any, cache: Any) -> Any:
        super().backward(dy, cache[0])
        return dy * cache[1]


class SharesItsOutput(Twice):
    """Two threads of different inputs get the output of one."""

    def __init__(self) -> None:
        self.y: Any = [None]

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        self.y[0] = 2 * x
        time.sleep(1e-3)
        return self.y[0], None


class BeginsInFloat64(SteppedRNN):
    """Learns its first state, and keeps it where nothing converts it."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.hidden = {"h0": Parameter(np.zeros(out_size))}

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("h", (self.out_size,), initial=self.hidden["h0"]),)


class MisshapenOutputWhereEmpty(Twice):
    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        return (2 * x if x.size else np.zeros(0, x.dtype)), x

    def backward(self, dy: Any, cache: Any) -> Any:
        return 2 * dy.reshape(cache.shape)


class GivesItsCache(SoftmaxCrossEntropy):
    """The gradient is computed in forward; backward gives that very array."""

    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> tuple[Any, Any]:
        loss, cache = super().forward(ys, targets, lengths=lengths, weights=weights)
        return loss, super().backward(cache)

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return cache if dloss is None else cache * dloss


class DrawsInAStep(SteppedRNN):
    """At inference too, but not in a sequence."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.noise = rng.spawn(1)[0]

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        if not training:
            self.noise.random()
        return super().step_forward(x, state, training=training)

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        return super().unroll_forward(xs, state, rows=rows, training=True)


class StepsDifferentlyInUse(SteppedRNN):
    """And draws while training, so that its chunks cannot be told from the whole."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.noise = rng.spawn(1)[0]

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        xs = xs + self.noise.random() if training else 2 * xs
        return super().unroll_forward(xs, state, rows=rows, training=training)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ClipsItsInput, "a call wrote to what it was given"),
        (ClearsItsTargets, "a call wrote to what it was given"),
        (SortsItsLengths, "a call wrote to what it was given"),
        (KeepsTheShape, "forward left something on the layer"),
        (KeepsParameters, "the cache holds w from forward"),
        (SharesItsOutput, "threads disturb each other"),
        (BeginsInFloat64, "the initial state"),
        (MisshapenOutputWhereEmpty, "y has shape"),
        (GivesItsCache, "is not a new array"),
        (DrawsInAStep, "a step at inference drew from noise"),
        (StepsDifferentlyInUse, "a sequence is not a loop of step"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_layer_that_breaks_the_contract_in_a_subtle_way_is_caught(
    kind: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "LENGTHS", sequences.LENGTHS.copy())  # which a layer may write to
    with pytest.raises(AssertionError, match=message):
        check_contract(make(kind), rng=np.random.default_rng(1))


def test_an_error_within_a_layer_names_the_clause() -> None:
    with pytest.raises(ValueError, match="zero-size") as caught:
        check_contract(CrashesWhereEmpty(), rng=np.random.default_rng(1))
    assert EMPTY in "".join(getattr(caught.value, "__notes__", []))
