"""Files, written whole or not at all."""

from __future__ import annotations

import contextlib
import os


def replace(target: str | os.PathLike[str], data: bytes) -> None:
    """Write all of `data` beside `target` and move it there: at any moment `target` is the old file or the new one.

    Raises:
        OSError: it could not be written; what was at `target` before is still there.
    """
    temporary = os.path.join(os.path.dirname(target), f".tinygrad_rnn-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut could leave an empty file
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
