"""The communicator of the processes that `mpiexec` or `srun` has started together; None where there is one alone."""

from __future__ import annotations

import os
import sys
from typing import Any

LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables by which MPICH and Intel MPI, Open MPI and Slurm tell a process how many were started."""


def world() -> Any:
    """`MPI.COMM_WORLD`, or None where one process was started.

    Raises:
        ImportError: several processes were started, but there is no mpi4py.
        RuntimeError: mpi4py does not see the others, or an error in one of them would not end them all.
    """
    started = {name: int(os.environ[name]) for name in LAUNCHERS if os.environ.get(name, "").isdecimal()}
    name, count = max(started.items(), key=lambda item: item[1], default=("", 1))
    if count == 1:
        return None
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Workers: {count} processes were started, as {name} says, but mpi4py is missing, so each would train "
            "alone: pip install 'tinygrad-rnn[mpi]'"
        ) from error
    if count != MPI.COMM_WORLD.size:
        library = MPI.Get_library_version().partition("\n")[0]
        raise RuntimeError(
            f"Workers: {count} processes were started, as {name} says, but MPI knows of {MPI.COMM_WORLD.size}. Its "
            f"library here is {library!r}: start the processes by the mpiexec of the same MPI. For that of the extra "
            "`mpi` this is the one in the folder of this Python"
        )
    if "mpi4py.run" not in sys.modules:
        raise RuntimeError(
            "Workers: start the script by `mpiexec -n 4 python -m mpi4py script.py`: without `-m mpi4py`, an error in "
            "one worker leaves the others waiting for ever"
        )
    return MPI.COMM_WORLD
