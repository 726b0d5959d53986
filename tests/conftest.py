"""Options and fixtures of the tests. Needs no more than pytest and NumPy; `--check-shapes` needs the group `tests`."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Generator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from browsing import browser as browser  # a fixture

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinygrad_rnn")
    group.addoption(
        "--check-shapes",
        action="store_true",
        help="check every shape annotation at every call, but in the tests marked `messages`",
    )
    group.addoption("--all-mutants", action="store_true", help="try every mutant, not a sample")
    group.addoption("--long", action="store_true", help="10,000 cases a property, 100 kills, and what is marked `long`")
    group.addoption("--installed", action="store_true", help="refuse to test the source tree in place of a wheel")


def package_folder() -> Path | None:
    """Where the package would be imported from, found without importing it."""
    spec = importlib.util.find_spec("tinygrad_rnn")
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def pytest_report_header() -> str:
    return f"tinygrad_rnn: {package_folder()}"


def pytest_configure(config: pytest.Config) -> None:
    with contextlib.suppress(ImportError):
        set_cases(config.getoption("--long"))
    if config.getoption("--installed") and package_folder() in (None, ROOT / "tinygrad_rnn"):
        raise pytest.UsageError(
            f"--installed: tinygrad_rnn would be imported from {package_folder()}; install the package, "
            "and run `pytest` rather than `python -m pytest`, which prefers the working directory"
        )
    if config.getoption("--check-shapes"):
        check_shapes()


def set_cases(long: bool) -> None:
    """How many cases Hypothesis draws: the same at every run, for the same verdict; but others at every long one."""
    from hypothesis import settings

    settings.register_profile("tinygrad_rnn", deadline=None, derandomize=True, max_examples=25)  # on a busy machine too
    settings.register_profile("long", deadline=None, max_examples=10_000)
    settings.load_profile("long" if long else "tinygrad_rnn")


def check_shapes() -> None:
    """Put the import hook in place: jaxtyping reads the shapes, beartype the types around them."""
    missing = [name for name in ("jaxtyping", "beartype") if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"--check-shapes: please run `python -m pip install {' '.join(missing)}`")
    if "tinygrad_rnn" in sys.modules:
        raise pytest.UsageError("--check-shapes comes too late: a plugin has imported tinygrad_rnn before the tests")
    import jaxtyping

    folder = package_folder()
    assert folder is not None
    # Only modules that say shapes: the hook looks at every call of every function, which takes as long as the rest.
    paths = [path for path in folder.rglob("*.py") if says_shapes(path.read_text(encoding="utf-8"))]
    modules = [".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in paths]
    jaxtyping.install_import_hook(modules, "beartype.beartype")
    jaxtyping.jaxtyped = partial(check_calls, jaxtyping.jaxtyped)  # which the hook decorates each function with


def check_calls(jaxtyped: Any, function: Any = None, *, typechecker: Any) -> Any:
    """As `jaxtyped`, but after the call, and not where all that came and went is of kinds that passed before.

    A check takes longer than most of the calls. A function that says no shape is checked by beartype alone.
    """
    if function is None:
        return partial(check_calls, jaxtyped, typechecker=typechecker)
    if not inspect.isfunction(function):
        return jaxtyped(function, typechecker=typechecker)
    from jaxtyping import config

    if "<locals>" in function.__qualname__:  # beartype would keep all that the caller of a local knows
        checks = functools.cache(partial(jaxtyped, function, typechecker=typechecker))  # made at the first call

        @functools.wraps(function)
        def local_call(*arguments: Any, **named: Any) -> Any:
            return (function if config.jaxtyping_disable else checks())(*arguments, **named)

        return local_call

    if not SHAPED.search(str(function.__annotations__)):
        checked = typechecker(function)

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            return (function if config.jaxtyping_disable else checked)(*arguments, **named)

        return call

    given_back = threading.local()
    passed: set[Any] = set()

    def replay(*_: Any, **__: Any) -> Any:
        return given_back.result

    in_its_module = FunctionType(replay.__code__, function.__globals__, closure=replay.__closure__)
    checked = jaxtyped(functools.wraps(function)(in_its_module), typechecker=typechecker)

    @functools.wraps(function)
    def shaped_call(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        if not config.jaxtyping_disable:
            kinds = kind(arguments), kind(named) if named else (), kind(result)
            if kinds not in passed:
                given_back.result = result
                checked(*arguments, **named)
                del given_back.result
                passed.add(kinds)
        return result

    return shaped_call


def kind(value: Any) -> Any:
    """All of a value that a check of types and shapes can tell apart."""
    what = type(value)
    if what is np.ndarray:
        return value.shape, value.dtype
    if what in (float, int, bool, type(None)):
        return what
    if issubclass(what, (tuple, list)):
        return what, *[kind(item) for item in value]
    if what is dict:
        return what, *[(name, kind(item)) for name, item in value.items()]
    if issubclass(what, (str, type)):
        return value
    shape = getattr(value, "shape", None)
    return what if shape is None else (what, shape, getattr(value, "dtype", None))


SHAPED = re.compile(r"\b(Float|Integer|Shaped|Bool)\[")


def says_shapes(source: str) -> bool:
    """Whether there is a type such as `Float[Array, "T B D"]`."""
    if not SHAPED.search(source):
        return False  # without a parse, of which there are hundreds
    types = {ast.unparse(node.value) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Subscript)}
    return not types.isdisjoint({"Float", "Integer", "Shaped", "Bool"})


LONGEST = (
    "test_mutants.py",
    "test_compiled.py",
    "test_table.py",
    "test_locate.py",
    "test_learnt_state.py",
    "test_char_rnn.py",
    "test_threads.py",
)
"""Files that are begun first, so that no process works on one of them when all else is done."""
LATER = (
    "test_linear_recurrences.py",
    "test_door.py",
    "test_replaced_steps.py",
    "test_kernels.py",
    "test_softmax_cross_entropy.py",
    "test_junk.py",
)
"""Files that are begun last: what they would compile, test_compiled.py has by then left on the disk."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if "long" in marks(item)])
        items[:] = [item for item in items if "long" not in marks(item)]
    names = {name: i for i, name in enumerate((*LONGEST, "", *LATER))}
    items.sort(key=lambda item: names.get(item.path.name, len(LONGEST)))  # the order is kept otherwise
    for item in items:
        if "cupy" in getattr(item, "fixturenames", ()):
            item.add_marker("cupy")


def marks(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()}


def pytest_collection_finish() -> None:
    """Ten thousand tests are collected. Without this, the garbage collector looks at them again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `messages` runs without the shape checks, which would speak first."""
    if not (item.config.getoption("--check-shapes") and "messages" in marks(item)):
        return (yield)
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    try:
        return (yield)
    finally:
        config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def cupy() -> Any:
    """CuPy, to be asked for its names: that needs no GPU."""
    return pytest.importorskip("cupy", reason="needs CuPy: run `nox -s cupy`")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
