"""The link of GPUs, with an NCCL whose devices are this process: the real one needs several GPUs."""

from __future__ import annotations

import ctypes
from queue import Queue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from side_by_side import ThreadCommunicator, side_by_side
from tinygrad_rnn.distributed.links import GPULink
from tinygrad_rnn.distributed.tree import sum_between


class Nccl:
    """What a `GPULink` uses of `cupy.cuda.nccl`. It moves nothing before the group ends, as the real one may."""

    NCCL_FLOAT32, NCCL_FLOAT64 = 7, 8  # as in nccl.h

    def __init__(self) -> None:
        self.boxes: dict[Any, Queue[bytes]] = {}
        self.groups: dict[Any, Any] = {}

    def get_unique_id(self) -> tuple[int, ...]:
        return (3, 1, 4)

    def NcclCommunicator(self, count: int, name: tuple[int, ...], rank: int) -> Any:
        assert name == (3, 1, 4)
        sizes = {7: 4, 8: 8}
        group: list[Any] = []

        def send(pointer: int, size: int, kind: int, partner: int, stream: int) -> None:
            box = self.boxes.setdefault((rank, partner), Queue())
            group.append(lambda: box.put(ctypes.string_at(pointer, size * sizes[kind])))

        def recv(pointer: int, size: int, kind: int, partner: int, stream: int) -> None:
            box = self.boxes.setdefault((partner, rank), Queue())
            group.append(lambda: ctypes.memmove(pointer, box.get(timeout=60), size * sizes[kind]))

        self.groups[rank] = group
        return SimpleNamespace(send=send, recv=recv)


class OfRank:
    """NCCL in one process: its group is its own."""

    def __init__(self, nccl: Nccl, rank: int) -> None:
        self.nccl, self.rank = nccl, rank

    def __getattr__(self, name: str) -> Any:
        return getattr(self.nccl, name)

    def groupStart(self) -> None:
        assert not self.nccl.groups[self.rank]

    def groupEnd(self) -> None:
        for move in self.nccl.groups[self.rank]:
            move()
        self.nccl.groups[self.rank].clear()


def pointed(array: Any) -> Any:
    """What a `GPULink` uses of an array of CuPy."""
    return SimpleNamespace(data=SimpleNamespace(ptr=array.ctypes.data), size=array.size, dtype=array.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [2, 4])
def test_gpus_exchange_what_the_host_would(dtype: str, size: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((size, 13)).astype(dtype)
    pairs = vectors
    while len(pairs) > 1:
        pairs = pairs[::2] + pairs[1::2]
    nccl = Nccl()
    xp = SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0)))

    def work(communicator: ThreadCommunicator) -> Any:
        mine = vectors[communicator.rank].copy()
        link = GPULink(communicator, OfRank(nccl, communicator.rank), xp)
        of_pointers = SimpleNamespace(exchange=lambda a, b, partner: link.exchange(pointed(a), pointed(b), partner))
        sum_between(mine, communicator.rank, size, of_pointers)
        return mine

    for found in side_by_side(work, size):
        np.testing.assert_array_equal(found, pairs[0])
