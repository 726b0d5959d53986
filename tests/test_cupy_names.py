"""CuPy has every array function in the source, and only the modules that may import an array library do.

The source is read, not run: that needs no GPU, only the wheel of CuPy, to know its names.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn

PACKAGE = Path(tinygrad_rnn.__file__).parent
MATHEMATICS = ("layers", "cells", "losses", "optim", "models")
"""Folders that take the functions of arrays from the device."""
ON_DEVICE = (
    *MATHEMATICS,
    "kernels",
    "through_time",
    "core/arrays.py",
    "core/one_hot.py",
    "core/rows.py",
    "core/states.py",
    "core/parameter.py",
    "core/vector.py",
)
"""Where an array may be on a GPU, so that an attribute that NumPy's arrays have is one that CuPy's must have."""
OF_UFUNCS = {"casting", "dtype", "out", "where"}
"""The keywords of CuPy's ufuncs, which have no signature to ask."""


class Use(NamedTuple):
    place: str
    name: str
    """Dotted, from the namespace on: `linalg.norm`."""
    keywords: frozenset[str] = frozenset()


def modules(*parts: str) -> Iterator[tuple[str, ast.Module]]:
    """The package's modules, or those of some of its folders and files, by path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if not parts or place.parts[0] in parts or place.as_posix() in parts:
            yield place.as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def is_namespace(node: ast.expr, names: set[str]) -> bool:
    """Whether it is one of `names`, `namespace(x)` or `device.xp`."""
    match node:
        case ast.Name(name):
            return name in names
        case ast.Call(ast.Name("namespace") | ast.Attribute(attr="namespace")):
            return True
        case ast.Attribute(attr="xp"):
            return True
    return False


def namespaces(tree: ast.Module) -> set[str]:
    """The names that a module binds to a namespace anywhere, and `xp`, which is always one."""
    names = {"xp"}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        match node:
            case ast.Import(aliases):
                names |= {alias.asname or "cupy" for alias in aliases if alias.name.partition(".")[0] == "cupy"}
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)):
                pairs = list(zip(targets, values, strict=False))
            case ast.Assign(targets, value):
                pairs = [(target, value) for target in targets]
        names |= {target.id for target, v in pairs if isinstance(target, ast.Name) and is_namespace(v, names)}
    return names


def dotted(node: ast.AST, names: set[str]) -> str | None:
    """`linalg.norm` of `xp.linalg.norm`; None of what does not start at a namespace."""
    if not isinstance(node, ast.Attribute):
        return None
    if is_namespace(node.value, names):
        return node.attr
    before = dotted(node.value, names)
    return before and f"{before}.{node.attr}"


def uses(place: str, tree: ast.Module) -> set[Use]:
    """What a module takes from namespaces, and the keywords that it calls it with."""
    names, found = namespaces(tree), set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute() as function, _, keywords):
                given = frozenset(keyword.arg for keyword in keywords if keyword.arg)
                found.add(Use(place, dotted(function, names) or "", given))
            case ast.Attribute():
                found.add(Use(place, dotted(node, names) or ""))
            case ast.ImportFrom("cupy", aliases, 0):
                found |= {Use(place, alias.name) for alias in aliases}
    return {use for use in found if use.name}


def array_attributes(place: str, tree: ast.Module) -> set[Use]:
    """Attributes of the names that NumPy's arrays have, whatever they are taken from."""
    names, known = namespaces(tree) | {"np"}, {name for name in dir(np.ndarray) if not name.startswith("_")}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in known]
    return {Use(place, node.attr) for node in attributes if not is_namespace(node.value, names)}


def missing(found: set[Use], library: Any) -> list[str]:
    """The uses of what `library` has not."""
    wrong = set()
    for place, name, keywords in found:
        try:
            function = attrgetter(name)(library)
        except AttributeError:
            wrong.add(f"{place}: {name}")
            continue
        try:
            parameters = inspect.signature(function).parameters
            some = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
            lacking = set() if some else keywords - set(parameters)
        except (TypeError, ValueError):  # a ufunc, or no function at all
            lacking = keywords - OF_UFUNCS if type(function).__name__ == "ufunc" else set()
        wrong |= {f"{place}: {name}({keyword}=)" for keyword in lacking}
    return sorted(wrong)


def imports(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, in functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


@cache  # and not where the tests are collected, which each process does
def all_uses() -> set[Use]:
    return {use for place, tree in modules() for use in uses(place, tree)}


@cache
def all_attributes() -> set[Use]:
    return {use for place, tree in modules(*ON_DEVICE) for use in array_attributes(place, tree)}


def test_cupy_has_every_function_and_keyword(cupy: Any) -> None:
    assert missing(all_uses(), cupy) == []


def test_arrays_of_cupy_have_every_attribute(cupy: Any) -> None:
    assert missing(all_attributes(), cupy.ndarray) == []


def test_the_walk_finds_what_there_is() -> None:
    attributes = {use.name for use in all_attributes()}
    assert len({use.name for use in all_uses()}) > 25
    assert len(attributes) > 15
    assert attributes >= {"astype", "copy", "fill", "max", "reshape", "shape", "sum", "T"}
    places = {use[:2] for use in all_uses()}
    assert places >= {
        ("layers/activation.py", "tanh"),  # namespace(x).tanh
        ("kernels/plain/softmax_cross_entropy.py", "log"),  # xp = namespace(ys)
        ("kernels/plain/rnn.py", "copyto"),  # H, xp = w_h.shape[0], namespace(h)
        ("optim/adagrad.py", "divide"),  # xp, g, total = namespace(value), ...
        ("core/device.py", "cuda.get_current_stream"),  # self.xp.cuda.get_current_stream
        ("core/device.py", "cuda.is_available"),  # cupy.cuda.is_available
    }
    assert Use("kernels/plain/rnn.py", "copyto", frozenset({"where"})) in all_uses()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("with xp.errstate(all='ignore'): pass", "errstate"),
        ("xp = namespace(a)\ndef f(): return xp.linalg.vector_norm(a)", "linalg.vector_norm"),
        ("lib = arrays.namespace(a)\nlib.memmap", "memmap"),
        ("size, lib = a.size, namespace(a)\nlib.einsum_path", "einsum_path"),
        ("lib = self.device.xp; lib.block([a])", "block"),
        ("import cupy as cp\ncp.vecdot", "vecdot"),
        ("from cupy import unstack", "unstack"),
        ("namespace(a).insert(a, 0, 1)", "insert"),
        ("device.xp.sum(a, where=mask)", "sum(where=)"),
        ("xp.clip(a, min=0)", "clip(min=)"),
        ("xp.take(a, i, mode='clip', axis=0)", "take(mode=)"),
        ("xp.tanh(a, out=a, order='C')", "tanh(order=)"),
    ],
)
def test_what_cupy_lacks_is_noticed(cupy: Any, code: str, found: str) -> None:
    assert missing(uses("here", ast.parse(code)), cupy) == [f"here: {found}"]


def test_attributes_that_arrays_of_cupy_lack_are_noticed(cupy: Any) -> None:
    tree = ast.parse("a.setflags(write=False); a.T.copy(); np.resize; xp.resize; self.own")
    assert missing(array_attributes("here", tree), cupy.ndarray) == ["here: setflags"]


def test_only_the_device_and_the_kernels_import_cupy() -> None:
    importers = {place for place, tree in modules() if imports(tree) & {"cupy", "cupyx"}}
    assert {place for place in importers if place != "core/device.py" and not place.startswith("kernels/")} == set()
    assert "core/device.py" in importers


def test_the_mathematics_imports_no_array_library() -> None:
    read = dict(modules(*MATHEMATICS))
    assert {place.partition("/")[0] for place in read} == set(MATHEMATICS)
    assert {place for place, tree in read.items() if imports(tree) & {"numpy", "cupy", "cupyx"}} == set()
    hidden = ast.parse("def f():\n    import numpy.linalg\n    from cupy.cuda import Device\n    from . import arrays")
    assert imports(hidden) == {"numpy", "cupy"}
