"""What `test_mpi.py` starts in several processes, by `mpiexec -n 2 python -m mpi4py job.py run FOLDER STEPS [NAME...]`.

Each job is a function below, and gets the words after its name.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import tinygrad_rnn as rnn
from tinygrad_rnn.distributed import Workers
from trainings import TRAININGS, dropout, gru, language, lstm
from trainings import run as train


def run(folder: str, steps: str, *names: str) -> None:
    """Each of the trainings, or of those that are named; a file each."""
    for name in names or TRAININGS:
        train(name, int(steps), Path(folder) / name)


def fit(path: str, steps: str, every: str, *faults: str) -> None:
    """`fit`, from the file on if there is one, which it writes as often as `every` says; and what goes wrong in it."""
    workers = Workers(compare=5)
    mine = faults if workers.rank == 1 else ()
    model, criterion, optimizer, batches = language(lstm if "size" in mine else gru, dropout, batch=16)
    saved = rnn.load(path) if Path(path).exists() else None
    if saved is not None:
        model = saved.model
        optimizer = rnn.Adam(model, optimizer.lr, clip=optimizer.clip)
    for fault in mine:
        BEFORE.get(fault, nothing)(model, optimizer)

    def after_step() -> None:
        for fault in mine:
            if optimizer.steps == {"kill at 13": 13}.get(fault, 7):
                AFTER.get(fault, nothing)(model, optimizer)

    def report(report: Any) -> None:
        report.save(path)
        print(f"worker {workers.rank} saved step {report.step}", flush=True)

    rnn.fit(
        model,
        criterion,
        optimizer,
        batches,
        steps=int(steps),
        every=int(every),
        validation=batches,
        callbacks=[report],
        after_step=after_step,
        resume=saved,
        checkpoint=path,
        workers=workers,
    )
    print(f"worker {workers.rank} ended", flush=True)


def nothing(model: Any, optimizer: Any) -> None:
    """A fault of another time."""


def other_seed(model: Any, optimizer: Any) -> None:
    model.flat_value[...] = np.random.default_rng(9).standard_normal(model.flat_value.shape)


def other_lr(model: Any, optimizer: Any) -> None:
    optimizer.lr = 0.5


def other_version(model: Any, optimizer: Any) -> None:
    found = metadata.version
    setattr(metadata, "version", lambda package: "1.0.0" if package == "numpy" else found(package))  # noqa: B010


def error(model: Any, optimizer: Any) -> None:
    raise ValueError("the seventh step")


def kill(model: Any, optimizer: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate(model: Any, optimizer: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def drift(model: Any, optimizer: Any) -> None:
    model.flat_value[0] += 1e-6


BEFORE = {"seed": other_seed, "lr": other_lr, "version": other_version}
AFTER = {"raise": error, "kill": kill, "kill at 13": kill, "signal": terminate, "drift": drift}

if __name__ == "__main__":
    (fit if sys.argv[1] == "fit" else run)(*sys.argv[2:])
