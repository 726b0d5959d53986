"""Random misuses of compiled code, in a process of its own: `python tests/kernels/misuses.py 0 2000`.

Each is a call of a public method, or of a compiled function, in which an array has another shape, dtype or layout than
it should, or is that of another model. It is made three times: compiled, with NaN around every array; compiled, with
1e30 there; and by NumPy. It must raise a documented error, the same both times; or give what NumPy gives, the same to
the bit both times. What lies around the arrays must stay as it was. Before each misuse a line tells its number, so that
whoever started this process knows which one ended it; after it, a line tells what came of it.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import numpy.ma  # may be imported later, and reads the documentation of numpy.empty

import tinygrad_rnn as rnn
from tinygrad_rnn.core.one_hot import TableRows
from tinygrad_rnn.core.parameter import Parameter
from tinygrad_rnn.kernels import backends, products, threads
from tinygrad_rnn.kernels.compiled import gru, linear, lstm, packed, softmax_cross_entropy
from tinygrad_rnn.kernels.compiled import products as compiled_products
from tinygrad_rnn.kernels.compiled import rnn as compiled_rnn
from tinygrad_rnn.kernels.compiled.backend import COMPILED
from tinygrad_rnn.kernels.compiled.door import Door

Generator = np.random.Generator

DOCUMENTED = (ValueError, TypeError, IndexError)
AROUND: dict[str, tuple[Any, Any]] = {"f": (np.nan, 1e30), "i": (-7, 1 << 20), "u": (255, 9), "b": (True, False)}
"""What lies around an array, by the kind of its dtype: in the first run, and in the second."""
LAYOUTS = ("as usual", "in a larger one", "every second", "Fortran's", "backwards", "misaligned", "read-only")
SHAPES = ("longer", "much longer", "shorter", "empty", "of one", "swapped", "an axis more", "an axis less")
DTYPES = ("float32", "float64", ">f4", "float16", "int64", "uint8", "bool", "complex64")


class Surroundings:
    """Where arrays lie inside of larger ones. `which` is 0 or 1, or None: then they lie anywhere."""

    def __init__(self, which: int | None) -> None:
        self.which = which
        self.kept: list[tuple[Any, Any, Any]] = []

    def put(self, values: Any, layout: str = "as usual") -> Any:
        """A copy of `values`, laid out like that."""
        if self.which is None or values.dtype.kind not in AROUND:
            return values.copy()
        inside = self.room(values.shape, values.dtype, layout)
        inside[...] = values
        if layout == "read-only":
            inside.flags.writeable = False
        return inside

    def room(self, shape: Any, dtype: Any = float, layout: str = "as usual") -> Any:
        """As `numpy.empty`, filled with what lies around it, too."""
        shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
        if self.which is None or dtype.kind not in AROUND:
            return np.ndarray(shape, dtype)
        fill, ndim = AROUND[dtype.kind][self.which], len(shape)
        wide = tuple(n + 2 for n in shape)
        if layout == "misaligned":
            whole = np.ndarray(math.prod(shape) + 129, dtype)
            whole.fill(fill)
            size = math.prod(shape)
            inside = np.ndarray(size * dtype.itemsize, np.uint8, whole, 64 * dtype.itemsize + 1).view(dtype)
            inside = inside.reshape(shape)
        elif layout == "in a larger one" and ndim:
            whole = np.ndarray(wide, dtype)
            inside = whole[(slice(1, -1),) * ndim]
        elif layout == "every second" and ndim:
            whole = np.ndarray((*wide[:-1], 2 * shape[-1] + 2), dtype)
            inside = whole[(*(slice(1, -1),) * (ndim - 1), slice(1, -1, 2))]
        elif layout == "Fortran's" and ndim:
            whole = np.ndarray(wide[::-1], dtype)
            inside = whole[(slice(1, -1),) * ndim].T
        elif layout == "backwards" and ndim:
            whole = np.ndarray(wide, dtype)
            inside = whole[(slice(1, -1),) * ndim][(slice(None, None, -1),) * ndim]
        else:
            whole = np.ndarray(math.prod(shape) + 128, dtype)
            inside = whole[64 : 64 + math.prod(shape)].reshape(shape)
        whole.fill(fill)
        self.kept.append((whole, inside, fill))
        return inside.view()

    def are_untouched(self) -> bool:
        """Whether nothing but the arrays was written to; they are lost."""
        for whole, inside, fill in self.kept:
            if inside.flags.aligned or not inside.size:
                inside[...] = fill
                same = whole == fill if fill == fill else np.isnan(whole)
            else:
                start, size, raw = 64 * whole.itemsize + 1, inside.nbytes, whole.reshape(-1).view(np.uint8)
                expected = np.full(len(whole), fill, whole.dtype).view(np.uint8)
                same = np.concatenate(
                    [raw[:start] == expected[:start], raw[start + size :] == expected[start + size :]]
                )
            if not np.all(same):
                return False
        return True


class Spoiling(NamedTuple):
    """What is done to an array."""

    kind: str
    axis: int
    by: int
    layout: str

    @classmethod
    def drawn(cls, rng: Generator) -> Spoiling:
        kinds = [*SHAPES, *SHAPES, *DTYPES, *["nothing"] * 3, *["outside"] * 3, "repeated", "no array"]
        return cls(str(rng.choice(kinds)), int(rng.integers(4)), int(rng.integers(1, 40)), str(rng.choice(LAYOUTS)))

    @property
    def is_harmless(self) -> bool:
        return self.kind == "nothing"

    def values(self, array: Any) -> Any:
        """What stands in the place of `array`, before it is laid out."""
        shape, kind = list(array.shape), self.kind
        if kind in DTYPES:
            return array.astype(kind)
        if kind == "repeated":
            return np.broadcast_to(array[..., :1], shape) if array.size and array.ndim else array
        if kind == "nothing" or not shape:
            return array
        if kind == "outside":
            array, k = array.copy(), self.by % max(array.size, 1)
            outside = {"f": 3.0, "b": True}.get(array.dtype.kind, (-self.by, 50 + self.by)[self.axis % 2])
            array.reshape(-1)[k : k + 1] = outside
            return array
        axis = self.axis % len(shape)
        match kind:
            case "longer":
                shape[axis] += 1
            case "much longer":
                shape[axis] += self.by
            case "shorter":
                shape[axis] = max(shape[axis] - self.by % 3 - 1, 0)
            case "empty":
                shape[axis] = 0
            case "of one":
                shape[axis] = 1
            case "swapped":
                shape[axis], shape[0] = shape[0], shape[axis]
            case "an axis more":
                shape.insert(axis, 1 + self.by % 2)
            case "an axis less":
                del shape[axis]
        return np.resize(array, shape)

    def put(self, array: Any, around: Surroundings) -> Any:
        if self.kind == "no array":
            return array.tolist()
        values = self.values(array)
        if self.kind == "repeated" and array.size and array.ndim:
            return np.broadcast_to(around.put(array[..., :1], self.layout), array.shape)
        return around.put(values, self.layout)


class Call(NamedTuple):
    """A call, and all that it is given."""

    name: str
    function: Callable[..., Any]
    arguments: Any
    layer: Any = None
    """Whose parameters are arrays that may be spoiled too."""


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays of a tree of tuples and one-hot rows."""
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, (rnn.OneHotRows, TableRows)):
        yield tree.ids
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from leaves(part)


def with_leaves(tree: Any, new: dict[int, Any]) -> Any:
    """`tree` with others, by the `id` of the old ones, in the place of its arrays."""
    if isinstance(tree, np.ndarray):
        return new[id(tree)]
    if isinstance(tree, (rnn.OneHotRows, TableRows)):
        return tree.with_ids(new[id(tree.ids)])
    if isinstance(tree, (tuple, list)):
        parts = [with_leaves(part, new) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree


def sizes(rng: Generator) -> tuple[int, int]:
    """T and B, often more than none."""
    return int(rng.choice([0, 1, 2, 3, 4])), int(rng.choice([0, 1, 2, 3, 9]))


def a_cell(rng: Generator, dtype: str, in_size: int | None = None) -> Any:
    kinds: list[Any] = [rnn.RNNCell, partial(rnn.RNNCell, nonlinearity="relu"), rnn.LSTMCell, rnn.GRUCell]
    kinds += [partial(rnn.GRUCell, bias=False), partial(rnn.LSTMCell, peepholes=True)]
    kinds += [partial(rnn.LSTMCell, peepholes=True, coupled=True, bias=False)]
    kinds += [rnn.MinGRUCell, rnn.MinLSTMCell]
    make = kinds[rng.integers(len(kinds))]
    in_size = int(rng.choice([1, 2, 3, 5])) if in_size is None else in_size
    return make(in_size, int(rng.choice([1, 3, 4, 5, 17, 33])), rng=rng).to(dtype=dtype)


def a_cell_call(rng: Generator) -> Call:
    """Of a cell by itself."""
    dtype, (T, B) = str(rng.choice(["float32", "float64"])), sizes(rng)
    cell = a_cell(rng, dtype)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    def inputs(layer: Any, *lead: int) -> Any:
        if rng.random() < 0.3:
            return rnn.OneHotRows(rng.integers(0, layer.in_size, lead), layer.in_size)
        return normal(*lead, layer.in_size)

    def states(layer: Any, batch: int) -> Any:
        return tuple(normal(batch, size) for size in layer.state_sizes)

    lengths = rng.integers(0, T + 1, B) if rng.random() < 0.5 else None
    starts = rng.random((T, B)) < 0.3 if rng.random() < 0.3 else None
    which = rng.choice(["forward", "call", "step", "take_step", "backward", "backward of another"])
    given: tuple[Any, ...]
    if which in ("forward", "call"):

        def call(xs: Any, state: Any, lengths: Any, starts: Any) -> Any:
            if which == "call":
                return cell(xs, state, lengths=lengths, starts=starts)
            return cell.forward(xs, state, lengths=lengths, starts=starts)[:2]  # the padding of a cache may be anything

        given = inputs(cell, T, B), states(cell, B), lengths, starts
        return Call(f"{type(cell).__name__}.{which}", call, given, cell)
    if which in ("step", "take_step"):
        given = inputs(cell, B), states(cell, B)
        return Call(f"{type(cell).__name__}.{which}", getattr(cell, which), given, cell)
    owner = cell
    if which == "backward of another":
        owner = type(cell)(cell.in_size, cell.out_size + int(rng.integers(-1, 3)) or 1, rng=rng).to(dtype=dtype)
        if rng.random() < 0.3:
            owner = a_cell(rng, dtype)
    _, _, cache = owner.forward(inputs(owner, T, B), states(owner, B), lengths=lengths, starts=starts)
    source = owner if rng.random() < 0.8 else cell
    given = normal(T, B, source.out_size), states(source, B), cache
    return Call(f"{type(cell).__name__}.{which}", cell.backward, given, cell)


def a_model_call(rng: Generator) -> Call:
    """Of an embedding or one-hot vectors, a cell and a linear layer."""
    dtype, (T, B) = str(rng.choice(["float32", "float64"])), sizes(rng)
    V, D = int(rng.choice([1, 2, 3, 40])), int(rng.choice([1, 2, 5]))
    first = rnn.Embedding(V, D, rng=rng) if rng.random() < 0.7 else rnn.OneHot(V)
    cell = a_cell(rng, dtype, first.out_size)
    model = rnn.Sequential(first, cell, rnn.Linear(cell.out_size, 4, rng=rng)).to(dtype=dtype)
    ids = rng.integers(0, V, (T, B))
    which = rng.choice(["forward", "backward", "step"])
    if which == "forward":
        call = lambda ids, state: model.forward(ids, state)[:2]  # noqa: E731
        return Call("Sequential.forward", call, (ids, model.initial_state(B)), model)
    if which == "step":
        return Call("Sequential.step", model.step, (ids.reshape(-1)[:B], model.initial_state(min(B, T * B))), model)
    _, _, cache = model.forward(ids)
    dys = rng.standard_normal((T, B, 4)).astype(dtype)
    return Call("Sequential.backward", model.backward, (dys, None, cache), model)


def a_layer_call(rng: Generator) -> Call:
    """Of a layer that knows no time."""
    dtype, (T, B) = str(rng.choice(["float32", "float64"])), sizes(rng)
    V, D = int(rng.choice([1, 2, 3, 40])), int(rng.choice([1, 2, 5]))
    if rng.random() < 0.5:
        layer: Any = rnn.Embedding(V, D, rng=rng).to(dtype=dtype)
        x: Any = rng.integers(0, V, (T, B))
    else:
        layer = rnn.Linear(D, V, rng=rng).to(dtype=dtype)
        x = rng.standard_normal((T, B, D)).astype(dtype)
        if rng.random() < 0.3:
            x = rnn.OneHotRows(rng.integers(0, D, (T, B)), D)
    if rng.random() < 0.3:
        return Call(f"{type(layer).__name__}.forward", layer.forward, (x,), layer)
    y, cache = layer.forward(x)
    return Call(f"{type(layer).__name__}.backward", layer.backward, (np.ones_like(y), cache), layer)


def a_loss_call(rng: Generator) -> Call:
    dtype, (T, B) = str(rng.choice(["float32", "float64"])), sizes(rng)
    V, reduction = int(rng.choice([1, 2, 5, 70])), str(rng.choice(["mean", "sum", "none"]))
    loss = rnn.SoftmaxCrossEntropy(reduction=reduction, label_smoothing=float(rng.choice([0, 0.1])))
    ys, targets = rng.standard_normal((T, B, V)).astype(dtype), rng.integers(-1, V, (T, B))
    lengths = rng.integers(0, T + 1, B) if rng.random() < 0.3 else None
    if rng.random() < 0.4:
        call = lambda ys, targets, lengths: loss.forward(ys, targets, lengths=lengths)  # noqa: E731
        return Call("SoftmaxCrossEntropy.forward", call, (ys, targets, lengths))
    value, cache = loss.forward(ys, targets, lengths=lengths)
    dloss = None if rng.random() < 0.3 else np.asarray(np.ones_like(value))
    return Call("SoftmaxCrossEntropy.backward", loss.backward, (cache, dloss))


DOORS = [
    door
    for module in (compiled_rnn, lstm, gru, linear, packed, compiled_products, softmax_cross_entropy)
    for door in vars(module).values()
    if isinstance(door, Door) and door.__module__ == module.__name__
]


def a_door_call(rng: Generator) -> Call:
    """Of a compiled function by itself, with arrays that are as it declares them."""
    door, dtype = DOORS[rng.integers(len(DOORS))], str(rng.choice(["float32", "float64"]))
    declaration = door.declaration
    known = {name: int(rng.choice([0, 1, 2, 3, 5, 17])) for name in declaration.sizes}
    itemsize = np.dtype(dtype).itemsize
    known |= {"W": packed.COLUMNS * packed.VECTOR // itemsize, "P": 0}
    conditions = [relation.expression for relation in declaration.relations if not relation.array]
    if "N == S * B" in conditions:
        known |= {"N": known["S"] * known["B"], "G": max(known["G"], 1), "C": max(known["C"], 1)}
    known |= {"first": 0, "last": known.get("N", 0)}
    known |= {"S": int(rng.choice([0, known.get("T", 0)])) if "T" in known else known.get("S", 0)}
    known |= {"Q": int(rng.choice([0, 3 * known.get("H", 0)]))}
    known |= {"size": known.get("V", 0), "columns": known.get("H", 0)}
    while not all(eval(condition, {}, known) for condition in conditions):
        known["P"] += 1
    arguments: list[Any] = []
    for name, what in declaration.parameters.items():
        if isinstance(what, type):
            arguments.append(what(known.get(name, rng.random())))
            continue
        shape = tuple(eval(axis, {}, known) for axis in what.axes)
        below = max(eval(what.below, {}, known), 1) if what.below else 2
        kind = what.kind.dtype or np.dtype(dtype)
        drawn = rng.standard_normal(shape) if kind.kind == "f" else rng.integers(0, below, shape)
        arguments.append(drawn.astype(kind))
    given = tuple(arguments)

    def call(*arguments: Any) -> Any:
        door(*arguments)
        return [a for a, w in zip(arguments, declaration.parameters.values(), strict=True) if isinstance(a, np.ndarray)]

    return Call(declaration.name, call, given)


MAKERS = (a_cell_call, a_cell_call, a_cell_call, a_model_call, a_layer_call, a_loss_call, a_door_call)


class Outcome(NamedTuple):
    """Of a misuse, made once."""

    name: str
    error: str
    found: list[Any]
    untouched: bool
    """Whether all that lies around the arrays is as it was."""
    harmless: bool
    """Whether no array was other than it should be, but for its layout."""


def run(seed: int, which: int | None, by_numpy: bool) -> Outcome:
    """Makes a misuse."""
    rng, around = np.random.default_rng(seed), Surroundings(which)
    backends._compiled = COMPILED
    call = MAKERS[seed % len(MAKERS)](rng)
    by_door = call.layer is None and call.name.startswith("compiled")
    backends._compiled = COMPILED if by_door or not by_numpy else None
    parameters = [] if call.layer is None else list(call.layer.named_parameters())
    given = list({id(array): array for array in leaves(call.arguments)}.values())  # some are there twice
    spoiled, spoiling = int(rng.integers(len(given) + len(parameters))), Spoiling.drawn(rng)
    if spoiling.kind == "no array" and not by_door:  # a public method checks what is no cache
        spoiling = spoiling._replace(kind="nothing")
    error, found = "", []
    new = {id(a): spoiling.put(a, around) if i == spoiled else around.put(a) for i, a in enumerate(given)}
    name = f"{call.name}, argument {spoiled}: {spoiling.kind}, {spoiling.layout}"
    zeros = np.zeros
    try:
        for i, (path, parameter) in enumerate(parameters, len(given)):
            if i != spoiled or spoiling.is_harmless:
                layout = spoiling.layout if i == spoiled and spoiling.layout != "read-only" else "as usual"
                parameter._value = around.put(parameter.value, layout)
                parameter._grad = around.put(np.zeros_like(parameter.value))
            else:
                name = f"{call.name}, {path}: {spoiling.kind}, {spoiling.layout}"
                *owners, attribute = path.split(".")
                owner = call.layer
                for part in owners:
                    owner = owner[int(part)] if part.isdecimal() else getattr(owner, part)
                other = Parameter(spoiling.values(parameter.value))
                other._value, other._grad = around.put(other.value), around.put(np.zeros_like(other.value))
                setattr(owner, attribute, other)
        with ExitStack() as stack:
            if which is not None:  # also around what the call makes for itself
                stack.enter_context(patch.object(np, "empty", around.room))
                stack.enter_context(patch.object(np, "zeros", lambda *shape: around.put(zeros(*shape))))
            came = call.function(*with_leaves(call.arguments, new))
        found = [np.array(a) for a in leaves(came)]
        if call.layer is not None:
            found += [np.array(p.grad) for _, p in call.layer.named_parameters()]
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
        if not isinstance(raised, DOCUMENTED):
            error = f"undocumented {error}"
    return Outcome(name, error, found, around.are_untouched(), spoiling.is_harmless)


def verdict(seed: int) -> tuple[str, str]:
    """The misuse, and what came of it: "error" and "same" are right."""
    count, least = threads._count, products.FEWEST
    threads._count, products.FEWEST = 1 + seed // len(MAKERS) % 2, 1
    try:
        first, second, third = run(seed, 0, False), run(seed, 1, False), run(seed, None, True)
    finally:
        threads._count, products.FEWEST = count, least
    name, error = first[:2]
    if not first.untouched or not second.untouched:
        return name, "wrote beside an array"
    if error.startswith("undocumented"):
        return name, error
    if error != second.error:
        return name, f"read beside an array: {error!r} and {second.error!r}"
    if error:
        is_right = first.harmless and not third.error and "is to be written to" not in error and "another" not in name
        return name, f"refused what is right: {error}" if is_right else "error"
    if any(one.tobytes() != other.tobytes() for one, other in zip(first.found, second.found, strict=True)):
        return name, "read beside an array"
    if third.error:
        return name, f"gave numbers where NumPy raises {third.error}"
    for one, other in zip(first.found, third.found, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return name, f"gave {one.dtype} {one.shape} where NumPy gives {other.dtype} {other.shape}"
        dtypes = {array.dtype.name for array in first.found}
        allowed = 1e-2 if ": float16" in name else 1e-4 if "float32" in dtypes else 1e-9
        if one.dtype.kind == "f" and not np.allclose(one, other, rtol=allowed, atol=allowed, equal_nan=True):
            return name, "gave other numbers than NumPy"
    return name, "same"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for door in DOORS:  # what Numba compiles must find NumPy's own functions
        for dtype in ("float32", "float64"):
            door.version(np.dtype(dtype))
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps({"seed": seed}), flush=True)
        name, came = verdict(seed)
        print(json.dumps({"seed": seed, "misuse": name, "came": came}), flush=True)
