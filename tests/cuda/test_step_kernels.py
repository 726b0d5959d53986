"""The kernels of a training step but those of cells, run on the host against NumPy; and mistakes in them.

What cannot show here is the order in which memory becomes visible, so fences and `volatile` are not tried.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels_on_host import COMPILER, OUTCOMES, Wrong, build
from philox import fractions
from tinygrad_rnn import SoftmaxCrossEntropy
from tinygrad_rnn.core.rows import make_rows
from tinygrad_rnn.kernels.cuda.sources import OPTIONS, VERDICT, text
from tinygrad_rnn.kernels.plain import linear
from tinygrad_rnn.kernels.plain.masks import random_mask
from tinygrad_rnn.kernels.starts import before_steps

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels for the host")
SEEDS = (0, 1, 2, 3, 5)
DTYPE, ALLOWED = "float64", 1e-12
PARAMETERS = re.compile(r'extern "C" __global__ void (\w+)\((.*?)\)\s*\{', re.S)


def on_host(source: str, folder: Path, made: str) -> ctypes.CDLL:
    """The kernels of a source as functions `run_NAME(grid, block, seed, ...)`; structs are given by their address."""
    offset = 0

    def room(match: re.Match[str]) -> str:
        nonlocal offset
        kind, name, size = match.groups()
        at = f"(shim::room() + {offset})"
        offset += 8 * int(size or 1)
        return f"{kind}* {name} = ({kind}*){at};" if size else f"{kind}& {name} = *({kind}*){at};"

    body = re.sub(r"__shared__ ([\w ]+) (\w+)(?:\[(\d+)\])?;", room, source)
    wrappers = []
    for name, given in PARAMETERS.findall(source):
        declared = [re.sub(r"\s+", " ", part).strip() for part in given.split(",")]
        names = [re.sub(r"\W", "", part.split()[-1]) for part in declared]
        passed = [
            p.replace("const ", "") + "_at" if "*" in p else f"{p.split()[-2]}* {n}_at"
            for p, n in zip(declared, names, strict=True)
        ]
        use = ", ".join(f"{n}_at" if "*" in p else f"*{n}_at" for p, n in zip(declared, names, strict=True))
        wrappers.append(
            f'extern "C" int run_{name}(unsigned grid, unsigned block, unsigned seed, {", ".join(passed)}) '
            f"{{ return shim::launch(grid, block, {offset}, seed, [=] {{ {name}({use}); }}); }}"
        )
    wrappers = [wrapper.replace("long* ", "long long* ") for wrapper in wrappers]
    return build("\n".join([body, *wrappers]), folder, made)


class Host:
    """Launches kernels with guarded arrays, which end at a page without access for even seeds, and else begin there."""

    def __init__(self, library: ctypes.CDLL, seed: int) -> None:
        self.kernels, self.seed = library, seed

    def array(self, values: Any) -> Any:
        values = np.ascontiguousarray(values)
        at = self.kernels.guarded(ctypes.c_size_t(values.nbytes), int(self.seed % 2 == 0))
        copy = np.frombuffer((ctypes.c_char * values.nbytes).from_address(at), values.dtype).reshape(values.shape)
        copy[...] = values
        return copy

    def empty(self, shape: Any, dtype: Any = DTYPE) -> Any:
        return self.array(np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype))

    def __call__(self, name: str, grid: int, block: int, *arguments: Any) -> None:
        passed = [ctypes.c_void_p(None if a is None else a.ctypes.data) for a in arguments]
        outcome = getattr(self.kernels, f"run_{name}")(grid, block, self.seed, *passed)
        if outcome:
            raise Wrong(f"{name}: {OUTCOMES[outcome]}")


def address(array: Any) -> int:
    return 0 if array is None else int(array.ctypes.data)


def close(found: Any, right: Any) -> None:
    np.testing.assert_allclose(found, right, rtol=ALLOWED, atol=ALLOWED)


def check_cross_entropy(host: Host) -> None:
    rng, (T, B, V) = np.random.default_rng(0), (3, 2, 70)
    ys, ids = 3 * rng.standard_normal((T * B, V)), rng.integers(-1, V, T * B)
    ys[2] += 800  # whose exponentials overflow
    lengths, weights, of_class = np.array([3, 1]), rng.random(T * B), rng.random(V)
    weights[0] = 0
    for reduction, smoothing, more in (
        ("mean", 0.1, False),
        ("none", 0.0, True),
        ("mean", 0.0, True),
        ("sum", 0.0, False),
    ):
        given = [host.array(a) if more else None for a in (weights, lengths, of_class)]
        options = np.array(
            (*map(address, given), T * B, V, B, -1, smoothing, reduction == "mean", reduction != "none"), OPTIONS
        )
        ys_there, ids_there = host.array(ys), host.array(ids)
        losses, largest, total, scale = (host.empty(T * B) for _ in range(4))
        counts, loss, counted, arrived = (
            host.empty(T * B, bool),
            host.empty(1),
            host.empty(1),
            host.array(np.zeros(1, "u4")),
        )
        outputs = losses, largest, total, scale, counts, loss, counted, arrived
        host("cross_entropy_forward", T * B, 64, ys_there, ids_there, options, *outputs)
        criterion = SoftmaxCrossEntropy(
            reduction=reduction, label_smoothing=smoothing, class_weights=list(of_class) if more else None
        )
        rows = {"lengths": lengths, "weights": weights.reshape(T, B)} if more else {}
        right, cache = criterion.forward(ys.reshape(T, B, V), ids.reshape(T, B), **rows)
        close(losses if reduction == "none" else loss[0], right.reshape(-1) if reduction == "none" else right)
        close(counted[0], criterion.count(cache))
        assert arrived[0] == 0
        dloss = rng.standard_normal(T * B) if reduction == "none" else rng.standard_normal(1)
        if reduction == "none":
            dloss[~counts] = np.nan
        dys, step = host.empty((T * B, V)), np.array(int(reduction == "none"), "i4")
        sizes = np.array(V), np.array(smoothing), np.array(2.0), step
        host(
            "cross_entropy_backward",
            T * B,
            64,
            ys_there,
            ids_there,
            largest,
            total,
            scale,
            host.array(dloss),
            dys,
            *sizes,
        )
        upstream = dloss.reshape(T, B) if reduction == "none" else dloss[0]
        close(dys.reshape(T, B, V), criterion.backward(cache, np.asarray(2 * upstream)))


def check_examine(host: Host) -> None:
    rng, blocks = np.random.default_rng(0), 3
    plain = rng.standard_normal(700)
    bad = plain.copy()
    bad[[514, 130]] = np.inf, np.nan  # of one thread
    for grad, mode, first_before in (
        (plain, 1, -1), (plain * 1e200, 2, -1), (plain * 1e-200, 0, -1), (bad, 1, -1), (bad, 2, -1), (plain, 1, 5),
        (np.zeros(700), 1, -1), (np.where(plain > 2, np.inf, plain), 0, -1),
    ):  # fmt: skip
        norm, factor = host.empty(1), host.empty(2)
        first, stopped, skipped = (host.array(np.array([n])) for n in (first_before, 0, 0))
        verdict = np.array((*map(address, (norm, factor, first, stopped, skipped)), 0.5, grad.size, mode), VERDICT)
        parts = [host.empty(blocks) for _ in range(3)]
        arrived = host.array(np.zeros(1, "u4"))
        host("examine", blocks, 64, host.array(grad), verdict, *parts, host.empty(blocks, "i8"), arrived)
        finite = np.isfinite(grad).all()
        at = -1 if finite else int(np.isfinite(grad).argmin())
        passes = mode == 0 or (finite and (mode == 2 or first_before < 0))
        most = abs(grad).max() or 1.0
        right = most * np.linalg.norm(grad / most) if finite else abs(grad).sum()
        close(norm[0] / most, right / most if passes else np.nan) if np.isfinite(right) else None
        assert np.isfinite(right) or np.isnan(right) or not passes or norm[0] == right
        assert factor[1] == passes
        if finite:
            close(factor[0], 0.5 / max(right, 0.5))
        assert first[0] == (at if mode == 1 and first_before < 0 else first_before)
        assert (stopped[0], skipped[0]) == (mode == 1 and not passes, mode == 2 and not passes)
        assert arrived[0] == 0


def check_by_id(host: Host) -> None:
    rng, (N, V, M) = np.random.default_rng(0), (90, 50, 5)
    for ids in (rng.integers(0, V, N), np.full(N, 7), np.sort(rng.integers(-2, V + 2, N))):
        d, total = rng.standard_normal((N, M)), rng.standard_normal((V, M))
        starts, following, order = (host.empty(size, "i4") for size in (V + 1, V, N))
        ids_there, there = host.array(ids), host.array(total)
        host("sort_by_id", 1, 32, ids_there, np.array(N), np.array(V), starts, following, order)
        host("add_rows", V, 32, host.array(d), starts, order, there, np.array(M), np.array(M))
        inside = (ids >= 0) & (ids < V)
        right = total.copy()
        for v in range(V):  # in the order of the rows, so that it is equal to the bit
            own = np.zeros(M)
            for row in d[inside & (ids == v)]:
                own = own + row
            right[v] += own
        np.testing.assert_array_equal(there, right)


def check_masks(host: Host) -> None:
    key = np.array([2**64 - 1, 0x0123456789ABCDEF], np.uint64)
    equal = fractions((int(key[0]), int(key[1])), (5,))[4]  # which is not below itself
    for count, probability in ((1, 0.5), (8, 1.0), (61, 0.3), (333, 0.0), (64, 0.7), (5, equal)):
        mask, threshold = host.empty(count), np.array(round(probability * 2**32), np.uint64)
        division = map(np.array, (1, count, 0, 0, -(-count // 8)))
        host("random_mask", 2 + count // 256, 32, key[:1], key[1:], threshold, np.array(2.5), *division, mask)
        np.testing.assert_array_equal(mask, random_mask(key, probability, 2.5, (count,), np.zeros(())))
    for runs, batch, size, first, total in ((3, 2, 5, 1, 7), (1, 4, 9, 3, 8), (4, 1, 8, 0, 2), (2, 3, 8, 2, 5)):
        mask, threshold = host.empty((runs, batch, size)), np.array(2**31, np.uint64)
        threads = -(-batch * size // 8) + 1
        division = map(np.array, (runs, batch * size, first * size, total * size, threads))
        host("random_mask", 1 + runs * threads // 32, 32, key[:1], key[1:], threshold, np.array(2.5), *division, mask)
        whole = random_mask(key, 0.5, 2.5, (runs, total, size), np.zeros(()))
        np.testing.assert_array_equal(mask, whole[:, first : first + batch])


def check_linear(host: Host) -> None:
    """With lengths and starts, and without, against the loop in NumPy; of more units than one block has threads."""
    rng, (T, B, H) = np.random.default_rng(0), (4, 3, 17)
    for lengths, starts in ((np.array([4, 0, 2]), rng.random((T, B)) < 0.4), (None, None)):
        rows = make_rows("rows", lengths, starts, T, B, np.zeros(0))
        flags = [None if array is None else host.array(array) for array in rows[1:]]
        a, b, dys, h, dh, begun, dbegun = (
            rng.standard_normal((*shape, B, H)) for shape in ((T,), (T,), (T,), *[()] * 4)
        )
        right_hs = np.concatenate([h[None], np.full((T, B, H), np.nan)])
        right_prev = before_steps(right_hs, rows.starts)
        linear.forward_steps(a, b, right_hs, right_prev, rows, begun)
        hs = host.array(np.concatenate([h[None], np.full((T, B, H), np.nan)]))
        h_prev = host.empty((T, B, H)) if starts is not None else hs
        sizes = [np.array(size, "i4") for size in (T, B, H)]
        given = [host.array(begun), host.array(a), host.array(b)]
        host("linear_forward", 2, 32, hs, h_prev, *given, *flags, *sizes)
        close(hs, right_hs)
        close(h_prev if starts is not None else hs[:-1], right_prev)

        dys = rows.clear(dys)
        right_dhs, right_total = dys.copy(), dbegun.copy()
        right_dh = linear.backward_steps(a, right_dhs, dh.copy(), rows, right_total)
        dhs, dh, dbegun = map(host.array, (dys, dh, dbegun))
        host("linear_backward", 2, 32, dhs, dh, dbegun, given[1], *flags, *sizes)
        for found, right in ((dhs, right_dhs), (dh, right_dh), (dbegun, right_total)):
            close(found, right)


CHECKS: dict[str, Callable[[Host], None]] = {
    "cross_entropy": check_cross_entropy,
    "examine": check_examine,
    "by_id": check_by_id,
    "masks": check_masks,
    "linear": check_linear,
}


def source(name: str) -> str:
    return text(DTYPE, "sums", name, Id="long long")


def check(name: str, library: ctypes.CDLL, seeds: tuple[int, ...] = SEEDS) -> None:
    for seed in seeds:
        CHECKS[name](Host(library, seed))
        library.free_guarded()


@pytest.mark.parametrize("name", CHECKS)
def test_it_computes_what_numpy_does_in_any_order_of_the_threads(name: str, folder: Path) -> None:
    check(name, on_host(source(name), folder, name))


MUTANTS = [
    ("cross_entropy", "    __syncthreads();  // the sum before may still be read\n", ""),
    ("cross_entropy", "== gridDim.x - 1", "== gridDim.x - 2"),
    ("cross_entropy", "            atomicExch(arrived, 0u);", "            ;"),
    ("cross_entropy", "y[j] > most ? y[j] : most", "most"),
    ("cross_entropy", "n / o.B < o.lengths[n % o.B]", "n / o.B <= o.lengths[n % o.B]"),
    ("cross_entropy", "o.lengths[n % o.B]", "o.lengths[n / o.B]"),
    ("cross_entropy", "mass *= inside", "mass += inside"),
    ("cross_entropy", "(of_logits / o.V)", "of_logits"),
    ("cross_entropy", "losses[n] = mass * own", "losses[n] = own"),
    ("cross_entropy", "scale[k] = all_masses[k] / divisor", "scale[k] = all_masses[k]"),
    ("cross_entropy", "dlosses[n * step]", "dlosses[n]"),
    ("cross_entropy", " * factor - spread", " * factor"),
    ("cross_entropy", "scale[n] == 0 ? (Real)0 : ", ""),
    ("cross_entropy", "dy -= (1 - (Real)smoothing) * d", "dy -= d"),
    ("cross_entropy", "j < o.V;", "j <= o.V;"),
    ("examine", "left = v.P - i > left ? v.P - i : left", "left = v.P - i"),
    ("examine", "square * (scale / a) * (scale / a) + 1", "square * (scale / a) + 1"),
    ("examine", "square * (scale / most) * (scale / most)", "square"),
    ("examine", "all_squares[k] * (all_scales[k] / most) * (all_scales[k] / most)", "all_squares[k]"),
    ("examine", "if (*v.first < 0)\n", ""),
    ("examine", "passes = *v.first < 0", "passes = at < 0"),
    ("examine", "i < v.P;", "i <= v.P;"),
    ("examine", "norm <= least ? least : norm", "norm"),
    ("by_id", "atomicAdd(starts + id, 1)", "starts[id]"),
    ("by_id", "    of_thread[threadIdx.x] = sum;\n    __syncthreads();\n", "    of_thread[threadIdx.x] = sum;\n"),
    ("by_id", "        __syncthreads();  // `of_thread`", "        // `of_thread`"),
    ("by_id", "inside ? (int)id : -1;\n        __syncthreads();\n", "inside ? (int)id : -1;\n"),
    ("by_id", "        __syncthreads();  // before `next` changes\n", ""),
    ("by_id", "thread < threadIdx.x;\n            later", "thread <= threadIdx.x;\n            later"),
    ("by_id", "next[id] = at + 1", "next[id] = at"),
    ("by_id", "            if (!later)\n", ""),
    ("by_id", "n - threadIdx.x < N", "n < N"),
    ("by_id", "0 <= id && id < V", "0 <= id"),
    ("by_id", "total[v * wide + j] += sum", "total[v * wide + j] = sum"),
    ("masks", "entry >= 0 && entry < size", "entry >= 0"),
    ("masks", "entry >= 0 && entry < size", "entry < size"),
    ("masks", "run >= runs", "run > runs"),
    ("masks", "first + run * step", "first"),
    ("masks", "begin / 8 + i % threads", "begin / 8 + i"),
    ("masks", "- begin;", "- begin / 8 * 8;"),
    ("masks", "x0 = at + 1", "x0 = at"),
    ("masks", "round < 10", "round < 9"),
    ("masks", "high2 ^ x1 ^ key0", "high2 ^ key0"),
    ("masks", "high0 ^ x3 ^ key1", "high0 ^ key1"),
    ("masks", "key1 += ", "key1 -= "),
    ("masks", "bits < threshold", "bits <= threshold"),
    ("masks", "j % 2 ?", "j % 2 == 0 ?"),
    ("masks", "words[j / 2] >> 32", "words[j / 2] >> 31"),
    ("linear", "row = n / H", "row = n / B"),
    ("linear", "                h = begun[n];", "                h += begun[n];"),
    ("linear", "            h_prev[at] = h;\n", ""),
    ("linear", "a[at] * h + b[at]", "a[at] * h"),
    ("linear", "a[at] * h + b[at]", "h + b[at]"),
    ("linear", "!active || active[flag]", "true"),
    ("linear", "dhs[at] += back", "dhs[at] = back"),
    ("linear", "a[at] * dhs[at]", "dhs[at]"),
    ("linear", "dbegun[n] += back", "dbegun[n] = back"),
    ("linear", "            back = 0;\n", ""),
    ("linear", "    dh[n] = back;\n", ""),
    ("linear", "    if (n >= size)\n        return;\n", ""),
    ("linear", "(size_t)t * B + row", "row"),
]


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_a_mistake_is_noticed(number: int, folder: Path, pytestconfig: pytest.Config) -> None:
    if number % 12 and not pytestconfig.getoption("--all-mutants"):
        pytest.skip("one in twelve is tried without --all-mutants")
    name, old, new = MUTANTS[number]
    assert source(name).count(old), f"{name}.cu has no {old!r}"
    library = on_host(source(name).replace(old, new), folder, f"mistake_{number}")
    with pytest.raises(AssertionError):
        check(name, library, (*SEEDS, 7, 8, 9))
