"""`fit`: the loop of a training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.arguments import check_size
from ..core.device import on_own_gpu
from ..core.files import as_path, check_target
from ..core.layer import Layer
from ..core.roles import Loss, Recurrent
from ..data.batch import Batch
from ..models.many_to_one import ManyToOne
from ..optim.base import Optimizer
from ..saving.checkpoint import Checkpoint, content_of, save
from .bar import Bar
from .gradients import check_batches, check_parts
from .history import History
from .measuring import check_metrics, take_measures
from .place import Place, endless
from .process import Process
from .stopping import saved_on_error, signals_held


class Report(NamedTuple):
    """What `fit` passes to a callback, after some steps."""

    history: History
    """All reports; the last is the current one."""
    model: Layer
    """The model."""
    optimizer: Optimizer
    """Its optimizer."""
    save: Callable[[str | os.PathLike[str]], None]
    """Writes a checkpoint, from which `fit(..., resume=load(path))` goes on."""

    @property
    def step(self) -> int:
        """The steps that the optimizer has taken in this training."""
        step: int = self.history[-1]["step"]
        return step


@on_own_gpu
def fit(
    model: Recurrent | ManyToOne,
    criterion: Loss,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    every: int | None = None,
    validation: Iterable[Batch] | None = None,
    metrics: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callable[[Report], str | None]] = (),
    accumulate: int = 1,
    method: Callable[..., tuple[Any, Any, Any]] | None = None,
    after_step: Callable[[], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    tokenizer: Any = None,
    metadata: dict[str, Any] | None = None,
    resume: Checkpoint | None = None,
    progress: bool | None = None,
    workers: Process | None = None,
) -> History:
    """Train a model: for each batch forward, loss and backward, and a step of the optimizer.

    If the batches have `starts`, which say where documents begin, as those of a `TokenStream` do, the state is carried
    from batch to batch; gradients do not go back into the batch before. After each epoch, or after `every` steps, there
    is a report: a row is added to the history, with the validation loss, and the callbacks are called.

    Ctrl-C and SIGTERM end the training after the current step; then a checkpoint is written, and the signal is
    delivered. A training that was stopped and goes on with `resume` computes the same, to the bit, as one that was not
    stopped. The checkpoint is also written if the data, the validation or a callback raises an error; with
    `accumulate`, the batches of an unfinished step are then left out. If the training diverges, the file stays as it
    was.

    Args:
        model: a `Recurrent` or a `ManyToOne`, on any device.
        criterion: its loss.
        optimizer: an optimizer of the model.
        batches: any iterable of `Batch`, on the host, such as a `TokenStream`, `SequenceBatches` or a list. It is read
            again in each epoch. To resume, it must have `len` and `[k]`, or `epoch(number)`.
        epochs: how long to train, in epochs, including those before `resume`. Give exactly one of `epochs`, `steps` and
            `seconds`.
        steps: how long to train, in steps of the optimizer, likewise.
        seconds: how long to train, without the time before `resume`; one step is always taken.
        every: the number of steps from report to report; None is an epoch.
        validation: batches that are not trained on; they have a state of their own.
        metrics: measures of the validation by name, such as `{"accuracy": metrics.Accuracy()}`.
        callbacks: functions of a `Report`. A str that one returns ends the training, and says why; None goes on.
        accumulate: how many batches make one step; the gradient is the sum of theirs, divided by this number, also in
            the last step of an epoch, which may have fewer.
        method: what computes the gradients of a batch, such as `through_time.TruncatedBPTT(5, 25)`, called as
            `loss, ys, carry = method(model, criterion, batch, carry)`; with `accumulate` also `dloss=`, a factor of the
            gradients. None is back-propagation through the batch. What it carries from batch to batch goes into a
            checkpoint, instead of the state.
        after_step: a function that is called after each step of the optimizer, such as `MovingAverage.update`.
        checkpoint: the file that is written at the end, and when a signal stops the training.
        tokenizer: as in `save`, for the checkpoints.
        metadata: likewise.
        resume: what `load` gave for such a file; `model` must be its model, and the optimizer must be new or restored.
        progress: whether a bar is shown, on standard error; None: only in a terminal or a notebook.
        workers: `distributed.Workers`, which train together, without a `method`: all of them make the same call of
            `fit`. Only worker 0 validates, shows the bar, calls the callbacks and writes checkpoints; if a callback
            sets `lr` or `rates` of the optimizer, this happens in all workers. After an error, a checkpoint is written
            only if there is a single worker.

    Returns:
        The history, a table with a row for each report.

    Raises:
        FloatingPointError: the loss or a gradient is not finite; the message says in which step, and which layers.
        TypeError, ValueError: an argument is of another kind or out of range, or as `gradients` does.
        OSError: there can be no file at `checkpoint`; this is checked before the first step.
        RuntimeError: the workers differ before the first step, or drift apart.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> stream = TokenStream(np.arange(400) % 5, batch=4, steps=10)
        >>> history = fit(model, SoftmaxCrossEntropy(), Adam(model, 0.05), stream, epochs=3)
        >>> [row["step"] for row in history], history[-1]["loss"] < history[0]["loss"]
        ([10, 20, 30], True)
    """
    check_parts("fit", model, criterion)
    _check(model, optimizer, batches, callbacks, method, after_step, progress)
    process = _process_of(workers, method)
    _check_validation(validation, metrics)
    _check_resume(model, resume)
    if checkpoint is not None:
        check_target(as_path(checkpoint, "fit", "checkpoint"), f"fit: checkpoint {os.fspath(checkpoint)!r}")
    if checkpoint is not None or tokenizer is not None or metadata is not None:  # what cannot be saved is told now
        content_of("fit", model, tokenizer, metadata, optimizer, None, None, False)
    accumulate = check_size("fit", "accumulate", accumulate)
    memory = None if resume is None else resume.metadata.get("fit", {})
    seed = getattr(batches, "seed", None)
    place = Place(memory, epochs=epochs, steps=steps, seconds=seconds, every=every, seed=seed)
    if resume is not None and resume.optimizer is not None:
        optimizer.restore(resume.optimizer)
    state = None if resume is None else resume.state
    part = None if accumulate == 1 else 1 / accumulate
    process.begin(model, criterion, optimizer, batches)
    whole = None  # the state of all rows, which several workers have in parts

    def write(path: str | os.PathLike[str]) -> None:
        about = {**(metadata or {}), "fit": place.memory()}
        given: dict[str, Any] = {"state" if method is None else "carry": whole}
        save(path, model, tokenizer=tokenizer, metadata=about, optimizer=optimizer, **given)

    def keep() -> None:
        nonlocal whole
        if checkpoint is not None and place.step > place.first and process.size == 1:
            whole = process.whole(state)
            write(checkpoint)

    def call_back() -> tuple[str | None, Any]:
        reasons = [callback(Report(place.history, model, optimizer, write)) for callback in callbacks]
        return next(filter(None, map(_check_reason, reasons)), None), _settings(optimizer)

    def report() -> str | None:
        nonlocal whole
        optimizer.check()  # where losses are read, so are the errors of a GPU
        measures = process.from_first(
            lambda: {} if validation is None else take_measures("fit", model, criterion, validation, metrics)
        )
        place.report(_rate(optimizer), {f"validation_{name}": value for name, value in measures.items()})
        bar.report(place.history[-1])
        process.check(optimizer, now=True)
        whole = process.whole(state)
        reason, settings = process.from_first(call_back)
        _take_over(optimizer, settings)
        return reason

    with (
        signals_held() as signals,
        Bar(place, progress if process.rank == 0 else False, _steps_of(batches, accumulate)) as bar,
        saved_on_error(keep),
    ):
        stopped = None
        model.zero_grad()
        for batch in () if place.is_over() else endless(process.batches(batches), place):
            if batch is not None:
                loss, state = process.add_gradients("fit", model, criterion, batch, state, part)
                place.add(loss)
            if place.pending == accumulate or (batch is None and place.pending):
                try:
                    _take_step(model, optimizer, place, loss if isinstance(loss, float) else None)
                except FloatingPointError as error:
                    process.explain(error)
                    raise
                if after_step is not None:
                    after_step()
                process.check(optimizer)
                bar.update()
            elif place.pending:
                continue
            wish = process.agree(max([*signals, 0.5 * (place.is_late() and process.rank == 0)]))
            place.late = wish > 0
            if wish >= 1 and not signals:  # one that came to another worker
                signals.append(int(wish))
            if wish >= 1:
                stopped = f"signal {signals[0]}"
            elif place.is_due(batch is None):
                stopped = report()
            if stopped is not None or place.is_over():
                break
        place.history.stopped = stopped
        if checkpoint is not None:
            process.check(optimizer, now=True)
            whole = process.whole(state)
            process.from_first(lambda: write(checkpoint))
    return place.history


def _take_step(model: Layer, optimizer: Optimizer, place: Place, loss: Any) -> None:
    """A step of the optimizer, with gradients that are cleared afterwards; None is a loss that was not read."""
    if loss is not None and not math.isfinite(loss) and optimizer.nonfinite == "refuse":
        squares: dict[str, float] = {}
        for name, p in model.named_parameters():
            layer = name.rpartition(".")[0] or repr(model)
            squares[layer] = squares.get(layer, 0.0) + float((p.grad.astype("float64") ** 2).sum())
        norms = ", ".join(f"{name} {math.sqrt(square):.3g}" for name, square in squares.items())
        raise FloatingPointError(
            f"fit: the loss of step {place.step + 1} is {float(loss)}; the norms of its gradients are {norms}. Nothing "
            "was changed. Look for NaN and infinity in the data, lower lr, or clip"
        )
    try:
        optimizer.step()
    except FloatingPointError as error:
        raise FloatingPointError(f"fit: step {place.step + 1}: {error}") from error
    model.zero_grad()
    place.step, place.pending = place.step + 1, 0


def _settings(optimizer: Optimizer) -> tuple[Any, dict[str, float]]:
    """What a callback may set: the learning rate, where it is a number, and the rates."""
    return None if callable(optimizer.lr) else optimizer.lr, dict(optimizer.rates)


def _take_over(optimizer: Optimizer, settings: tuple[Any, dict[str, float]]) -> None:
    """Set what a callback has set in another process."""
    lr, rates = settings
    if lr is not None:
        optimizer.lr = lr
    if rates != optimizer.rates:
        optimizer.rates = rates


def _rate(optimizer: Optimizer) -> float:
    """The learning rate of the next step."""
    return float(optimizer.lr(optimizer.steps) if callable(optimizer.lr) else optimizer.lr)


def _steps_of(batches: Any, accumulate: int) -> int | None:
    """How many steps an epoch has; None if nobody knows."""
    return -(-len(batches) // accumulate) if hasattr(batches, "__len__") else None


def _check(
    model: Any, optimizer: Any, batches: Any, callbacks: Any, method: Any, after_step: Any, progress: Any
) -> None:
    """The arguments that nothing else looks at before the first step."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer must be an optimizer, such as Adam(model, 0.01), not {optimizer!r}")
    if optimizer.model is not model:
        raise ValueError("fit: optimizer is one of another model")
    check_batches("fit", "batches", batches)
    if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
        raise TypeError(f"fit: callbacks must be a list of functions of a Report, not {callbacks!r}")
    if method is not None and (isinstance(method, type) or not callable(method)):
        raise TypeError(f"fit: method must be one of through_time, such as TruncatedBPTT(5, 25), not {method!r}")
    if after_step is not None and not callable(after_step):
        raise TypeError(f"fit: after_step must be a function without arguments, not {after_step!r}")
    if not isinstance(progress, (bool, type(None))):
        raise TypeError(f"fit: progress must be None, True or False, not {progress!r:.80}")


def _process_of(workers: Any, method: Any) -> Process:
    if not isinstance(workers, (Process, type(None))):
        raise TypeError(f"fit: workers must be distributed.Workers(), not {workers!r:.80}")
    if workers is not None and method is not None:
        raise ValueError("fit: workers go back through their batches by themselves: give either them or a method")
    return Process(method) if workers is None else workers


def _check_validation(validation: Any, metrics: Any) -> None:
    if validation is not None:
        check_batches("fit", "validation", validation)
    elif metrics is not None:
        raise TypeError("fit: metrics are of the validation, which is not given")
    check_metrics("fit", metrics)


def _check_resume(model: Any, resume: Any) -> None:
    if not isinstance(resume, (Checkpoint, type(None))):
        raise TypeError(f"fit: resume must be what load gave, not a {type(resume).__name__}")
    if resume is not None and resume.model is not model:
        raise ValueError("fit: to resume, give the model of the checkpoint, and an optimizer of it")


def _check_reason(reason: Any) -> str | None:
    if reason is None or isinstance(reason, str):
        return reason
    raise TypeError(f"fit: a callback returned {reason!r}; it returns None, or a str that says why to stop")
