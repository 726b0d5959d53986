from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import split

RNG = np.random.default_rng
FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (1.0,), (0.29, 0.71), (0.97, 0.01, 0.01, 0.01)])


@given(count=st.integers(4, 300), fractions=FRACTIONS, seed=st.integers(0, 99))
def test_parts_are_a_partition_of_these_sizes(count: int, fractions: tuple[float, ...], seed: int) -> None:
    parts = split(count, fractions=fractions, rng=RNG(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.dtype == "int64"
        assert (np.diff(part) > 0).all()
        assert len(part) >= 1
        assert abs(len(part) - fraction * count) < 1 or len(part) == 1 or min(map(len, parts)) == 1
    np.testing.assert_array_equal(parts[0], split(range(count), fractions=fractions, rng=RNG(seed))[0])


def test_it_is_random() -> None:
    one, other = (split(100, rng=RNG(seed))[1].tolist() for seed in (0, 1))
    assert one != other


@given(sizes=st.lists(st.integers(3, 60), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_part_has_the_same_mixture(sizes: list[int], seed: int) -> None:
    labels = RNG(seed).permutation(np.repeat([f"class {i}" for i in range(len(sizes))], sizes))
    parts = split(labels, rng=RNG(seed), stratify=labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for i, size in enumerate(sizes):
        counts = [int((labels[part] == f"class {i}").sum()) for part in parts]
        assert min(counts) >= 1
        assert abs(counts[0] - 0.8 * size) <= 2


@pytest.mark.parametrize(("fractions", "size"), [((0.5, 0.5), 5), ((0.8, 0.1, 0.1), 15), ((0.8, 0.1, 0.1), 14)])
def test_parts_of_one_size_share_the_odd_ones_of_many_classes(fractions: tuple[float, ...], size: int) -> None:
    labels = np.repeat(np.arange(100), size)
    *_, one, other = split(labels, fractions=fractions, rng=RNG(0), stratify=labels)
    assert len(one) == len(other)
    assert all(np.ptp(np.bincount(labels[part])) <= 1 for part in (one, other))


@given(sizes=st.lists(st.integers(1, 30), min_size=3, max_size=60), seed=st.integers(0, 99))
def test_no_group_is_in_two_parts(sizes: list[int], seed: int) -> None:
    groups = RNG(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split(len(groups), rng=RNG(seed), groups=groups)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    assert all(len(part) for part in parts)
    counts = Counter(group for part in parts for group in set(groups[part].tolist()))
    assert set(counts.values()) == {1}
    assert len(parts[0]) <= 0.8 * len(groups) + max(sizes)


def test_groups_and_classes_together() -> None:
    rng = RNG(0)
    groups = np.repeat(np.arange(60), 5)
    classes = np.repeat(rng.permutation(np.repeat([0, 1], [45, 15])), 5)  # one class a group, as of a person
    parts = split(classes, fractions=(0.6, 0.2, 0.2), rng=rng, groups=groups, stratify=classes)
    assert [len(part) for part in parts] == [180, 60, 60]
    assert [int(classes[part].sum()) for part in parts] == [45, 15, 15]
    assert not set(groups[parts[0]]) & set(groups[parts[1]])


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": None}, TypeError, "data, if it has no length, must be an integer, not None"),
        ({"data": 0}, ValueError, "there is nothing to divide into 3 parts"),
        ({"data": 2}, ValueError, "2 are, fewer than the 3 parts; give more data or fewer parts"),
        ({"fractions": [0.5, 0.5]}, TypeError, "fractions must be a tuple of numbers, not [0.5, 0.5]"),
        ({"fractions": (0.5, 0.6)}, ValueError, "fractions must add up to 1, but (0.5, 0.6) add up to 1.1"),
        ({"fractions": (1.0, 0.0)}, ValueError, "fractions[1] must be above 0 and at most 1, not 0.0"),
        ({"fractions": ()}, ValueError, "fractions must add up to 1, but () add up to 0"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
        ({"groups": np.arange(3)}, ValueError, "groups has the shape (3,), where (10,) was expected, one for each"),
        (
            {"stratify": np.zeros(10)},
            TypeError,
            "stratify is of dtype float64, where integers or strings were expected",
        ),
        (
            {"stratify": ["a"] * 9 + ["b"]},
            ValueError,
            "the class 'b' stands 1 times, fewer than the 3 parts; give more",
        ),
        (
            {"groups": [1] * 5 + [2] * 5},
            ValueError,
            "there are 2 groups, fewer than the 3 parts, and no group can be in",
        ),
        (
            {"groups": range(10), "stratify": [0] * 9 + [1]},
            ValueError,
            "part 1 has no group with one of the classes of stratify: a class stands in too few groups for 3 parts",
        ),
    ],
)
def test_mistakes(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"data": 10, "rng": RNG(0)}
    with pytest.raises(error, match=f"^split: {re.escape(message)}"):
        split(**default | arguments)
