"""Which value of a backward is computed from which, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple


class Chain(NamedTuple):
    """The names of a backward, and of its results: what it returns, and the gradients of parameters, `w.grad`."""

    reads: dict[str, set[str]]
    """The names that each is computed from, in the order in which they are first set."""
    given: set[str]
    """Names that are only taken out of an argument."""
    repeated: set[str]
    """Names that a loop sets, which have many values."""


def chain_of(definition: ast.FunctionDef, results: list[str], parameters: list[str]) -> Chain:
    """The chain of a backward.

    Args:
        definition: its tree.
        results: names for what it returns: the gradient w.r.t. the input, then those w.r.t. the state.
        parameters: the gradients of the parameters, `w.grad`.
    """
    arguments = {a.arg for a in (*definition.args.posonlyargs, *definition.args.args, *definition.args.kwonlyargs)}
    chain = Chain({}, set(), set())
    aliases: dict[str, str] = {}  # local names of gradients of parameters
    computed: set[str] = set()
    for statement in statements(definition.body):
        for name, value in pairs(statement, results):
            read = _names(value)
            path = next((p for p in map(_gradient, ast.walk(value)) if p in parameters), None)
            if path is not None and name.isidentifier() and not isinstance(statement, ast.AugAssign):
                aliases[name] = path
            unpacked = isinstance(value, ast.Subscript) or isinstance(getattr(statement, "targets", [0])[0], ast.Tuple)
            taken = unpacked and isinstance(value, (ast.Name, ast.Subscript)) and read <= arguments
            computed |= set() if taken else {name}
            chain.reads.setdefault(name, set()).update(read)
        if isinstance(statement, (ast.For, ast.While)):
            inner = (part for part in ast.walk(statement) if isinstance(part, ast.stmt))
            chain.repeated.update(name for part in inner for name in set_by(part))
    for name, path in aliases.items():
        chain.reads.setdefault(path, set()).add(name)
    written = set(chain.reads)
    for call in (node for node in ast.walk(definition) if isinstance(node, ast.Call)):
        receiver = ast.unparse(call.func).rpartition(".")[0]
        if receiver in ("self", "super()") or receiver.startswith("self."):
            inside = receiver.partition(".")[2]
            read = set().union(*map(_names, (*call.args, *(k.value for k in call.keywords))))
            for path in parameters:
                if path.startswith(inside and f"{inside}.") and path not in aliases.values():
                    chain.reads.setdefault(path, set()).update(read if inside or path not in written else ())
    chain.given.update(chain.reads.keys() - computed - {*results, *parameters})
    return chain


def ancestors(reads: dict[str, set[str]], name: str, *, until: set[str]) -> set[str]:
    """All that `name` is computed from, but nothing that lies behind a name of `until`."""
    found: set[str] = set()
    left = [name]
    while left:
        for other in reads.get(left.pop(), ()):
            if other not in found and other != name:
                found.add(other)
                if other not in until:
                    left.append(other)
    return found


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, also those in blocks, in order."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            for block in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, block, None) or [])


def set_by(statement: ast.AST) -> list[str]:
    """The plain names that a statement sets."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", ast.Pass())]
    nodes = (node for target in targets for node in ast.walk(target))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def pairs(statement: ast.stmt, results: list[str]) -> Iterator[tuple[str, ast.expr]]:
    """Each name that a statement sets, with the expression that it comes from."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpacked(target, value)
        case ast.AugAssign(target=target, value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _unpacked(target, value)
        case ast.Return(value=ast.Tuple(elts=[first, ast.Tuple(elts=rest)])) if len(rest) == len(results) - 1:
            yield from zip(results, (first, *rest), strict=True)
        case ast.Return(value=ast.expr() as value):
            yield from ((name, value) for name in results)


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case (ast.Tuple(elts=targets), ast.Tuple(elts=values)) if len(targets) == len(values):
            for one, its in zip(targets, values, strict=True):
                yield from _unpacked(one, its)
        case ast.Tuple(elts=targets), _:
            for one in targets:
                yield from _unpacked(one, value)
        case ast.Name(id=name), _:
            yield name, value
        case _:
            path = next((p for p in map(_gradient, ast.walk(target)) if p), None)
            if path is not None:
                yield path, value


def _gradient(node: ast.AST) -> str | None:
    """`w.grad` for `self.w.grad`."""
    if isinstance(node, ast.Attribute) and node.attr == "grad" and ast.unparse(node).startswith("self."):
        return ast.unparse(node)[len("self.") :]
    return None


def _names(value: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)} - {"self"}
