from __future__ import annotations

import math
import re
from itertools import product
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.datasets import DyckSource


def probability(ids: list[int], k: int, p: float, max_depth: float) -> float:
    """Of a string, by erasing what is closed at once until nothing is left; 0 where it does not balance."""
    pairs = [f"{chr(i)}{chr(k + i)}" for i in range(1, k + 1)]
    text = "".join(map(chr, ids[1:-1]))
    while any(pair in text for pair in pairs):
        for pair in pairs:
            text = text.replace(pair, "")
    if text or 0 in ids[1:-1]:
        return 0.0
    total, depth = 1 - p, 0  # that of the end
    for i in ids[1:-1]:
        total *= p / k if i <= k else 1.0 if depth == max_depth else 1 - p
        depth += 1 if i <= k else -1
        if depth > max_depth:
            return 0.0
    return total


@pytest.mark.parametrize(
    ("kinds", "max_depth", "counts"),  # of the strings of 0, 1, … pairs that balance, if all were of one kind
    [(2, None, [1, 1, 2]), (2, 1, [1, 1, 1]), (1, None, [1, 1, 2, 5]), (1, 2, [1, 1, 2, 4])],
)
def test_the_legal_strings_are_those_that_balance(kinds: int, max_depth: int | None, counts: list[int]) -> None:
    source, legal = DyckSource(kinds, opening=0.4, max_depth=max_depth), 0
    for length in range(2 * len(counts) - 1):
        for inner in product(range(2 * kinds + 1), repeat=length):
            ids = [0, *inner, 0]
            expected = probability(ids, kinds, 0.4, max_depth or math.inf)
            assert math.exp(source.log_probability(np.array(ids))) == pytest.approx(expected, rel=1e-12), ids
            legal += expected > 0
    assert legal == sum(count * kinds**pairs for pairs, count in enumerate(counts))


@pytest.mark.parametrize(
    ("kinds", "opening", "max_depth", "length"),
    [(1, 0.1, None, 20), (2, 0.02, None, 10), (2, 0.1, 1, 14), (3, 0.05, 2, 10), (1, 0.8, 1, 60), (1, 0.3, 2, 30)],
)
def test_the_entropy_against_all_strings_up_to_a_length(
    kinds: int, opening: float, max_depth: int | None, length: int
) -> None:
    source = DyckSource(kinds, opening=opening, max_depth=max_depth)
    limit = math.inf if max_depth is None else max_depth
    # Beginnings of a string: what is open, and their number of tokens and probability.
    begun: list[tuple[str, int, float]] = [("", 1, 1.0)]
    total = entropy = mean_length = 0.0
    while begun:
        stack, N, p = begun.pop()
        q = 1.0 if len(stack) == limit else 1 - opening
        if stack:
            closed = [(stack[:-1], N + 1, p * q)]
        else:
            closed, ended = [], p * q
            total, entropy, mean_length = (
                total + ended,
                entropy - ended * math.log(ended),
                mean_length + ended * (N + 1),
            )
        opened = [(stack + str(i), N + 1, p * opening / kinds) for i in range(kinds)] if len(stack) < limit else []
        if length >= N:
            begun += closed + opened
    assert 1 - 1e-3 < total < 1 + 1e-12
    assert entropy == pytest.approx(source.string_entropy, rel=0.02)
    assert entropy < source.string_entropy * (1 + 1e-12)
    assert mean_length == pytest.approx(source.mean_length, rel=0.02)
    assert source.entropy == pytest.approx(source.string_entropy / (source.mean_length - 1), rel=1e-12)


def test_no_maximal_depth_is_one_that_is_never_reached() -> None:
    deep, any_depth = DyckSource(3, opening=0.3, max_depth=60), DyckSource(3, opening=0.3)
    for name in ("entropy", "string_entropy", "mean_length"):
        assert getattr(deep, name) == pytest.approx(getattr(any_depth, name), rel=1e-12)
    choice = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    assert any_depth.entropy == pytest.approx(choice + 0.3 * math.log(3), rel=1e-12)
    assert any_depth.mean_length == pytest.approx(1 + 1 / 0.4, rel=1e-12)


def test_strings_as_they_are_drawn() -> None:
    for max_depth in (None, 3):
        source = DyckSource(3, opening=0.4, max_depth=max_depth)
        depths = []
        for ids in source.sample(500, rng=np.random.default_rng(0)):
            assert ids[0] == ids[-1] == 0
            assert probability(ids.tolist(), 3, 0.4, max_depth or math.inf) > 0
            depths.append(np.where(ids[1:-1] <= 3, 1, -1).cumsum().max(initial=0))
        assert max(depths) == 3 if max_depth else max(depths) > 6


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kinds": 0}, ValueError, "kinds must be at least 1, not 0"),
        ({"kinds": 1.0}, TypeError, "kinds must be an integer, not 1.0"),
        ({"max_depth": 0}, ValueError, "max_depth must be at least 1, not 0"),
        ({"max_depth": "2"}, TypeError, "max_depth must be an integer, not '2'"),
        ({"opening": "a"}, TypeError, "opening must be a number, not 'a'"),
        ({"opening": 0}, ValueError, "opening must be above 0 and below 1, not 0"),
        ({"opening": 1}, ValueError, "opening must be above 0 and below 1, not 1"),
        ({"opening": math.nan}, ValueError, "opening must be above 0 and below 1, not nan"),
        (
            {"opening": 0.5, "max_depth": None},
            ValueError,
            "opening must be above 0 and below 1/2, unless there is a max_depth, not 0.5",
        ),
        (
            {"opening": 0.99, "max_depth": 200},
            ValueError,
            "with opening 0.99 and max_depth 200 the mean length is too large for a float; make one of them smaller",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"kinds": 2, "opening": 0.4, "max_depth": 3}
    with pytest.raises(error, match=f"^{re.escape(f'DyckSource: {message}')}$"):
        DyckSource(**default | arguments)
