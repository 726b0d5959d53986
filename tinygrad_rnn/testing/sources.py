"""Functions changed by their source: parsed, changed as a tree, and compiled to stand where the original stood."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

CHANGED = "<a changed "
"""How the file names of changed functions begin."""
LINES_BEFORE = 2
"""Lines that come before their source."""


def original_of(function: Callable[..., Any]) -> FunctionType | None:
    """The function inside of decorators and methods; None if it is not written with `def`."""
    original = inspect.unwrap(getattr(function, "__func__", function))
    return original if isinstance(original, FunctionType) and original.__name__ != "<lambda>" else None


def definition_of(original: FunctionType) -> ast.FunctionDef:
    """The tree of a function, without its decorators and docstring.

    Raises:
        OSError: its source is not available.
    """
    source = vars(original).get("source") or textwrap.dedent(inspect.getsource(original))
    definition = ast.parse(source).body[0]
    if not isinstance(definition, ast.FunctionDef) or definition.name != original.__name__:
        raise OSError("the source that Python finds is that of something else")
    definition.decorator_list = []
    # This replaces the docstring: names of the closure (`__class__`, for `super()`), which are kept even if unused.
    free = list(original.__code__.co_freevars)
    definition.body[: ast.get_docstring(definition) is not None] = [ast.Nonlocal(free) if free else ast.Pass()]
    return definition


def compiled(source: str, original: FunctionType, names: Mapping[str, Any] | None = None) -> FunctionType:
    """The function of `source`, as if it were defined where `original` is; `names` are added to what it finds there."""
    name, free = original.__name__, ", ".join(original.__code__.co_freevars)
    # Without `global`, a function that calls itself, or a function of its name, would find the one local to `outer`.
    outer = f"def outer({free}):\n global {name}\n{textwrap.indent(source, ' ')}"
    flags = original.__code__.co_flags & annotations.compiler_flag
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # a mutant may be odd, like `(a, b)[:, 0]`
        code = compile(outer, f"{CHANGED}{original.__qualname__}>", "exec", flags, dont_inherit=True)
    for inner in ("outer", name):
        code = next(part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == inner)
    found = original.__globals__ if names is None else {**original.__globals__, **names}
    function = FunctionType(code, found, name, original.__defaults__, original.__closure__)
    function.__kwdefaults__, function.__qualname__ = original.__kwdefaults__, original.__qualname__
    vars(function)["source"] = source  # so that it can be changed again
    return function
