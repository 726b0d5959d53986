"""Workers in threads of this process, which stand in for those of MPI where the arithmetic is tested."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any, TypeVar

Result = TypeVar("Result")
PATIENCE = 60.0  # seconds after which a test fails rather than hangs


class ThreadCommunicator:
    """What `Workers` uses of a communicator of mpi4py."""

    def __init__(self, rank: int, size: int, boxes: dict[tuple[int, int], Queue[Any]]) -> None:
        self.rank, self.size, self._boxes = rank, size, boxes
        self.sent = 0  # bytes

    def Sendrecv(self, sendbuf: Any, dest: int, *, recvbuf: Any, source: int) -> None:
        self._boxes[self.rank, dest].put(sendbuf.copy())
        self.sent += sendbuf.nbytes
        recvbuf[...] = self._boxes[source, self.rank].get(timeout=PATIENCE)

    def allgather(self, value: Any) -> list[Any]:
        for other in range(self.size):
            self._boxes[self.rank, other].put(value)
        return [self._boxes[other, self.rank].get(timeout=PATIENCE) for other in range(self.size)]

    def gather(self, value: Any, root: int) -> list[Any] | None:
        found = self.allgather(value)
        return found if self.rank == root else None

    def bcast(self, value: Any, root: int) -> Any:
        return self.allgather(value)[root]


def side_by_side(work: Callable[[ThreadCommunicator], Result], size: int) -> list[Result]:
    """What `work` returns in each of `size` threads, given a communicator; or the first error of one of them."""
    boxes: dict[tuple[int, int], Queue[Any]] = {(a, b): Queue() for a in range(size) for b in range(size)}
    communicators = [ThreadCommunicator(rank, size, boxes) for rank in range(size)]
    results: list[Any] = [None] * size
    errors: list[tuple[int, BaseException]] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(communicators[rank])
        except BaseException as error:
            errors.append((rank, error))

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise min(errors, key=lambda error: error[0])[1]
    return results
