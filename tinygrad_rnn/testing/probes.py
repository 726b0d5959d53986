"""What a step computes inside: the values of its names, and the gradient w.r.t. each by central differences.

A copy of the method calls a probe after every assignment. In a forward, the probe can move a value before it is used:
so the gradient w.r.t. it is measured as that w.r.t. an input is.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from ..core.layer import Layer
from .chains import pairs, set_by
from .differences import differences
from .examples import Example
from .named import Arrays, leaves, planted
from .sources import CHANGED, LINES_BEFORE, compiled, definition_of, original_of


class Watch:
    """A probe that keeps the last value of each name, and moves one number of one of them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.calls = Counter[str]()
        self.target: tuple[str, int, str, tuple[int, ...]] | None = None
        """The name, at which of its assignments, which array of the value, and which entry is moved."""
        self.step = 0.0
        self.source = ""
        """That of the watched method."""

    def __call__(self, name: str, value: Any) -> Any:
        self.calls[name] += 1
        if self.target is not None and self.target[:2] == (name, self.calls[name]):
            parts = leaves(name, value)
            moved = parts[self.target[2]].copy()
            moved[self.target[3]] += self.step
            value = planted(name, value, parts | {self.target[2]: moved})
        self.values[name] = value
        return value

    def set_where(self, error: BaseException, results: list[str]) -> list[str]:
        """What the statement of the watched method sets that raised this error; or the name that it lacked."""
        if isinstance(error, NameError):
            return re.findall(r"'(\w+)'", str(error))[:1]
        trace, line = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.startswith(CHANGED):
                line = trace.tb_lineno - LINES_BEFORE
            trace = trace.tb_next
        if not line:
            return results  # it raised where the results are used
        nodes = [n for n in ast.walk(ast.parse(self.source)) if isinstance(n, ast.stmt) and n.lineno <= line]
        its = [n for n in nodes if (n.end_lineno or 0) >= line and not isinstance(n, ast.FunctionDef)]
        return [name for statement in its[-1:] for name, _ in pairs(statement, results)]

    def begin(self) -> None:
        self.values, self.calls = {}, Counter()


def inner_gradients(
    example: Example, method: str, upstream: Arrays, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, Any], Arrays]:
    """What the forward computes, by name, and the gradients w.r.t. the wanted: `c`, or `zoned[0]` in a tuple."""
    watch, found = Watch(), Arrays()
    with watched(example.layer, method, watch):
        example.forward()
        counts, values = dict(watch.calls), watch.values
        for name, value in values.items():
            for part, array in inner_arrays(name, value).items() if wanted(name) else ():

                def shift(index: tuple[int, ...], step: float, part: str = part, name: str = name) -> None:
                    watch.begin()
                    watch.target, watch.step = (name, counts[name], part, index), step

                found[part] = differences(example, upstream, array.shape, shift)
                watch.target = None
    return values, found


def inner_arrays(name: str, value: Any) -> Arrays:
    """The floating-point arrays of a value: it itself, or those in a tuple."""
    if type(value) is tuple or isinstance(value, np.ndarray):
        return {part: a for part, a in leaves(name, value).items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
    return {}


@contextmanager
def watched(layer: Layer, method: str, probe: Watch) -> Iterator[None]:
    """In the block, `method` of this layer calls `probe` after each assignment.

    Raises:
        OSError: the source of the method is not available.
    """
    original, definition = written(layer, method)
    arguments = definition.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)][1:]
    definition.body = [definition.body[0], *map(_call, names), *_probed(definition.body[1:])]
    source = ast.unparse(ast.fix_missing_locations(definition))
    kept, probe.source = vars(layer).get(method), source
    vars(layer)[method] = MethodType(compiled(source, original, {"_probe": probe}), layer)
    try:
        yield
    finally:
        del vars(layer)[method]
        if kept is not None:
            vars(layer)[method] = kept


def written(layer: Layer, method: str) -> tuple[FunctionType, ast.FunctionDef]:
    """The function that computes what a method does, and its tree: of `return super().method(...)` that of the parent.

    Raises:
        OSError: the source is not available.
    """
    inherited = iter([kind for kind in type(layer).__mro__ if method in vars(kind)])
    function = vars(layer).get(method) or vars(next(inherited))[method]
    while True:
        original = original_of(function)
        if original is None:
            raise OSError(f"{method} is not written with `def`")
        definition = definition_of(original)
        match definition.body:
            case [_, ast.Return(value=ast.Call(func=ast.Attribute(value=parent, attr=name), args=args))]:
                given = [arg.id for arg in args if isinstance(arg, ast.Name)]
                own = [a.arg for a in definition.args.args][1:]
                if (ast.unparse(parent), name, given) == ("super()", method, own):
                    function = vars(next(inherited))[method]
                    continue
        return original, definition


def _probed(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements, each followed by the calls for the names that it sets."""
    found: list[ast.stmt] = []
    for statement in body:
        found.append(statement)
        for block in ("body", "orelse", "finalbody"):
            inner = getattr(statement, block, None)
            if inner and not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                setattr(statement, block, _probed(inner))
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            found += map(_call, set_by(statement))
    return found


def _call(name: str) -> ast.stmt:
    return ast.parse(f"{name} = _probe({name!r}, {name})").body[0]
