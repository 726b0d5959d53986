"""In which order the modules of PyTorch are applied, and what those are of which the arrays may be of two kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from ...core.arrays import Array
from ...saving.safe_file import shortened
from .files import natural
from .modules import Form, forms

_SEARCHED = 1000
"""How many orders of modules are tried at most."""


def known_forms(
    found: Mapping[str, Mapping[str, Array]],
    nonlinearity: str | None,
    embeddings: list[str] | None,
    eps: float | None,
) -> tuple[dict[str, list[Form]], list[str]]:
    """What each module may be, and what is wrong with those that are nothing."""
    known: dict[str, list[Form]] = {}
    problems = [
        f"{name}: embeddings names it, but there is no such module" for name in embeddings or () if name not in found
    ]
    for name, arrays in found.items():
        title = name or "the module itself"
        try:
            choices = forms(arrays)
        except ValueError as error:
            problems.append(f"{title}: {error}")
            continue
        if choices[0].kind == "RNN" and nonlinearity is None:
            problems.append(f'{title}: its names do not say which nonlinearity; give nonlinearity="tanh" or "relu"')
        if len(choices) > 1 and embeddings is not None:
            choices = [choices[name not in embeddings]]
        elif name in (embeddings or ()):
            problems.append(f"{title}: embeddings names it, but it is a {choices[0].kind}")
        if choices[0].kind == "layer_norm" and "bias" not in arrays:
            problems.append(
                f"{title}: a vector without a bias may be of LayerNorm, RMSNorm or PReLU; add a bias of zeros if it is "
                "a LayerNorm"
            )
        elif choices[0].kind == "layer_norm" and eps is None:
            problems.append(
                f"{title}: a vector and a bias may be of LayerNorm, GroupNorm, InstanceNorm or BatchNorm; give the eps "
                "of the LayerNorm, eps=1e-5 if none was given in PyTorch; no other norm has a counterpart here"
            )
        known[name] = choices
    return known, problems


def in_order(call: str, known: dict[str, list[Form]], given: list[Any] | None, ordered: bool) -> list[Any]:
    """The modules, as (name, form), in the order in which they are applied, with the given layers between them."""
    items: list[Any] = given if given is not None else list(known)
    numbered = given is None and _numbered(list(known))
    fixed = given is not None or ordered or numbered
    found = list(_chains(items, known, fixed))
    listed = shortened(
        "; ".join(
            f"{n!r}: {' or '.join(f'{f.kind} {f.in_size} to {f.out_size}' for f in fs)}" for n, fs in known.items()
        ),
        2000,
    )
    if len(found) != 1:
        twice = len(found) > 1 and [name for name, _ in _named(found[0])] == [name for name, _ in _named(found[1])]
        if twice:
            raise ValueError(
                f"{call}: a matrix alone may be an Embedding or a Linear without a bias: {listed}. Say which by "
                "embeddings=, a list of names, which may be empty"
            )
        why = (
            "more than one order of the modules may fit"
            if found
            else "the modules do not fit in this order"
            if fixed
            else "no order of the modules fits"
        )
        raise ValueError(
            f"{call}: {why}: {listed}. Give the order by layers=, a list of these names with layers without weights, "
            "such as Tanh(), between them; or a model to fill by model="
        )
    chain = found[0]
    for one, other in pairwise(chain):
        if given is None and isinstance(one, tuple) and one[1].kind == other[1].kind == "linear":
            raise ValueError(
                f"{call}: {other[0]!r} follows {one[0]!r}, both Linear; the arrays do not say which activation is "
                f"between them. Give layers=[..., {one[0]!r}, ReLU(), {other[0]!r}, ...], or without one"
            )
    if numbered:
        _check_gaps(call, list(known))
    return chain


def _named(chain: list[Any]) -> list[Any]:
    return [item for item in chain if isinstance(item, tuple)]


def _numbered(names: list[str]) -> bool:
    """Whether names differ in a number alone, as those of a Sequential or ModuleList do."""
    stems = {name.rpartition(".")[0] for name in names}
    numbers = [name.rpartition(".")[2] for name in names]
    return len(stems) == 1 and all(number.isascii() and number.isdigit() for number in numbers)


def _check_gaps(call: str, names: list[str]) -> None:
    """Where numbers are missing, there are modules without weights, of which the arrays do not say what they are."""
    numbers = {natural(name)[-1][1] for name in names}
    missing = sorted(set(range(min(max(numbers), 1000))) - numbers)
    if missing:
        raise ValueError(
            f"{call}: the modules {shortened(', '.join(map(str, missing)), 100)} have no weights, so the arrays do not "
            f"say what they are. Give layers=, such as [{', '.join(map(repr, names[:1]))}, ReLU(), ...]; leave out "
            "what only matters in training, such as Dropout"
        )


def _chains(items: list[Any], known: dict[str, list[Form]], fixed: bool) -> Iterator[list[Any]]:
    """Chains of modules of which each takes as many features as the one before gives; at most two are of interest."""
    tried = 0
    count = 0
    stack: list[tuple[list[Any], int | None, list[Any]]] = [([], None, items)]
    while stack and count < 2 and tried < _SEARCHED:
        chain, width, left = stack.pop()
        tried += 1
        if not left:
            count += 1
            yield chain
            continue
        for i, item in enumerate(left[:1] if fixed else left):
            rest = left[:i] + left[i + 1 :]
            if not isinstance(item, str):
                if not (item.takes_ids and chain) and item.in_size in (None, width or item.in_size):
                    stack.append(([*chain, item], item.out_size or width, rest))
                continue
            for form in known[item]:
                if form.kind == "embedding" and chain:
                    continue
                if width in (None, form.in_size):
                    stack.append(([*chain, (item, form)], form.out_size, rest))
    if stack and count < 2:
        yield []  # one that was not looked for any further
