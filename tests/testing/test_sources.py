"""The source of a function is the one that was compiled, or none."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from types import FunctionType

import pytest

from tinygrad_rnn.testing.sources import compiled, definition_of, original_of

Define = Callable[[str], FunctionType]


@pytest.fixture
def define() -> Iterator[Define]:
    """Runs a piece of code, and gives its `f`; all pieces have the same file name, as in doctest."""
    name = "<pieces of code>"

    def run(source: str) -> FunctionType:
        linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
        found: dict[str, FunctionType] = {}
        exec(compile(source, name, "exec"), found)
        return found["f"]

    yield run
    linecache.cache.pop(name, None)


def body(function: FunctionType) -> str:
    return "\n".join(map(ast.unparse, definition_of(function).body[1:]))


def test_the_source_is_that_of_the_function(define: Define) -> None:
    assert body(define("def f(x):\n    return x + 1\n")) == "return x + 1"


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x - 1\n",
        "def f(x):\n    return x + 2\n",
        "def f(x):\n    return y + 1\n",
        "def f(x):\n    return (lambda: x + 1)\n",
        "def f(y, x):\n    return y + 1\n",
        "f = 1\n",
        "def f(x)\n",
        "",
    ],
)
def test_another_function_of_the_same_name_and_place_is_not_taken_for_it(define: Define, other: str) -> None:
    function = define("def f(x):\n    return x + 1\n")
    linecache.cache["<pieces of code>"] = len(other), None, other.splitlines(keepends=True), "<pieces of code>"
    with pytest.raises(OSError, match="the source of f is not available"):
        definition_of(function)


def test_the_function_is_found_though_it_stands_on_another_line_now(define: Define) -> None:
    function = define("def f(x):\n    return x + 1\n")
    define("def f(x):\n    return x - 1\nclass A:\n    @property\n    def f(x):\n        return x + 1\n")
    assert body(function) == "return x + 1"


def test_of_two_with_one_name_each_has_its_own(define: Define) -> None:
    f = define(
        "import math\ndef g():\n    def f(x):\n        return math.exp(x)\n    return f\ndef f(x):\n    return x\n"
    )
    assert body(f) == "return x"
    inner = original_of(f.__globals__["g"]())
    assert inner is not None
    assert body(inner) == "return math.exp(x)"


def test_a_changed_function_keeps_its_changed_source(define: Define) -> None:
    function = compiled("def f(x):\n    return x * 3", define("def f(x):\n    return x + 1\n"))
    assert function(2) == 6
    assert "return x * 3" in ast.unparse(definition_of(function))


class Private:
    def __two(self) -> int:
        return 2

    def three(self) -> int:
        return self.__two() + 1


def test_a_changed_method_finds_the_private_names_of_its_class() -> None:
    function = original_of(Private.three)
    assert function is not None
    assert compiled("def three(self):\n    return self.__two() + 2", function)(Private()) == 4
