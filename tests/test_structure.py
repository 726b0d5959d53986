"""The rooms of the package and the one direction of its imports, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tinygrad_rnn

PACKAGE = Path(tinygrad_rnn.__file__).parent
FLOORS = (
    {"core"},
    {"kernels"},
    {"layers", "losses"},
    {"cells"},
    {"models"},
    {"optim", "data", "datasets"},
    {"training", "generation", "saving", "inspection", "interop", "through_time", "distributed"},
    {"testing", "plotting", "classic"},
)
"""A room imports from those before its floor, and from itself; on one floor, only downwards in the text of the set."""
SIDEWAYS = {("datasets", "data"), ("training", "saving"), ("training", "generation")}
"""Imports between two rooms of one floor."""


def files() -> dict[str, Path]:
    """Every module by its name within the package; the face is `""`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def trees() -> dict[str, ast.Module]:
    """What is written in each."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files().items()}


def imported(module: str, tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The modules of the package that a module imports, with the statement."""
    is_folder = any(name.startswith(f"{module}.") for name in trees()) or module == ""
    package = module.split(".") if is_folder and module else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            elif (node.module or "").split(".")[0] == "tinygrad_rnn":
                base = (node.module or "").split(".")[1:]
            else:
                continue
            name = ".".join(filter(None, base))
            for alias in node.names:
                inner = f"{name}.{alias.name}" if name else alias.name
                yield (inner if inner in trees() else name), node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tinygrad_rnn":
                    yield alias.name.partition(".")[2], node


def floor(module: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if module.split(".")[0] in rooms)


def test_the_root_holds_the_face_alone() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert found == {"__init__.py", "py.typed"}


@pytest.mark.parametrize("module", sorted(files().keys() - {""}))
def test_a_module_imports_only_from_the_rooms_below(module: str) -> None:
    room = module.split(".")[0]
    for other, node in imported(module, trees()[module]):
        assert other, f"{module}, line {node.lineno}: imports the face of the package"
        there = other.split(".")[0]
        below = floor(other) < floor(module) or room == there or (room, there) in SIDEWAYS
        assert below, f"{module}, line {node.lineno}: {room} imports from {there}, which is not below it"


def test_no_imports_go_in_a_circle() -> None:
    graph = {module: {other for other, _ in imported(module, tree)} - {module} for module, tree in trees().items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None


def test_no_import_hides_in_a_function_to_escape_a_circle() -> None:
    for module, tree in trees().items():
        at_the_top = {id(node) for node in tree.body}
        for part in tree.body:  # `if TYPE_CHECKING:` and `try:` are at the top too
            if isinstance(part, (ast.If, ast.Try)):
                at_the_top |= {id(node) for node in ast.walk(part)}
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Import, ast.ImportFrom)) or id(node) in at_the_top:
                continue
            own = ast.unparse(node).startswith(("from .", "import tinygrad_rnn", "from tinygrad_rnn"))
            needs_numba = module == "kernels.backends" and ast.unparse(node).startswith("from .compiled import")
            assert needs_numba or not own, f"{module}, line {node.lineno}: {ast.unparse(node)} inside of a function"


def test_the_face_imports_when_used_what_it_imports_for_type_checkers() -> None:
    (block,) = (
        node for node in trees()[""].body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for_checkers = {
        (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    rooms = {("", name) for name in tinygrad_rnn._ROOMS}
    assert for_checkers == rooms | {(m, name) for m, names in tinygrad_rnn._WHEN_USED.items() for name in names}
    for module, name in for_checkers:
        value = getattr(tinygrad_rnn, name)
        assert name in dir(tinygrad_rnn)
        assert value is getattr(sys.modules[f"tinygrad_rnn.{module}".rstrip(".")], name)
    with pytest.raises(AttributeError, match="module 'tinygrad_rnn' has no attribute 'LSTM'"):
        getattr(tinygrad_rnn, "LSTM")  # noqa: B009 (mypy would know that it is missing)


def test_all_layers_are_imported_at_once_for_load_finds_classes_by_name() -> None:
    code = "import tinygrad_rnn, sys; print(*(name for name in sys.modules if name.startswith('tinygrad_rnn.')))"
    at_once = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    rooms = {"layers", "cells", "losses", "models", "optim"}
    here = {f"tinygrad_rnn.{module}" for module in trees() if module.split(".")[0] in rooms}
    assert here <= at_once
    assert not any(name.split(".")[1] in {"data", "saving", "inspection", "training"} for name in at_once)


def test_no_module_but_the_face_finds_another_by_its_name_in_a_string() -> None:
    for module, tree in trees().items():
        if module == "":  # its strings are held against imports above
            continue
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, ast.Call) else ""
            assert not text.startswith(("importlib.import_module(", "__import__(", "import_module(")), (
                f"{module}, line {getattr(node, 'lineno', 0)}: {text}"
            )
