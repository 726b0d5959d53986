"""What can be checked inside a backward: the names that have a counterpart in the forward."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from .chains import Chain, ancestors, chain_of
from .differences import differ
from .examples import Example, StepsExample
from .named import Arrays
from .places import columns_of
from .probes import inner_arrays, inner_gradients, written
from .slips import Known

Pairs = dict[str, tuple[Any, Any]]
SAME = 1e-7
"""How near two gradients are that are taken for the same."""


class Inside(NamedTuple):
    """The names of a backward, and what they hold."""

    method: str
    chain: Chain
    local: dict[str, Any]
    """What its names hold, those of the arguments first."""
    values: dict[str, Any]
    """What the names of the forward hold."""
    right: Arrays
    """The gradients w.r.t. these."""
    incoming: Arrays
    """The gradients that a step is given."""
    checked: Pairs
    """What names hold, and what they must hold."""
    strange: dict[str, str]
    """Names that do not hold what they hold in the forward, and which name of the forward does."""
    columns: dict[str, tuple[str, slice]]
    """Names for columns of the gradient of a parameter: `dw_n` for the last ones of `w_h.grad`."""


NOTHING = Inside("backward", Chain({}, set(), set()), {}, {}, {}, {}, {}, {}, {})


def inside_of(
    example: Example, methods: tuple[str, str], upstream: Arrays, local: dict[str, Any], results: Pairs
) -> Inside:
    """Compare the names of a backward with those of its forward.

    Args:
        example: the call.
        methods: the names of the forward and the backward.
        upstream: what the backward was given.
        local: what the names of the backward hold.
        results: what it gave for its results, in the order of what it returns, and what is right.
    """
    forward, backward = methods
    layer: Any = example.layer
    paths = {f"{path}.grad": parameter.grad for path, parameter in layer.named_parameters()}
    _, definition = written(layer, backward)
    chain = chain_of(definition, [f"return {name}" for name in example.inputs], list(paths))
    incoming = incoming_of(upstream) if isinstance(example, StepsExample) else {}
    inside = Inside(backward, chain, local, {}, {}, incoming, {}, {}, {})
    try:
        values, right = inner_gradients(example, forward, upstream)
    except OSError:  # the source of the forward is not available
        return inside
    checked, strange = inside.checked, inside.strange
    names = [name for name in chain.reads if name in local and name not in chain.given | chain.repeated]
    for name in names:
        parts = inner_arrays(name, local[name])
        if not parts and name[0] == "d" and name[1:] in right:
            checked[name] = (None, right[name[1:]])
        for part, array in parts.items():
            expected = right.get(part[1:], columns_of(name[1:], right, getattr(layer, "gates", ())))
            if name[0] == "d" and expected is not None:
                checked[part] = (array, expected)
            elif (its := _columns(array, paths, results)) is not None:
                inside.columns[part] = its
                checked[part] = tuple(a[..., its[1]] for a in results[its[0]])
    for name in chain.reads:
        if name in values and name in local and name not in chain.repeated and name not in checked:
            checked[name] = (np.zeros(()), np.zeros(()))
            if not _equal(local[name], values[name]):
                strange[name] = next((other for other, its in values.items() if _equal(local[name], its)), "")
    return inside._replace(values=values, right=right)


def incoming_of(upstream: Arrays) -> Arrays:
    """What a step is given, `dy` and `dstate[0]`, of the gradients w.r.t. the outputs of a sequence of one."""
    state = {f"d{name}": array for name, array in upstream.items() if name != "ys"}
    return {"dy": upstream["ys"][0], **state} if "ys" in upstream else state


def _columns(array: Any, gradients: Arrays, results: Pairs) -> tuple[str, slice] | None:
    """The gradient of a parameter of which an array is some columns, and which."""
    for path, gradient in gradients.items():
        if path in results and array.ndim == gradient.ndim > 0 and np.shares_memory(array, gradient):
            offset = array.__array_interface__["data"][0] - gradient.__array_interface__["data"][0]
            first = offset // gradient.itemsize % gradient.shape[-1]
            columns = slice(first, first + array.shape[-1])
            if gradient[..., columns].shape == array.shape:
                return path, columns
    return None


def known_in(inside: Inside, name: str, wrong: Iterable[str], parameters: Arrays) -> Known:
    """What a slip may have to do with, under the names that the backward has for it.

    Args:
        inside: the backward.
        name: where the slip is. Of two names for the same array, the one that it is computed from is taken.
        wrong: names that hold something wrong, which must not stand for what is right.
        parameters: the values of the parameters.
    """
    reads = inside.chain.reads
    here = reads.get(name, set())
    given = inside.local.keys() - reads.keys() - {"cache"}
    local = _arrays(inside.local, (given | inside.chain.given, inside.values, here))
    forward = _arrays(inside.values, (here,))
    upstream = {n for n in inside.local if n in given or ancestors(reads, n, until=set()) & given}
    own = {part: a for part, a in local.items() if part.partition("[")[0] not in wrong}
    values = {part: a for part, a in own.items() if part.partition("[")[0] not in upstream}
    values |= {part: a for part, a in forward.items() if part not in values}
    values |= {path: a for path, a in parameters.items() if a.ndim == 1 and path not in values}

    gradients: Arrays = {}
    for label, array in ({part: a for part, a in own.items() if part not in values} | inside.incoming).items():
        if _name_of(array, gradients) is None:
            gradients[label] = array
    incoming = {_name_of(array, gradients): array for array in inside.incoming.values()}
    sums = {
        f"({one} + {other})": a + b for (one, a), (other, b) in combinations(incoming.items(), 2) if a.shape == b.shape
    }
    for label, array in inside.right.items():
        # A name of the backward that holds something else, such as `dh` of the next step, must not stand for this.
        its = _name_of(array, sums) or (f"d{label}" if f"d{label}" not in local else None)
        if its and label != "_" and _name_of(array, gradients) is None:
            gradients[its] = array
    parts = {part: a for part, a in values.items() if any(np.shares_memory(a, p) for p in parameters.values())}
    unread = frozenset(inside.local.keys() - here) if here else frozenset()
    return Known(values, gradients, parameters | parts, unread=unread)


def _arrays(values: dict[str, Any], first: Iterable[Container[str]]) -> Arrays:
    """The arrays, also those in tuples, in the order in which they are told by; of equal ones the first is."""
    parts = [inner_arrays(name, value) for name, value in values.items() if name != "_"]
    arrays = {part: array for its in parts for part, array in its.items() if array.ndim}
    order = sorted(arrays, key=lambda part: ("[" in part, *(part not in names for names in first)))
    return {part: arrays[part] for part in order}


def _name_of(array: Any, arrays: Arrays) -> str | None:
    """The first name of an array of these values."""
    return next((name for name, its in arrays.items() if not differ(its, array, SAME)), None)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of a step are the same; of other than arrays, numbers and tuples, if their types are."""
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, (np.ndarray, float, int, np.number)) and isinstance(other, (np.ndarray, float, int, np.number)):
        return np.shape(one) == np.shape(other) and bool(np.all(one == other))
    return type(one) is type(other) and (not isinstance(one, str) or one == other)
