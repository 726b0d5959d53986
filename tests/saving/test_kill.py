"""A training that saves at every iteration is killed at any moment: the file is whole, going on is exact."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_rnn import (
    Adagrad,
    Linear,
    OneHot,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
    load,
    save,
)

if TYPE_CHECKING:  # the processes need none of it, and it takes longer to import than NumPy
    import pytest

STREAM = TokenStream(np.random.default_rng(5).integers(0, 7, 500), batch=2, steps=5)


def network() -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(OneHot(7), RNNCell(7, 9, rng=rng), Linear(9, 7, rng=rng))


def train(iterations: int, path: Path) -> None:
    """So many iterations, saved at each; where there is a file already, go on from it."""
    model: Any = network()
    state, done, optimizer = None, 0, Adagrad(model, lr=0.05)
    if path.exists():
        model, _, metadata, memory, state = load(path)
        optimizer, done = Adagrad(model, lr=0.05), metadata["done"]
        optimizer.restore(memory)
    criterion, batches = SoftmaxCrossEntropy(), list(STREAM)
    for i in range(done, iterations):
        batch = batches[i % len(batches)]
        logits, state, cache = model.forward(batch.xs, state, starts=batch.starts)
        _, loss_cache = criterion.forward(logits, batch.targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        save(path, model, optimizer=optimizer, state=state, metadata={"done": i + 1})


def test_a_killed_training_goes_on_exactly(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    kills, iterations = (100, 10_000) if pytestconfig.getoption("--long") else (3, 300)
    path, rng = tmp_path / "model", np.random.default_rng(0)
    child, whole = [sys.executable, __file__, str(path), str(iterations)], tmp_path / "whole"
    done = 0
    for _ in range(kills):
        process = subprocess.Popen(child)
        started, before = time.monotonic(), path.stat().st_mtime_ns if path.exists() else 0
        while process.poll() is None and time.monotonic() - started < 60:
            if path.exists() and path.stat().st_mtime_ns != before:
                break  # it is past its imports, and saving
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        now = load(path).metadata["done"]  # raises unless the file is whole
        assert now >= done
        done = now
    subprocess.run(child, check=True)
    training = load(path)
    assert training.metadata["done"] == iterations
    # A process too, for the table of checks, which may be loaded in this one, lets the kernels round otherwise.
    subprocess.run([sys.executable, __file__, str(whole), str(iterations)], check=True)
    np.testing.assert_array_equal(training.model.flat_value, load(whole).model.flat_value)


def test_kills_while_saving_leave_nothing(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Each kill hits a file of 8 MB half written, in a folder where two trainings save; another one still saves."""
    kills = 100 if pytestconfig.getoption("--long") else 4
    rng, left = np.random.default_rng(0), 0
    for i in range(kills):
        process = subprocess.Popen([sys.executable, __file__, str(tmp_path / "ab"[i % 2])])
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.wait()
        left += len(list(tmp_path.glob(".*.tmp")))
        save(tmp_path / "next", network())
        assert not list(tmp_path.glob(".*.tmp"))
    assert left
    for name in "ab":
        if (tmp_path / name).exists():
            load(tmp_path / name)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        train(int(sys.argv[2]), Path(sys.argv[1]))
        sys.exit()
    large = Linear(1000, 2000, rng=np.random.default_rng(0))
    while True:
        save(sys.argv[1], large)
