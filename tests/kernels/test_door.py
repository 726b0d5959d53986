"""No call of compiled code reads or writes beside an array; what does not fit raises a sentence that says so."""

# No `from __future__ import annotations`: `compiled` reads them.
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.core.arrays import Array, Booleans, Integers
from tinygrad_rnn.kernels.compiled.door import Declaration, Flags, Ids, In, Out, compiled, own_ids
from tinygrad_rnn.kernels.compiled.packed import COLUMNS, VECTOR, Packed, multiply, pack

MISUSES = Path(__file__).parent / "misuses.py"
CHUNK = 250
"""Misuses in a process, at most."""


@pytest.mark.messages  # the texts of errors are compared, and the processes check no shapes
def test_misuses(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Others at each long run."""
    long = pytestconfig.getoption("--long")
    count, first = (3000, int(np.random.default_rng().integers(1 << 40))) if long else (CHUNK, 0)
    tally, wrong, seed, stop = Counter[str](), [], first, first + count
    while seed < stop:
        command = [sys.executable, str(MISUSES), str(seed), str(min(seed + CHUNK, stop))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            if "came" in line:
                tally[line["came"] if line["came"] in ("error", "same") else "wrong"] += 1
                if line["came"] not in ("error", "same"):
                    wrong.append(str(line))
        assert lines, done.stderr
        seed = lines[-1]["seed"] + 1  # after the one that ended the process, if one did
        if done.returncode:
            wrong.append(f"ended the process: {lines[-1]}: {done.stderr[-1000:]}")
    if long:
        with capsys.disabled():
            print(f"\n{count} misuses from {first} on: {dict(tally)}")
    assert not wrong, "\n".join(wrong)
    assert min(tally["error"], tally["same"]) > count / 10


@compiled("columns >= 2", "2 * C == columns")
def scaled(
    out: Out[Array, "T+1 C"],
    numbers: In[Array, "T C"],
    ids: Ids[Integers, "T", "V"],
    table: In[Array, "V"],
    flags: Flags[Booleans, "T"],
    columns: int,
    factor: float,
) -> None:
    for t in range(len(numbers)):
        for j in range(numbers.shape[1]):
            out[t + 1, j] = numbers[t, j] * table[ids[t]] * factor if flags[t] else 0


def given(**others: Any) -> tuple[Any, ...]:
    """What `scaled` takes, with T = 3, C = 2 and V = 4."""
    arguments = {
        "out": np.zeros((4, 2)),
        "numbers": np.arange(6.0).reshape(3, 2),
        "ids": np.array([0, 3, 1]),
        "table": np.array([1.0, 2, 3, 4]),
        "flags": np.array([True, True, False]),
        "columns": 4,
        "factor": 0.5,
    }
    return tuple((arguments | others).values())


def test_what_fits_is_computed() -> None:
    out = np.full((4, 2), np.nan)
    scaled(*given(out=out))
    np.testing.assert_array_equal(out[1:], [[0, 0.5], [4, 6], [0, 0]])
    assert np.isnan(out[0]).all()


def misaligned(array: Any) -> Any:
    whole = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    whole[...] = array
    return whole


@pytest.mark.parametrize(
    "lay_out",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array[..., ::-1].copy()[..., ::-1],
        lambda array: array[::-1].copy()[::-1],
        misaligned,
        lambda array: np.lib.stride_tricks.as_strided(array, writeable=False),
    ],
)
def test_what_is_read_may_have_any_layout(lay_out: Any) -> None:
    expected, found = np.zeros((4, 2)), np.zeros((4, 2))
    scaled(*given(out=expected))
    _, numbers, ids, table, flags, *_ = given()
    scaled(*given(out=found, numbers=lay_out(numbers), ids=lay_out(ids), table=lay_out(table), flags=lay_out(flags)))
    np.testing.assert_array_equal(found, expected)


def test_rows_of_one_number_may_lie_apart() -> None:
    out, expected = np.zeros((4, 3)), np.zeros((4, 1))
    numbers = np.arange(9.0).reshape(3, 3)
    for into, column in ((expected, numbers[:, 1:2].copy()), (out[:, ::2][:, :1], numbers[:, 1::2][:, :1])):
        scaled(*given(out=into, numbers=column, columns=2))
    np.testing.assert_array_equal(out[:, :1], expected)
    assert expected.any()


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


T, V, I, HINT = (
    ValueError,
    TypeError,
    IndexError,
    "Caches, states and gradients go with the model and the call that gave",
)
SIZES = "with C = 2, T = 3, V = 4"


@pytest.mark.messages
@pytest.mark.parametrize(
    ("others", "kind", "message"),
    [
        ({"out": np.zeros((3, 2))}, T, rf"out has shape \(3, 2\), expected \(4, 2\): \(T\+1, C\) {SIZES}. {HINT} them"),
        ({"out": np.zeros((4, 3))}, T, r"numbers has shape \(3, 2\), expected \(3, 3\)"),
        ({"numbers": np.zeros((3, 0))}, T, r"numbers has shape \(3, 0\), expected \(3, 2\)"),
        ({"numbers": np.zeros(3)}, T, r"numbers has shape \(3,\), expected \(T, C\). "),
        ({"flags": np.zeros((3, 1), bool)}, T, r"flags has shape \(3, 1\), expected \(T,\). "),
        ({"flags": np.zeros(4, bool)}, T, r"flags has shape \(4,\), expected \(3,\): \(T,\) "),
        ({"columns": 3}, T, rf"2 \* C == columns does not hold, {SIZES}, columns = 3, factor = 0.5. "),
        ({"out": np.zeros((4, 4))[:, ::2]}, T, r"out has strides \(32, 16\), but is to be written to"),
        ({"out": read_only(np.zeros((4, 2)))}, T, r"out is read-only, but is to be written to"),
        ({"out": misaligned(np.zeros((4, 2)))}, T, r"out is not aligned, but is to be written to"),
        ({"numbers": np.zeros((3, 2), "f4")}, V, r"numbers is of float32, expected float64. "),
        ({"numbers": np.zeros((3, 2), ">f8")}, V, r"numbers is of >f8, expected float64. "),
        ({"out": np.zeros((4, 2), int)}, V, r"out is of int64, expected float32 or float64. "),
        ({"out": np.zeros((4, 2), ">f8")}, V, r"out is of >f8, expected float32 or float64. "),
        ({"ids": np.zeros(3)}, V, r"ids is of float64, expected int64. "),
        ({"flags": np.zeros(3)}, V, r"flags is of float64, expected bool. "),
        ({"out": None}, V, r"out is a NoneType, expected an array"),
        ({"table": [1.0, 2, 3, 4]}, V, r"table is a list, expected an array"),
        ({"factor": "1"}, V, r"factor is a str, expected a float"),
        (
            {"ids": np.array([0, 4, 9])},
            I,
            r"ids holds 4 at index \(1,\), which is outside of 0 to 3. It was changed after",
        ),
        ({"ids": np.array([0, 1, -1])}, I, r"ids holds -1 at index \(2,\), which is outside of 0 to 3"),
    ],
)
def test_what_does_not_fit_is_told(others: Any, kind: type[Exception], message: str) -> None:
    out = np.zeros((4, 2))
    arguments = given(**({"out": out} | others))
    with pytest.raises(kind, match=f"^compiled test_door.scaled: {message}"):
        scaled(*arguments)
    np.testing.assert_array_equal(out, 0)


@pytest.mark.messages
@pytest.mark.parametrize("ids", [np.zeros(2), np.zeros(2, bool)])
def test_ids_are_integers(ids: Any) -> None:
    with pytest.raises(TypeError, match=r"^ids must be integers, not (float64|bool)$"):
        own_ids(ids)


def test_ids_are_copied() -> None:
    """Whoever changes the array meanwhile changes nothing here."""
    for dtype in ("int64", "uint8"):
        ids = np.array([3], dtype)
        copy = own_ids(ids)
        ids[0] = 9
        assert copy.dtype == np.int64
        assert copy == 3


@compiled()
def product(out: Out[Array, "B P*W"], a: In[Array, "B K"], w: Packed[Array, "P K W"]) -> None:
    multiply(a, w, out)


@pytest.mark.messages
def test_packed_weights_have_no_gaps_and_whole_panels() -> None:
    width = COLUMNS * VECTOR // 8
    a, w = np.ones((2, 3)), pack(np.ones((3, 2 * width)))
    out = np.zeros((2, 2 * width))
    product(out, a, w.transpose(2, 1, 0).copy().transpose(2, 1, 0))
    np.testing.assert_array_equal(out, 3)
    with pytest.raises(  # it has no gaps, so only its width tells
        ValueError, match=rf"w has shape \(2, 3, {width - 1}\), and {COLUMNS * VECTOR} bytes are expected in"
    ):
        product(np.zeros((2, 2 * width - 2)), a, w[..., 1:].copy())


def test_every_parameter_is_declared() -> None:
    """A function that forgets one, or says a size that no axis has, is refused before it is compiled."""

    def one(out: Out[Array, "N"], numbers) -> None:  # type: ignore[no-untyped-def]
        pass

    def two(out: Out[Array, "N"], numbers: In[Array, "M+1"]) -> None:
        pass

    def three(out: Out[Array, "out"]) -> None:
        pass

    for function in (one, two, three):
        with pytest.raises(AssertionError):
            Declaration.of(function, ())
    with pytest.raises(AssertionError):
        Declaration.of(two, ("K == M",))
