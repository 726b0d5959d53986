"""The door of compiled code: how a function of arrays is compiled, and what is checked before it runs.

Compiled code looks at no bound. Given an array that is smaller than it takes it for, it would read and write beside
that array. So each function declares the shapes of its arrays, such as `hs: Out[Array, "T+1 B H"]`, and is entered only
through a function that is generated from this declaration. That one compares every shape and stride, and every id, with
what was declared, and then calls the other. It is compiled too: there the comparison takes 0.02 µs, in Python 5. Where
something does not fit, Python looks once more, to say what it is.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...core.arrays import Integers
from .kept import keep
from .parts_of_numba import cgutils, intrinsic, ir, njit, numba, types

__all__ = ["Flags", "Ids", "In", "Kind", "Out", "compiled", "own_ids"]

HINT = "Caches, states and gradients go with the model and the call that gave them"

_NUMBERS: dict[Any, Any] = {bool: types.boolean, int: types.intp, float: types.float64}
_FLOATS = (np.dtype("float32"), np.dtype("float64"))


class Declared(NamedTuple):
    """What is declared of an array."""

    kind: "Kind"
    axes: tuple[str, ...]
    below: str = ""
    """Where not empty, its numbers are indices, from 0 to below this."""


@dataclass(frozen=True)
class Kind:
    """What is declared of an array beside its shape: `kind[Array, "T+1 B H"]` declares one of three axes.

    A name stands for the same number throughout a function, and at least one axis is that name alone. Other axes may be
    numbers or expressions without spaces, such as `4` and `P*W`.
    """

    dtype: Any = None
    """None: that of the first array, float32 or float64."""
    written: bool = False
    """Whether it is written to. If it is only read, a copy will do where a row has gaps."""
    packed: int = 0
    """Where not 0, it has no gaps at all, and so many bytes in a row."""

    def __getitem__(self, declared: tuple[Any, ...]) -> Declared:
        _, axes, *below = declared
        return Declared(self, tuple(axes.split()), *below)


if TYPE_CHECKING:
    from typing import Annotated as Flags
    from typing import Annotated as Ids
    from typing import Annotated as In
    from typing import Annotated as Out
else:
    In, Out = Kind(), Kind(written=True)
    Ids = Kind(np.dtype("int64"))  # `Ids[Integers, "N", "V"]`: each is below V
    Flags = Kind(np.dtype("bool"))


def own_ids(ids: Integers) -> Integers:
    """A copy, which nobody changes between the check and the use of it.

    Raises:
        TypeError: they are no integers.
    """
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, not {ids.dtype}")
    return ids.astype(np.int64)


def compiled(*conditions: str) -> Callable[[Callable[..., None]], "Door"]:
    """Lets Numba compile a function, at its first call with float32 or float64, from what its parameters declare.

    What `conditions` say must hold too: they are expressions of the names in the shapes, and of numbers it is given.

    It runs without Python's lock. The layout of an array is no part of its type, or it would be compiled for each of
    them: the numbers of a row lie side by side, and an array in which they do not is copied if it is only read. What
    was compiled is kept beside the source, or in the user's cache. The module of the function has no
    `from __future__ import annotations`, for annotations are read here.
    """
    return lambda function: Door(function, Declaration.of(function, conditions))


class Door:
    """A function that Numba compiled, and the only way into it."""

    def __init__(self, function: Callable[..., None], declaration: "Declaration") -> None:
        functools.update_wrapper(self, function)
        self.function, self.declaration = function, declaration
        self._versions: dict[Any, Any] = {}
        # Numba looks at the type of an array, but not always at the order of its bytes. This takes 0.05 µs an array.
        alike = " and ".join(f"{name}.dtype == dtype" for name in declaration.floats) or "True"
        self._are_alike = eval(f"lambda dtype, {', '.join(declaration.parameters)}: {alike}")

    def __call__(self, *arguments: Any) -> None:
        """Runs the function.

        Raises:
            TypeError, ValueError, IndexError: an argument is not as it was declared; `Declaration.prepared` says how.
        """
        try:
            dtype = arguments[0].dtype
            fault = not self._are_alike(dtype, *arguments) or self._versions[dtype](*arguments)
        except (AttributeError, KeyError, TypeError):  # it is not compiled yet, or for an argument of another type
            fault = True
        if fault:
            arguments = self.declaration.prepared(arguments)
            fault = self.version(arguments[0].dtype)(*arguments)
            assert not fault, f"{self.declaration.name}: {fault}"

    def version(self, dtype: Any) -> Any:
        """That for float32 or float64: Numba's dispatcher of the one function that is generated."""
        if dtype not in self._versions:
            self._versions[dtype] = self._compile(numba.from_dtype(dtype))
        return self._versions[dtype]

    def _compile(self, number: Any) -> Any:
        # Inlined, it is compiled once, as a part of the door, which takes two thirds of the time of two functions.
        body = njit(fastmath={"contract"}, error_model="numpy", inline="always")(self.function)
        names = {"body": body, "__name__": self.function.__module__, **self.declaration.checks()}
        exec(compile(self.declaration.source(), f"<door of {self.declaration.name}>", "exec"), names)
        version: Any = njit(nogil=True, fastmath={"contract"}, error_model="numpy")(names["enter"])
        keep(version, self.function)
        version.compile(types.intp(*self.declaration.types(number)))
        version.disable_compile()
        return version


class Relation(NamedTuple):
    """What must hold: an expression of the parameters and of the names in their shapes."""

    expression: str
    array: str = ""
    """The parameter that is wrong where it does not hold; empty for a condition."""


class Declaration(NamedTuple):
    """What a function declares of its parameters."""

    name: str
    parameters: dict[str, Any]
    """What each parameter is: `Declared`, or bool, int or float."""
    sizes: dict[str, str]
    """The names in the shapes, each with the axis that says how many it stands for, such as `gates.shape[2]`."""
    relations: list[Relation]

    @classmethod
    def of(cls, function: Callable[..., None], conditions: tuple[str, ...]) -> "Declaration":
        """That of `function`, which declares all its parameters."""
        parameters = {name: what for name, what in function.__annotations__.items() if name != "return"}
        arrays = {name: what for name, what in parameters.items() if what not in _NUMBERS}
        sizes: dict[str, str] = {}
        for name, what in arrays.items():
            for i, axis in enumerate(what.axes):
                if axis.isidentifier():
                    sizes.setdefault(axis, f"{name}.shape[{i}]")
        relations = [relation for name, what in arrays.items() for relation in _relations(name, what, sizes)]
        relations += map(Relation, conditions)
        assert len(parameters) == function.__code__.co_argcount, f"{function}: a parameter is not declared"
        assert next(iter(parameters.values())).kind.dtype is None, f"{function}: the first array says the dtype"
        assert not sizes.keys() & parameters.keys(), f"{function}: a size has the name of a parameter"
        for expression in (*(relation.expression for relation in relations), *(what.below for what in arrays.values())):
            unknown = set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", expression)) - {"or", *sizes, *parameters}
            assert not unknown, f"{function}: no axis says what {unknown} is"
        module = function.__module__.rpartition(".")[2]
        return cls(f"compiled {module}.{function.__name__.lstrip('_')}", parameters, sizes, relations)

    @property
    def arrays(self) -> dict[str, Declared]:
        """The parameters that are arrays."""
        return {name: what for name, what in self.parameters.items() if what not in _NUMBERS}

    @property
    def floats(self) -> list[str]:
        """The arrays that have the dtype of the first, without it."""
        return [name for name, what in self.arrays.items() if what.kind.dtype is None][1:]

    @property
    def ids(self) -> dict[str, Declared]:
        """The arrays that hold indices."""
        return {name: what for name, what in self.arrays.items() if what.below}

    def checks(self) -> dict[str, Any]:
        """What `source` calls for each array, by name."""
        return {f"fits_{name}": fits(what.kind) for name, what in self.arrays.items()}

    def source(self) -> str:
        """That of a function that checks what `body` is to be given, and calls it; or else gives a number above 0.

        All arrays are compared in one expression, each by one call: Numba takes as long for a hundred comparisons with
        a branch each as for a body.
        """
        given = ", ".join(self.parameters)
        all_fit = " & ".join(f"fits_{name}({name}, {', '.join(what.axes)})" for name, what in self.arrays.items())
        lines = [f"def enter({given}):", *(f"    {name} = {axis}" for name, axis in self.sizes.items())]
        lines.append(f"    if not ({all_fit}): return 1")
        for relation in self.relations:
            if not relation.array:
                lines.append(f"    if not ({relation.expression}): return 2")
        for name, what in self.ids.items():
            indices, indent = [f"i{axis}" for axis in range(len(what.axes))], "    "
            for axis, index in enumerate(indices):
                lines.append(f"{indent}for {index} in range({name}.shape[{axis}]):")
                indent += "    "
            lines.append(f"{indent}if not 0 <= {name}[{', '.join(indices)}] < {what.below}: return 3")
        return "\n".join([*lines, f"    body({given})", "    return 0\n"])

    def types(self, number: Any) -> list[Any]:
        """Numba's, where the arrays are of `number`."""
        return [_type(what, number) for what in self.parameters.values()]

    def prepared(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """`arguments`, with a copy of each array whose rows have gaps and that is only read.

        Raises:
            TypeError: an argument is no array, or of another dtype.
            ValueError: an array has another shape, or it is to be written to and is read-only or has gaps.
            IndexError: an id is outside of what it is an index of.
        """
        dtype = getattr(arguments[0], "dtype", None)
        given = zip(self.parameters.items(), arguments, strict=True)
        known: dict[str, Any] = {name: self._checked(name, what, argument, dtype) for (name, what), argument in given}
        ready = tuple(known.values())
        known |= {name: eval(_parsed(axis), {}, known) for name, axis in self.sizes.items()}
        for relation in self.relations:
            if not eval(_parsed(relation.expression), {}, known):
                raise ValueError(f"{self.name}: {self._sentence(relation, known)}. {HINT}")
        for name, what in self.ids.items():
            ids, size = known[name], known[what.below]
            for index in np.argwhere((ids < 0) | (ids >= size)).tolist():
                raise IndexError(
                    f"{self.name}: {name} holds {ids[tuple(index)]} at index {tuple(index)}, which is outside of 0 to "
                    f"{size - 1}. It was changed after it had been checked"
                )
        return ready

    def _checked(self, name: str, what: Any, argument: Any, dtype: Any) -> Any:
        """`argument`, or a copy, where it is one that `what` declares but for the lengths of its axes."""
        if what in _NUMBERS:
            if not isinstance(argument, (int, float, np.bool, np.integer, np.floating)):
                raise TypeError(f"{self.name}: {name} is a {type(argument).__name__}, expected a {what.__name__}")
            return what(argument)
        if not isinstance(argument, np.ndarray):
            raise TypeError(f"{self.name}: {name} is a {type(argument).__name__}, expected an array")
        expected = dtype if what.kind.dtype is None else what.kind.dtype
        if argument.dtype != expected or (expected is dtype and dtype not in _FLOATS):
            other = expected if expected != argument.dtype else "float32 or float64"
            raise TypeError(f"{self.name}: {name} is of {argument.dtype}, expected {other}. {HINT}")
        if argument.ndim != len(what.axes):
            raise ValueError(f"{self.name}: {name} has shape {argument.shape}, expected {_shown(what.axes)}. {HINT}")
        flags = argument.flags
        fits = argument.size == 0 or argument.shape[-1] == 1 or argument.strides[-1] == argument.itemsize
        fits = flags.aligned and (flags.c_contiguous if what.kind.packed else fits)
        if fits and (flags.writeable or not what.kind.written):
            return argument
        if what.kind.written:
            wrong = "is read-only" if fits else f"has strides {argument.strides}" if flags.aligned else "is not aligned"
            raise ValueError(f"{self.name}: {name} {wrong}, but is to be written to")
        return argument.copy()

    def _sentence(self, relation: Relation, known: dict[str, Any]) -> str:
        if not relation.array:
            numbers = [*self.sizes, *(name for name, what in self.parameters.items() if what in _NUMBERS)]
            return f"{relation.expression} does not hold, with {_values(numbers, known)}"
        array, what = known[relation.array], self.parameters[relation.array]
        expected = tuple(eval(axis, {}, known) for axis in what.axes)
        if array.shape == expected:
            return f"{relation.array} has shape {array.shape}, and {what.kind.packed} bytes are expected in a row"
        sizes = f"{_shown(what.axes)} with {_values(self.sizes, known)}"
        return f"{relation.array} has shape {array.shape}, expected {expected}: {sizes}"


@functools.cache
def _parsed(expression: str) -> CodeType:
    """Kept, since to parse one takes thirty times as long as to evaluate it."""
    return compile(expression, "<declaration>", "eval")


def _relations(name: str, what: Declared, sizes: dict[str, str]) -> Iterator[Relation]:
    """What must hold of an array."""
    for i, axis in enumerate(what.axes):
        if sizes.get(axis) != f"{name}.shape[{i}]":
            yield Relation(f"{name}.shape[{i}] == {axis}", name)
    if what.kind.packed:
        yield Relation(f"{name}.shape[{i}] * {name}.itemsize == {what.kind.packed}", name)
    elif what.kind.dtype is None:
        side_by_side = f"{name}.strides[{i}] == {name}.itemsize"  # the strides of fewer numbers may be anything
        yield Relation(f"{name}.size == 0 or {name}.shape[{i}] == 1 or {side_by_side}", name)
        places = " | ".join([f"{name}.ctypes.data", *(f"{name}.strides[{axis}]" for axis in range(i))])
        yield Relation(f"{name}.size == 0 or ({places}) % {name}.itemsize == 0", name)


@functools.cache
def fits(kind: Kind) -> Any:
    """What tells in compiled code whether all that `_relations` says of an array holds: `fits(kind)(array, *axes)`."""

    @intrinsic
    def holds(typing: Any, array: Any, *axes: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            whole = context.make_array(array)(context, builder, arguments[0])
            shape, strides = (cgutils.unpack_tuple(builder, each) for each in (whole.shape, whole.strides))
            expected = cgutils.unpack_tuple(builder, arguments[1])

            def equal(one: Any, other: Any) -> Any:
                return builder.icmp_signed("==", one, other if isinstance(other, ir.Value) else one.type(other))

            found = [equal(size, number) for size, number in zip(shape, expected, strict=True)]
            if kind.packed:
                found.append(equal(builder.mul(shape[-1], whole.itemsize), kind.packed))
            elif kind.dtype is None:
                empty = functools.reduce(builder.or_, (equal(size, 0) for size in shape))
                side_by_side = builder.or_(equal(shape[-1], 1), equal(strides[-1], whole.itemsize))
                start = builder.ptrtoint(whole.data, strides[0].type)
                places = builder.srem(functools.reduce(builder.or_, strides[:-1], start), whole.itemsize)
                found.append(builder.or_(empty, builder.and_(side_by_side, equal(places, 0))))
            return functools.reduce(builder.and_, found)

        return types.boolean(array, types.StarArgTuple(axes)), generate

    return holds


def _type(what: Any, number: Any) -> Any:
    if what in _NUMBERS:
        return _NUMBERS[what]
    dtype = number if what.kind.dtype is None else numba.from_dtype(what.kind.dtype)
    return types.Array(dtype, len(what.axes), "C" if what.kind.packed else "A", readonly=not what.kind.written)


def _values(names: Iterable[str], known: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {known[name]}" for name in names)


def _shown(axes: tuple[str, ...]) -> str:
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"
