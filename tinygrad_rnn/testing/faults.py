"""The first wrong value of a backward, and the sentences that say so."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.roles import Recurrent
from .chains import Chain, ancestors, chain_of
from .differences import relative_error
from .examples import Arrays, Example, StepsExample, leaves
from .probes import inner_arrays, inner_gradients
from .slips import Known, slip_of
from .sources import definition_of, original_of


class Fault(NamedTuple):
    """Where a fault lies."""

    names: tuple[str, ...]
    """Names in the backward (`da_f`), or results (`w_h.grad`, `state[0]`): wrong, though all before them is right."""
    words: str
    """The sentences of the report."""


MOST = 3
"""As many wrong names are described; where there are more, they have no common cause that could be told."""


class Report:
    """The gradients of one call, right and found, from which the first wrong one is told."""

    def __init__(self, example: Example, found: Arrays, expected: Arrays, before: Arrays, tolerance: float) -> None:
        self.example, self.tolerance, self.before = example, tolerance, before
        self.layer: Any = example.layer
        self.parameters = {name: p.value for name, p in self.layer.named_parameters()}
        self.checked: dict[str, tuple[Any, Any]] = {}
        """What the backward gives for each of its names and results, and what is right."""
        self.crashed = not found
        for name, right in expected.items() if found else ():
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
        original = original_of(getattr(self.layer, backward))
        assert original is not None  # it was watched
        definition = definition_of(original)
        self.method = backward
        self.chain = chain_of(definition, self.results, [f"{name}.grad" for name in self.parameters])
        gates, names = getattr(self.layer, "gates", ()), self.chain.reads.keys() - self.chain.given - self.chain.repeated
        wanted = {name[1:].split("_")[0] for name in names if name[0] == "d"} | {n[1:] for n in names if n[0] == "d"}
        try:
            values, right = inner_gradients(self.example, forward, upstream, lambda name: name in wanted)
        except OSError:  # no source
            return
        for name in names & local.keys():
            parts = inner_arrays(name, local[name])
            for part, array in parts.items():
                columns = None if part[1:] in right else _columns(name[1:], right, gates)
                if part[0] == "d" and part[1:] in right:
                    self.checked[part] = (array, right[part[1:]])
                elif name[0] == "d" and columns is not None:
                    self.checked[part] = (array, right[columns[0]][:, columns[1]])
                else:
                    self._alias(part, array)
        arrays = {part: a for name, value in values.items() for part, a in inner_arrays(name, value).items()}
        for name in self.chain.reads.keys() & values.keys() & local.keys() - self.chain.repeated:
            for part, array in inner_arrays(name, local[name]).items():
                if part in arrays and part not in self.checked and not _equal(array, arrays[part]):
                    self.strange[part] = next((n for n, other in arrays.items() if _equal(array, other)), "")
                elif part in arrays and part not in self.checked:
                    self.checked[part] = (array, array)
        # Those that the backward uses come first: a slip is told by the names that stand there.
        flat = {name: arrays[name] for name in sorted(arrays, key=lambda name: name not in self.chain.reads)}
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
        roots = roots or crashed_at
        causes = self._causes(roots, wrong.keys() | right)
        common = [name for name, fed in causes.items() if len(fed) > 1 and fed == set(roots)]
        sentences = [self._about(root, wrong.get(root, root)) for root in roots[:MOST]]
        if common:
            names, verb = " or ".join(f"`{name}`" for name in common), "is" if len(roots) == 1 else "are"
            sentences.append(f"What {'they have' if verb == 'are' else 'it has'} in common comes from {names}.")
        alone = [name for name, fed in causes.items() if len(fed) == 1 and not common and len(roots) == 1]
        if alone:
            sentences.append(f"It alone is computed from {_listed(f'`{name}`' for name in alone)}, so look there too.")
        followers = sorted(self._plain(name) for name in wrong if name not in roots and self._is_result(name))
        if followers:
            sentences.append(f"The gradients w.r.t. {_listed(followers)} are wrong because of this.")
        fine = sorted(self._plain(name) for name in right if self._is_result(name))
        if fine:
            sentences.append(f"The gradients w.r.t. {_listed(fine)} are right.")
        named = common or [*roots, *alone]
        return Fault(tuple(name.removeprefix("return ") for name in named), words + " ".join(sentences))

    def _judged(self) -> tuple[dict[str, str], set[str]]:
        """The wrong names, each with the part of its value that is wrong; and the right ones."""
        wrong = {}
        for part, (found, right) in self.checked.items():
            if differ(found, right, self.tolerance):
                wrong.setdefault(self._base(part), part)
        fine = {self._base(part) for part in self.checked} - wrong.keys()
        if self.crashed:
            return wrong | {name: name for name in self.strange}, fine - self.strange.keys()
        known = wrong.keys() | fine
        for name in [*wrong, *self.strange]:  # one from which nothing wrong comes has another meaning than by its name
            fed = {n for n in known if n != name and name in ancestors(self.chain.reads, n, until=known)}
            if not self._is_result(name) and fed and fed <= fine:
                wrong.pop(name, None)
            elif name in self.strange and not fed & fine:
                wrong[name] = name
        return wrong, fine

    def _causes(self, roots: list[str], checked: set[str]) -> dict[str, set[str]]:
        """Names that are not checked by themselves, from which come wrong ones only; with the first that do."""
        reads = self.chain.reads
        found = {}
        for name in reads.keys() - checked:
            fed = {n for n in checked if name in ancestors(reads, n, until=checked)}
            if fed and fed <= set(roots):
                found[name] = fed
        return found

    def _about(self, name: str, part: str) -> str:
        """One sentence that says what is wrong, and if possible one that says how."""
        if name in self.strange:
            holds = f"but {self.strange[name]}" if self.strange[name] else "but something else"
            return f"`{name}` in {self.method} does not hold {name} of the forward, {holds}."
        found, right = self.checked.get(part, (None, None))
        if self._is_result(name):
            subject = f"The gradient w.r.t. {self._plain(name)}"
        else:
            subject = f"`{part}` in {self.method}"
        if right is None:
            return f"{subject} cannot be computed."
        if found is None:
            return f"{subject} is absent."
        where = "" if found.shape != right.shape else self._where(name, ~(relative_error(found, right) <= self.tolerance))
        first = "" if self._is_result(name) and not self.chain.reads else ", though what it is computed from is right"
        before = self.before.get(name.removesuffix(".grad")) if name.endswith(".grad") else None
        slip = slip_of(found, right, self.known._replace(before=before))
        return f"{subject} is wrong{where}{first}. {slip}".rstrip()

    def _where(self, name: str, mask: Any) -> str:
        """Where the wrong entries lie: steps and rows, or columns and their gates."""
        axes = self.example.axes(self._plain(name)) if name.startswith("return ") else ""
        parts = []
        for axis, (letter, word) in enumerate(zip(axes, ("step", "row"), strict=False)):
            its = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
            if letter in "TBS" and 0 < len(its) < mask.shape[axis]:
                parts.append(f"in {_range({'B': 'row'}.get(letter, 'step'), its)}")
        if not axes and mask.ndim:
            columns = mask.reshape(-1, mask.shape[-1]).any(axis=0)
            its = np.flatnonzero(columns)
            if 0 < len(its) < len(columns):
                parts.append(f"in {self._gates(columns)}{_range('column', its)}")
        return f" {' '.join(parts)}" if parts else ""

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
    """`steps 0 to 2`."""
    first, last = int(numbers[0]), int(numbers[-1])
    if first == last:
        return f"{word} {first}"
    if len(numbers) == last - first + 1:
        return f"{word}s {first} to {last}"
    return f"{word}s {_listed(str(int(i)) for i in numbers)}"


def _listed(names: Any) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else str(last)


def _equal(one: Any, other: Any) -> bool:
    return bool(one.shape == other.shape and (one == other).all())
