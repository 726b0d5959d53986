"""The declaration of a state, and what follows from it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Parameter, RNNCell
from tinygrad_rnn.core.states import (
    Leaf,
    StateSpec,
    absent,
    add_initial_gradient,
    begin,
    begin_backward,
    given_or_initial,
    initial_state,
    learns,
    leaves,
    tree_map,
)
from tinygrad_rnn.testing import StrictDevice

LIKE: Any = np.zeros(1)
LEARNT = np.array([1.0, -2.0, 3.0])
OWNER = RNNCell(3, 4, rng=np.random.default_rng(0))


def spec() -> StateSpec:
    """A leaf of each kind, at different depths."""
    return (
        (),
        (Leaf("h", (3,)), Leaf("c", (3,), initial=-1.5)),
        ((Leaf("s", (3,), initial=Parameter(LEARNT.copy())),), Leaf("n", (), initial=2, integer=True)),
        Leaf("memory", (None, 2), kept=True),
    )


def given(batch: int = 3, rng: Any = None) -> Any:
    rng = np.random.default_rng(0) if rng is None else rng
    h, c, s = (rng.standard_normal((batch, 3)) for _ in range(3))
    return (), (h, c), ((s,), rng.integers(5, 9, batch)), rng.standard_normal((batch, 4, 2))


def test_tree_map_keeps_the_structure() -> None:
    tree = (1, (2, ()), ())
    assert tree_map(lambda leaf: 10 * leaf, tree) == (10, (20, ()), ())
    assert tree_map(lambda a, b: a + b, tree, (3, (4, ()), ())) == (4, (6, ()), ())
    with pytest.raises(ValueError, match="zip"):
        tree_map(lambda a, b: a + b, tree, (3, (4, ())))


def test_leaves_are_in_order() -> None:
    assert [leaf.name for leaf in leaves(spec())] == ["h", "c", "s", "n", "memory"]
    assert leaves(()) == []


def test_the_initial_state_is_as_declared() -> None:
    declared = spec()
    (), (h, c), ((s,), n), memory = initial_state(declared, 2, LIKE)
    assert (h.shape, h.any()) == ((2, 3), False)
    np.testing.assert_array_equal(c, np.full((2, 3), -1.5))
    np.testing.assert_array_equal(s, np.stack([LEARNT, LEARNT]))
    assert (n.dtype.kind, n.tolist()) == ("i", [2, 2])
    assert memory.shape == (2, 0, 2)  # of an axis of any size there is nothing yet
    s[0] = c[0] = 7  # they are arrays of their own
    np.testing.assert_array_equal(s[1], LEARNT)
    np.testing.assert_array_equal(declared[2][0][0].initial.value, LEARNT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_initial_state_has_the_dtype_and_device_of_what_it_is_like(dtype: str) -> None:
    declared, device = (Leaf("h", (3,), initial=0.5), Leaf("n", (), integer=True)), StrictDevice()
    for like in (np.zeros(1, dtype), device.asarray(np.zeros(1, dtype))):
        h, n = initial_state(declared, 2, like)
        assert (h.dtype, h.device) == (np.dtype(dtype), like.device)
        assert (n.dtype, n.device) == (np.dtype("int64"), like.device)
    (h, _) = initial_state(declared, 2, None)
    assert h.dtype == np.float32
    (h, _) = initial_state(declared, 2, np.zeros(1, int))  # of ids
    assert h.dtype == np.float32


def test_where_a_state_is_none_it_is_the_initial_one() -> None:
    declared, whole = spec(), given()
    new = initial_state(declared, 3, LIKE)
    for state, expected in (
        (None, new),
        (((), None, whole[2], whole[3]), ((), new[1], whole[2], whole[3])),
        (
            (None, (whole[1][0], None), (None, whole[2][1]), whole[3]),
            ((), (whole[1][0], new[1][1]), (new[2][0], whole[2][1]), whole[3]),
        ),
        (((), whole[1], ((None,), None), whole[3]), ((), whole[1], new[2], whole[3])),
    ):
        found = given_or_initial(OWNER, "state", state, declared, 3, LIKE)
        tree_map(np.testing.assert_array_equal, found, expected)
    with pytest.raises(
        ValueError, match=r"state\[3\], which is memory, is None, but is needed where the rest is given"
    ):
        given_or_initial(OWNER, "state", (*whole[:3], None), declared, 3, LIKE)
    found = given_or_initial(OWNER, "state", whole, declared, 3, LIKE)
    assert all(array is other for array, other in zip(leaves(found), leaves(whole), strict=True))


def test_absent_says_which_parts_are_none() -> None:
    assert absent(None) is True
    assert absent(((), (LIKE, None), None)) == ((), (False, True), True)


def test_begin_takes_the_initial_state_where_a_row_begins_and_keeps_what_is_kept() -> None:
    declared, old = spec(), given()
    for array in leaves(old):
        if array.dtype.kind == "f":
            array[1] = np.nan
    before = tree_map(np.copy, old)
    begun = begin(declared, old, np.array([False, True, False]))
    initial = leaves(initial_state(declared, 3, LIKE))
    for leaf, new, was, first in zip(leaves(declared), leaves(begun), leaves(old), initial, strict=True):
        assert new.dtype == was.dtype
        np.testing.assert_array_equal(new[::2], was[::2])
        np.testing.assert_array_equal(new[1], was[1] if leaf.kept else first[1])
    assert begun[3] is old[3]
    tree_map(np.testing.assert_array_equal, old, before)


def test_back_through_begin_what_begins_learns_and_what_is_kept_passes() -> None:
    declared = spec()
    learnt = declared[2][0][0].initial
    learnt.grad = np.full(3, 10.0)
    h, c, s = (np.random.default_rng(k).standard_normal((3, 3)) for k in range(3))
    s[0] = np.nan  # of a row that does not begin
    memory, goes_on = np.ones((3, 4, 2)), np.array([[1.0], [0], [0]])
    back = begin_backward(declared, ((), (h, c), ((s,), None), memory), np.array([False, True, True]))
    np.testing.assert_array_equal(back[1][0], h * goes_on)
    np.testing.assert_array_equal(back[1][1], c * goes_on)
    np.testing.assert_array_equal(back[2][0][0], [[np.nan] * 3, [0] * 3, [0] * 3])
    assert back[2][1] is None  # as the gradient of integers is
    assert back[3] is memory
    np.testing.assert_allclose(learnt.grad, 10 + s[1] + s[2], rtol=1e-15)


def test_the_gradient_of_an_initial_state_that_was_absent_sums_over_the_rows() -> None:
    declared = spec()
    learnt, d = declared[2][0][0].initial, np.random.default_rng(0).standard_normal((3, 3))
    dstate: Any = ((), (d, d), ((d,), None), d)
    assert learns(declared)
    assert not learns(declared[:2])
    expected = np.zeros(3)
    for state, counts in ((None, True), (((), (d, d), None, d), True), (((), None, ((d,), None), None), False)):
        add_initial_gradient(declared, dstate, absent(state))
        expected += counts * d.sum(axis=0)
        np.testing.assert_allclose(learnt.grad, expected, rtol=1e-15)


@pytest.mark.messages
def test_integers_and_floating_point_numbers_are_not_taken_for_each_other() -> None:
    floating, integer, flags = np.zeros((2, 3)), np.zeros((2, 3), int), np.zeros((2, 3), bool)
    numbers, counts = (Leaf("h", (3,)),), (Leaf("n", (3,), integer=True),)
    for like in (LIKE, integer, None):
        for declared, right, wrong, message in (
            (numbers, floating, integer, r"state\[0\] holds int64, not floating-point numbers"),
            (numbers, floating, flags, r"state\[0\] holds bool, not floating-point numbers"),
            (counts, integer, floating, r"state\[0\] must be an integer array, not float64"),
            (counts, integer, flags, r"state\[0\] must be an integer array, not bool"),
        ):
            assert given_or_initial(OWNER, "state", (right,), declared, 2, like)[0] is right
            with pytest.raises(TypeError, match=message):
                given_or_initial(OWNER, "state", (wrong,), declared, 2, like)
        if like is not None:
            with pytest.raises(TypeError, match=r"state\[0\] is on strict, but the parameters are on cpu"):
                given_or_initial(OWNER, "state", (StrictDevice().asarray(floating),), numbers, 2, like)


@pytest.mark.messages
def test_a_state_that_does_not_fit_is_told_why() -> None:
    whole, structure = given(), "((), (h, c), ((s,), n), memory)"
    wrong: Any
    for wrong, error, message in (
        ([], TypeError, f"state must be {structure}, a tuple of 4, not a list"),
        (whole[:3], TypeError, f"state must be {structure}, a tuple of 4, not a tuple of 3"),
        (((), whole[1][0], *whole[2:]), TypeError, "state[1] must be (h, c), a tuple of 2, not a ndarray"),
        (
            ((), whole[1], (whole[2][0][0], LIKE), LIKE),
            TypeError,
            "state[2][0] must be (s,), a tuple of 1, not a ndarray",
        ),
        (
            (*whole[:3], whole[3][:2]),
            ValueError,
            "state[3], which is memory, has shape (2, 4, 2), expected (3, any, 2)",
        ),
        ((*whole[:3], whole[3][0]), ValueError, "state[3], which is memory, has shape (4, 2), expected (3, any, 2)"),
        (
            (*whole[:2], (whole[2][0], LIKE[:0]), whole[3]),
            TypeError,
            "state[2][1] must be an integer array, not float64",
        ),
        (
            (*whole[:2], (whole[2][0], np.ones(2, int)), LIKE),
            ValueError,
            "state[2][1], which is n, has shape (2,), expected (3)",
        ),
        (
            tree_map(lambda a: a.astype("float32"), whole),
            TypeError,
            "state[1][0] is float32, but the parameters are float64",
        ),
        (tree_map(StrictDevice().asarray, whole), TypeError, "state[1][0] is on strict, but the parameters are on cpu"),
    ):
        with pytest.raises(error, match=re.escape(f"RNNCell(3, 4): {message}")):
            given_or_initial(OWNER, "state", wrong, spec(), 3, LIKE)
