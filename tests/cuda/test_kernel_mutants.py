"""Mistakes in the kernels for a GPU, in their arithmetic and in what keeps their threads apart: each is noticed.

The kernels run on the host. What cannot show there is the order in which memory becomes visible, so `__threadfence` and
`__ldcg` are not tried.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from kernels_on_host import COMPILER, Host, compile_on_host
from steps_of_cells import check, problem
from tinygrad_rnn.kernels.cuda.sources import source

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels for the host")
SAMPLE = 24  # without `--all-mutants`, one in so many is tried


class Mutant(NamedTuple):
    """A text of the source of a cell, and what takes its place; the `nth` one, of equal ones."""

    cell: str
    old: str
    new: str
    nth: int = 0
    relu: bool = False


def of(cell: str, *pairs: tuple[str, str]) -> list[Mutant]:
    return [Mutant(cell, *pair) for pair in pairs]


STARTED, RUNS_ON = "starts[row + B]", "t + 1 < T && "
MUTANTS = [
    # What keeps threads and blocks apart. The numbers say which of equal texts is changed.
    Mutant("lstm", "    __syncthreads();\n", "", 0),  # of `meet`, before the arrival
    Mutant("lstm", "    __syncthreads();\n", "", 1),  # of `meet`, after it
    Mutant("lstm", "            __syncthreads();\n            // 3.", "            // 3."),
    Mutant("lstm", "            __syncthreads();  // before `parts` are those of other rows\n", ""),
    Mutant("lstm", "            __syncthreads();\n            for (int e", "            for (int e"),
    Mutant(
        "lstm",
        "            __syncthreads();  // before `parts` are those of other rows, and before step 2",
        "            //",
    ),
    Mutant("lstm", "    meet(arrived, gridDim.x);\n", ""),
    Mutant("lstm", "        meet(arrived, (t + 2) * gridDim.x);\n", ""),
    Mutant("lstm", "        meet(arrived, (s.T - t) * gridDim.x);\n", ""),
    Mutant("lstm", "(t + 2) * gridDim.x", "(t + 1) * gridDim.x"),
    Mutant("lstm", "(t + 2) * gridDim.x", "(t + 3) * gridDim.x"),
    Mutant("lstm", "(s.T - t) * gridDim.x", "(s.T - t - 1) * gridDim.x"),
    Mutant("lstm", "(s.T - t) * gridDim.x", "(s.T - t + 1) * gridDim.x"),
    Mutant("lstm", "arrived < expected", "arrived <= expected"),
    Mutant("lstm", "arrived < expected", "arrived + 1 < expected"),
    Mutant("lstm", "atomicAdd(arrived, 1u)", "*arrived += 2"),
    Mutant("lstm", "board + (size_t)((t + 1) % 2) * H * B", "board + (size_t)(t % 2) * H * B"),
    Mutant("lstm", "board + (size_t)(t % 2) * H * B", "board"),
    Mutant("lstm", "board + (size_t)(t % 2) * K * B", "board"),
    # The products, and who owns what.
    Mutant("lstm", "if (row + lane < B) {", "{"),
    Mutant("lstm", "k += WARPS", "k += WARPS + 1"),
    Mutant("lstm", "warp < WARPS", "warp < WARPS - 1"),
    Mutant("lstm", "w[k * N + n]", "w[n * N + k]"),
    Mutant("lstm", "parts[(warp * N + n) * 32 + lane] = sums[n]", "parts[(warp * N + n) * 32 + lane] += sums[n]"),
    Mutant("lstm", "(size_t)k * B + row + lane", "(size_t)k * B + lane"),
    Mutant("lstm", "first = blockIdx.x * UNITS", "first = blockIdx.x", 0),
    Mutant("lstm", "first = blockIdx.x * UNITS", "first = blockIdx.x", 1),
    Mutant("lstm", "w[e] = j < H ? w_h", "w[e] = true ? w_h"),
    Mutant("lstm", "first + u < H ? w_h", "true ? w_h"),
    Mutant("lstm", "if (b >= B || j >= H) continue;", "if (b >= B) continue;"),
    Mutant("lstm", "if (b >= B || j >= H) continue;", "if (j >= H) continue;"),
    Mutant("lstm", "if (b < B && j < H) s.dh", "if (b < B) s.dh"),
    Mutant("lstm", "if (b < B && j < H) s.dh", "if (j < H) s.dh"),
    Mutant("lstm", "if (j >= H) continue;", ""),
    Mutant("lstm", "if (j < H) board", "board"),
    Mutant("lstm", "+= total<UNITS>", "= total<UNITS>"),
    Mutant("lstm", "row < B; row += 32", "row < 32; row += 32", 0),
    Mutant("lstm", "row < B; row += 32", "row < 32; row += 32", 1),
    Mutant("lstm", "if (e >= (size_t)s.B * s.H) return;", "", 0),
    Mutant("lstm", "if (e >= (size_t)s.B * s.H) return;", "", 1),
    Mutant("lstm", "k * UNITS + u, lane", "u * GATES + k, lane"),
    Mutant("gru", "(k / H + SHIFT) % GATES", "k / H"),
    Mutant("gru", "persistent_backward<3, 2, 4>", "persistent_backward<3, 1, 4>"),
    # The arithmetic of the cells.
    Mutant("lstm", "Real(0.5) * tanh(Real(0.5) * a) + Real(0.5)", "Real(0.5) * tanh(a) + Real(0.5)"),
    *of(
        "lstm",
        ("a[0] + from_h[0]", "a[0] + from_h[1]"),
        ("tanh(a[3 * H] + from_h[3])", "tanh(a[3 * H])"),
        ("f * c_prev[at] + i * g", "f * c_prev[at] + i"),
        ("o * tanh(c)", "o * c"),
        ("            c = c_prev[at];\n", ""),
        ("            h = h_prev[at];\n", ""),
        ("active && !active[row]", "active && active[row]"),
        ("                c = begun_c", "                c = begun_h"),
        ("                h = begun_h", "                c = begun_h"),
        ("h_prev[after] = h;", ""),
        ("c_prev[after] = c;", ""),
        ("dbegun_h[state] += to_h", "dbegun_h[state] = to_h"),
        ("dbegun_c[state] += to_c", "dbegun_c[state] += to_h"),
        ("to_h = to_c = 0;", "to_h = 0;"),
        ("to_h += dys[at]", "to_h = dys[at]"),
        ("1 - tanh_c * tanh_c", "1 - tanh_c"),
        ("(1 - i) * i * g * to_c", "(1 - i) * i * to_c"),
        ("c_prev[at] * to_c", "c[at] * to_c"),
        ("o * tanh_c * to_h", "o * tanh_c * to_c"),
        ("(1 - g * g) * i", "(1 - g) * i"),
        ("            dh[state] = 0;\n", ""),
        ("dc[state] = to_c * f", "dc[state] = to_c"),
        ("a_i += p[j] * c_prev[at]", "a_i += p[j] * c_prev[at] * 0"),
        ("a_f += p[H + j] * c_prev[at]", "a_f += p[j] * c_prev[at]"),
        ("a_o += p[2 * H + j] * c", "a_o += p[2 * H + j] * c_prev[at]"),
        ("        if (p) a_o += p[2 * H + j] * c;  // o sees the new memory\n", ""),
        ("to_c += da[2] * p[2 * H + j]", "to_c += da[2] * p[j]"),
        ("            if (p) to_c += da[2] * p[2 * H + j];\n", ""),
        ("da[0] * p[j] + da[1] * p[H + j]", "da[0] * p[j]"),
        ("da[0] * p[j] + da[1] * p[H + j]", "da[1] * p[H + j]"),
        ("dc[state] += da[0]", "dc[state] = da[0]"),
        ("da[0] = da[1] = da[2] = da[3] = 0", "da[0] = da[1] = da[2] = da[3] = 1"),
        ("das[(row * 4 + k) * H + j] = da[k]", "das[(row * 4 + k) * H + j] += da[k]"),
    ),
    Mutant("lstm", STARTED, "starts[row]", 0),
    Mutant("lstm", STARTED, "starts[row]", 1),
    Mutant("lstm", RUNS_ON, "", 0),
    Mutant("lstm", "starts && t + 1 < T)", "starts)"),
    *of(
        "gru",
        ("m = from_h[2] + b_h[j]", "m = from_h[2]"),
        ("a[2 * H] + r * m", "a[2 * H] + m"),
        ("z * kept + (1 - z) * n", "z * n + (1 - z) * kept"),
        ("h = kept;", "h = n;"),
        ("ms[at] = m", "ms[at] = r * m"),
        ("h = begun[", "h += begun["),
        ("dbegun[state] += to_h", "dbegun[state] = to_h"),
        ("            to_h = 0;\n", ""),
        ("to_h += dys[at]", "to_h = dys[at]"),
        ("(1 - n * n) * (1 - z) * to_h", "(1 - n * n) * to_h"),
        ("da[3] * r", "da[3]"),
        ("da[0] * m[at] * (1 - r)", "da[0] * m[at]"),
        ("(h_prev[at] - n) * z", "(n - h_prev[at]) * z"),
        ("dh[state] = to_h * z", "dh[state] = to_h"),
    ),
    *of(
        "rnn",
        ("hs[after] + from_h[0]", "hs[after]"),
        ("tanh(a);", "a;"),
        ("h = h_prev[at];", "h = 0;"),
        ("h = begun[", "h -= begun["),
        ("dbegun[state] += to_h", "dbegun[state] -= to_h"),
        ("            to_h = 0;\n", ""),
        ("1 - h[at] * h[at]", "1 - h[at]"),
        ("            dh[state] = 0;\n", ""),
    ),
    Mutant("rnn", "a < 0 ? Real(0) : a", "a", relu=True),
    Mutant("rnn", "h[at] > 0", "h[at] >= 0", relu=True),
]


def mutated(mutant: Mutant) -> str:
    before, *rest = source(mutant.cell, "float64", 3).split(mutant.old)
    assert len(rest) > mutant.nth, f"no longer in the source: {mutant}"
    return mutant.old.join([before, *rest[: mutant.nth]]) + mutant.new + mutant.old.join(rest[mutant.nth :])


def is_noticed(mutant: Mutant, folder: Path, name: str) -> bool:
    library = compile_on_host(mutated(mutant), folder, name)
    for seed in (0, 2, 1, 3, 4, 5):
        for kind in ("persistent", "fused"):
            for T, lengths in ((4, True), (1, False), (4, False)):
                options = {"relu": mutant.relu, "peepholes": mutant.cell == "lstm"}
                given = problem(mutant.cell, T, 35, 7, "float64", lengths=lengths, **options)
                try:
                    check(Host(library, mutant.cell, 3, seed), kind, given)
                except AssertionError:
                    return True
    return False


def test_every_mutant_is_noticed(folder: Path, pytestconfig: pytest.Config) -> None:
    tried = MUTANTS if pytestconfig.getoption("--all-mutants") else MUTANTS[::SAMPLE]
    missed = [mutant for i, mutant in enumerate(tried) if not is_noticed(mutant, folder, f"mutant_{i}")]
    assert not missed, "\n".join(map(repr, missed))


def test_without_a_mistake_nothing_is_noticed(folder: Path, pytestconfig: pytest.Config) -> None:
    for cell in ("rnn", "gru", "lstm") if pytestconfig.getoption("--all-mutants") else ("rnn",):
        assert not is_noticed(Mutant(cell, "UNITS", "UNITS"), folder, f"whole_{cell}"), cell


def test_every_mutant_is_one_of_the_source() -> None:
    for mutant in MUTANTS:
        assert mutated(mutant) != source(mutant.cell, "float64", 3)
