"""A caller's mistake is an error that names what was called; nothing that makes no sense is taken in silence."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import pytest

import junk
import tinygrad_rnn as rnn
from tinygrad_rnn.optim.base import Optimizer

TAKE_NOTHING = {"Layer", "DotAttention", "gpu_kernels"}
GIVEN = {"Batch", "Rows"}  # tuples that calls give
FORMULAS = {"namespace", "sigmoid"}  # which authors write in their steps, and which check nothing


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


def test_each_public_name_is_called() -> None:
    """A new class or function must come into `junk.py`; optimizers are in `tests/optim/test_junk.py`."""
    called = {re.split(r"\W", call.name)[0] for group in junk.GROUPS for call in group()}
    public = {name: getattr(rnn, name) for name in rnn.__all__}
    left_out = {name for name, value in public.items() if inspect.ismodule(value) or inspect.isabstract(value)}
    left_out |= {name for name, value in public.items() if inspect.isclass(value) and issubclass(value, Optimizer)}
    not_called = public.keys() - called - left_out
    assert not_called == TAKE_NOTHING | GIVEN | FORMULAS, "tests/junk.py: a name has no call, or need not be left out"
