"""What compiled steps are made of, and the switch. That they are the steps is tested in `cells/test_kernels.py` too."""

# No `from __future__ import annotations`: `compiled` reads them.
import math
import re
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from table import LENGTHS
from tinygrad_rnn import Cell, GRUCell, LSTMCell, OneHotRows, Parameter, RNNCell, set_compiled
from tinygrad_rnn.core.arrays import Array
from tinygrad_rnn.core.rows import make_rows
from tinygrad_rnn.kernels import backends, products
from tinygrad_rnn.kernels.backends import backend, is_compiled
from tinygrad_rnn.kernels.compiled import products as compiled_products
from tinygrad_rnn.kernels.compiled.backend import COMPILED
from tinygrad_rnn.kernels.compiled.door import In, Out, compiled
from tinygrad_rnn.kernels.compiled.kept import SOURCES
from tinygrad_rnn.kernels.compiled.packed import TILE, Packed, multiply, pack, room_for_product
from tinygrad_rnn.kernels.compiled.primitives import exp, tanh
from tinygrad_rnn.kernels.plain import products as plain_products
from tinygrad_rnn.kernels.plain.backend import PLAIN
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients

MAKERS = [RNNCell, partial(RNNCell, nonlinearity="relu"), GRUCell, LSTMCell]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_compiled", COMPILED)


@compiled()
def product(out: Out[Array, "B P*W"], a: In[Array, "B K"], w: Packed[Array, "P K W"]) -> None:
    multiply(a, w, out)


@compiled()
def exp_of(out: Out[Array, "B N"], a: In[Array, "B N"]) -> None:
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = exp(a[i, j])


@compiled()
def tanh_of(out: Out[Array, "B N"], a: In[Array, "B N"]) -> None:
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = tanh(a[i, j])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("rows", "K", "N"),
    [(32, 40, 96), (TILE + 1, 1, 33), (1, 100, 7), (TILE + 3, 9, 1), (2 * TILE - 1, 9, 1), (0, 3, 4), (TILE, 0, 5)],
)
def test_it_is_the_product(rows: int, K: int, N: int, transposed: bool, dtype: str, rng: np.random.Generator) -> None:
    """Of each of a stack of weights, side by side, and what fills the last panels is 0."""
    a = rng.standard_normal((rows, K + 5)).astype(dtype)[:, 5:]
    w = (
        rng.standard_normal((3, N, K)).astype(dtype).swapaxes(1, 2)
        if transposed
        else rng.standard_normal((3, K, N)).astype(dtype)
    )
    packed = pack(w)
    out = room_for_product(packed, rows)
    out.fill(np.nan)
    product(out, a, packed)
    found = out.reshape(rows, 3, out.shape[1] // 3)
    expected = np.einsum("ik,gkj->igj", a.astype(float), w.astype(float))
    np.testing.assert_allclose(found[..., :N], expected, rtol=0, atol=4 * K * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(found[..., N:], 0)


def of_each(function: Any, numbers: Any, dtype: str) -> tuple[Any, Any]:
    """Numbers of that dtype, and what a compiled function makes of them."""
    x = np.array(numbers, dtype)[None]
    out = np.empty_like(x)
    function(out, x)
    return x[0], out[0]


TINY = np.concatenate([np.geomspace(1e-30, 1, 1000), -np.geomspace(1e-30, 1, 1000)])


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 5e-7), ("float64", 1e-15)])
def test_tanh(dtype: str, allowed: float) -> None:
    x, out = of_each(tanh_of, [*np.linspace(-12, 12, 20_001), *TINY], dtype)
    np.testing.assert_allclose(out, np.tanh(x.astype(float)), rtol=allowed, atol=0)
    assert abs(out).max() <= 1
    _, out = of_each(tanh_of, [0, -0.0, np.inf, -np.inf, 3e38, np.nan], dtype)
    np.testing.assert_allclose(out, [0, 0, 1, -1, 1, np.nan], rtol=0, atol=allowed)
    assert math.copysign(1, out[1]) == -1


def near(least: float, most: float, dtype: str) -> Any:
    """All numbers of float32 in between; of float64 a million."""
    if dtype == "float64":
        return np.linspace(least, most, 1_000_001)
    first, last = (int(np.float32(bound).view(np.int32)) for bound in (least, most))
    return np.arange(first, last + 1, dtype=np.int32).view(np.float32)


@pytest.mark.parametrize(("dtype", "least", "most"), [("float32", 7.5, 10.5), ("float64", 17.9, 20)])
def test_tanh_is_1_where_that_of_numpy_is(dtype: str, least: float, most: float) -> None:
    """And so is a sigmoid, which is 1 before tanh is: no gate stays open or closed by a rounding error."""
    x = near(least, most, dtype)
    for sign in (1, -1):
        x, out = of_each(tanh_of, sign * abs(x), dtype)
        expected = np.tanh(x)
        np.testing.assert_array_equal(out[abs(expected) == 1], sign)
        np.testing.assert_array_equal((out * 0.5 + 0.5)[expected * 0.5 + 0.5 == (sign > 0)], sign > 0)
        assert abs(out).max() == 1
        np.testing.assert_allclose(out, np.tanh(x.astype(float)), rtol=float(3.4 * np.finfo(dtype).eps), atol=0)
    _, out = of_each(tanh_of, [most, 1e6, 1e18, 1e30, float(np.finfo(dtype).max), np.inf], dtype)
    np.testing.assert_array_equal(out, 1)
    _, out = of_each(tanh_of, [-most, -1e6, -1e18, -1e30, -float(np.finfo(dtype).max), -np.inf], dtype)
    np.testing.assert_array_equal(out, -1)


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 4e-7), ("float64", 1e-15)])
def test_exp(dtype: str, allowed: float) -> None:
    x, out = of_each(exp_of, [*np.linspace(-87, 88, 20_001), *TINY], dtype)
    np.testing.assert_allclose(out, np.exp(x.astype(float)), rtol=allowed, atol=0)
    x, out = of_each(exp_of, np.linspace(-1000, -87, 5001), dtype)
    np.testing.assert_allclose(out, np.exp(x.astype(float)), rtol=allowed, atol=math.exp(-87))
    _, out = of_each(exp_of, [0, -0.0, -1000, -3e38, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(out, np.array([1, 1, 0, 0, 0, np.nan], dtype))


@pytest.mark.parametrize("ids", [np.array([3, 0, 3, 1], np.uint8), np.array([[3, 9], [0, 9], [3, 9], [1, 9]])[:, 0]])
def test_rows_are_added_by_id(ids: Any, rng: np.random.Generator) -> None:
    for d in (rng.standard_normal((4, 5)), rng.standard_normal((4, 9))[:, ::2], rng.standard_normal((5, 4)).T):
        dw = rng.standard_normal((4, 5))
        expected = dw + np.eye(4)[ids].T @ d
        compiled_products.add_by_id(OneHotRows(ids, 4), d, dw)
        np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("ids", [np.array([[3, 0], [3, 1]], np.uint8), np.arange(12).reshape(2, 6)[:, ::3] // 3])
def test_rows_are_looked_up(ids: Any, rng: np.random.Generator) -> None:
    for tables in (rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 9))[:, :, ::2]):
        out = np.full((2, 3, 4, 5), np.nan)
        compiled_products.look_up(OneHotRows(ids, 4), tables, out[:, :, 1:3])
        np.testing.assert_array_equal(out[:, :, 1:3], tables[:, ids].swapaxes(0, 1))
        assert np.isnan(out[:, :, [0, 3]]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("openblas", [False, True])
@pytest.mark.parametrize(("T", "B", "D", "H"), [(1, 1, 1, 1), (9, 5, 7, 40), (24, 4, 3, 33), (150, 1, 5, 3)])
def test_a_projection(
    T: int,
    B: int,
    D: int,
    H: int,
    openblas: bool,
    transposed: bool,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    """Of 1, 45, 96 and 150 rows, where 48 are one part; into a part of an array, and from every second step of one."""
    monkeypatch.setattr(plain_products, "has_openblas", lambda: openblas)
    monkeypatch.setattr(compiled_products, "FILLED", 0)
    monkeypatch.setattr(compiled_products, "WORTH_PACKING", 45)
    normal = rng.standard_normal
    w = normal((3, H, D)).astype(dtype).swapaxes(1, 2) if transposed else normal((3, D, H)).astype(dtype)
    b, xs = normal((3, 1, H)).astype(dtype), normal((2 * T, B, D)).astype(dtype)[::2]
    out = np.full((T, 3, B + 2, H + 1), np.nan, dtype)
    compiled_products.projection(w, b, T * B)(xs, out[:, :, 1:-1, 1:])
    expected = np.einsum("tbd,gdh->tgbh", xs.astype(float), w.astype(float)) + b
    np.testing.assert_allclose(out[:, :, 1:-1, 1:], expected, rtol=0, atol=50 * float(np.finfo(dtype).eps))
    assert np.isnan(out[:, :, [0, -1]]).all()
    assert np.isnan(out[..., 0]).all()


@pytest.mark.parametrize(
    ("rows", "filled", "openblas", "packs"),
    [(128, 0.75, True, True), (127, 0.75, True, False), (128, 0.74, True, False), (128, 1, False, False)],
)
def test_where_a_projection_packs(
    rows: int, filled: float, openblas: bool, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(plain_products, "has_openblas", lambda: openblas)
    monkeypatch.setattr(compiled_products, "pack", lambda w: np.zeros(round(w.size / filled)))
    monkeypatch.setattr(compiled_products, "room_for_product", lambda packed, rows: calls.append(rows))
    compiled_products.projection(np.zeros((1, 100, 111)), np.zeros((1, 1, 111)), rows)
    assert bool(calls) is packs


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("make", MAKERS)
def test_the_recipe(make: Any, rng: np.random.Generator) -> None:
    cell: Cell = make(3, 5, rng=rng)
    check_gradients(cell, rng=rng)
    check_gradients(cell, rng=rng, lengths=LENGTHS)
    check_contract(cell, rng=rng)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_documents_begin_from_any_state(
    make: Any, steps: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What begins is given, and gets a gradient. A state that ends is not multiplied by 0: it may be infinite."""
    cell, (B, H) = make(3, 4, rng=rng).to(dtype="float64"), (6, 4)
    kernel, xs, dys = cell.kernel(), rng.standard_normal((steps, B, 3)), rng.standard_normal((steps, B, H))
    state, dstate, begun = (tuple(rng.standard_normal((B, H)) for _ in cell.state_sizes) for _ in range(3))
    starts, lengths = rng.random((steps, B)) < 0.5, rng.integers(0, steps + 1, B)
    starts[0, 0], lengths[0], state[0][0] = True, steps, np.inf
    rows = make_rows(cell, lengths, starts, steps, B, xs)
    found = []
    for table in (None, COMPILED):
        monkeypatch.setattr(backends, "_compiled", table)
        cell.zero_grad()
        weights, gradients = (cell._weights(kernel, what) for what in ("value", "grad"))
        ys, after, cache = kernel.forward(xs, state, weights, rows, begun)
        dxs, dbefore, dbegun = kernel.backward(rows.clear(dys), dstate, cache, weights, rows, gradients)
        found.append(
            [rows.clear(ys), *after, rows.clear(dxs), *dbefore, *dbegun, *(p.grad.copy() for p in cell.parameters())]
        )
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
        assert np.isfinite(one).all()


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [LSTMCell, GRUCell])
def test_a_memory_behind_an_open_gate_is_kept(
    make: Any, dtype: str, rng: np.random.Generator, pytestconfig: pytest.Config
) -> None:
    """For a hundred thousand steps, or a million, to the bit, whatever comes: in sequences, and step by step."""
    cell, H = make(1, 4, rng=rng).to(dtype=dtype), 4
    begun = tuple(rng.uniform(-1, 1, (1, H)).astype(dtype) for _ in cell.state_sizes)
    memory = begun[-1].copy()
    if make is LSTMCell:
        cell.b.value[:H], cell.b.value[H : 2 * H] = -50, 50  # nothing enters, nothing is forgotten
    else:
        cell.b.value[H : 2 * H] = 50
    xs, state = rng.standard_normal((10_000, 1, 1)).astype(dtype), begun
    for _ in range(100 if pytestconfig.getoption("--long") else 10):
        _, state = cell(xs, state)
        np.testing.assert_array_equal(state[-1], memory)
    for x in xs[:1000]:
        _, state = cell.step(x, state)
    np.testing.assert_array_equal(state[-1], memory)


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("make", MAKERS)
def test_nan_passes(make: Any, rng: np.random.Generator) -> None:
    """To the row that it comes from, and no other."""
    cell, xs = make(3, 4, rng=rng), rng.standard_normal((4, 6, 3)).astype("float32")
    clean, _ = cell(xs)
    xs[1, 2] = np.nan
    ys, _ = cell(xs)
    np.testing.assert_array_equal(np.delete(ys, 2, axis=1), np.delete(clean, 2, axis=1))
    assert np.isnan(ys[1:, 2]).all()


@pytest.mark.usefixtures("on")
def test_nan_passes_a_relu_that_is_off(rng: np.random.Generator) -> None:
    cell = RNNCell(3, 4, rng=rng, nonlinearity="relu")
    cell.b.value[...] = -100
    ys, _, cache = cell.forward(rng.standard_normal((2, 1, 3)).astype("float32"))
    cell.backward(np.full_like(ys, np.nan), None, cache)
    assert np.isnan(cell.b.grad).all()


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("make", MAKERS)
def test_a_cache_of_any_layout(make: Any, rng: np.random.Generator) -> None:
    cell, xs = make(3, 4, rng=rng), rng.standard_normal((5, 2, 3)).astype("float32")
    ys, _, cache = cell.forward(xs)
    expected, _ = cell.backward(ys, None, cache)
    steps = type(cache.inner.steps)(*map(np.asfortranarray, cache.inner.steps))
    inner = cache.inner._replace(steps=steps)
    found, _ = cell.backward(np.asfortranarray(ys), None, cache._replace(inner=inner))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.messages
@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("shape", [(0,), (3, 0), (11,)])
def test_peepholes_of_another_size_are_refused(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Compiled code is given empty ones where there are none."""
    cell, xs = LSTMCell(3, 4, rng=rng, peepholes=True), rng.standard_normal((2, 5, 3), np.float32)
    ys, _, cache = cell.forward(xs)
    cell.p = Parameter(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=rf"^compiled lstm: p has shape {re.escape(str(shape))}, expected \(12,\)\. "):
        cell.backward(ys, None, cache)
    with pytest.raises(ValueError, match="shape"):
        cell.forward(xs)


def test_an_array_with_gaps_is_not_written_to() -> None:
    """It would be a copy of it that is."""
    out = np.zeros((2, 6))
    tanh_of(out[:, 3:], np.ones((2, 6))[:, ::2])
    np.testing.assert_array_equal(out[:, :3], 0)
    np.testing.assert_allclose(out[:, 3:], np.tanh(1))
    with pytest.raises(ValueError, match="strides"):
        tanh_of(out[:, ::2], np.ones((2, 3)))


@pytest.mark.parametrize("wrong", [-1, 4])
def test_an_id_that_has_changed(wrong: int) -> None:
    ids, dw = np.array([1, wrong]), np.zeros((6, 2))
    with pytest.raises(IndexError, match="outside"):
        compiled_products.add_by_id(OneHotRows(ids, 4), np.ones((2, 2)), dw[1:5])
    np.testing.assert_array_equal(dw[[0, 5]], 0)
    with pytest.raises(IndexError, match="outside"):
        compiled_products.look_up(OneHotRows(ids[None], 4), np.ones((6, 4, 3))[1:5], np.zeros((1, 4, 2, 3)))


def test_what_is_kept_is_of_these_sources() -> None:
    """Of the file of the primitives too, which Numba does not look at."""
    for function in (product, tanh_of):
        assert SOURCES in function.version(np.dtype("float32"))._cache._index_key((), _Codegen())


class _Codegen:
    def magic_tuple(self) -> tuple[()]:
        return ()


def test_where_steps_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, device = np.zeros(3), StrictDevice()
    assert backend(numbers) is PLAIN
    set_compiled()
    try:
        for dtype in ("float32", "float64"):
            assert backend(numbers.astype(dtype)) is COMPILED
        for other in (device.asarray(numbers), numbers.astype("float16"), numbers.astype(">f4")):
            assert backend(other) is PLAIN
    finally:
        set_compiled(False)
    assert backend(numbers) is PLAIN


def test_each_backend_has_functions_of_its_own() -> None:
    """Under the names of the table: `lstm_step` is `lstm.step`."""
    for table, folder in ((PLAIN, "plain"), (COMPILED, "compiled")):
        for name, function in table._asdict().items():
            if function is not None:
                module = function.__module__.removeprefix(f"tinygrad_rnn.kernels.{folder}.")
                own = module.partition("_")[0] if module == "softmax_cross_entropy" else module
                assert name in (f"{own}_{function.__name__}", function.__name__), name


@pytest.mark.usefixtures("on")
def test_batches_are_divided_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled steps hold no lock of Python, so that a thread is worth it where a step is little work."""
    monkeypatch.setattr("tinygrad_rnn.kernels.threads._count", 2)
    assert len(products.over_rows(lambda rows: None, 16, np.zeros((4, 4)))) == 2
    monkeypatch.setattr(backends, "_compiled", None)
    assert len(products.over_rows(lambda rows: None, 16, np.zeros((4, 4)))) == 1


@pytest.mark.messages
def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"^set_compiled: on must be True or False, not 1$"):
        set_compiled(1)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"^set_compiled: Numba is missing: pip install 'tinygrad-rnn\[numba\]'$"):
        set_compiled()
    monkeypatch.undo()
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    with pytest.raises(ImportError, match=r"^set_compiled: Numba compiles nothing where NUMBA_DISABLE_JIT is set$"):
        set_compiled()
    assert not is_compiled(np.zeros(3))
    set_compiled(False)


def test_numba_is_imported_where_it_is_asked_for() -> None:
    code = """
import sys
import numpy as np
import tinygrad_rnn as rnn
cell, xs = rnn.RNNCell(2, 3, rng=np.random.default_rng(0)), np.zeros((4, 2, 2), np.float32)
cell(xs)
assert "numba" not in sys.modules
rnn.set_compiled()
cell(xs)
assert "tinygrad_rnn.kernels.compiled.rnn" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.messages
def test_a_numba_that_lacks_what_is_used_is_told_at_once() -> None:
    """And not in the middle of a forward; nothing is left of the attempt."""
    code = """
import sys
import numba
import tinygrad_rnn as rnn
from numba.core import base, caching, cgutils, dispatcher, types
from numba.np import arrayobj
import numba.extending, llvmlite.binding

def attempt():
    try:
        rnn.set_compiled()
    except ImportError as error:
        return str(error)
    finally:
        rnn.set_compiled(False)
        for name in [name for name in sys.modules if name.startswith("tinygrad_rnn.kernels.compiled")]:
            del sys.modules[name]

for owner, name in (
    (caching, "FunctionCache"),
    (caching.Cache, "_index_key"),
    (cgutils, "unpack_tuple"),
    (arrayobj, "populate_array"),
    (numba.extending, "intrinsic"),
    (numba.extending, "overload"),
    (types, "StarArgTuple"),
    (base.BaseContext, "make_array"),
    (base.BaseContext, "get_dummy_value"),
    (dispatcher._DispatcherBase, "disable_compile"),
    (llvmlite.binding, "get_host_cpu_features"),
):
    kept = getattr(owner, name)
    delattr(owner, name)
    message = attempt()
    setattr(owner, name, kept)
    assert message is not None, name
    assert message.startswith(f"set_compiled: Numba {numba.__version__} does not fit this package: "), message
    assert name in message and message.endswith("pip install 'tinygrad-rnn[numba]'"), message
sys.modules["numba.core.caching"] = None
assert "numba.core.caching" in attempt()
sys.modules["numba.core.caching"] = caching
assert attempt() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba keeps what it compiles beside the source, of which there is none here: it compiles it for the process."""
    monkeypatch.setattr("tinygrad_rnn.kernels.compiled.kept._told", set())
    names: dict[str, Any] = {"compiled": compiled, "Out": Out, "__name__": "nowhere"}
    exec("def double(out: Out['array', 'B N']) -> None:\n    out[0, 0] *= 2\ndouble = compiled()(double)", names)
    out = np.ones((1, 1))
    with pytest.warns(RuntimeWarning, match="no locator available"):
        names["double"](out)
    assert out == 2
