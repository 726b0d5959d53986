"""A caller's mistake is an error that names what was called; nothing that makes no sense is taken in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import junk
import tinygrad_rnn as rnn


@pytest.fixture
def one_thread_after() -> Iterator[None]:
    yield
    rnn.set_threads(1)


@pytest.mark.messages
@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.parametrize("group", junk.GROUPS)
def test_junk_is_refused_by_name(group: Callable[[], Iterator[junk.Call]]) -> None:
    count, lines = junk.report(list(group()))
    assert count > 700
    assert not lines, "\n".join(lines)


@pytest.mark.messages
def test_junk_is_refused_by_name_where_code_is_compiled() -> None:
    pytest.importorskip("numba")
    calls = [*junk.calls_of_layers(), *junk.calls_of_decoders()]
    rnn.set_compiled()
    try:
        _, lines = junk.report(calls)
    finally:
        rnn.set_compiled(False)
    assert not lines, "\n".join(lines)
