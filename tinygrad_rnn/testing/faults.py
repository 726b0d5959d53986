"""The first wrong value of a backward, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .chains import ancestors
from .differences import differ, relative_error
from .examples import Example
from .insides import NOTHING, Pairs, inside_of, known_in
from .named import Arrays
from .places import gates_of, listed, place_of
from .slips import slip_of


class Fault(NamedTuple):
    """Where a fault lies."""

    names: tuple[str, ...]
    """Names in the backward (`da_f`), or results (`w_h.grad`, `state[0]`): wrong, though all before them is right."""
    words: str
    """The sentences of the report."""


MOST = 3
"""Of so many wrong names a slip is told; the others are only listed."""


class Report:
    """The gradients of one call, right and found, from which the first wrong one is told."""

    def __init__(
        self, example: Example, found: Arrays | None, expected: Arrays, before: Arrays, tolerance: float
    ) -> None:
        self.example, self.tolerance, self.before = example, tolerance, before
        self.layer: Any = example.layer
        self.gates: tuple[str, ...] = getattr(self.layer, "gates", ())
        self.parameters = {name: p.value for name, p in self.layer.named_parameters()}
        self.crashed = found is None
        self.checked: Pairs = {}
        """What the backward gives for each of its names and results, and what is right."""
        if found is not None:
            for name, right in expected.items():
                result = f"{name}.grad" if name in self.parameters else f"return {name}"
                self.checked[result] = (found.get(name), right)
        self.inside = NOTHING

    def open(self, forward: str, backward: str, upstream: Arrays, local: dict[str, Any]) -> None:
        """Check also the names inside of the backward, which hold these values."""
        self.inside = inside_of(self.example, (forward, backward), upstream, local, self.checked)
        self.checked |= self.inside.checked

    def fault(self, words: str, crashed_at: list[str]) -> Fault:
        """The first wrong names, and the sentences about them; `crashed_at` is what the line sets that raised."""
        wrong, right = self._judged()
        reads = self.inside.chain.reads
        first = [name for name in wrong if not ancestors(reads, name, until=right) & wrong.keys()]
        order = {name: i for i, name in enumerate(reads)}
        roots = sorted(first or wrong, key=lambda name: order.get(name, len(order))) or crashed_at
        causes = self._causes(wrong.keys(), right)
        common, covered = _common(causes, roots)
        if any(self._is_another(wrong.get(root, root)) for root in roots):  # which explains it better
            common, covered = [], []
        # A result that is wrong because of what it is computed from has no slip of its own.
        told = [root for root in roots[:MOST] if root not in covered or not self._is_result(root)]
        slips = {root: slip for root in told if (slip := self._slip(root, wrong))}
        alone = [name for name, fed in causes.items() if fed == set(roots) and len(roots) == 1 and not slips]
        sentences = self._about(roots, wrong, slips)
        if common:
            these = "All of these are" if len(covered) == len(roots) else self._all_of(covered)
            sentences.append(f"{these} computed from {listed(f'`{name}`' for name in common)}, so look there.")
        if alone:
            names = listed(f"`{name}`" for name in alone)
            sentences.append(f"Nothing else that can be checked is computed from {names}, so look there too.")
        followers = sorted((n for n in wrong if n not in roots and self._is_result(n)), key=_plain)
        if followers:
            sentences.append(f"{self._all_of(followers)} wrong because of this.")
        fine = sorted(filter(self._is_result, right), key=_plain)
        if fine:
            sentences.append(f"{self._all_of(fine)} right.")
        named = [*common, *(root for root in roots if root not in covered), *alone]
        return Fault(tuple(name.removeprefix("return ") for name in named), words + " ".join(sentences))

    def _judged(self) -> tuple[dict[str, str], set[str]]:
        """The wrong names, each with the part of its value that is wrong; and the right ones."""
        wrong: dict[str, str] = {}
        for part, (found, right) in self.checked.items():
            if self.crashed and found is not None and found.shape == right.shape:
                continue  # where the backward raised, only a value of another shape can be the reason
            if differ(found, right, self.tolerance):
                wrong.setdefault(self._base(part), part)
        wrong |= {name: name for name in self.inside.strange}
        fine = {self._base(part) for part in self.checked} - wrong.keys()
        for name in list(wrong):  # one from which something right comes has another meaning than by its name
            fed = {n for n in fine if name in ancestors(self.inside.chain.reads, n, until=wrong.keys() | fine)}
            if fed and not self._is_result(name):
                del wrong[name]
        return wrong, fine

    def _causes(self, wrong: Iterable[str], right: set[str]) -> dict[str, set[str]]:
        """Names that are not checked by themselves, from which come wrong ones only; with those."""
        chain, checked = self.inside.chain, {*wrong, *right}
        taken = {name for name in chain.given if name[1:] not in self.inside.right}
        found = {}
        for name in (name for name in chain.reads if name not in checked | taken):
            fed = {n for n in checked if name in ancestors(chain.reads, n, until=checked)}
            if fed and not fed & right:
                found[name] = fed
        return found

    def _is_another(self, part: str) -> bool:
        """Whether it holds another gradient."""
        found, right = self.checked.get(part, (None, None))
        others = (*self.inside.right.values(), *self.inside.incoming.values()) if found is not None else ()
        return any(differ(g, right, self.tolerance) and not differ(found, g, self.tolerance) for g in others)

    def _about(self, roots: list[str], wrong: dict[str, str], slips: dict[str, str]) -> list[str]:
        """What is wrong with the first wrong names, a sentence for each that has a slip, and one for all others."""
        explained = [root for root in roots if root in slips or root in self.inside.strange or root not in wrong]
        others = [root for root in roots if root not in explained]
        if len(roots) == 1:
            explained, others = roots, []
        sentences = []
        for root in explained:
            how = self._how(root, wrong.get(root, root))
            if how.startswith("is wrong") and len(roots) == 1 and self.inside.chain.reads:
                how += ", though all that can be checked before it is right"
            sentences.append(f"{self._shown(wrong.get(root, root))} {how}. {slips.get(root, '')}".rstrip())
        if others:
            sentences.append(f"{self._all_of(others)} wrong.")
        return sentences

    def _slip(self, name: str, wrong: dict[str, str]) -> str:
        """The sentence with the slip that explains it, if there is one."""
        part = wrong.get(name, name)
        found, right = self.checked.get(part, (None, None))
        if found is None or name in self.inside.strange:
            return ""
        path, columns = self.inside.columns.get(name, (name, None))
        before: Any = self.before[_plain(path)] if path.endswith(".grad") else None
        before = before if columns is None else before[..., columns]
        known = known_in(self.inside, name, wrong, self.parameters)
        gates = gates_of(part, self.gates) or self.gates
        return slip_of(found, right, known._replace(before=before, gates=gates))

    def _all_of(self, names: list[str]) -> str:
        """The beginning of a sentence about several."""
        inside = [f"`{name}`" for name in names if not self._is_result(name)]
        results = [self._with_place(name) for name in names if self._is_result(name)]
        parts = [f"{listed(inside)} in {self.inside.method}"] if inside else []
        if results:
            parts.append(f"{'t' if inside else 'T'}he gradient{'s'[: len(results) > 1]} w.r.t. {listed(results)}")
        return f"{', and '.join(parts)} {'are' if len(names) > 1 else 'is'}"

    def _how(self, name: str, part: str) -> str:
        """What is wrong with a name."""
        if name in self.inside.strange:
            return f"does not hold {name} of the forward, but {self.inside.strange[name] or 'something else'}"
        if part not in self.checked:
            return "cannot be computed"
        if self.checked[part][0] is None:
            return "is absent" if self._is_result(name) else "is no array"
        return " in ".join(filter(None, ("is wrong", self._place(part))))

    def _place(self, part: str) -> str:
        """Where the wrong entries lie: steps and rows, or columns and their gates."""
        found, right = self.checked[part]
        if found is None or found.shape != right.shape:
            return ""
        axes = self.example.axes(_plain(part)) if part.startswith("return ") else "TB" * (right.ndim == 3)
        wrong = ~(relative_error(found, right) <= self.tolerance)
        return place_of(wrong, axes, self.gates, getattr(self.layer, "out_size", None))

    def _shown(self, part: str) -> str:
        return f"The gradient w.r.t. {_plain(part)}" if self._is_result(part) else f"`{part}` in {self.inside.method}"

    def _with_place(self, name: str) -> str:
        place = self._place(name)
        return f"{_plain(name)} ({place})" if place else _plain(name)

    def _is_result(self, name: str) -> bool:
        return name.startswith("return ") or (name.endswith(".grad") and _plain(name) in self.parameters)

    def _base(self, part: str) -> str:
        return part if self._is_result(part) else part.partition("[")[0]


def _common(causes: dict[str, set[str]], roots: list[str]) -> tuple[list[str], list[str]]:
    """The causes of most of the first wrong names, if there are some; and these names."""
    counts = {name: len(fed & set(roots)) for name, fed in causes.items()}
    most = max(counts.values(), default=0)
    if most < 2 or 2 * most <= len(roots):
        return [], []
    common = [name for name, count in counts.items() if count == most]
    return common, [root for root in roots if any(root in causes[name] for name in common)]


def _plain(name: str) -> str:
    return name.removeprefix("return ").removesuffix(".grad")
