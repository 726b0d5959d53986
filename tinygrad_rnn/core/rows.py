"""Which steps of a row count: padding."""

from __future__ import annotations

from typing import Any

from .arrays import Booleans, namespace, select
from .one_hot import OneHotRows


def clear_padding(values: Any, active: Booleans | None) -> Any:
    """`values` (T, B, ...) with 0 where `active` (T, B) is False. `active` None: nothing is padding."""
    if active is None:
        return values
    if isinstance(values, OneHotRows):
        return OneHotRows(namespace(active).where(active, values.ids, 0), values.size)
    return select(active, values, 0)
