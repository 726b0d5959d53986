from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from table import STARTS
from tinygrad_rnn import (
    Bidirectional,
    Cell,
    Device,
    Embedding,
    Linear,
    OneHot,
    Recurrent,
    RNNCell,
    Sequential,
    Tanh,
    generate,
    generate_samples,
)
from tinygrad_rnn.core.states import State, tree_map
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.testing.named import leaves, same

LENGTHS: Any = np.array([3, 0, 5, 1])


def cell(in_size: int = 3, out_size: int = 4) -> RNNCell:
    return RNNCell(in_size, out_size, rng=np.random.default_rng(in_size + out_size))


def of_ids(width: int = 2) -> Sequential:
    return Sequential(Embedding(6, width, rng=np.random.default_rng(0)), cell(width, 4))


def f32(*shape: int) -> Any:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


class Total(Cell):
    """The sum so far; without parameters."""

    def __init__(self, size: int) -> None:
        self.size = self.in_size = self.out_size = size
        self.state_sizes = (size,)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, None]:
        return x + state[0], (x + state[0],), None

    def step_backward(self, dy: Any, dstate: State, cache: None) -> tuple[Any, State]:
        return dy + dstate[0], (dy + dstate[0],)


def reversed_rows(array: Any, lengths: Any) -> Any:
    """Row by row, number by number."""
    turned = array.copy()
    for row, n in enumerate(lengths):
        for t in range(n):
            turned[t, row] = array[n - 1 - t, row]
    return turned


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "mean"])
def test_the_two_are_run_and_merged(merge: str) -> None:
    one, other, xs = cell(), RNNCell(3, 4, rng=np.random.default_rng(9), nonlinearity="relu"), f32(5, 4, 3)
    h, g = f32(4, 4), -f32(4, 4)
    ys, (after, before) = Bidirectional(one, other, merge=merge)(xs, ((h,), (g,)), lengths=LENGTHS)
    fs, expected_after = one(xs, (h,), lengths=LENGTHS)
    gs, expected_before = other(reversed_rows(xs, LENGTHS), (g,), lengths=LENGTHS)
    gs = reversed_rows(gs, LENGTHS)
    together: Any = {"concat": np.concatenate((fs, gs), -1), "sum": fs + gs, "mul": fs * gs, "mean": (fs + gs) / 2}
    np.testing.assert_allclose(ys, together[merge], rtol=1e-6)
    np.testing.assert_array_equal(after[0], expected_after[0])
    np.testing.assert_array_equal(before[0], expected_before[0])


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "mean"])
@pytest.mark.parametrize("ids", [False, True])
def test_a_row_is_read_from_its_own_end(merge: str, ids: bool) -> None:
    """In a padded batch a row gives what it gives alone, whatever the padding is."""
    model = Bidirectional(of_ids(), of_ids(3), merge=merge) if ids else Bidirectional(cell(), cell(), merge=merge)
    xs: Any = np.random.default_rng(0).integers(0, 6, (5, 4)) if ids else f32(5, 4, 3)
    xs[np.arange(5)[:, None] >= LENGTHS] = 10**6 if ids else np.nan
    ys, state = model(xs, lengths=LENGTHS)
    for row, n in enumerate(LENGTHS.tolist()):
        alone, own = model(xs[:n, row : row + 1])
        np.testing.assert_allclose(ys[:n, row : row + 1], alone, rtol=1e-5, atol=1e-6)
        assert not ys[n:, row].any()
        mine = leaves("state", tree_map(lambda h, row=row: h[row : row + 1], state))
        same(leaves("state", own), mine, f"row {row}", 1e-5)


def test_the_first_output_knows_the_last_input_and_the_last_the_first() -> None:
    model, xs = Bidirectional(cell(), cell()), f32(5, 2, 3)
    before, _ = model(xs)
    xs[4] += 1
    late, _ = model(xs)
    assert (late[0, :, 4:] != before[0, :, 4:]).any()
    np.testing.assert_array_equal(late[:4, :, :4], before[:4, :, :4])


def test_a_state_is_a_pair() -> None:
    model = Bidirectional(of_ids(), Sequential(OneHot(6), cell(6, 5)))
    assert (model.takes_ids, model.in_size, model.out_size) == (True, 6, 9)
    state = model.initial_state(2)
    assert [[np.shape(h) for part in side for h in part] for side in state] == [[(2, 4)], [(2, 5)]]
    ids = np.array([[0, 1], [5, 3]])
    ys, after = model(ids)
    for given in (state, (None, None), (state[0], None), (((), None), state[1])):
        np.testing.assert_array_equal(model(ids, given)[0], ys)
    (_, (h,)), (_, (g,)) = model.begin(after, np.array([True, False]))
    for begun, old in ((h, after[0][1][0]), (g, after[1][1][0])):
        assert not begun[0].any()
        np.testing.assert_array_equal(begun[1], old[1])
    one_sided, whole = model(ids, (None, after[1])), model(ids, (state[0], after[1]))
    np.testing.assert_array_equal(one_sided[0], whole[0])
    assert (one_sided[0] != ys).any()


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "mean"])
@pytest.mark.parametrize("nested", [False, True])
def test_documents_in_a_row_are_read_both_ways_one_by_one(merge: str, lengths: Any, nested: bool) -> None:
    """The given states belong to the first document, read forward, and to the last, read backward."""
    one, other = cell().to(dtype="float64"), RNNCell(3, 4, rng=np.random.default_rng(9)).to(dtype="float64")
    model: Any = Bidirectional(one, other, merge=merge)
    xs, h, g = (np.random.default_rng(k).standard_normal(s) for k, s in enumerate(((5, 4, 3), (4, 4), (4, 4))))
    state: Any = ((h,), (g,))
    if nested:
        model, state = Sequential(Tanh(), model), ((), state)
    upstream = np.random.default_rng(5).standard_normal((5, 4, 8 if merge == "concat" else 4))
    dstate: Any = ((np.cos(h),), (np.sin(g),))
    ys, after, cache = model.forward(xs, state, lengths=lengths, starts=STARTS)
    dxs, before = model.backward(upstream, ((), dstate) if nested else dstate, cache)
    gradient = model.flat_grad.copy()
    model.zero_grad()
    after, before = (after[1], before[1]) if nested else (after, before)
    none = np.zeros((1, 4))
    for row, end in enumerate([5] * 4 if lengths is None else lengths.tolist()):
        firsts = [t for t in range(end) if t == 0 or STARTS[t, row]]
        if not firsts:
            for array, expected in ((after[0], h), (after[1], g), (before[0], np.cos(h)), (before[1], np.sin(g))):
                np.testing.assert_array_equal(array[0][row], expected[row])
        mine = slice(row, row + 1)
        for first, stop in zip(firsts, [*firsts[1:], end], strict=False):
            begins, last = first > 0 or STARTS[0, row], stop == end
            own: Any = ((none if begins else h[mine],), (g[mine] if last else none,))
            up: Any = ((np.cos(h[mine]) if last else none,), (np.sin(g[mine]) if first == 0 else none,))
            document = xs[first:stop, mine]
            found, ends, kept = model.forward(document, ((), own) if nested else own)
            d, dbefore = model.backward(upstream[first:stop, mine], ((), up) if nested else up, kept)
            ends, dbefore = (ends[1], dbefore[1]) if nested else (ends, dbefore)
            np.testing.assert_allclose(ys[first:stop, mine], found, atol=1e-13)
            np.testing.assert_allclose(dxs[first:stop, mine], d, atol=1e-13)
            if last:
                np.testing.assert_allclose(after[0][0][mine], ends[0][0], atol=1e-13)
                np.testing.assert_allclose(before[1][0][mine], dbefore[1][0], atol=1e-13)
            if first == 0:
                np.testing.assert_allclose(after[1][0][mine], ends[1][0], atol=1e-13)
                np.testing.assert_allclose(before[0][0][mine], 0 if begins else dbefore[0][0], atol=1e-13)
        assert not ys[end:, row].any()
        assert not dxs[end:, row].any()
    np.testing.assert_allclose(gradient, model.flat_grad, atol=1e-12)


def test_a_document_cannot_be_told_from_what_lies_beside_it_both_ways() -> None:
    model, xs = Bidirectional(cell(), cell()), f32(5, 2, 3)
    starts = np.zeros((5, 2), bool)
    starts[[2, 4], 0] = True
    ys, _ = model(xs, starts=starts)
    xs[2:4, 0] = np.nan
    found, _ = model(xs, starts=starts)
    np.testing.assert_array_equal(found[[0, 1, 4], 0], ys[[0, 1, 4], 0])
    np.testing.assert_array_equal(found[:, 1], ys[:, 1])
    assert np.isnan(found[2:4, 0]).all()


@pytest.mark.parametrize("device", [Device("cpu"), StrictDevice()])
def test_layers_without_parameters_begin_as_the_input_is(device: Device) -> None:
    xs = device.asarray(f32(5, 4, 3), "float64")
    ys, ((there,), (back,)) = Bidirectional(Total(3), Total(3), merge="sum")(xs, lengths=device.asarray(LENGTHS))
    x = np.where((np.arange(5)[:, None] < LENGTHS)[..., None], device.to_host(xs), 0)
    np.testing.assert_allclose(device.to_host(there), x.sum(axis=0))
    np.testing.assert_allclose(device.to_host(back), x.sum(axis=0))
    np.testing.assert_allclose(device.to_host(ys)[0], x[0] + x.sum(axis=0))
    assert ys.dtype == "float64"


def test_widths_that_are_known_on_one_side() -> None:
    model = Bidirectional(Sequential(Tanh(), cell()), cell(3, 5))
    assert (model.in_size, model.out_size) == (3, 9)
    plain = Bidirectional(Sequential(Tanh()), Sequential(Tanh()), merge="mean")
    assert (plain.in_size, plain.out_size) == (None, None)
    xs = f32(3, 2, 7)
    np.testing.assert_array_equal(plain(xs)[0], np.tanh(xs))


def test_one_cell_may_read_both_ways() -> None:
    shared = cell()
    model = Bidirectional(shared, shared, merge="sum")
    assert [name for name, _ in model.named_parameters()] == [f"forward_cell.{name}" for name in ("w_x", "w_h", "b")]
    xs = f32(4, 2, 3)
    np.testing.assert_allclose(model(xs[::-1])[0], model(xs)[0][::-1], rtol=1e-6)


def test_outputs_are_kept_only_where_they_are_multiplied() -> None:
    for merge in ("concat", "sum", "mul", "mean"):
        cache = Bidirectional(cell(), cell(), merge=merge).forward(f32(3, 2, 3))[2].inner
        assert (cache.ys_forward is not None) == (cache.ys_backward is not None) == (merge == "mul")


def test_arguments_are_shown_and_kept() -> None:
    model = Bidirectional(cell(), cell(), merge="sum")
    assert repr(model) == "Bidirectional(RNNCell(3, 4), RNNCell(3, 4), merge='sum')"
    assert repr(Bidirectional(cell(), cell())) == "Bidirectional(RNNCell(3, 4), RNNCell(3, 4))"
    assert list(model.config()) == ["forward_cell", "backward_cell", "merge"]


@pytest.mark.messages
def test_there_is_no_step() -> None:
    both: Any = Bidirectional(of_ids(), of_ids())
    model = Sequential(both, Linear(8, 6, rng=np.random.default_rng(0)))
    assert not both.causal
    assert not model.causal
    assert not Sequential(model).causal
    assert not Bidirectional(Sequential(both), of_ids()).causal
    x, state = np.array([0, 1]), model.initial_state(2)
    with pytest.raises(ValueError, match=r"^Sequential\(.*\) has no step: its outputs depend on later inputs"):
        model.step(x, state)
    with pytest.raises(ValueError, match=r"^Bidirectional\(.*\) has no step: its outputs depend on later inputs"):
        both.step(x, state[0])
    for owner, before in ((model, state), (both, state[0])):
        with pytest.raises(ValueError, match=r"^Bidirectional\(.*\) has no step: it reads backward from the end"):
            owner.step_forward(x, before)
    with pytest.raises(ValueError, match=r"^Bidirectional\(.*\) has no step to go back through"):
        both.step_backward(x, state[0], None)


@pytest.mark.messages
def test_generating_is_refused() -> None:
    model = Sequential(Bidirectional(of_ids(), of_ids()), Linear(8, 6, rng=np.random.default_rng(0)))
    message = r"^Sequential\(.*\) has no step: its outputs depend on later inputs\. Give it whole sequences$"
    with pytest.raises(ValueError, match=message):
        generate(model, [0, 1], length=3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        generate_samples(model, [0, 1], samples=2, length=3, rng=np.random.default_rng(0))


class Whatever(Sequential):
    """Says nothing of how many features it gives."""

    def __init__(self, *layers: Any) -> None:
        super().__init__(*layers)
        self.out_size = None


FIT = "Bidirectional: {!r} and {!r} do not fit: "


@pytest.mark.messages
@pytest.mark.parametrize(
    ("one", "other", "merge", "message"),
    [
        (of_ids(), cell(), "concat", "one takes ids, the other vectors"),
        (cell(2, 4), cell(3, 4), "concat", "one takes 2 features, the other 3"),
        (cell(2, 4), cell(3, 4), "sum", "one takes 2 features, the other 3"),
        (cell(3, 4), cell(3, 5), "sum", 'merge="sum" needs layers of equal out_size, not 4 and 5'),
        (cell(3, 4), cell(3, 5), "mul", 'merge="mul" needs layers of equal out_size, not 4 and 5'),
        (cell(3, 5), Whatever(cell()), "mean", 'merge="mean" needs layers of equal out_size, not 5 and None'),
        (cell(), Whatever(cell()), "concat", 'merge="concat" needs the out_size of each, but these are 4 and None'),
    ],
)
def test_layers_that_do_not_fit_are_named_both(one: Recurrent, other: Recurrent, merge: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(FIT.format(one, other) + message)}$"):
        Bidirectional(one, other, merge=merge)


@pytest.mark.messages
def test_what_is_no_recurrent_layer_and_what_is_no_merge_are_refused() -> None:
    for pair in ((Tanh(), cell()), (cell(), Tanh())):
        with pytest.raises(TypeError, match=r"^Bidirectional takes two Recurrent layers, not Tanh\(\)$"):
            Bidirectional(*pair)
    message = '^Bidirectional: merge must be "concat", "sum", "mul" or "mean", not \'add\'$'
    with pytest.raises(ValueError, match=message):
        Bidirectional(cell(), cell(), merge="add")


@pytest.mark.messages
def test_a_state_that_does_not_fit_is_refused() -> None:
    model = Bidirectional(cell(), cell(3, 5))
    h, g = f32(2, 4), f32(2, 5)
    wrong: Any
    for wrong, came in (((h,), "a tuple of 1"), ([(h,), (g,)], "a list"), (((h,), (g,), ()), "a tuple of 3")):
        with pytest.raises(TypeError, match=rf"state must be \(\(h,\), \(h,\)\), a tuple of 2, not {came}$"):
            model(f32(3, 2, 3), wrong)
    with pytest.raises(
        ValueError, match=r"^Bidirectional\(.*\): state\[1\]\[0\], which is h, has shape \(2, 4\), expected"
    ):
        model(f32(3, 2, 3), ((h,), (h,)))
    with pytest.raises(
        TypeError, match=r"^Bidirectional\(.*\): state\[0\] must be \(h,\), a tuple of 1, not a tuple of 0"
    ):
        model(f32(3, 2, 3), ((), (g,)))
