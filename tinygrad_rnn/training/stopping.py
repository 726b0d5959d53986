"""Ctrl-C and SIGTERM in a training: the step that has begun is ended first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """A list of the signals that came inside of the block; the first is delivered when it ends.

    The second Ctrl-C is delivered at once. Signals can only be held in the main thread; in others the list stays empty.
    """
    came: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        handlers = {number: old for number, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    for number in handlers:
        signal.signal(number, hold)
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
