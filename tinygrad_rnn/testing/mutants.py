"""Mutants: copies of a function with one small mistake each. A check that accepts one would miss that mistake.

They are meant for hand-written gradients: a lost term, a wrong sign, `=` for `+=`, a step too early, a missing
transpose.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

from .sources import compiled, definition_of, original_of


class Mutant(NamedTuple):
    """A function with one mistake."""

    description: str
    """The function, the line of its code (1 is the first statement), and the change."""
    function: FunctionType
    """The changed function, to replace the original."""


def mutants(function: Callable[..., Any]) -> Iterator[Mutant]:
    """Every mutant of a function or method, each with one mistake out of `MUTATIONS`.

    Replace the function by one, as in `MyCell.step_backward = mutant.function`, and see that a check fails. A mutant
    that computes the same as the function is not a mistake; only a reader can tell. Error messages are not changed.

    Args:
        function: the original; its mutants lack its decorators, but `super()` and closures work.

    Raises:
        TypeError: it is not a function written with `def`.
        OSError: its source is not available.

    Example:
        >>> print(next(mutants(Tanh.backward)).description)
        tinygrad_rnn.layers.activation.Tanh.backward, line 1: `check_cached_array(self, cache)` deleted
    """
    original = original_of(function)
    if original is None:
        raise TypeError(f"mutants: {function!r} is not a function written with `def`")
    for description, source in changes(original):
        yield Mutant(description, compiled(source, original))


def changes(original: FunctionType) -> Iterator[tuple[str, str]]:
    """The description and the source of every mutant: what `mutants` compiles, which takes two thirds of the time."""
    definition = definition_of(original)
    line_before = definition.body[1].lineno - 1 if len(definition.body) > 1 else 0

    seen, described = {ast.unparse(definition)}, Counter[str]()
    for put, node in _places(definition):
        for mutation in MUTATIONS:
            for new in mutation(node):
                put(new)
                source = ast.unparse(definition)
                put(node)
                if source in seen:
                    continue
                seen.add(source)
                line = getattr(node, "lineno", 0) - line_before
                change = "deleted" if isinstance(new, ast.Pass) else f"-> {_shown(new)}"
                description = f"{original.__module__}.{original.__qualname__}, line {line}: {_shown(node)} {change}"
                described[description] += 1
                if described[description] > 1:
                    description += f" ({described[description]})"
                yield description, source


def deleted(node: ast.AST) -> Iterator[ast.AST]:
    """A statement, except `return` and `def`, is deleted."""
    if isinstance(node, ast.stmt) and not isinstance(node, (ast.Return, ast.FunctionDef, ast.Nonlocal)):
        yield ast.Pass()


def set_anew(node: ast.AST) -> Iterator[ast.AST]:
    """`a += b` to `a = b`."""
    match node:
        case ast.AugAssign(target=target, value=value, lineno=line):
            yield ast.Assign([target], value, lineno=line)


def term_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """`a + b` to `a` and to `b`, for any operator; `a - b` to `-b`."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield left
            yield ast.UnaryOp(ast.USub(), right) if isinstance(op, ast.Sub) else right
        case ast.BoolOp(op=junctor, values=values):
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield ast.BoolOp(junctor, rest) if len(rest) > 1 else rest[0]


def sign_flipped(node: ast.AST) -> Iterator[ast.AST]:
    """`+` to `-`, `+=` to `-=` and back; a unary `-`, `~` or `not` is deleted."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            yield ast.BinOp(left, _opposite(op), right)
        case ast.AugAssign(target=target, op=ast.Add() | ast.Sub() as op, value=value):
            yield ast.AugAssign(target, _opposite(op), value)
        case ast.UnaryOp(operand=operand):
            yield operand


def shifted(node: ast.AST) -> Iterator[ast.AST]:
    """`a[t]` to `a[t - 1]` and `a[t + 1]`, and the same for the bounds of slices and ranges, and for `row(a, t)`."""
    match node:
        case ast.Subscript(value=value, slice=index, ctx=ctx):
            for moved in _moved(index):
                yield ast.Subscript(value, moved, ctx)
        case ast.Call(func=ast.Name(id="row") as function, args=[array, *where]):  # compiled code writes it for a[t]
            for i, index in enumerate(where):
                for moved in _moved(index):
                    yield ast.Call(function, [array, *where[:i], moved, *where[i + 1 :]], [])
        case ast.Call(func=ast.Name(id="range") as function, args=[stop]):
            yield ast.Call(function, [ast.BinOp(stop, ast.Sub(), ast.Constant(1))], [])
            yield ast.Call(function, [ast.Constant(1), stop], [])


def not_transposed(node: ast.AST) -> Iterator[ast.AST]:
    """`a.T` to `a`."""
    match node:
        case ast.Attribute(value=value, attr="T"):
            yield value


def swapped(node: ast.AST) -> Iterator[ast.AST]:
    """Two targets of an unpacking: `a, b = cache` to `b, a = cache`."""
    match node:
        case ast.Tuple(elts=names, ctx=ast.Store() as ctx):
            for j in range(len(names)):
                for i in range(j):
                    yield ast.Tuple([*names[:i], names[j], *names[i + 1 : j], names[i], *names[j + 1 :]], ctx)


def negated(node: ast.AST) -> Iterator[ast.AST]:
    """The opposite comparison, or condition of an `if`; the branches of a conditional expression are swapped."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            opposite = _OPPOSITES.get(type(op))
            yield ast.Compare(left, [opposite()], [right]) if opposite else ast.UnaryOp(ast.Not(), node)
        case ast.If(test=test, body=body, orelse=orelse) if not isinstance(test, (ast.Compare, ast.UnaryOp)):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test=test, body=one, orelse=other) if not isinstance(test, ast.Compare):
            yield ast.IfExp(test, other, one)


def not_called(node: ast.AST) -> Iterator[ast.AST]:
    """`f(a, ...)` to `a`, as in `reversed(range(T))` to `range(T)`."""
    match node:
        case ast.Call(args=[first, *_]) if not isinstance(first, ast.Starred):
            yield first


def axis_kept(node: ast.AST) -> Iterator[ast.AST]:
    """`a.sum(axis=0)` to `a.sum(axis=0, keepdims=True)`."""
    match node:
        case ast.Call(func=function, args=args, keywords=[ast.keyword(arg="axis") as axis]):
            yield ast.Call(function, args, [axis, ast.keyword("keepdims", ast.Constant(True))])


def constant_changed(node: ast.AST) -> Iterator[ast.AST]:
    """0 to 1, 1 to 0, another number to the next one, True to False and back."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(0 if value == 1 else value + 1)


MUTATIONS: tuple[Callable[[ast.AST], Iterator[ast.AST]], ...] = (
    deleted,
    set_anew,
    term_dropped,
    sign_flipped,
    shifted,
    not_transposed,
    swapped,
    negated,
    not_called,
    axis_kept,
    constant_changed,
)
"""Each maps a node of the syntax tree to nodes that may replace it by mistake."""

_PAIRS = ((ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.Lt, ast.GtE), (ast.Gt, ast.LtE))
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = dict(_PAIRS) | {b: a for a, b in _PAIRS}


def _opposite(op: ast.Add | ast.Sub) -> ast.operator:
    return ast.Sub() if isinstance(op, ast.Add) else ast.Add()


def _moved(index: ast.expr | None) -> Iterator[ast.expr]:
    """An index, or one bound of a slice, lower by one and higher by one."""
    match index:
        case ast.Name():
            yield ast.BinOp(index, ast.Sub(), ast.Constant(1))
            yield ast.BinOp(index, ast.Add(), ast.Constant(1))
        case ast.Slice(lower=lower, upper=upper, step=step):
            for bound in _moved_bound(lower):
                yield ast.Slice(bound, upper, step)
            for bound in _moved_bound(upper):
                yield ast.Slice(lower, bound, step)
        case ast.Tuple(elts=parts, ctx=ctx):
            for i, part in enumerate(parts):
                for moved in _moved(part):
                    yield ast.Tuple([*parts[:i], moved, *parts[i + 1 :]], ctx)


def _moved_bound(bound: ast.expr | None) -> Iterator[ast.expr]:
    match bound:
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)  # `constant_changed` gives the lower one
        case _:
            yield from _moved(bound)


def _places(parent: ast.AST) -> Iterator[tuple[Callable[[ast.AST], None], ast.AST]]:
    """Every node of the code below `parent`, with a function that replaces it by another."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns"):
            continue
        for i, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, (ast.arguments, ast.JoinedStr)):
                continue
            yield partial(setattr, parent, field) if i is None else partial(value.__setitem__, i), node
            if not isinstance(node, ast.Raise):
                yield from _places(node)


def _shown(node: ast.AST) -> str:
    """The source of `node`, or its first line."""
    return f"`{ast.unparse(node).splitlines()[0]}`"
