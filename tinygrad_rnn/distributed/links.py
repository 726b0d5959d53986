"""How two workers exchange arrays: through MPI from host to host, or through NCCL from GPU to GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import Array, namespace
from ..core.device import device_of, find_nccl
from .tree import Link


class HostLink:
    """Exchanges arrays by MPI. Those of a GPU go over the host.

    Args:
        communicator: of mpi4py.
    """

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator

    def exchange(self, sent: Array, received: Array, partner: int) -> None:
        """As in `Link`."""
        device = device_of(sent)
        if device.name == "cpu":
            self._communicator.Sendrecv(sent, partner, recvbuf=received, source=partner)
            return
        host = np.empty(received.shape, received.dtype)
        self._communicator.Sendrecv(device.to_host(sent), partner, recvbuf=host, source=partner)
        received[...] = device.asarray(host)


class GPULink:
    """Exchanges arrays of GPUs, one GPU a worker, by NCCL.

    Its id goes from worker 0 to the others over MPI.

    Args:
        communicator: of mpi4py.
        nccl: the module `cupy.cuda.nccl`.
        xp: the module `cupy`.
    """

    def __init__(self, communicator: Any, nccl: Any, xp: Any) -> None:
        name = communicator.bcast(nccl.get_unique_id() if communicator.rank == 0 else None, root=0)
        self._nccl, self._xp = nccl, xp
        self._link = nccl.NcclCommunicator(communicator.size, name, communicator.rank)
        self._types = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}

    def exchange(self, sent: Any, received: Any, partner: int) -> None:
        """As in `Link`; it is done in the order of the current stream of CuPy, and nothing waits.

        Both are in one group: otherwise each GPU would wait until the other has begun to receive.
        """
        kind, stream = self._types[sent.dtype.name], self._xp.cuda.get_current_stream().ptr
        self._nccl.groupStart()
        self._link.send(sent.data.ptr, sent.size, kind, partner, stream)
        self._link.recv(received.data.ptr, received.size, kind, partner, stream)
        self._nccl.groupEnd()


def link_for(array: Array, communicator: Any) -> Link:
    """The link for arrays such as this; all workers make theirs together."""
    if device_of(array).name != "cpu":
        nccl = find_nccl()
        if all(communicator.allgather(nccl is not None)):
            return GPULink(communicator, nccl, namespace(array))
    return HostLink(communicator)
