"""The arithmetic of workers, who are threads of this process here; `test_mpi.py` has real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from side_by_side import ThreadCommunicator, side_by_side
from tinygrad_rnn.distributed import Shards, Workers
from tinygrad_rnn.testing import StrictDevice
from trainings import TRAININGS, batch_of, dropout, gru, language, lstm, run, series, stream

STEPS = 9  # one more than an epoch of the stream has


@pytest.mark.parametrize("name", TRAININGS)
def test_the_file_is_the_same_for_any_number_of_workers(name: str, tmp_path: Path) -> None:
    alone = run(name, STEPS, tmp_path / "1")
    assert alone[-1] != alone[0]
    for size in (2, 8):  # 4 in `test_mpi.py`
        path = tmp_path / str(size)

        def work(communicator: ThreadCommunicator, path: Path = path) -> list[float]:
            return run(name, STEPS, path, communicator)

        assert side_by_side(work, size) == [alone] * size
        assert path.read_bytes() == (tmp_path / "1").read_bytes()


def test_a_training_goes_on_with_another_number_of_workers(tmp_path: Path) -> None:
    name = "Zoneout"
    run(name, STEPS, tmp_path / "whole")
    run(name, 3, tmp_path / "a")
    side_by_side(lambda c: run(name, 7, tmp_path / "b", c, resume=tmp_path / "a"), 4)
    side_by_side(lambda c: run(name, STEPS, tmp_path / "c", c, resume=tmp_path / "b"), 2)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_is_that_of_the_whole_batch(reduction: str) -> None:
    """To rounding: a mean is over all tokens that count, masks are those of the whole batch, the state is carried."""
    plain = language(lstm, dropout, dtype="float64", reduction=reduction)
    divided = language(lstm, dropout, dtype="float64", reduction=reduction)
    workers = Workers()
    state: Any = None
    states: Any = None
    source = workers.batches(divided.batches)
    for k in range(len(source)):
        for training in (plain, divided):
            training.model.zero_grad()
        loss, _, state = rnn.gradients(plain.model, plain.criterion, plain.batches[k], state, dloss=0.5)
        other, states = workers.gradients(divided.model, divided.criterion, source[k], states, dloss=0.5)
        assert other == pytest.approx(float(loss), rel=1e-13)
        found, expected = divided.model.flat_grad, plain.model.flat_grad
        assert np.abs(found - expected).max() < 1e-13 * np.abs(expected).max()
    whole = workers.whole(states)
    for found, expected in zip(whole[1], state[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["classes", "steps"])
def test_the_gradient_of_series_is_that_of_the_whole_batch(kind: str) -> None:
    plain, divided = series(kind), series(kind)
    workers = Workers()
    for k in range(6):  # two epochs, whose last batch has fewer rows than shards
        loss, _, _ = rnn.gradients(plain.model, plain.criterion, batch_of(plain.batches, k))
        other, _ = workers.gradients(divided.model, divided.criterion, batch_of(workers.batches(divided.batches), k))
        assert other == pytest.approx(float(loss), rel=1e-5)
    np.testing.assert_allclose(divided.model.flat_grad, plain.model.flat_grad, rtol=1e-3, atol=1e-5)


def test_gradients_add_up() -> None:
    training = language(gru, dtype="float64")
    workers = Workers()
    source = workers.batches(training.batches)
    for k in (0, 1):
        workers.gradients(training.model, training.criterion, source[k])
    both = training.model.flat_grad.copy()
    parts = []
    for k in (0, 1):
        training.model.zero_grad()
        workers.gradients(training.model, training.criterion, source[k])
        parts.append(training.model.flat_grad.copy())
    np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-13, atol=1e-18)


def test_a_batch_in_which_nothing_counts_has_loss_and_gradient_0() -> None:
    training, workers = language(gru), Workers()
    xs = np.zeros((3, 4), np.int64)
    (shards,) = workers.batches([rnn.Batch(xs, xs - 1)])
    loss, _ = workers.gradients(training.model, training.criterion, shards)
    assert loss == 0
    assert not training.model.flat_grad.any()


class Power(rnn.SoftmaxCrossEntropy):
    """A loss of one's own, a mean, that has no `reduction`."""

    def __init__(self) -> None:
        super().__init__()
        del self.reduction

    def forward(self, *what: Any, **how: Any) -> Any:
        self.reduction = "mean"
        try:
            return super().forward(*what, **how)
        finally:
            del self.reduction

    def backward(self, *what: Any, **how: Any) -> Any:
        self.reduction = "mean"
        try:
            return super().backward(*what, **how)
        finally:
            del self.reduction


def test_a_loss_without_a_reduction_is_a_mean_over_what_it_counts() -> None:
    training, workers = language(gru, dtype="float64"), Workers()
    source = workers.batches(training.batches)
    losses, grads = [], []
    for criterion in (training.criterion, Power()):
        training.model.zero_grad()
        losses.append(workers.gradients(training.model, criterion, source[0])[0])
        grads.append(training.model.flat_grad.copy())
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-12, atol=1e-16)


def fitted(path: Path, communicator: Any, steps: int, **how: Any) -> tuple[Any, rnn.History]:
    training = language(gru, dropout, batch=16)
    model, optimizer = training.model, training.optimizer
    if how.get("resume") is not None:
        how["resume"] = rnn.load(how["resume"])
        model = how["resume"].model
        optimizer = rnn.Adam(model, optimizer.lr, clip=optimizer.clip)
    plateau = rnn.ReduceOnPlateau(optimizer, patience=0, threshold=0.5)

    def lower(report: rnn.Report) -> None:
        plateau.update(report.history[-1]["validation_loss"])

    history = rnn.fit(
        model,
        training.criterion,
        optimizer,
        training.batches,
        steps=steps,
        every=2,
        validation=training.batches,
        callbacks=[lambda report: report.save(path), lower],
        workers=Workers(communicator, compare=3),
        checkpoint=path,
        **how,
    )
    return model.flat_value.copy(), history


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fit_computes_the_same_with_any_number_of_workers(accumulate: int, tmp_path: Path) -> None:
    """With a callback that only worker 0 calls, and that lowers the learning rate of all."""
    alone, history = fitted(tmp_path / "1", None, 8, accumulate=accumulate)
    assert history.column("lr")[-1] < history.column("lr")[0]
    for size in (2, 4):
        path = tmp_path / str(size)
        found = side_by_side(lambda c, path=path: fitted(path, c, 8, accumulate=accumulate), size)  # type: ignore[misc]
        for value, other in found:
            np.testing.assert_array_equal(value, alone)
            for name in ("step", "epoch", "loss", "lr", "validation_loss"):
                assert other.column(name) == history.column(name)
        state, expected = (rnn.load(file).state[1][0] for file in (path, tmp_path / "1"))
        np.testing.assert_array_equal(state, expected)


def test_fit_resumes_with_another_number_of_workers(tmp_path: Path) -> None:
    alone, _ = fitted(tmp_path / "1", None, 8, accumulate=1)
    side_by_side(lambda c: fitted(tmp_path / "2", c, 4), 4)
    # What ReduceOnPlateau has set is not in the file, so the rate is lowered anew: compare up to its first change.
    assert rnn.load(tmp_path / "2").metadata["fit"]["step"] == 4
    again = side_by_side(lambda c: fitted(tmp_path / "3", c, 6, resume=tmp_path / "2"), 2)
    once, _ = fitted(tmp_path / "4", None, 6, resume=tmp_path / "2")
    for value, _ in again:
        np.testing.assert_array_equal(value, once)
    assert (alone != once).any()


def test_seconds_end_all_workers_at_the_same_step() -> None:
    def work(communicator: ThreadCommunicator) -> Any:
        model, criterion, optimizer, batches = language(gru)
        rnn.fit(model, criterion, optimizer, batches, seconds=0.05, workers=Workers(communicator))
        return optimizer.steps

    steps = side_by_side(work, 4)
    assert len(set(steps)) == 1
    assert steps[0] >= 2


def test_on_a_device_that_transfers_nothing_by_itself_it_is_the_same() -> None:
    found = []
    for device in (rnn.Device("cpu"), StrictDevice()):
        training = language(gru, dropout)
        model = training.model.to(device)
        optimizer = rnn.Adam(model, 0.02, clip=rnn.ClipNorm(0.7))
        history = rnn.fit(model, training.criterion, optimizer, training.batches, steps=4, every=1, workers=Workers())
        found.append((history.column("loss"), device.to_host(model.flat_value).tobytes()))
    assert found[0] == found[1]


def test_one_worker_is_one_process() -> None:
    workers = Workers()
    assert (workers.rank, workers.size, repr(workers)) == (0, 1, "Workers(rank 0 of 1, 8 shards)")
    assert workers.from_first(lambda: 3) == 3


def test_other_rows_are_not_read() -> None:
    training = language(gru, batch=16)

    def work(communicator: ThreadCommunicator) -> Shards:
        shards: Shards = Workers(communicator).batches(training.batches)[1]
        return shards

    whole = training.batches[1]
    for rank, shards in enumerate(side_by_side(work, 4)):
        assert shards.batch.xs.shape == (9, 4)
        assert shards.bounds == tuple(range(4 * rank, 4 * rank + 5, 2))
        np.testing.assert_array_equal(shards.batch.targets, whole.targets[:, 4 * rank : 4 * rank + 4])


def test_a_shard_lies_in_memory_as_it_would_alone() -> None:
    """However much of the batch was read: by where an array lies and its gaps, a product can differ in the last bit."""
    batch = series("steps").batches.epoch(0)[0]
    (shards,) = Workers().batches([batch])
    for first, stop in shards.rows():
        for array, whole in zip(shards.cut(first, stop, True), batch, strict=True):
            assert array is whole is None or array.flags.c_contiguous
    np.testing.assert_array_equal(shards.cut(3, 5, True).xs, batch.xs[:, 3:5])


def test_workers_agree_on_the_largest_wish_before_the_last_exchange() -> None:
    def work(communicator: ThreadCommunicator) -> list[float]:
        model, criterion, _, batches = language(gru)
        workers = Workers(communicator)
        found = []
        for shards, wish in zip(workers.batches(batches), ([1, 5], [15, 15], [0, 0]), strict=False):
            found.append(workers.agree(wish[communicator.rank]))
            workers.gradients(model, criterion, shards)
        return [*found, workers.agree(0)]

    assert side_by_side(work, 2) == [[0, 5, 15, 0]] * 2


class Greedy(rnn.Dropout):
    """Draws a number for each that it is given."""

    def forward(self, x: Any, *, training: bool = True) -> Any:
        assert self.rng is not None
        self.rng.random(x.shape)
        return super().forward(x, training=training)


def test_a_layer_that_draws_by_the_number_of_rows_is_an_error() -> None:
    training, workers = language(gru, lambda rng: Greedy(0.1, rng=rng)), Workers()
    source = workers.batches(training.batches)
    with pytest.raises(
        RuntimeError, match=r"^Workers: layers\.2\.rng drew more numbers for one shard than for another"
    ):
        workers.gradients(training.model, training.criterion, source[0])
    assert not training.model.flat_grad.any()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: setattr(t.optimizer, "lr", 0.5), r"the optimizer: Adam \{.*'lr': 0.5.*in worker 2; Adam"),
        (lambda t: t.model.flat_value.fill(0), "the weights: checksum [0-9a-f]{8} in worker 2; checksum"),
        (
            lambda t: t.model.layers[2].rng.bytes(9) and None,
            "the random streams: checksum [0-9a-f]{8} in worker 2; checksum",
        ),
        (lambda t: t._replace(batches=stream(4)), "the first batch: checksum [0-9a-f]{8} in worker 2; checksum"),
        (
            lambda t: t._replace(criterion=rnn.SoftmaxCrossEntropy(label_smoothing=0.1)),
            r"the loss: SoftmaxCrossEntropy.*0\.1.* in worker 2; Softmax",
        ),
    ],
    ids=["setting", "weights", "stream", "data", "loss"],
)
def test_workers_that_differ_are_told_before_the_first_step(change: Callable[[Any], Any], told: str) -> None:
    def work(communicator: ThreadCommunicator) -> None:
        training: Any = language(gru, dropout)
        if communicator.rank == 2:
            training = change(training) or training
            training = training if isinstance(training, tuple) else language(gru, dropout)
        with pytest.raises(RuntimeError, match=rf"^Workers: before the first step, the 4 workers differ\. .*{told}"):
            rnn.fit(*training, steps=1, workers=Workers(communicator))

    side_by_side(work, 4)


@pytest.mark.messages
def test_another_number_of_shards_is_told() -> None:
    def work(communicator: ThreadCommunicator) -> None:
        model, criterion, _, batches = language(gru, batch=16)
        workers = Workers(communicator, shards=8 << communicator.rank)
        with pytest.raises(
            RuntimeError, match=r"the 2 workers differ\. the number of shards: 16 in worker 1; 8 in worker 0"
        ):
            workers.gradients(model, criterion, workers.batches(batches)[0])

    side_by_side(work, 2)


@pytest.mark.messages
def test_a_drift_stops_all_and_says_which() -> None:
    def work(communicator: ThreadCommunicator) -> None:
        model, criterion, optimizer, batches = language(gru, dropout)
        workers, state = Workers(communicator, compare=4), None
        source = workers.batches(batches)
        for k in (0, 1, 2, 0):
            workers.check(optimizer)
            model.zero_grad()
            _, state = workers.gradients(model, criterion, source[k], state)
            optimizer.step()
            model.flat_value[0] += 1e-6 * (communicator.rank == 1 and optimizer.steps == 2)
        with pytest.raises(RuntimeError, match=r"^Workers: after step 4, the 2 workers differ\. the weights: checksum"):
            workers.check(optimizer)

    side_by_side(work, 2)


@pytest.mark.messages
def test_what_is_not_finite_is_told_with_its_shard() -> None:
    def work(communicator: ThreadCommunicator) -> list[str]:
        model, criterion, optimizer, source = series("steps")
        batch = source.epoch(0)[0]
        batch.xs[0, 9] = np.nan
        before = model.flat_value.copy()
        with pytest.raises(FloatingPointError, match=r"^fit: the loss of step 1 is nan") as error:
            rnn.fit(model, criterion, optimizer, [batch], steps=1, workers=Workers(communicator))
        np.testing.assert_array_equal(model.flat_value, before)
        return error.value.__notes__

    assert side_by_side(work, 4) == [["What is not finite came from shard 7 (worker 3)"]] * 4


@pytest.mark.messages
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Workers(shards=6), "Workers: shards must be a power of two, such as 8, not 6"),
        (
            lambda: Workers(ThreadCommunicator(0, 3, {})),
            "Workers: 3 workers do not divide 8 shards: start 1, 2, 4, 8 of them, or give another number of shards",
        ),
        (lambda: next(iter(Workers().batches([3]))), "Workers.batches: each must be a Batch"),
    ],
)
def test_mistakes_are_told(call: Callable[[], Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{told}"):
        call()


@pytest.mark.messages
def test_gradients_tells_what_does_not_fit() -> None:
    training, workers = language(gru), Workers()
    shards = workers.batches(training.batches)[0]
    with pytest.raises(
        TypeError, match=r"^Workers\.gradients: shards must be what Workers\.batches gives, not a Batch"
    ):
        workers.gradients(training.model, training.criterion, training.batches[0])
    with pytest.raises(ValueError, match=r"^Workers\.gradients: state has 3 rows, and the batch 5"):
        workers.gradients(training.model, training.criterion, shards, training.model.initial_state(3))
    with pytest.raises(TypeError, match=r"^Workers\.gradients: state must be None, what this gave"):
        workers.gradients(training.model, training.criterion, shards, 3)
    with pytest.raises(TypeError, match=r"^fit: workers must be distributed\.Workers\(\), not 4"):
        rnn.fit(*training, steps=1, workers=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^fit: workers go back through their batches by themselves: give"):
        rnn.fit(*training, steps=1, workers=workers, method=rnn.through_time.BPTT())


@pytest.mark.messages
def test_several_processes_without_mpi_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(
        ImportError, match=r"^Workers: 4 processes were started, as PMI_SIZE says, but mpi4py is missing"
    ):
        Workers()
