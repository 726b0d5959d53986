from __future__ import annotations

import math
import os
import re
import signal
import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Adam,
    Batch,
    Bidirectional,
    ByteTokenizer,
    ClipNorm,
    Dropout,
    GRUCell,
    Linear,
    MovingAverage,
    OneHot,
    Report,
    RNNCell,
    SequenceBatches,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
    evaluate,
    fit,
    load,
    measure,
)
from tinygrad_rnn.testing import StrictDevice

IDS = np.random.default_rng(0).integers(0, 5, 300)


def stream() -> TokenStream:
    return TokenStream([IDS[:150], IDS[150:]], batch=3, steps=7)


def network() -> Sequential:
    rng = np.random.default_rng(1)
    return Sequential(OneHot(5), GRUCell(5, 6, rng=rng), Dropout(0.3, rng=rng), Linear(6, 5, rng=rng))


def adam(model: Sequential) -> Adam:
    return Adam(model, lambda step: 0.02 / (1 + step), clip=ClipNorm(1.0))


def same(first: Sequential, second: Sequential) -> bool:
    return bool((first.flat_value == second.flat_value).all())


def by_hand(steps: int) -> tuple[Sequential, list[float]]:
    """The loop of README.md."""
    model, criterion, state, losses = network(), SoftmaxCrossEntropy(), None, []
    optimizer = adam(model)
    for step in range(steps):
        batch = stream()[step % len(stream())]
        logits, state, cache = model.forward(batch.xs, state, starts=batch.starts)
        loss, loss_cache = criterion.forward(logits, batch.targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        losses.append(float(loss))
    return model, losses


def test_it_computes_what_the_loop_by_hand_does() -> None:
    model, (expected, losses) = network(), by_hand(33)
    history = fit(model, SoftmaxCrossEntropy(), adam(model), stream(), steps=33, every=10)
    assert same(model, expected)
    assert history.column("step") == [10, 20, 30, 33]
    parts = [losses[first : first + 10] for first in (0, 10, 20, 30)]
    assert history.column("loss") == pytest.approx([math.fsum(part) / len(part) for part in parts], rel=1e-14)
    assert history.column("lr") == [0.02 / (1 + step) for step in (10, 20, 30, 33)]
    assert history.column("epoch") == [step // len(stream()) for step in (10, 20, 30, 33)]
    assert history.stopped is None


def test_without_every_each_epoch_is_reported() -> None:
    model = network()
    history = fit(model, SoftmaxCrossEntropy(), adam(model), stream(), epochs=3)
    assert history.column("epoch") == [1, 2, 3]
    assert history.column("step") == [len(stream()) * epoch for epoch in (1, 2, 3)]


@pytest.mark.parametrize("seed", range(4))
def test_a_training_that_stops_and_goes_on_gives_the_same_bits(seed: int, tmp_path: Path) -> None:
    path, whole, part = tmp_path / "part", network(), network()
    total = 41
    stop = int(np.random.default_rng(seed).integers(1, total))
    how: dict[str, Any] = {"accumulate": 1 + seed % 2}
    fit(whole, SoftmaxCrossEntropy(), adam(whole), stream(), steps=total, **how)
    fit(part, SoftmaxCrossEntropy(), adam(part), stream(), steps=stop, checkpoint=path, metadata={"a": 1}, **how)
    saved = load(path)
    assert saved.metadata["a"] == 1
    fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), stream(), steps=total, resume=saved, **how)
    assert same(saved.model, whole)


def interrupted(number: signal.Signals, after: int) -> TokenStream:
    """A stream in whose batch a signal comes."""

    class Interrupted(TokenStream):
        def __getitem__(self, k: int) -> Batch:
            if k == after:
                os.kill(os.getpid(), number)
            return super().__getitem__(k)

    return Interrupted([IDS[:150], IDS[150:]], batch=3, steps=7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_after_the_step_with_a_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    def deliver(number: int, frame: object) -> None:
        raise RuntimeError(f"delivered {number}")

    before = signal.signal(number, deliver)
    try:
        model, path, whole = network(), tmp_path / "stopped", network()
        with pytest.raises(RuntimeError, match=f"delivered {int(number)}"):
            fit(model, SoftmaxCrossEntropy(), adam(model), interrupted(number, 4), epochs=2, checkpoint=path)
        assert signal.getsignal(number) is deliver
    finally:
        signal.signal(number, before)
    saved = load(path)
    assert saved.metadata["fit"]["step"] == 5
    fit(whole, SoftmaxCrossEntropy(), adam(whole), stream(), epochs=2)
    history = fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), stream(), epochs=2, resume=saved)
    assert same(saved.model, whole)
    assert history.column("epoch") == [1, 2]


def test_in_another_thread_signals_are_left_alone() -> None:
    model, done = network(), []

    def work() -> None:
        done.append(fit(model, SoftmaxCrossEntropy(), adam(model), stream(), steps=2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [row["step"] for row in done[0]] == [2]


def test_accumulation_adds_batches_up_to_the_gradient_of_the_larger_batch() -> None:
    rng = np.random.default_rng(0)
    xs, targets = rng.integers(0, 5, (4, 6)), rng.integers(0, 5, (4, 6))
    halves = [Batch(xs[:, part], targets[:, part]) for part in (slice(0, 3), slice(3, 6))]
    once, twice = (Sequential(*(network().layers[i] for i in (0, 1, 3))).to(dtype="float64") for _ in range(2))
    fit(once, SoftmaxCrossEntropy(), SGD(once, 0.5), [Batch(xs, targets)], steps=2)
    history = fit(twice, SoftmaxCrossEntropy(), SGD(twice, 0.5), halves, steps=2, accumulate=2)
    np.testing.assert_allclose(twice.flat_value, once.flat_value, rtol=1e-12)
    assert history.column("step") == [1, 2]


def test_the_last_batches_of_an_epoch_make_a_step_of_their_own() -> None:
    model = network()
    history = fit(model, SoftmaxCrossEntropy(), adam(model), list(islice(stream(), 5)), epochs=2, accumulate=2)
    assert history.column("step") == [3, 6]


def test_batches_may_be_any_iterable() -> None:
    class Once:
        def __iter__(self) -> Iterator[Batch]:
            return iter(stream())

    model, expected = network(), network()
    fit(model, SoftmaxCrossEntropy(), adam(model), Once(), epochs=2)
    fit(expected, SoftmaxCrossEntropy(), adam(expected), stream(), epochs=2)
    assert same(model, expected)
    with pytest.raises(ValueError, match=r"^fit: batches are empty, or an iterator that has ended: give a list"):
        fit(model, SoftmaxCrossEntropy(), adam(model), iter(stream()), epochs=2)


def test_each_epoch_of_a_source_is_asked_for_by_its_number(tmp_path: Path) -> None:
    class Shuffled:
        def epoch(self, number: int) -> list[Batch]:
            order = np.random.default_rng(number).permutation(6)
            return [stream()[k]._replace(starts=None) for k in order]

    whole, part = network(), network()
    fit(whole, SoftmaxCrossEntropy(), adam(whole), Shuffled(), steps=16)  # type: ignore[arg-type]
    fit(part, SoftmaxCrossEntropy(), adam(part), Shuffled(), steps=9, checkpoint=tmp_path / "part")  # type: ignore[arg-type]
    saved = load(tmp_path / "part")
    fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), Shuffled(), steps=16, resume=saved)  # type: ignore[arg-type]
    assert same(saved.model, whole)


def test_the_validation_is_measured_and_disturbs_nothing() -> None:
    model, alone = network(), network()
    held_out = TokenStream(IDS[:50], batch=1, steps=9)
    history = fit(model, SoftmaxCrossEntropy(), adam(model), stream(), epochs=2, validation=held_out)
    fit(alone, SoftmaxCrossEntropy(), adam(alone), stream(), epochs=2)
    assert same(model, alone)
    assert history[-1]["validation_loss"] == pytest.approx(evaluate(model, held_out), rel=1e-6)
    assert measure(model, SoftmaxCrossEntropy(), held_out)["loss"] == history[-1]["validation_loss"]


def test_a_callback_sees_reports_and_ends_the_training() -> None:
    seen: list[Report] = []

    def stop(report: Report) -> str | None:
        seen.append(report)
        return "enough" if report.step >= 8 else None

    model = network()
    optimizer = adam(model)
    history = fit(model, SoftmaxCrossEntropy(), optimizer, stream(), steps=50, every=4, callbacks=[stop])
    assert (history.stopped, optimizer.steps, len(history)) == ("enough", 8, 2)
    assert (seen[1].model, seen[1].optimizer, seen[1].history) == (model, optimizer, history)


def test_a_loss_that_is_not_finite_stops_with_step_and_layer() -> None:
    class Poisoned(RNNCell):
        calls = 0

        def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
            y, state, cache = super().step_forward(x, state, training=training)
            self.calls += 1
            return (y * np.float32("nan") if self.calls > 14 else y), state, cache

    rng = np.random.default_rng(0)
    model = Sequential(OneHot(5), Poisoned(5, 4, rng=rng), Linear(4, 5, rng=rng))
    before = model.flat_value.copy()
    message = re.escape("fit: the loss of step 3 is nan; the norms of its gradients are layers.1 ")
    with pytest.raises(FloatingPointError, match=f"^{message}"):
        fit(model, SoftmaxCrossEntropy(), SGD(model, 0.0), stream(), epochs=2)
    np.testing.assert_array_equal(model.flat_value, before)


def test_an_average_is_updated_after_each_step() -> None:
    model = network()
    moving, values = MovingAverage(model, decay=0.9), [model.flat_value.copy()]
    expected = values[0].copy()

    def after_step() -> None:
        moving.update()
        values.append(model.flat_value.copy())

    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), steps=6, accumulate=2, after_step=after_step)
    assert len(values) == 7
    for before, value in pairwise(values):
        assert (before != value).any()
        expected += (1 - 0.9) * (value - expected)
    np.testing.assert_allclose(moving.average.flat_value, expected, rtol=1e-5, atol=1e-6)


def test_seconds_end_it_too() -> None:
    model = network()
    history = fit(model, SoftmaxCrossEntropy(), adam(model), stream(), seconds=0.05)
    assert history[-1]["step"] > 0
    history = fit(model, SoftmaxCrossEntropy(), adam(model), stream(), seconds=1e-9)
    assert history.column("step") == [1]


def test_the_bar_shows_the_loss_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), epochs=1, validation=stream(), progress=True)
    _, shown = capsys.readouterr()
    steps = len(stream())
    assert f"100%|██████████| {steps}/{steps}" in shown
    assert re.search(r"loss 1\.\d+; validation loss 1\.\d+", shown)
    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), seconds=0.02, progress=True)
    _, shown = capsys.readouterr()
    assert re.search(r"\d+ steps, loss 1\.\d+", shown)
    assert "left" in shown
    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), epochs=1)
    assert capsys.readouterr() == ("", "")


def test_a_model_that_is_not_causal_is_trained_too() -> None:
    rng = np.random.default_rng(0)
    both = Bidirectional(RNNCell(5, 4, rng=rng), RNNCell(5, 4, rng=rng))
    model = Sequential(OneHot(5), both, Linear(8, 5, rng=rng))
    lengths = np.array([4, 2, 0])
    batch = Batch(np.ones((4, 3), int), np.ones((4, 3), int), lengths)
    history = fit(model, SoftmaxCrossEntropy(), Adam(model, 0.1), [batch], epochs=20)
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]


def case(**changed: Any) -> dict[str, Any]:
    model = network()
    given = {"model": model, "criterion": SoftmaxCrossEntropy(), "optimizer": adam(model), "batches": stream()}
    return {**given, "steps": 1, **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": None}, "fit: give exactly one of epochs, steps and seconds"),
        ({"epochs": 2}, "fit: give exactly one of epochs, steps and seconds"),
        ({"steps": 0}, "fit: steps must be at least 1, not 0"),
        ({"steps": True}, "fit: steps must be an int"),
        ({"steps": None, "seconds": 0}, "fit: seconds must be above 0, not 0"),
        ({"every": 0}, "fit: every must be at least 1, not 0"),
        ({"accumulate": 0}, "fit: accumulate must be at least 1, not 0"),
        ({"batches": [(1, 2)]}, r"fit: batch must be a Batch\(xs, targets, ...\), not a tuple"),
        ({"batches": 5}, "fit: batches must be"),
        ({"criterion": network()}, "fit: criterion must be a Loss, not a Sequential"),
        ({"optimizer": 0.1}, r"fit: optimizer must be an optimizer, such as Adam\(model, 0.01\), not 0.1"),
        ({"optimizer": adam(network())}, "fit: optimizer is one of another model"),
        ({"callbacks": print}, "fit: callbacks must be a list of functions of a Report"),
        ({"after_step": 3}, "fit: after_step must be a function without arguments, not 3"),
        ({"callbacks": [lambda report: True]}, "fit: a callback returned True; it returns None, or a str"),
        ({"resume": "path"}, "fit: resume must be what load gave, not a str"),
        ({"validation": 3}, "fit: validation must be an iterable of Batch"),
        ({"validation": []}, "fit: there is no batch in validation"),
        ({"progress": 1}, "fit: progress must be None, True or False, not 1"),
        ({"metrics": {"loss": 1}, "validation": None}, "fit: metrics are of the validation, which is not given"),
    ],
)
def test_mistakes(changed: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        fit(**case(**changed))


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_first_step(tmp_path: Path) -> None:
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "missing" / "file", FileNotFoundError)):
        given = case(checkpoint=path)
        with pytest.raises(error, match=re.escape(f"fit: checkpoint {str(path)!r}: ")):
            fit(**given)
        assert given["optimizer"].steps == 0
    with pytest.raises(TypeError, match=r"^fit: checkpoint is a int, where the path of a file was expected"):
        fit(**case(checkpoint=3))


def test_an_error_of_the_data_or_a_callback_keeps_what_was_learnt(tmp_path: Path) -> None:
    def broken(report: Report) -> None:
        raise BrokenPipeError("no reader")

    def damaged() -> Iterator[Batch]:
        yield from islice(stream(), 8)
        raise OSError("the disk is gone")

    class Damaged:
        def __iter__(self) -> Iterator[Batch]:
            return damaged()

    for changed, error, steps in (
        ({"callbacks": [broken], "every": 5}, BrokenPipeError, 5),
        ({"batches": Damaged()}, OSError, 8),
    ):
        given, path, whole = case(checkpoint=tmp_path / "kept", **changed), tmp_path / "kept", network()
        with pytest.raises(error):
            fit(**{**given, "steps": 20})
        saved = load(path)
        assert saved.metadata["fit"]["step"] == steps
        fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), stream(), steps=20, resume=saved)
        fit(whole, SoftmaxCrossEntropy(), adam(whole), stream(), steps=20)
        assert same(saved.model, whole)


def test_what_has_diverged_does_not_replace_a_checkpoint(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "kept"
    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), steps=3, checkpoint=path)
    before, saved = path.read_bytes(), load(path)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
        fit(saved.model, SoftmaxCrossEntropy(), SGD(saved.model, 1e38), stream(), steps=9, checkpoint=path)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="gone"):  # before the first step
        fit(**case(model=model, optimizer=adam(model), batches=map(fail, [1]), checkpoint=path))
    assert path.read_bytes() == before


def fail(number: int) -> Batch:
    raise OSError("the disk is gone")


def test_what_cannot_be_saved_is_told_before_the_first_step(tmp_path: Path) -> None:
    for changed, message in (
        ({"metadata": {"a": {1}}}, "fit: metadata"),
        ({"tokenizer": ByteTokenizer()}, "fit: tokenizer has 256 ids, but the model takes 5"),
    ):
        given = case(**changed)
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            fit(**given)
        assert given["optimizer"].steps == 0


def test_resume_takes_the_model_and_the_metadata_of_fit(tmp_path: Path) -> None:
    from tinygrad_rnn import save

    save(tmp_path / "plain", network())
    saved = load(tmp_path / "plain")
    with pytest.raises(ValueError, match=r"^fit: the metadata of resume has no counters of a training by fit"):
        fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), stream(), steps=1, resume=saved)
    with pytest.raises(ValueError, match=r"^fit: to resume, give the model of the checkpoint"):
        fit(**case(resume=saved))


def test_a_training_that_ended_is_not_reported_again_when_it_goes_on(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "part"
    fit(model, SoftmaxCrossEntropy(), adam(model), stream(), epochs=2, checkpoint=path)
    for _ in range(2):
        saved = load(path)
        given: dict[str, Any] = {"epochs": 3, "every": len(stream())}
        history = fit(saved.model, SoftmaxCrossEntropy(), adam(saved.model), stream(), resume=saved, **given)
        assert history.column("step") == [len(stream()) * epoch for epoch in (1, 2, 3)]
        assert np.isfinite(history.column("loss")).all()
    again = load(path)
    history = fit(again.model, SoftmaxCrossEntropy(), adam(again.model), stream(), epochs=2, resume=again)
    assert same(again.model, model)
    assert history.column("step") == [len(stream()), 2 * len(stream())]


def test_batches_of_another_seed_do_not_resume(tmp_path: Path) -> None:
    rows = [np.arange(length) % 5 for length in (3, 5, 4)]

    def source(seed: int) -> SequenceBatches:
        return SequenceBatches(rows, rows, batch=2, rng=np.random.default_rng(seed))

    model, path = network(), tmp_path / "part"
    fit(model, SoftmaxCrossEntropy(), adam(model), source(0), steps=1, checkpoint=path)
    saved = load(path)
    optimizer = adam(saved.model)
    with pytest.raises(ValueError, match=r"^fit: batches have the seed \d+, and had \d+ before resume"):
        fit(saved.model, SoftmaxCrossEntropy(), optimizer, source(1), steps=2, resume=saved)
    assert optimizer.steps == 0  # nothing was restored before all was checked
    history = fit(saved.model, SoftmaxCrossEntropy(), optimizer, source(0), steps=2, resume=saved)
    assert history.column("step") == [1, 2]


def test_what_a_gpu_has_refused_is_raised_at_the_report() -> None:
    class Overflowing(SoftmaxCrossEntropy):
        def backward(self, cache: Any, dloss: Any = None) -> Any:
            return super().backward(cache, dloss) * math.inf

    model = network().to(StrictDevice())
    optimizer = Adam(model, 0.01)
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match="not finite"):
        fit(model, Overflowing(), optimizer, stream(), steps=20, every=5)
    assert optimizer.steps == 0
