"""What ends a training before its time: Ctrl-C and SIGTERM, which wait for the step that has begun, and errors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
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


@contextmanager
def saved_on_error(save: Callable[[], object]) -> Iterator[None]:
    """Calls `save` where the block ends in an error, but for a `FloatingPointError`: what has diverged is not kept.

    The error goes on. What `save` itself raises is added to it as a note.
    """
    try:
        yield
    except FloatingPointError:
        raise
    except Exception as error:
        try:
            save()
        except Exception as second:
            error.add_note(f"Nor could the checkpoint be written: {second}")
        raise
