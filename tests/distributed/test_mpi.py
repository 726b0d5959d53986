"""Real workers: `job.py`, started by mpiexec. Each job must end within its time."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES
from tinygrad_rnn import load
from trainings import TRAININGS

JOB = Path(__file__).parent / "job.py"
BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
MPIEXEC = BESIDE or shutil.which("mpiexec")
LIMIT = 300  # seconds, on a busy machine too

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(
        MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs MPI: run `nox -s mpi`"
    ),
]


def command(workers: int, *words: object) -> list[str]:
    assert MPIEXEC is not None
    return [MPIEXEC, "-n", str(workers), sys.executable, "-m", "mpi4py", str(JOB), *map(str, words)]


def start(workers: int, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(workers, *words), capture_output=True, text=True, timeout=LIMIT)


def fit(workers: int, path: Path, steps: int, every: int, *faults: str) -> subprocess.CompletedProcess[str]:
    return start(workers, "fit", path, steps, every, *faults)


def trained(path: Path) -> tuple[Any, ...]:
    """What a training has computed."""
    saved = load(path)
    fitted = saved.metadata["fit"]
    kept = [array for arrays in saved.optimizer.arrays.values() for array in arrays.values()]
    arrays = [saved.model.flat_value, saved.state[1][0], *kept]
    history = {name: column for name, column in fitted["history"].items() if name != "seconds"}
    return *(array.tobytes() for array in arrays), fitted["step"], fitted["epoch"], fitted["batch"], history


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What one worker computes in 20 steps, never stopped."""
    path = tmp_path_factory.mktemp("whole") / "file"
    done = fit(1, path, 20, 5)
    assert done.returncode == 0, done.stderr
    return trained(path)


@pytest.mark.parametrize("workers", [2, 4])
def test_a_training_is_the_same_for_any_number_of_workers(workers: int, whole: tuple[Any, ...], tmp_path: Path) -> None:
    done = fit(workers, tmp_path / "file", 20, 5)
    assert (done.returncode, done.stderr) == (0, "")
    assert trained(tmp_path / "file") == whole
    words = [f"worker 0 saved step {step}" for step in (5, 10, 15, 20)]
    words += [f"worker {rank} ended" for rank in range(workers)]
    assert {word: done.stdout.count(word) for word in words} == dict.fromkeys(words, 1)  # their lines may mix
    assert done.stdout.count("saved") == 4


def test_killed_and_started_again_with_other_numbers_it_is_the_same(whole: tuple[Any, ...], tmp_path: Path) -> None:
    for workers, fault in ((2, ["kill"]), (4, ["kill at 13"]), (1, [])):
        done = fit(workers, tmp_path / "file", 20, 5, *fault)
        assert (done.returncode != 0) is bool(fault)
    assert trained(tmp_path / "file") == whole


def test_a_signal_to_one_worker_ends_all_with_a_checkpoint(whole: tuple[Any, ...], tmp_path: Path) -> None:
    done = fit(2, tmp_path / "file", 20, 100, "signal")
    assert done.returncode != 0
    assert "ended" not in done.stdout
    assert load(tmp_path / "file").metadata["fit"]["step"] == 8
    assert fit(2, tmp_path / "file", 20, 5).returncode == 0
    assert trained(tmp_path / "file")[:4] == whole[:4]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise", "ValueError: the seventh step"),
        ("drift", "Workers: after step 10, the 2 workers differ. the weights: checksum"),
        ("seed", "Workers: before the first step, the 2 workers differ. the weights: checksum"),
        ("lr", "Workers: before the first step, the 2 workers differ. the optimizer: Adam"),
        ("version", "Workers: before the first step, the 2 workers differ. numpy: 1.0.0 in worker 1; "),
        ("size", "Workers: before the first step, the 2 workers differ. the model: Sequential"),
    ],
)
def test_a_fault_in_one_worker_ends_the_job_with_its_message(fault: str, told: str, tmp_path: Path) -> None:
    done = fit(2, tmp_path / "file", 20, 5, fault)
    assert done.returncode != 0
    assert told in done.stderr
    assert "worker 0 ended" not in done.stdout


def test_without_mpi4py_in_front_several_workers_refuse() -> None:
    code = "from tinygrad_rnn.distributed import Workers; Workers()"
    assert MPIEXEC is not None
    done = subprocess.run([MPIEXEC, "-n", "2", sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "RuntimeError: Workers: start the script by `mpiexec -n 4 python -m mpi4py script.py`" in done.stderr


def test_a_launcher_of_another_mpi_is_told() -> None:
    code = "from tinygrad_rnn.distributed import Workers; Workers()"
    environment = os.environ | {"OMPI_COMM_WORLD_SIZE": "4"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert "RuntimeError: Workers: 4 processes were started, as OMPI_COMM_WORLD_SIZE says, but MPI knows of 1." in (
        done.stderr
    )


def test_the_example_writes_the_same_with_two_workers_as_with_one(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("The owl sat in the oak. It saw a mouse.\n\n" * 60, encoding="utf-8")
    small = "train --text text --hidden 16 --batch 8 --steps 16 --dropout 0.2 --every 3 --length 20 --distributed"
    files = []
    for workers, calls in ((1, ["--iterations 6"]), (2, ["--iterations 3", "--iterations 6 --resume 2"])):
        for options in calls:
            assert MPIEXEC is not None
            words = [*small.split(), "--out", str(workers), *options.split()]
            start = [MPIEXEC, "-n", str(workers), sys.executable, "-m", "mpi4py", str(EXAMPLES / "char_rnn.py"), *words]
            done = subprocess.run(start, capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.count("a sample:") == 1  # worker 0 alone prints
        files.append(load(tmp_path / str(workers)).model.flat_value)
    np.testing.assert_array_equal(*files)


@pytest.mark.long
def test_each_training_of_200_steps_is_the_same_for_1_2_4_and_8_workers(tmp_path: Path) -> None:
    files = []
    for workers in (1, 2, 4, 8):
        folder = tmp_path / str(workers)
        folder.mkdir()
        done = start(workers, "run", folder, 200)
        assert (done.returncode, done.stderr) == (0, "")
        files.append({name: (folder / name).read_bytes() for name in TRAININGS})
    assert files == [files[0]] * 4


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")
def test_20_random_workers_are_killed_at_random_moments(tmp_path: Path) -> None:
    """Each job ends within 10 s of it, and another number of workers goes on; the end is that of one worker."""
    rng, steps = np.random.default_rng(0), 4000
    lives, took = 0, []
    while lives < 20:
        workers = int(rng.choice([2, 4]))
        job = subprocess.Popen(command(workers, "fit", tmp_path / "file", steps, 25), stderr=subprocess.PIPE)
        time.sleep(float(rng.uniform(0.3, 3)))
        found = workers_of(job)
        assert found, job.communicate()[1]
        os.kill(int(rng.choice(found)), signal.SIGKILL)
        began = time.monotonic()
        job.communicate(timeout=10)
        took.append(time.monotonic() - began)
        assert job.returncode != 0
        lives += 1
    print(f"{lives} kills, of which the last came after step {load(tmp_path / 'file').metadata['fit']['step']}")
    print(f"each job ended within {max(took):.2f} s")
    assert fit(2, tmp_path / "file", steps, 25).returncode == 0
    assert fit(1, tmp_path / "whole", steps, 25).returncode == 0
    assert trained(tmp_path / "file") == trained(tmp_path / "whole")


def workers_of(job: subprocess.Popen[bytes]) -> list[int]:
    """The processes that run `job.py` below that of mpiexec."""
    parents, words = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])

    def is_below(pid: int) -> bool:
        return pid == job.pid or (pid in parents and is_below(parents[pid]))

    mine = [pid for pid, line in words.items() if b"job.py" in line and b"-m\0mpi4py" in line and pid != job.pid]
    return [pid for pid in mine if is_below(pid) and b"mpiexec" not in words[pid] and b"hydra" not in words[pid]]
