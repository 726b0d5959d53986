"""The first wrong value of a backward, and the sentences that say so."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.states import leaves as state_leaves
from .chains import Chain, ancestors, chain_of
from .differences import relative_error
from .examples import Arrays, Example, StepsExample
from .probes import inner_arrays, inner_gradients, written
from .slips import Known, slip_of


class Fault(NamedTuple):
    """Where a fault lies."""

    names: tuple[str, ...]
    """Names in the backward (`da_f`), or results (`w_h.grad`, `state[0]`): wrong, though all before them is right."""
    words: str
    """The sentences of the report."""


BEFORE = ", though all that can be checked before it is right"

MOST = 3
"""As many wrong names are described; where there are more, they have no common cause that could be told."""


class Report:
    """The gradients of one call, right and found, from which the first wrong one is told."""

    def __init__(
        self, example: Example, found: Arrays | None, expected: Arrays, before: Arrays, tolerance: float
    ) -> None:
        self.example, self.tolerance, self.before = example, tolerance, before
        self.layer: Any = example.layer
        self.parameters = {name: p.value for name, p in self.layer.named_parameters()}
        self.checked: dict[str, tuple[Any, Any]] = {}
        """What the backward gives for each of its names and results, and what is right."""
        self.crashed = found is None
        for name, right in expected.items():
            if found is not None:
                self.checked[self._result(name)] = (found.get(name), right)
        self.results = [self._result(name) for name in example.inputs]
        self.chain = Chain({}, set(), set(), {})
        self.method = "backward"
        self.known = Known({}, {}, {})
        self.strange: dict[str, str] = {}
        """Names that do not hold what they hold in the forward, and what they hold."""

    def _result(self, name: str) -> str:
        return f"{name}.grad" if name in self.parameters else f"return {name}"

    def open(self, forward: str, backward: str, upstream: Arrays, local: dict[str, Any]) -> None:
        """Look into the step: check also the names of its backward, given the values that these hold."""
        _, definition = written(self.layer, backward)
        self.method = backward
        self.chain = chain_of(definition, self.results, [f"{name}.grad" for name in self.parameters])
        gates = getattr(self.layer, "gates", ())
        names = [name for name in self.chain.reads if name not in self.chain.given | self.chain.repeated]
        wanted = {name[1:].split("_")[0] for name in names if name[0] == "d"} | {n[1:] for n in names if n[0] == "d"}
        wanted |= {leaf.name for leaf in state_leaves(getattr(self.layer, "state_spec", ()))}  # for what a slip lacks
        try:
            values, right = inner_gradients(self.example, forward, upstream, lambda name: name in wanted)
        except OSError:  # no source
            return
        for name in (name for name in names if name in local):
            parts = inner_arrays(name, local[name])
            if not parts and name[0] == "d" and name[1:] in right:
                self.checked[name] = (None, right[name[1:]])
            for part, array in parts.items():
                columns = None if part[1:] in right else _columns(name[1:], right, gates)
                if part[0] == "d" and part[1:] in right:
                    self.checked[part] = (array, right[part[1:]])
                elif name[0] == "d" and columns is not None:
                    self.checked[part] = (array, right[columns[0]][:, columns[1]])
                else:
                    self._alias(part, array)
        arrays = {part: a for name, value in values.items() for part, a in inner_arrays(name, value).items()}
        both = values.keys() & local.keys() - self.chain.repeated - self.checked.keys()
        for name in (name for name in self.chain.reads if name in both):
            self.checked[name] = (np.zeros(()), np.zeros(()))
            if not _equal(local[name], values[name]):
                self.strange[name] = next((other for other, its in values.items() if _equal(local[name], its)), "")
        # Those that the backward uses come first: a slip is told by the names that stand there.
        flat = {
            name: arrays[name] for name in sorted(arrays, key=lambda name: ("[" in name, name not in self.chain.reads))
        }
        incoming = {"dy": upstream["ys"][0]} if isinstance(self.example, StepsExample) and "ys" in upstream else {}
        gradients = {f"d{name}": gradient for name, gradient in right.items()}
        gradients |= {name: its[1] for name, its in self.checked.items() if name[0] == "d" and name.isidentifier()}
        self.known = Known(flat, incoming | gradients, self.parameters)

    def _alias(self, name: str, array: Any) -> None:
        """A name for columns of the gradient of a parameter is checked as such."""
        for path, parameter in self.layer.named_parameters():
            grad, result = parameter.grad, self.checked.get(f"{path}.grad")
            if result is not None and array.ndim == grad.ndim and np.shares_memory(array, grad):
                offset = array.__array_interface__["data"][0] - grad.__array_interface__["data"][0]
                first = offset // grad.itemsize % grad.shape[-1]
                its = slice(first, first + array.shape[-1])
                if result[1][..., its].shape == array.shape:
                    self.checked[name] = (result[0][..., its], result[1][..., its])

    def fault(self, words: str, crashed_at: list[str]) -> Fault:
        """The first wrong names, and the sentences about them; `crashed_at` is what the line sets that raised."""
        wrong, right = self._judged()
        reads = self.chain.reads
        roots = [name for name in wrong if not ancestors(reads, name, until=right) & wrong.keys()] or list(wrong)
        order = {name: i for i, name in enumerate(reads)}
        roots = sorted(roots, key=lambda name: order.get(name, len(order))) or crashed_at
        causes = self._causes(roots, wrong.keys() | right)
        most = max([len(fed) for fed in causes.values()], default=0)
        common = [name for name, fed in causes.items() if most > 1 and len(fed) == most and 2 * most > len(roots)]
        if any(self._mistaken(wrong.get(root, root)) for root in roots):
            common = []
        if len(roots) > 1 and not reads:
            sentences = [f"{_gradients([self._follower(root) for root in roots])} wrong."]
        else:
            sentences = [self._about(root, wrong.get(root, root)) for root in roots[:MOST]]
        if common:
            sentences = [sentence.replace(BEFORE, "") for sentence in sentences]
            sentences.append(f"All this comes from {' or '.join(f'`{name}`' for name in common)}, so look there.")
        alone = [name for name, fed in causes.items() if len(fed) == 1 and not common and len(roots) == 1]
        if alone:
            sentences.append(f"It alone is computed from {_listed(f'`{name}`' for name in alone)}, so look there too.")
        followers = sorted(self._follower(name) for name in wrong if name not in roots and self._is_result(name))
        if followers:
            sentences.append(f"{_gradients(followers)} wrong because of this.")
        fine = sorted(self._plain(name) for name in right if self._is_result(name))
        if fine:
            sentences.append(f"{_gradients(fine)} right.")
        covered = set().union(*(causes[name] for name in common))
        named = [*common, *(root for root in roots if root not in covered), *alone]
        return Fault(tuple(name.removeprefix("return ") for name in named), words + " ".join(sentences))

    def _judged(self) -> tuple[dict[str, str], set[str]]:
        """The wrong names, each with the part of its value that is wrong; and the right ones."""
        wrong: dict[str, str] = {}
        for part, (found, right) in self.checked.items():
            # Where the backward raised, only a value of another shape can be the reason.
            if (
                found is None
                or found.shape != right.shape
                or (not self.crashed and differ(found, right, self.tolerance))
            ):
                wrong.setdefault(self._base(part), part)
        wrong |= {name: name for name in self.strange}
        fine = {self._base(part) for part in self.checked} - wrong.keys()
        for name in list(wrong):  # one from which something right comes has another meaning than by its name
            fed = {n for n in fine if name in ancestors(self.chain.reads, n, until=wrong.keys() | fine)}
            if fed and not self._is_result(name):
                del wrong[name]
        return wrong, fine

    def _causes(self, roots: list[str], checked: set[str]) -> dict[str, set[str]]:
        """Names that are not checked by themselves, from which come wrong ones only; with the first that do."""
        reads = self.chain.reads
        found = {}
        for name in (name for name in reads if name not in checked):
            fed = {n for n in checked if name in ancestors(reads, n, until=checked)}
            if fed and fed <= set(roots):
                found[name] = fed
        return found

    def _follower(self, name: str) -> str:
        """A gradient that is wrong because of another, and in which columns."""
        found, right = self.checked[name]
        if found is None or found.shape != right.shape:
            return self._plain(name)
        where = self._where(name, ~(relative_error(found, right) <= self.tolerance))
        return self._plain(name) + (f" ({where.removeprefix(' in ')})" if where else "")

    def _mistaken(self, part: str) -> bool:
        """Whether it holds another gradient."""
        found, right = self.checked.get(part, (None, None))
        others = (g for g in self.known.gradients.values() if found is not None and g.shape == found.shape)
        return any(g is not right and not differ(found, g, self.tolerance) for g in others)

    def _about(self, name: str, part: str) -> str:
        """One sentence that says what is wrong, and if possible one that says how."""
        if name in self.strange:
            holds = f"but {self.strange[name]}" if self.strange[name] else "but something else"
            return f"`{name}` in {self.method} does not hold {name} of the forward, {holds}."
        found, right = self.checked.get(part, (None, None))
        subject = f"`{part}` in {self.method}"
        if self._is_result(name):
            subject = f"The gradient w.r.t. {self._plain(name)}"
        if right is None:
            return f"{subject} cannot be computed."
        if found is None:
            return f"{subject} is no array." if not self._is_result(name) else f"{subject} is absent."
        where = (
            "" if found.shape != right.shape else self._where(name, ~(relative_error(found, right) <= self.tolerance))
        )
        first = "" if self._is_result(name) and not self.chain.reads else BEFORE
        before = self.before.get(name.removesuffix(".grad")) if name.endswith(".grad") else None
        slip = slip_of(found, right, self.known._replace(before=before))
        return f"{subject} is wrong{where}{first}. {slip}".rstrip()

    def _where(self, name: str, mask: Any) -> str:
        """Where the wrong entries lie: steps and rows, or columns and their gates."""
        axes = self.example.axes(self._plain(name)) if name.startswith("return ") else "TB" * (mask.ndim == 3)
        parts = []
        for axis, letter in enumerate(axes[: mask.ndim]):
            its = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
            if 0 < len(its) < mask.shape[axis]:
                parts.append(_range("row" if letter == "B" else "step", its))
        if not axes and mask.ndim:
            columns = mask.reshape(-1, mask.shape[-1]).any(axis=0)
            its = np.flatnonzero(columns)
            if 0 < len(its) < len(columns):
                parts.append(f"{self._gates(columns)}{_range('column', its)}")
        return f" in {', '.join(parts)}" if parts else ""

    def _gates(self, columns: Any) -> str:
        """`f, ` for the columns of gate f."""
        size, width = getattr(self.layer, "out_size", None) or len(columns), len(columns)
        gates = getattr(self.layer, "gates", ())
        if width % size or width == size:
            return ""
        blocks = [i for i in range(width // size) if columns[i * size : (i + 1) * size].any()]
        if len(gates) == width // size:
            return f"{_listed(gates[i] for i in blocks)}, "
        return f"block {_listed(str(i + 1) for i in blocks)} of {width // size}, "

    def _is_result(self, name: str) -> bool:
        return name.startswith("return ") or name.removesuffix(".grad") in self.parameters

    def _base(self, part: str) -> str:
        return part if self._is_result(part) else part.partition("[")[0]

    def _plain(self, name: str) -> str:
        return name.removeprefix("return ").removesuffix(".grad")


def wrong_in(found: Arrays, expected: Arrays, tolerance: float) -> list[str]:
    """The names of the gradients that are wrong or absent."""
    return [name for name, right in expected.items() if differ(found.get(name), right, tolerance)]


def differ(found: Any, right: Any, tolerance: float) -> bool:
    """Whether a gradient is wrong."""
    if found is None or found.shape != right.shape:
        return True
    return not (relative_error(found, right) <= tolerance).all()


def _columns(name: str, right: Arrays, gates: tuple[str, ...]) -> tuple[str, slice] | None:
    """Of `a_f`: `a`, and the columns of gate f; of `a_rz` those of r and z."""
    whole, _, part = name.partition("_")
    if whole not in right or not part or right[whole].ndim != 2:
        return None
    for first in range(len(gates)):
        for last in range(first, len(gates)):
            if "".join(gates[first : last + 1]) == part:
                width = right[whole].shape[1] // len(gates)
                return whole, slice(first * width, (last + 1) * width)
    return None


def _range(word: str, numbers: Any) -> str:
    """`steps 0 to 2 and 5`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    spans = (str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
    return f"{word}{'s'[: len(numbers) > 1]} {_listed(spans)}"


def _gradients(names: list[str]) -> str:
    """The beginning of a sentence about these."""
    return f"The gradient{'s'[: len(names) > 1]} w.r.t. {_listed(names)} {'are' if len(names) > 1 else 'is'}"


def _listed(names: Any) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else str(last)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of a step are the same; of other than arrays, tuples and numbers, if their types are."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and bool((one == other).all())
    return not isinstance(one, (int, float, str)) or one == other
