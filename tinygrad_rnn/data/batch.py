"""The batch that a source of batches gives."""

from __future__ import annotations

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """One batch: arrays with the steps first and the rows second; a field that a source does not have is None."""

    xs: Any
    """The inputs: ids (T, B), or vectors (T, B, D)."""
    targets: Any
    """The targets to predict: ids (T, B), where -1 is ignored, or numbers; or one for each row, (B,) or (B, K)."""
    lengths: Any = None
    """(B,), the steps of each row."""
    starts: Any = None
    """(T, B), True where a document begins: the state is reset before the step."""
    weights: Any = None
    """(T, B), the weight of each step; or (B,), of each row."""
