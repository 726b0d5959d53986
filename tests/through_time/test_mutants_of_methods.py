"""The proofs of `through_time` put to the proof: every mutant of every function there must make a test fail.

All of them with `--all-mutants`, a sample without. What is tried is found by itself; only `EQUIVALENT` is a list.
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import re
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

import tinygrad_rnn.through_time
from tinygrad_rnn.testing.mutants import mutants

pytestmark = pytest.mark.messages
SAMPLE = 64  # without `--all-mutants`, one in so many is tried
LONGEST = 20  # seconds: a mutant may run for ever
HERE = Path(__file__).parent
FILES = [*sorted(HERE.glob("test_*.py")), HERE.parent / "plotting" / "test_bias.py"]

STRICT = "`True` -> `False`"  # of `zip(..., strict=True)`
EQUIVALENT = (
    {
        f"through_time.{place}: {STRICT}": "of equal lengths"
        for place in (
            "bias.BiasReport.__str__",
            "bias._gradient",
            "bias._text",
            "bias.bias_report",
            "checkpointed.Run.rewind",
            "eprop._without",
            "numbers.Numbers.__exit__",
            "numbers.Numbers._as_state",
            "numbers.Numbers.of_initial_state",
            "numbers.Numbers.step_back",
            "traces.LRUTraces.gradients",
            "traces.UnitTraces.advance",
            "traces.UnitTraces.gradients",
            "truncated.TruncatedBPTT.add_gradients",
            "truncated._joined",
        )
    }
    | {
        f"through_time.{place}: `repr({value})` -> `{value}`": "the same in a text"
        for place, value in (
            ("bptt.BPTT.add_gradients", "self"),
            ("checkpointed.Run.take_loss", "self.method"),
            ("forward_mode.ForwardMode.add_gradients", "self"),
            ("method.Method.__call__", "self"),
            ("truncated.TruncatedBPTT.add_gradients", "self"),
        )
    }
    | {
        "through_time.bias._gradients: `100` -> `101`": "what is as small as rounding is a matter of size",
        "through_time.bias._gradients: `whole[name] + gradient` -> `whole[name] - gradient`": "of all methods alike",
        "through_time.bias._gradients: `parts[i] + part` -> `parts[i] - part`": "of all methods alike",
        **{
            f"through_time.traces.{place}.sum(axis=0)` -> `{change}.sum(axis=0, keepdims=True)`": "is made flat later"
            for place, change in (
                ("UnitTraces.gradients: `(_of_blocks(dh, trace) * trace)", "(_of_blocks(dh, trace) * trace)"),
                ("LRUTraces.gradients: `(each * (re - 1j * im))", "(each * (re - 1j * im))"),
            )
        },
        "through_time.uoro.UORO.first: `1 << 62` -> `62`": "any keys will do",
        "through_time.uoro.UORO.first: `62` -> `63`": "any keys will do",
    }
)
"""Mutants that compute the same as the function, by the function and the change, and why."""


def functions() -> Iterator[FunctionType]:
    """Functions and methods of the package, and of the picture, but for abstract ones and those of named tuples."""
    package = tinygrad_rnn.through_time
    names = [f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__)]
    for module in map(importlib.import_module, [*names, "tinygrad_rnn.plotting.bias"]):
        for owner in [module, *filter(inspect.isclass, vars(module).values())]:
            for member in [*vars(owner).values()]:
                function = inspect.unwrap(getattr(member, "__func__", member))
                abstract = getattr(member, "__isabstractmethod__", False)
                mine = isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__
                if mine and not abstract:
                    yield function


class Trial:
    """A test, and what it calls."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.codes: set[CodeType] = set()
        began = time.perf_counter()
        sys.setprofile(self._note)
        try:
            self.run()
        finally:
            sys.setprofile(None)
        self.seconds = time.perf_counter() - began

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self.codes.add(frame.f_code)

    def run(self) -> None:
        if inspect.signature(self.function).parameters:
            with tempfile.TemporaryDirectory() as folder:
                self.function(Path(folder))
        else:
            self.function()

    def fails(self) -> bool:
        def stop(*_: object) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, stop)
        signal.alarm(LONGEST)
        try:
            self.run()
        except (Exception, pytest.fail.Exception):
            return True
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return False


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    found = []
    for path in FILES:
        if path == Path(__file__):
            continue
        spec = importlib.util.spec_from_file_location(f"tried_{path.parent.name}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, test in vars(module).items():
            marks = {mark.name for mark in getattr(test, "pytestmark", [])}
            if name.startswith("test_") and "long" not in marks:
                found.append(Trial(test))
    return sorted(found, key=lambda trial: trial.seconds)


@pytest.mark.long  # of a sample, nearly all of the time is that of the tests themselves, which run by themselves
@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs a clock that interrupts")
def test_every_mutant_makes_a_test_fail(trials: list[Trial], pytestconfig: pytest.Config) -> None:
    wrong, count, known = "", 0, set()
    for function in list(functions()):
        mine = [trial for trial in trials if function.__code__ in trial.codes]
        for description, mutant in mutants(function):
            change = re.sub(r"^tinygrad_rnn\.(.*?), line -?\d+:", r"\1:", re.sub(r" \(\d+\)$", "", description))
            known.add(change)
            equivalent = change in EQUIVALENT
            if not pytestconfig.getoption("--all-mutants") and (
                equivalent or zlib.crc32(description.encode()) % SAMPLE
            ):
                continue
            code, function.__code__ = function.__code__, mutant.__code__
            try:
                caught = any(trial.fails() for trial in mine)
            finally:
                function.__code__ = code
            count += 1
            if caught == equivalent:
                wrong += f"\n  {description} is " + ("listed as equivalent, but caught" if caught else "not caught")
    assert count
    assert set(EQUIVALENT) <= known
    assert not wrong, f"of {count} mutants, a test is missing, or EQUIVALENT is wrong:{wrong}"
