"""Where a fault of a backward lies: in the smallest setting that has it, and the first wrong value of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from ..core.arrays import Booleans, Generator, Integers
from ..core.layer import Layer, places
from ..core.roles import Feedforward, Loss, Recurrent
from .differences import analytic, drawn_before, numerical, wrong_in
from .examples import Example, RecurrentExample, StepsExample, examples
from .faults import Fault, Report
from .named import Arrays
from .probes import Watch, watched


def locate(
    layer: Layer,
    rng: Generator,
    lengths: Integers | None,
    starts: Booleans | None,
    tolerance: float,
    check: Callable[..., object],
) -> Fault:
    """Where the fault lies that `check`, the gradient check, has found: in a child, or in the layer itself."""
    for name, child in places(layer, lambda value: isinstance(value, Layer) and value is not layer):
        options = {"lengths": lengths, "starts": starts} if isinstance(child, Recurrent) else {}
        try:
            check(child, rng=rng, tolerance=tolerance, **options)
        except AssertionError as error:
            fault: Fault | None = getattr(error, "fault", None)
            names = tuple(f"{name}.{inner}" for inner in fault.names) if fault else ()
            return Fault(names, f"The fault is in {name} by itself. {str(error).splitlines()[0]}")
        except Exception:  # it cannot be checked by itself
            continue
    try:
        for words, example in _settings(layer, rng, lengths, starts):
            found = _examine(words, example, rng, tolerance)
            if found is not None:
                return found
    except Exception:  # a smaller call that fails in another way must not hide the fault
        pass
    return Fault((), "")


def _settings(
    layer: Layer, rng: Generator, lengths: Integers | None, starts: Booleans | None
) -> Iterator[tuple[str, Example]]:
    """Calls of the layer, the smallest first, with what it means if this is the first that is wrong."""
    if not isinstance(layer, Recurrent):
        plain, *weighted = examples(layer, rng)
        yield "", plain
        for example in weighted:
            yield "Without `weights` all is right. ", example
        if lengths is not None:
            yield "Without `lengths` all is right. ", examples(layer, rng, lengths)[0]
        return
    one = {"T": slice(0, 1)}
    if layer.causal:
        steps = StepsExample(layer, rng)
        yield "One step from a given state is already wrong. ", steps.cut(one)
        yield "One step is right, but a loop of steps is wrong. ", steps
    whole = RecurrentExample(layer, rng)
    single = "All is right step by step. " if layer.causal else ""
    yield f"{single}A sequence of one step is wrong. ", whole.cut(one)
    yield f"{single}A sequence of one step is right, one of {len(whole.xs)} steps is wrong. ", whole
    if lengths is not None:
        yield "Without `lengths` all is right; the fault is where rows end. ", RecurrentExample(layer, rng, lengths)
    if starts is not None:
        words = "Without `starts` all is right; the fault is where documents begin"
        if layer.causal:
            yield f"{words}, also step by step. ", StepsExample(layer, rng, None, starts)
        yield f"{words}. ", RecurrentExample(layer, rng, None, starts)
        if lengths is not None:
            yield f"{words} in rows that end early. ", RecurrentExample(layer, rng, lengths, starts)


def _examine(words: str, example: Example, rng: Generator, tolerance: float) -> Fault | None:
    """The fault, if this example has one."""
    upstream, before, watch = example.upstream(rng), drawn_before(example, rng), Watch()
    expected = numerical(example, upstream)
    found: Arrays | None = None
    step = isinstance(example, StepsExample)
    methods = ("step_forward", "step_backward") if step else ("forward", "backward")
    can_open = isinstance(example.layer, (Feedforward, Loss)) or (step and example.given["xs"].shape[0] == 1)
    crash: Exception | None = None
    unread = ""
    with ExitStack() as stack:
        if can_open:
            try:
                stack.enter_context(watched(example.layer, methods[1], watch))
            except OSError:
                can_open = False
                unread = f" More can be told if the source of {methods[1]} can be read: write the class in a file."
        try:
            found = analytic(example, upstream, before)
        except Exception as error:
            crash = error
    if crash is not None and can_open:
        try:
            found = analytic(example, upstream, before)
            crash, can_open = None, False  # only the watched copy raises
        except Exception:
            pass
    wrong = list(expected) if found is None else wrong_in(found, expected, tolerance)
    if not wrong:
        return None
    report = Report(example, found, expected, before, tolerance)
    if can_open:
        report.open(*methods, upstream, watch.values)
    if crash is not None:
        return report.fault(words, watch.set_where(crash, [f"return {name}" for name in example.inputs]))
    if isinstance(example, RecurrentExample):
        words += _without(example, upstream, before, tolerance, wrong)
    fault = report.fault(words, [])
    return fault._replace(words=fault.words + unread)


def _without(example: Example, upstream: Arrays, before: Arrays, tolerance: float, wrong: list[str]) -> str:
    """Whether all is right, and not 0 for that alone, if nothing comes in w.r.t. the state, or the output."""
    for zeroed, what in (("state", "the state that goes on"), ("y", "the output")):
        part = {name: array * (not name.startswith(zeroed)) for name, array in upstream.items()}
        right = numerical(example, part)
        if any(right[name].any() for name in wrong) and not wrong_in(analytic(example, part, before), right, tolerance):
            return f"It is right if the gradient w.r.t. {what} is 0. "
    return ""
