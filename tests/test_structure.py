"""The rooms of the package and the one direction of its imports, read from the sources."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tinygrad_rnn
from tinygrad_rnn.saving.classes import CLASSES

PACKAGE = Path(tinygrad_rnn.__file__).parent
FLOORS = (
    {"core"},
    {"kernels"},
    {"layers", "losses"},
    {"cells"},
    {"models"},
    {"optim", "data", "datasets"},
    {"training", "generation", "classic", "saving", "inspection", "interop", "through_time", "distributed"},
    {"testing", "plotting"},
)
"""A room imports from those on the floors before its own, and from itself."""
SIDEWAYS = {
    ("datasets", "data"),
    ("training", "saving"),
    ("training", "generation"),
    ("distributed", "training"),
    ("distributed", "saving"),
    ("classic", "generation"),
    ("saving", "classic"),
    ("interop", "saving"),
    ("through_time", "training"),
}
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


def test_the_page_on_the_design_tells_the_same() -> None:
    page = (Path(__file__).parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (`\w+/`(?:, `\w+/`)*) \|", page, re.MULTILINE)
    for i, floor in enumerate(FLOORS):
        assert {room for number, rooms in rows if int(number) == i for room in re.findall(r"\w+", rooms)} == floor
    (sentence,) = re.findall(r"^On one floor, (.*?)\.\n\n", page, re.MULTILINE | re.DOTALL)
    parts = [re.findall(r"`(\w+)/`", part) for part in sentence.split(";")]
    assert {(room, other) for room, *others in parts for other in others} == SIDEWAYS


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
            backend = ast.unparse(node).startswith(("from .compiled.backend import", "from .cuda.backend import"))
            optional = module == "kernels.backends" and backend  # which need Numba and CuPy
            assert optional or not own, f"{module}, line {node.lineno}: {ast.unparse(node)} inside of a function"


def test_the_face_imports_when_used_what_it_imports_for_type_checkers() -> None:
    (block,) = (
        node for node in trees()[""].body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for_checkers = {
        ".".join(filter(None, (node.module, alias.name)))
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names = {f"{module}.{name}" for module, names in tinygrad_rnn._NAMES.items() for name in names.split()}
    modules = set(tinygrad_rnn._MODULES.values())
    assert for_checkers == names | modules, "the import for type checkers differs from `_NAMES` and `_MODULES`"
    for module, listed in tinygrad_rnn._NAMES.items():
        for name in listed.split():
            assert name in dir(tinygrad_rnn)
            assert getattr(tinygrad_rnn, name) is getattr(sys.modules[f"tinygrad_rnn.{module}"], name)
    for name, module in tinygrad_rnn._MODULES.items():
        assert name in dir(tinygrad_rnn)
        assert getattr(tinygrad_rnn, name) is sys.modules[f"tinygrad_rnn.{module}"]
    with pytest.raises(AttributeError, match="module 'tinygrad_rnn' has no attribute 'LSTM'"):
        getattr(tinygrad_rnn, "LSTM")  # noqa: B009 (mypy would know that it is missing)


RESULTS = {"Checkpoint", "History", "Hypothesis", "LayerRecord", "Recording", "Report", "Token"}
"""Public classes that nobody makes: a function returns them."""


def test_the_face_lists_every_public_name() -> None:
    names = {name for listed in tinygrad_rnn._NAMES.values() for name in listed.split()}
    of_the_root = {name for name, module in tinygrad_rnn._MODULES.items() if "." in module}  # their folders are not
    listed = tinygrad_rnn.__all__
    assert len(set(listed)) == len(listed)
    assert set(listed) == names - RESULTS | of_the_root, "`__all__` differs from `_NAMES`"


def test_the_package_alone_imports_none_of_its_modules() -> None:
    code = "import tinygrad_rnn, sys; print(*(name for name in sys.modules if name.startswith('tinygrad_rnn.')))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []


def test_files_may_name_every_layer_of_the_package() -> None:
    def below(kind: type) -> Iterator[type]:
        one: type
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    for name in tinygrad_rnn.__all__:
        getattr(tinygrad_rnn, name)
    rooms = {"layers", "losses", "cells", "models", "classic"}
    layers = {kind for kind in below(tinygrad_rnn.Layer) if not inspect.isabstract(kind)}
    ours = {kind for kind in layers if kind.__module__.startswith(tuple(f"tinygrad_rnn.{room}." for room in rooms))}
    listed = {kind for kind in CLASSES if issubclass(kind, tinygrad_rnn.Layer)}
    assert ours == listed, "tinygrad_rnn/saving/classes.py lists others"
    assert len({kind.__name__ for kind in CLASSES}) == len(CLASSES)


def test_no_module_but_the_face_finds_another_by_its_name_in_a_string() -> None:
    for module, tree in trees().items():
        if module == "":  # its strings are held against imports above
            continue
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, ast.Call) else ""
            assert not text.startswith(("importlib.import_module(", "__import__(", "import_module(")), (
                f"{module}, line {getattr(node, 'lineno', 0)}: {text}"
            )
