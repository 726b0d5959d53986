"""How often `check_gradients` names the right variable: measured on every mutant of the steps of the built-in cells.

    PYTHONPATH=tests python tests/located.py

For each mutant of a `step_backward`, the trees of the original and of the mutant are compared: the names whose
statements differ are the *targets* of the mistake, such as `da_f`, `w_h.grad`, or `state[0]` in the `return`. A report
is *exact* if it names a target, and at most three names in all. A target may be no value that can be checked by itself
(a name of a part of a weight, `tanh_c`): then a report is *next to it* if all that it names is computed from a target
directly. All other reports are *wrong*. Mutants that the check lets pass compute the same, or need another setting.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn import DropConnect, GRUCell, LayerNormLSTMCell, LSTMCell, RNNCell, Zoneout
from tinygrad_rnn.testing import Mutant, check_gradients, mutants
from tinygrad_rnn.testing.chains import chain_of, pairs, statements
from tinygrad_rnn.testing.sources import definition_of, original_of

Make = Callable[[Any, np.random.Generator], Any]
CELLS: dict[type, list[Make]] = {
    RNNCell: [
        lambda kind, rng: kind(3, 4, rng=rng),
        lambda kind, rng: kind(3, 4, rng=rng, nonlinearity="relu"),
    ],
    LSTMCell: [lambda kind, rng: kind(3, 4, rng=rng)],
    GRUCell: [lambda kind, rng: kind(3, 4, rng=rng), lambda kind, rng: kind(3, 4, rng=rng, reset="before")],
    LayerNormLSTMCell: [lambda kind, rng: kind(3, 4, rng=rng, eps=1e-3)],
    Zoneout: [lambda kind, rng: kind(RNNCell(3, 4, rng=rng), 0.4, rng=rng)],
    DropConnect: [lambda kind, rng: kind(RNNCell(3, 4, rng=rng), 0.4, rng=rng)],
}
"""The cells, each in the ways of which a mutant must fail in one."""
MOST = 3


def report_of(kind: type, mutant: Mutant) -> Any:
    """The error that the check raises for the cell with this mistake; None if it lets it pass."""
    broken = type(kind.__name__, (kind,), {"step_backward": mutant.function})
    for make in CELLS[kind]:
        rng = np.random.default_rng(0)
        try:
            with np.errstate(all="ignore"):
                check_gradients(make(broken, rng), rng=rng)
        except Exception as error:
            return error
    return None


def targets_of(kind: Any, mutant: Mutant) -> set[str]:
    """The names whose statements differ."""
    one, other = (Counter(_set_in(_tree(function), kind)) for function in (kind.step_backward, mutant.function))
    return {name for name, *_ in (one - other) + (other - one)}


def _tree(function: Any) -> ast.FunctionDef:
    original = original_of(function)
    assert original is not None
    return definition_of(original)


def _set_in(definition: ast.FunctionDef, kind: Any) -> Iterator[tuple[str, str, int, str]]:
    """Each name that is set, from what, at which place of its statement, and how."""
    for statement in statements(definition.body):
        how = type(getattr(statement, "op", statement)).__name__ + _around(definition, statement)
        for place, (name, value) in enumerate(pairs(statement, results_of(kind))):
            yield name, ast.dump(value), place, how


def _around(definition: ast.FunctionDef, statement: ast.stmt) -> str:
    """The conditions that a statement stands under."""
    inside = (n for n in ast.walk(definition) if isinstance(n, ast.If))
    return "".join(ast.dump(n.test) for n in inside if any(part is statement for part in ast.walk(n)))


def results_of(kind: type) -> list[str]:
    return ["xs", "state[0]", *(["state[1]"] if kind in (LSTMCell, LayerNormLSTMCell) else [])]


def judged(kind: type, mutant: Mutant, error: Any) -> str:
    """`exact`, `next to it` or `wrong`."""
    targets, fault = targets_of(kind, mutant), getattr(error, "fault", None)
    if fault is None or not fault.names:
        return "wrong"
    named = {name.partition("[")[0] if name[:5] != "state" else name for name in fault.names}
    if named & targets and len(named) <= MOST:
        return "exact"
    definition = _tree(vars(kind)["step_backward"])
    paths = ["w_x.grad", "w_h.grad", "b.grad", "b_h.grad", "cell.w_h.grad"]
    reads = chain_of(definition, results_of(kind), paths).reads
    fed = {name for name in reads if reads[name] & targets}
    return "next to it" if named <= fed else "wrong"


def main() -> None:
    total = Counter[str]()
    chosen = [name for name in sys.argv[1:] if name[0] != "-"]
    for kind in (kind for kind in CELLS if not chosen or kind.__name__ in chosen):
        found = Counter[str]()
        for mutant in mutants(vars(kind)["step_backward"]):
            error = report_of(kind, mutant)
            verdict = "passes" if error is None else judged(kind, mutant, error)
            found[verdict] += 1
            if "--show" in sys.argv and verdict != "exact":
                print(f"{verdict}: {mutant.description}; targets {sorted(targets_of(kind, mutant))}")
                print(f"    {error.fault.names if hasattr(error, 'fault') else error!r}")
        total += found
        print(f"{kind.__name__}: {_told(found)}")
    print(f"all: {_told(total)}")


def _told(found: Counter[str]) -> str:
    failing = sum(count for verdict, count in found.items() if verdict != "passes")
    right = found["exact"] + found["next to it"]
    return (
        f"{failing} mutants, {right} located ({100 * right / failing:.1f} %): {found['exact']} exactly, "
        f"{found['next to it']} next to it; {found['wrong']} wrongly; {found['passes']} pass"
    )


if __name__ == "__main__":
    main()
