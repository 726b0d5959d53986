"""The strict device: what it refuses, what it permits, and whole training steps on it.

The tables hold Python, where `a` (2, 3) and `i` (2, 2) are on the device, `xp` is its namespace, `h` is a NumPy array.
"""

from __future__ import annotations

import copy
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn import Device, Linear, OneHotRows, Parameter, RNNCell, Sequential, SoftmaxCrossEntropy
from tinygrad_rnn.core.arrays import device_name, namespace
from tinygrad_rnn.core.device import device_of
from tinygrad_rnn.core.states import State
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.testing.strict import ATTRIBUTES, LACKING, LACKING_KEYWORDS, METHODS, StrictArray

CPU, STRICT = Device("cpu"), StrictDevice()
MIXED = r"given a StrictArray and a numpy\.\w+\. .*device\.asarray.*device\.to_host"
HIDDEN = r"would move a StrictArray to the host unasked.*device\.to_host"
NUMPY = r"np\.\w+ takes NumPy arrays and was given a StrictArray: use xp\.\w+.*device\.asarray.*device\.to_host"


def codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(";")]


def names(device: Device) -> dict[str, Any]:
    """What the tables speak of, on `device`."""
    h, i = np.arange(6.0).reshape(2, 3).copy(), np.array([[1, 0], [1, 1]])
    return {"a": device.asarray(h.copy()), "i": device.asarray(i), "xp": device.xp, "h": h, "np": np, "math": math}


@pytest.fixture
def a() -> Any:
    return names(STRICT)["a"]


def same(strict: Any, host: Any) -> None:
    """Equal to the bit, of the same dtype and shape, and still on the device."""
    assert isinstance(strict, StrictArray)
    found = STRICT.to_host(strict)
    assert (found.dtype, found.shape) == (np.asarray(host).dtype, np.shape(host))
    np.testing.assert_array_equal(found, host)


def refused(code: str, error: type[Exception] | tuple[type[Exception], ...], message: str = ".") -> None:
    here = names(STRICT)
    with pytest.raises(error, match=message):
        exec(code, here)
    for array in (STRICT.to_host(here["a"]), here["h"]):
        np.testing.assert_array_equal(array, np.arange(6.0).reshape(2, 3))


BINARY = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", ">", ">="]
FROM_NUMPY = codes("""
    xp.tanh(h); xp.add(a, h); xp.add(a, a, out=h); xp.stack([a, h]); xp.where(a > 1, h, a); xp.asarray(h);
    xp.copyto(a, h); a.sum(axis=0, out=h[0]); a.dot(h.T); a @ h.T; i & h.astype(int); a[h > 1]; a[:, np.array([0, 1])];
    a[...] = h; a[0] = h[0]; a[np.array([0])] = 1.0; a += h; a -= h; a *= h; a /= h; a * np.float32(2);
    xp.maximum(a, np.float64(2)); a[0] = np.float64(2)
""")
TO_NUMPY = codes("""
    np.tanh(a); np.sum(a); np.add(a, a); np.add(h, h, out=a); np.add.reduce(h, out=a[0]); h.sum(axis=0, out=a[0]);
    np.concatenate([h, a]); np.where(h > 1, a, 0); np.copyto(h, a); h += a; h -= a; h *= a; h /= a; h @ a.T;
    h.astype(int) & i; np.float64(2) * a; np.shape(a)
""")
TO_HOST = codes("""
    np.asarray(a); np.array([a, a]); h[i]; h[:] = a; h[i[0, 0] : 2]; bool(a); a.sum() > 1 or 0; 1.0 in a;
    float(a.sum()); math.sqrt(a.sum()); int(i[0, 0]); complex(a[0, 0]); range(i[0, 0]); [0, 1][i[0, 0]];
    a[: a.argmax()]; xp.zeros((a.argmax(), 2)); xp.arange(i[0, 0]); list(a[0]); hash(a); sum(a[0]); max(a[0]);
    list(a[0, 0]); a[0, 0].item(); a.tolist(); a.tobytes(); a.get()
""")
LISTS = codes("""
    a + [1.0, 2.0, 3.0]; (1.0, 2.0, 3.0) * a; a == [1.0]; a += [1.0]; a[0] = [1.0, 2.0, 3.0]; a[[0, 1]]
""")
WAITS = codes("""
    a[a > 2]; a[a[:, 0] > 2]; a[a[:, 0] > 2, 1]; a[a > 2] = -1.0; a[a[:, 0] > 2] = 0; a[a > 2] += 1; xp.nonzero(a > 2);
    (a > 2).nonzero(); xp.where(a > 2); xp.flatnonzero(a > 2); xp.argwhere(a > 2); xp.unique(i); xp.extract(a > 2, a);
    xp.compress(a[0] > 1, a, axis=1); xp.bincount(i[0]); xp.repeat(a[0], i[0, 0]); a.repeat(i[0], axis=0);
    xp.median(a)
""")


@pytest.mark.parametrize("code", FROM_NUMPY + [f"a {sign} h" for sign in BINARY])
def test_arrays_and_scalars_of_numpy_are_refused(code: str) -> None:
    refused(code, TypeError, MIXED)


@pytest.mark.parametrize("code", TO_NUMPY + [f"h {sign} a" for sign in BINARY])
def test_numpy_is_refused(code: str) -> None:
    refused(code, TypeError, NUMPY)


@pytest.mark.parametrize("code", TO_HOST)
def test_hidden_ways_to_the_host_are_refused(code: str) -> None:
    refused(code, TypeError, HIDDEN)


@pytest.mark.parametrize("code", WAITS)
def test_what_waits_for_a_gpu_is_refused(code: str) -> None:
    refused(code, TypeError, "would wait for a GPU.*xp.where.*xp.copyto.*device.to_host")


def test_what_else_is_refused() -> None:
    for code in LISTS:
        refused(code, TypeError, r"a StrictArray and a builtins\.(list|tuple)\.")
    for code in ("h[0, 0] = a[0, 0]", "memoryview(a)", "round(a[0, 0])", "f'{a:.2f}'"):  # Python says why
        refused(code, (TypeError, ValueError))


def test_what_cupy_lacks_is_lacking(a: Any) -> None:
    for name in LACKING:
        refused(f"xp.{name}", AttributeError, rf"xp\.{name} .*CuPy lacks it")
    refused("xp.maximum.reduce(a)", AttributeError, r"xp\.maximum\.reduce .*CuPy lacks it")
    refused("xp.no_such_function", AttributeError, "no_such_function")
    for code in ("xp.sum(a, where=a > 1)", "a.sum(where=a > 1)", "a.max(initial=0.0)", "xp.take(a, i, mode='clip')"):
        refused(code, TypeError, r"\((where|initial|mode)=\) is in NumPy alone: CuPy lacks it")
    for code in ("xp.clip(a, min=0.0, max=1.0)", "xp.zeros(3, device='cpu')", "xp.array(a, subok=True)"):
        refused(code, TypeError, r"\((max|device|subok)=\) is in NumPy alone: CuPy lacks it")
    for name in ("ctypes", "flat", "resize", "to_device", "__array_interface__", "__cuda_array_interface__"):
        assert not hasattr(a, name)


def test_what_is_lacking_is_what_cupy_lacks(cupy: Any) -> None:
    public = {(np, cupy, "", name) for name in np.__all__}
    public |= {(np.linalg, cupy.linalg, "linalg.", name) for name in np.linalg.__all__}
    absent = {prefix + name: getattr(ours, name) for ours, theirs, prefix, name in public if not hasattr(theirs, name)}
    dtypes = {name for name, value in absent.items() if isinstance(value, type) and issubclass(value, np.generic)}
    missing = {name for name, value in absent.items() if callable(value)} - dtypes
    about_numpy = {"__array_namespace_info__", "busdaycalendar", "get_include", "info", "show_runtime", "test"}
    assert missing - about_numpy - {"linalg.test"} <= LACKING
    for name in LACKING:
        with pytest.raises(AttributeError):
            operator.attrgetter(name)(cupy)
    for name in METHODS | ATTRIBUTES:
        assert hasattr(cupy.ndarray, name), f"CuPy's arrays have no {name}"
    for name, keywords in LACKING_KEYWORDS.items():
        if not name.startswith("ndarray."):
            assert not keywords & set(inspect.signature(getattr(cupy, name)).parameters)


VALUES = codes("""
    -a; +a; abs(-a); ~i; divmod(a, 2)[1]; a @ a.T; i & i; 2 | i; i ^ 1; i << 1; 9 >> i; a[1]; a[-1, 2]; a[:, ::2];
    a[..., None]; a[()]; a[np.int64(1)]; a[i]; a[:, i[0]]; a.T; a.sum(); a.sum(axis=0, keepdims=True);
    a.max(axis=-1); a.mean(); a.argmax(); (a > 2).any(); a.astype('float32') * 0.5; i.argsort(kind='stable');
    a.transpose(1, 0); a.clip(min=1, max=2); a.dot(a.T); a.astype('float32').sum() / 3; a[0].base; a.reshape(3, -1);
    xp.tanh(a); xp.where(a > 1, a, 0); xp.stack([a, a], axis=1); xp.concatenate((a, a));
    xp.take_along_axis(a, i, axis=-1); xp.zeros_like(a); xp.full((2, 2), a[0, 1]); xp.arange(4, dtype=a.dtype);
    xp.linalg.norm(a); xp.add.reduce(a, axis=0); xp.split(a, 3, axis=1)[1];
    xp.minimum(1, 5.0 / xp.sqrt((a * a).sum())); xp.broadcast_to(a[0], (4, 3)); xp.einsum('ij,kj->ik', a, a);
    xp.array_equal(a, a); xp.allclose(a, 2 * a)
""")
EFFECTS = codes("""
    a += 1; a -= a[0]; a *= a; a /= 2; a **= 2; a[0] -= 1; a[0, 1:] = 7; a[:, 0] = a[:, 2];
    a[i[0]] = a[:1]; a.T.fill(0); a.reshape(3, 2)[1:] = 9; a.ravel()[2:] *= 2; a[...] = a + a; xp.tanh(a, out=a);
    xp.matmul(a, a.T @ a, out=a); xp.copyto(a, -a, where=a[:, :1] > 1); xp.clip(a, 1, 2, out=a);
    xp.put_along_axis(a, i, 5.0, axis=1); xp.add.at(a, i[:, 0], 1.0); a[:, ::-1].sort(); for row in a: row += 1;
    a.T[...] = a[:, ::-1].T.copy()
""")


@pytest.mark.parametrize("code", VALUES + [f"{x} {sign} {y}" for sign in BINARY for x, y in ("aa", "a2", "2a")])
def test_what_is_permitted_gives_what_numpy_gives(code: str) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        same(eval(code, names(STRICT)), eval(code, names(CPU)))


@pytest.mark.parametrize("code", EFFECTS)
def test_what_is_written_is_what_numpy_writes_through_views_too(code: str) -> None:
    here, there = names(CPU), names(STRICT)
    kept = there["a"]
    exec(code, here)
    exec(code, there)
    assert there["a"] is kept
    same(kept, here["a"])
    assert not np.array_equal(here["a"], here["h"])


def test_attributes_and_identity(a: Any) -> None:
    assert (a.shape, a.ndim, a.size, a.dtype, a.itemsize, a.nbytes, len(a)) == ((2, 3), 2, 6, np.float64, 8, 48, 2)
    assert (a.strides, a.base, a.flags.c_contiguous) == ((24, 8), None, True)
    assert repr(a) == str(a) == "StrictArray(shape=(2, 3), dtype=float64)"
    xp = namespace(a)
    assert xp is a.__array_namespace__() is STRICT.xp is StrictDevice().xp is not np
    assert (xp.float32, xp.pi, xp.newaxis, xp.result_type(a, 1)) == (np.float32, math.pi, None, np.float64)
    assert isinstance(a, xp.ndarray)
    assert not isinstance(a, np.ndarray)
    assert xp.tanh(a, out=a) is xp.asarray(a) is a.astype(a.dtype, copy=False) is a
    assert xp.shares_memory(a, a.reshape(3, 2))
    assert not xp.shares_memory(a, a.copy())
    rebound = a
    rebound @= STRICT.asarray(np.eye(3))
    assert rebound is not a  # as with CuPy


def test_devices(a: Any) -> None:
    assert StrictDevice() == STRICT == a.device == device_of(a) == copy.deepcopy(STRICT)
    assert hash(StrictDevice()) == hash(STRICT)
    assert CPU != STRICT
    assert (STRICT.name, str(STRICT), device_name(a), repr(STRICT)) == ("strict", "strict", "strict", "StrictDevice()")
    STRICT.synchronize()
    with pytest.raises(TypeError, match="to_host takes a StrictArray, not a ndarray"):
        STRICT.to_host(np.ones(3))


def test_ways_in_and_out_copy(a: Any) -> None:
    host = np.arange(6.0).reshape(2, 3)
    moved: Any = STRICT.asarray(host)
    host += 1
    STRICT.to_host(moved)[...] = 0
    for other in (moved, a.copy(), copy.deepcopy(a), copy.deepcopy({"a": (a,)})["a"][0]):
        other += 1
        same(other, host)
    same(a, host - 1)
    assert STRICT.asarray(a) is STRICT.asarray(a, "float64") is a
    same(STRICT.asarray(a, "float32"), (host - 1).astype("float32"))
    same(STRICT.asarray([[1, 2], [3, 4]], "float32"), np.array([[1, 2], [3, 4]], "float32"))
    for size in range(1, 40, 7):
        zeros: Any = STRICT.zeros(size, "float32")
        same(zeros, np.zeros(size, "float32"))
        assert zeros._array.ctypes.data % 64 == 0


def test_parameters_and_their_vector(a: Any) -> None:
    host = STRICT.to_host(a)
    model = Linear(3, 2, rng=np.random.default_rng(0))
    model.w, model.b = Parameter(a), Parameter(a[0])
    model.w.grad += a
    vector: Any = model.flat_value
    vector *= 2
    same(model.w.value, 2 * host)
    same(model.w.grad, host)
    model.w.value = model.w.value + 1
    same(vector[:6], 2 * host.ravel() + 1)
    copy.deepcopy(model).flat_value.fill(0)
    same(model.b.value, 2 * host[0])
    with pytest.raises(TypeError):
        model.w.value = host
    assert model.to("cpu").device == CPU
    np.testing.assert_array_equal(model.flat_value[:6], 2 * host.ravel() + 1)


V, H, B, T = 7, 5, 3, 4


class Stepped(RNNCell):
    """Unrolled by its step, as an own cell is."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


def one_hot(rng: np.random.Generator) -> Sequential:
    return Sequential(rnn.OneHot(V), RNNCell(V, H, rng=rng), Linear(H, V, rng=rng))


def embedded(rng: np.random.Generator) -> Sequential:
    cells = RNNCell(H, H, rng=rng, nonlinearity="relu"), rnn.Tanh(), Linear(H, H, rng=rng), Stepped(H, H, rng=rng)
    return Sequential(rnn.Embedding(V, H, rng=rng), *cells, rnn.Sigmoid(), rnn.Softmax(), Linear(H, V, rng=rng))


def vectors(rng: np.random.Generator) -> Sequential:
    return Sequential(Linear(H, H, rng=rng), rnn.ReLU(), Sequential(RNNCell(H, H, rng=rng)), Linear(H, V, rng=rng))


MODELS: list[Callable[[np.random.Generator], Sequential]] = [one_hot, embedded, vectors]
Optimizer = Callable[[Sequential], rnn.SGD | rnn.Adagrad]
RECIPES: list[tuple[Optimizer, SoftmaxCrossEntropy, Any]] = [
    (
        lambda model: rnn.SGD(model, lr=lambda step: 0.1 / (1 + step), clip=rnn.ClipValue(0.01)),
        SoftmaxCrossEntropy(reduction="none"),
        None,
    ),
    (
        lambda model: rnn.SGD(model, 0.1, momentum=0.9, clip=[rnn.ClipNorm(0.1), rnn.ClipValue(0.05)]),
        SoftmaxCrossEntropy(reduction="sum", label_smoothing=0.1),
        np.array([4, 0, 2]),
    ),
    (lambda model: rnn.SGD(model, 0.1, momentum=0.9, nesterov=True), SoftmaxCrossEntropy(), np.array([0, 3, 4])),
    (lambda model: rnn.Adagrad(model, 0.1, clip=rnn.ClipNorm(0.5)), SoftmaxCrossEntropy(label_smoothing=0.1), None),
]


def leaves(tree: Any) -> list[Any]:
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, (tuple, list)) else [tree]


def train(
    device: Device, model: Sequential, optimizer: Optimizer, criterion: SoftmaxCrossEntropy, lengths: Any
) -> list[Any]:
    """Everything that three training steps and some steps at inference compute, on the host."""
    rng = np.random.default_rng(0)
    change = optimizer(model.to(device))
    lengths = None if lengths is None else device.asarray(lengths)
    found, state = [], None
    for _ in range(3):
        xs = rng.integers(0, V, (T, B)) if model.takes_ids else rng.standard_normal((T, B, H)).astype(model.dtype)
        xs, targets = device.asarray(xs), device.asarray(rng.integers(-1, V, (T, B)))
        starts = device.asarray(rng.random((T, B)) < 0.3)
        ys, state, cache = model.forward(xs, state, lengths=lengths, starts=starts)
        loss, loss_cache = criterion.forward(ys, targets, lengths=lengths)
        model.zero_grad()
        back = model.backward(criterion.backward(loss_cache), None, cache)
        change.step()
        parameters = [(p.grad.copy(), p.value.copy()) for p in model.parameters()]
        found += leaves((ys, loss, state, back, parameters, change.last_norm))
    found += leaves((model(xs), model.step(xs[0], state), model.step(xs[0], state, starts=starts[0])))
    found += leaves((model(xs, state, starts=starts), criterion(ys, targets)))
    return [device.to_host(array) for array in found if array is not None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(RECIPES.index(recipe)))
@pytest.mark.parametrize("build", MODELS)
def test_training_equals_that_of_numpy_to_the_bit(build: Any, recipe: Any, dtype: str) -> None:
    model = build(np.random.default_rng(0)).to(dtype=dtype)
    there = train(STRICT, copy.deepcopy(model), *recipe)
    for expected, found in zip(train(CPU, model, *recipe), there, strict=True):
        assert np.asarray(expected).dtype == found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_sums_of_one_hot_rows(a: Any, dtype: str, tolerance: float) -> None:
    """NumPy sorts many ids, where a GPU multiplies."""
    rng = np.random.default_rng(0)
    ids, dys = rng.integers(0, 50, 2000), rng.standard_normal((2000, 2)).astype(dtype)
    host, there = OneHotRows(ids, 50), OneHotRows(STRICT.asarray(ids), 50)
    found: Any = there.T @ STRICT.asarray(dys)
    np.testing.assert_allclose(STRICT.to_host(found), host.T @ dys, rtol=0, atol=20 * tolerance)
    same(there @ STRICT.asarray(dys[:50]), host @ dys[:50])
    with pytest.raises(TypeError, match="unsupported operand"):
        a @ there


@pytest.mark.messages
@pytest.mark.parametrize(("device", "other"), [(STRICT, CPU), (CPU, STRICT)])
def test_mixed_devices_are_an_error_of_the_library(device: Device, other: Device) -> None:
    rng = np.random.default_rng(0)
    model, dense = one_hot(rng).to(device), vectors(rng).to(device)
    ids, xs, lengths = np.zeros((T, B), int), np.zeros((T, B, H), "float32"), np.ones(B, int)
    here, state = device.asarray(xs), tuple(vectors(rng).to(other).initial_state(B))
    ys = model(device.asarray(ids))[0]
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("xs", lambda: model.forward(other.asarray(ids))),
        ("xs", lambda: dense.forward(other.asarray(xs))),
        ("state", lambda: dense.forward(here, state)),
        ("lengths", lambda: dense.forward(here, lengths=other.asarray(lengths))),
        ("starts", lambda: dense.step(here[0], None, starts=other.asarray(lengths > 1))),
        ("starts", lambda: dense.forward(here, starts=other.asarray(np.ones((T, B), bool)))),
        ("targets", lambda: SoftmaxCrossEntropy().forward(ys, other.asarray(ids))),
    ]
    for name, call in calls:
        moves = rf"{name}\S* is on {other}, but .* on {device}\. Nothing moves by itself.*asarray.*model\.to"
        with pytest.raises(TypeError, match=moves):
            call()
    model.layers[1].to(other)
    with pytest.raises(TypeError, match="must share a dtype and a device"):
        rnn.SGD(model, 0.1)
