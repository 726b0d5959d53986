"""The proofs put to the proof: every mutant of every backward must be caught by the checks of the table.

All of them with `--all-mutants`, a sample without. What is tried is found by itself; only `EQUIVALENT` is a list.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn
from interpreted import by_python, multiply, row, unwritten
from table import CASES, LENGTHS
from tinygrad_rnn import (
    SGD,
    Attention,
    AttentionDecoder,
    Bidirectional,
    Cell,
    ClipValue,
    Device,
    DotAttention,
    Embedding,
    EncoderDecoder,
    Feedforward,
    GRUCell,
    Layer,
    Leaf,
    Linear,
    Loss,
    ManyToOne,
    OneHot,
    OneHotRows,
    Parameter,
    Pool,
    Recurrent,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    VanillaRNN,
    checks,
)
from tinygrad_rnn.core.arrays import Generator
from tinygrad_rnn.core.one_hot import OneHotColumns
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.core.states import State, learns, leaves, tree_map
from tinygrad_rnn.kernels import backends, products, threads
from tinygrad_rnn.kernels.compiled import gru, linear, lstm, packed, primitives, rnn
from tinygrad_rnn.kernels.compiled import products as compiled_products
from tinygrad_rnn.kernels.compiled import softmax_cross_entropy as compiled_loss_kernel
from tinygrad_rnn.kernels.compiled.backend import COMPILED
from tinygrad_rnn.kernels.plain import products as plain_products
from tinygrad_rnn.losses import softmax_cross_entropy as loss_module
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients, differences, gradients
from tinygrad_rnn.testing.examples import Example, FeedforwardExample, LossExample, RecurrentExample
from tinygrad_rnn.testing.faults import Fault
from tinygrad_rnn.testing.mutants import changes, mutants
from tinygrad_rnn.testing.named import Arrays, same
from tinygrad_rnn.testing.sequences import STARTS
from tinygrad_rnn.testing.sources import compiled
from whole_loss import backend as backend_of_whole_loss

pytestmark = pytest.mark.messages  # the shape checks would speak first here, too, and take their time
SAMPLE = 64  # without `--all-mutants`, one in so many is tried

ENTRIES = {"_forward", "_backward", "_add", "_look_up", "_project", "_pack_transposed"}
PRODUCT, KERNELS = "tinygrad_rnn.core.one_hot.OneHotColumns.add_product", "tinygrad_rnn.kernels"
TOGETHER = "both are None, or neither"
DECODER = "tinygrad_rnn.models.attention_decoder_base.AttentionDecoderBase"
AS_A_NUMBER = "`d.dtype.type(smoothing / len(y))` -> `smoothing / len(y)`"
BLOCK = "how many steps a block has is for speed"
ROWS = "how many rows there are is for speed"
NUMBER = "to the compiler a number of Python makes numbers of 64 bits of others, which take more time"
EACH = "every step is checked, where the first alone need be"
BEYOND = "the part of a row of its own is longer than what is used of it"
BOUND = "the sums are the same on both sides of the bound, which is for speed"
EQUIVALENT = (
    {
        f"{PRODUCT}, line 2: {change}": BOUND
        for change in (
            "`ids.size * size` -> `ids.size`",
            "`ids.size * size` -> `size`",
            "`1 << 13` -> `1`",
            "`1 << 13` -> `13`",
            "`1` -> `0`",
            "`13` -> `14`",
        )
    }
    | {
        f"{PRODUCT}, line 12: `True` -> `False`": "there is a start for each row of sums",
        "tinygrad_rnn.models.sequential.Sequential.unroll_backward, line 3: `True` -> `False`": "a cache a layer",
        "tinygrad_rnn.cells.base.Cell._steps_backward, line 8: `type(made)` -> `made`": EACH,
        "tinygrad_rnn.cells.base.Cell._steps_backward, line 8: `len(made)` -> `made`": EACH,
        "tinygrad_rnn.models.many_to_one.ManyToOne.backward, line 3: `True` -> `False`": "a cache a layer",
        "tinygrad_rnn.core.roles.given_or_zeros, line 8: `True` -> `False`": "of equal lengths, or line 5 has raised",
        f"{DECODER}._output_backward, line 1: `True` -> `False`": "there is one cache for each layer",
        f"{KERNELS}.coupled.backward, line 4: `True` -> `False`": "there is one for each gradient",
        f"{KERNELS}.rnn._backward_rows, line 5: `block_steps(T, B, H, weights.w_h)` -> `T`": BLOCK,
        f"{KERNELS}.products.input_gradient, line 3: `(T, B)` -> `(B, T)`": "their product is the same",
        f"{KERNELS}.products.input_gradient, line 4: `T * B` -> `T`": ROWS,
        f"{KERNELS}.products.input_gradient, line 4: `T * B` -> `B`": ROWS,
        f"{KERNELS}.products.back_over_rows, line 7: `True` -> `False`": "there are as many in each thread",
        f"{KERNELS}.products.back_over_rows, line 10: `if not others:` deleted": "of one part it would be a copy",
        f"{KERNELS}.products.back_over_rows, line 12: `True` -> `False`": "all threads give as many",
    }
    | {
        f"{KERNELS}.compiled.softmax_cross_entropy._backward, line 6: {AS_A_NUMBER}": NUMBER,
        f"{KERNELS}.compiled.softmax_cross_entropy.backward, line 2: `own_ids(ids)` -> `ids`": "none changes them",
    }
    | {
        f"{KERNELS}.compiled.{kernel}._backward, line 1: `das.dtype.type({number})` -> `{number}`": NUMBER
        for kernel, numbers in (("rnn", "01"), ("gru", "1"), ("lstm", "1"))
        for number in numbers
    }
    | {
        f"{KERNELS}.compiled.{kernel}._backward, line {line}: {change}": BEYOND
        for kernel, line in (("gru", 12), ("lstm", 22))
        for change in ("`da[:H]` -> `da[:H + 1]`", "`2` -> `3`", "`3` -> `4`")
    }
    | {
        f"{KERNELS}.{function}, line {line}: `{one} and {other}` -> `{left}`": TOGETHER
        for function, line in (
            *((f"plain.{kernel}.backward_steps", line) for kernel, line in (("rnn", 25), ("gru", 28), ("lstm", 36))),
            ("plain.linear.backward_steps", 10),
            ("lru._backward_steps", 13),
            ("ind_rnn.backward", 13),
            ("sru.backward", 20),
        )
        for one, other in (("starts is not None", "dbegun is not None"),)
        for left in (one, other)
    }
    | {
        f"{KERNELS}.{kernel}._backward_rows, line {line}: {change}": BLOCK
        for kernel, line in (("gru", 5), ("lstm", 4))
        for change in (
            "`block_steps(T, B, 4 * H, weights.w_h)` -> `T`",
            "`4 * H` -> `4`",
            "`4 * H` -> `H`",
            "`4` -> `5`",
        )
    }
)
"""Mutants that compute the same as the function, and why."""


def gradients_of_whole_rows(layer: Layer, rng: Generator) -> None:
    if not isinstance(layer, VanillaRNN):  # it has no role, but `updates`
        check_gradients(layer, rng=rng)


def gradients_with_lengths(layer: Layer, rng: Generator) -> None:
    if not isinstance(layer, (VanillaRNN, Feedforward)):
        check_gradients(layer, rng=rng, lengths=LENGTHS)


def gradients_with_starts(layer: Layer, rng: Generator) -> None:
    if isinstance(layer, Recurrent):
        check_gradients(layer, rng=rng, starts=STARTS)
        check_gradients(layer, rng=rng, lengths=LENGTHS, starts=STARTS)


def contract(layer: Layer, rng: Generator) -> None:
    if not isinstance(layer, VanillaRNN):
        check_contract(layer, rng=rng)


RECIPE = gradients_of_whole_rows, gradients_with_lengths, gradients_with_starts, contract
"""Each a check by itself: what the first catches, the others need not run for."""


def an_initial_state_that_learns(layer: Layer, rng: Generator) -> None:
    """Its gradient is the sum over the rows that begin with it, which is that w.r.t. such a state if it is given."""
    if not (isinstance(layer, Recurrent) and learns(layer.state_spec)):
        return
    (leaf,) = [leaf for leaf in leaves(layer.state_spec) if isinstance(leaf.initial, Parameter)]
    layer.to(dtype="float64")
    xs = rng.integers(0, 5, (4, 3)) if layer.takes_ids else rng.standard_normal((4, 3, 3))
    ys, _, cache = layer.forward(xs, layer.initial_state(3))
    leaf.initial.grad = 1.0
    _, dstate = layer.backward(ys, None, cache)
    np.testing.assert_array_equal(leaf.initial.grad, 1)
    layer.backward(ys, None, layer.forward(xs)[2])
    expected = 1 + sum(d.sum(axis=0) for d in leaves(dstate))
    np.testing.assert_allclose(leaf.initial.grad, expected, rtol=0, atol=1e-12)


def a_cache_of_another_kind(layer: Layer, rng: Generator) -> None:
    """That of a cell with parameters which this one has not."""
    if type(layer) is not RNNCell:
        return
    cache = GRUCell(layer.in_size, layer.out_size, rng=rng).forward(np.zeros((2, 3, layer.in_size), np.float32))[2]
    with pytest.raises(TypeError, match="the cache is that of another kind of cell, a GRUCache"):
        layer.backward(None, None, cache)


def one_state_given_and_one_not(layer: Layer, rng: Generator) -> None:
    """Of two initial states that learn, only that which was used gets a gradient."""
    if type(layer) is not LearntRNN:
        return
    model = Sequential(LearntRNN(3, 4, rng=rng), LearntRNN(4, 2, rng=rng)).to(dtype="float64")
    first, second = (cell.h0.grad for cell in model.layers if isinstance(cell, LearntRNN))
    given = rng.standard_normal((3, 4)), rng.standard_normal((3, 2))
    for state, used, other in ((((None,), (given[1],)), first, second), (((given[0],), (None,)), second, first)):
        model.zero_grad()
        ys, _, cache = model.forward(rng.standard_normal((5, 3, 3)), state)
        model.backward(ys, None, cache)
        assert used.all()
        assert not other.any()


def padding_of_infinite_slope(layer: Layer, rng: Generator) -> None:
    """0 times the slope of a layer in between is NaN, in padding, which reaches nothing."""
    if not isinstance(layer, RNNCell) or type(layer) is not RNNCell:
        return
    for model in (
        Sequential(RNNCell(3, 3, rng=rng), Root(), RNNCell(3, 3, rng=rng)),
        AttentionDecoder(RNNCell(3, 3, rng=rng), DotAttention(), Root()),
    ):
        model.to(dtype="float64")
        xs = rng.standard_normal((5, 4, 3))
        state: Any = None
        if isinstance(model, AttentionDecoder):
            state = model.attach(None, rng.standard_normal((3, 4, 3)))
        ys, _, cache = model.forward(xs, state, lengths=LENGTHS)
        dxs, _ = model.backward(ys, None, cache)
        assert np.isfinite(dxs).all()
        assert np.isfinite(model.flat_grad).all()


def one_hot_rows(layer: Layer, rng: Generator) -> None:
    """They are taken as if they were dense, but get no gradient."""
    if isinstance(layer, Cell):
        example: Any = RecurrentExample(layer, rng, LENGTHS)
        name = "xs"
    elif isinstance(layer, Linear):
        example, name = FeedforwardExample(layer, rng), "x"
    else:
        return
    ids = rng.integers(0, layer.in_size, getattr(example, name).shape[:2])
    setattr(example, name, np.eye(layer.in_size)[ids])
    upstream, before = example.upstream(rng), differences.drawn_before(example, rng)
    outputs, expected = example.forward()[0], differences.analytic(example, upstream, before)
    del expected[name]
    setattr(example, name, OneHotRows(ids, layer.in_size))
    message = f"{layer!r}: one-hot rows give another result than dense ones"
    same(outputs, example.forward()[0], message, 1e-12)
    same(expected, differences.analytic(example, upstream, before), message, 1e-12)


def wrong_states_raise(layer: Layer, rng: Generator) -> None:
    """A `dstate` with another number of entries than the state has, for a single step."""
    if isinstance(layer, Recurrent) and layer.causal:
        example = RecurrentExample(layer, rng)  # of a copy in float64
        y, state, cache = example.layer.step_forward(example.xs[0], example.state)
        with pytest.raises(ValueError, match=r"zip|unpack"):
            example.layer.step_backward(y, (y, *state), cache)


def what_no_forward_gave(layer: Layer, rng: Generator) -> None:
    """An upstream gradient of another shape or dtype, and something else as a cache, are refused by name."""
    if isinstance(layer, OneHot):  # which has no gradient
        return
    name = re.escape(repr(layer))
    if isinstance(layer, Feedforward):
        example = FeedforwardExample(layer, rng)
        for training in (True, False):
            y, cache = example.layer.forward(example.x, training=training)
            wrong = [1j * y] if cache is None else [1j * y, y.astype("float32"), y[:1]]  # None: nothing was dropped
            for dy in wrong:
                with pytest.raises((TypeError, ValueError), match=f"^{name}: dy "):
                    example.layer.backward(dy, cache)
            other_dtype = [cache.astype("f4")] if isinstance(cache, np.ndarray) and cache.dtype == y.dtype else []
            for no_cache in ("cache", *(other_dtype if [*layer.parameters()] else [])):
                came = "a str" if isinstance(no_cache, str) else "an array of float32"
                with pytest.raises(TypeError, match=f"^{name}: cache must be .* not {came}$"):
                    example.layer.backward(y, no_cache)
    elif isinstance(layer, Loss):
        loss = LossExample(layer, rng)
        value, cache = loss.layer.forward(loss.ys, loss.targets)
        elsewhere: Any = StrictDevice().asarray(np.ones(value.shape))
        for dloss in (np.ones((7, *value.shape)), 1j * np.ones(value.shape), elsewhere):
            with pytest.raises((TypeError, ValueError), match=f"^{name}: dloss "):
                loss.layer.backward(cache, dloss)
        twice = loss.layer.backward(cache, np.full(value.shape, 2.0))
        np.testing.assert_array_equal(loss.layer.backward(cache, 2), twice)
        for no_cache, came in (("cache", "a str"), (value, "an array")):
            with pytest.raises(TypeError, match=f"^{name}: cache must be .* not {came}$"):
                loss.layer.backward(no_cache)
    elif isinstance(layer, (Attention, EncoderDecoder, ManyToOne, Pool, Recurrent)):
        back: Any = layer.backward
        with pytest.raises(TypeError, match=f"^{name}: cache must be"):
            back(*(None,) * (1 if isinstance(layer, (EncoderDecoder, Pool)) else 2), "cache")


def a_step_that_gives_something_else(layer: Layer, rng: Generator) -> None:
    """It is told so, of the step that runs first."""
    if type(layer) is not RNNCell:
        return
    cell: Any = RNNCell(3, 4, rng=rng)
    cell.step_backward = lambda *given: None
    ys, _, cache = cell.forward(np.zeros((5, 2, 3), np.float32))
    with pytest.raises(TypeError, match="step_backward at step 4 gave a NoneType"):
        cell.backward(ys, None, cache)
    for wrong, told in ((list, "a list"), (lambda made: (*made, None), "a tuple of 3")):
        cell = RNNCell(3, 4, rng=rng)
        wrongs = iter([tuple, tuple, wrong, tuple, tuple])
        right = cell.step_backward
        cell.step_backward = lambda *given, right=right, wrongs=wrongs: next(wrongs)(right(*given))
        ys, _, cache = cell.forward(np.zeros((5, 2, 3), np.float32))
        with pytest.raises(TypeError, match=f"step_backward at step 2 gave {told}"):
            cell.backward(ys, None, cache)


def no_step(layer: Layer, rng: Generator) -> None:
    """There is none, forth or back."""
    if isinstance(layer, Bidirectional):
        with pytest.raises(ValueError, match=r"^Bidirectional\(.*\) has no step: it reads backward from the end"):
            layer.step_forward(None, layer.initial_state(2))
        with pytest.raises(ValueError, match=r"^Bidirectional\(.*\) has no step to go back through"):
            layer.step_backward(None, layer.initial_state(2), None)


def several_threads(layer: Layer, rng: Generator) -> None:
    """Each of which takes some rows, and adds to gradients of its own: they give what one thread does."""
    if not (isinstance(layer, Cell) and layer.kernel() is not None):
        return
    for lengths, starts in ((None, None), (LENGTHS, STARTS)):
        example = RecurrentExample(layer, rng, lengths, starts)
        upstream, before = example.upstream(rng), differences.drawn_before(example, rng)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(products, "WORTH", 1)
            patch.setattr(products, "FEWEST", 1)
            patch.setattr(threads, "_count", 1)
            expected = differences.analytic(example, upstream, before)
            patch.setattr(threads, "_count", 2)
            found = differences.analytic(example, upstream, before)
        same(expected, found, f"{layer!r}: two threads differ from one", 1e-12)


def compiled_steps(layer: Layer, rng: Generator) -> None:
    """Those of a cell, against the others; with lengths, of one-hot rows, and from no gradient of the outputs."""
    if not (isinstance(layer, Cell) and layer.kernel() is not None):
        return
    layer.to(dtype="float64").flat_value[...] += 0.5 * rng.standard_normal(layer.flat_value.shape)
    dense, ids = rng.standard_normal((5, 5, layer.in_size)), rng.integers(0, layer.in_size, (5, 5))
    dys, found, starts_of_five = rng.standard_normal((5, 5, layer.out_size)), [], rng.random((5, 5)) < 0.4
    state, dstate = (tuple(rng.standard_normal((5, size)) for size in layer.state_sizes) for _ in range(2))
    starts_of_five[4] = True  # the last block has one step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "empty", unwritten)
        patch.setattr(products, "ROWS", 10)  # two steps a block, then one
        patch.setattr(compiled_products, "WORTH_PACKING", 1)
        patch.setattr(compiled_products, "FILLED", 0)
        patch.setattr(plain_products, "has_openblas", lambda: True)
        patch.setattr(compiled_products, "CHUNK", 4)
        begun: list[Any] = []
        patch.setattr("tinygrad_rnn.cells.base.add_initial_gradient", lambda spec, dbegun, _: begun.extend(dbegun))
        for on in (False, True):
            patch.setattr(backends, "_compiled", COMPILED if on else None)
            for module in (rnn, gru, linear, lstm, packed, compiled_products, primitives):
                for name, stand_in in {"multiply": multiply, "row": row, "tanh": np.tanh}.items():
                    patch.setattr(module, name, stand_in, raising=False)
                for name, value in [*vars(module).items()]:
                    if name in ENTRIES:
                        patch.setattr(module, name, by_python(value))
                    elif hasattr(value, "py_func"):  # Numba would compile it for the arrays of this run
                        patch.setattr(module, name, value.py_func)
            for xs, lengths, starts, by_outputs in (
                (dense, None, None, dys),
                (dense, np.append(LENGTHS, 2), starts_of_five, dys),
                (OneHotRows(ids.astype(np.uint8), layer.in_size), None, None, None),
            ):
                layer.flat_grad[...] = 1.0
                cache, before = layer.forward(xs, state, lengths=lengths, starts=starts)[2], dys.copy()
                dxs, dbefore = layer.backward(by_outputs, dstate, cache)
                found.append([*([] if dxs is None else [dxs]), *dbefore, *begun, layer.flat_grad.copy()])
                begun.clear()
                np.testing.assert_array_equal(dys, before)
    for expected, arrays in zip(found[:3], found[3:], strict=True):
        for one, other in zip(expected, arrays, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)


def compiled_steps_of_many_units(layer: Layer, rng: Generator) -> None:
    """More than fit in one panel of packed weights."""
    if type(layer) is RNNCell:
        compiled_steps(RNNCell(3, 37, rng=rng), rng)


def a_cache_of_another_call(layer: Layer, rng: Generator) -> None:
    """Where one array of a cache is not of the shape of the others, a kernel changes nothing."""
    if not (isinstance(layer, Cell) and layer.kernel() is not None):
        return
    ys, _, cache = layer.forward(rng.standard_normal((3, 2, layer.in_size)).astype("f4"))
    steps = cache.inner.steps
    for name in steps._fields:
        wrong = cache.inner._replace(steps=steps._replace(**{name: getattr(steps, name)[:, :1]}))
        with pytest.raises(ValueError, match="not of one call"):
            layer.backward(ys, None, cache._replace(inner=wrong))
    dstate, (T, B, H) = layer.initial_state(2), ys.shape
    N = dstate[0].shape[1]
    none = rf"_prev .*, dys \({T}, {B}, {H}\), .*dstate\[0\] \({B}, {N}\), .*no flags; expected"
    one = rf"dstate\[{len(dstate) - 1}\] \({B}, {N}\), flags \({T}, 1\); expected"
    for given, start, inner, message in (
        (ys, tree_map(lambda d: d[:1], dstate), cache.inner, r"dstate\[0\] \(1, "),
        (ys[:, :1], dstate, cache.inner, r"dys \(3, 1, "),
        (ys, dstate, cache.inner._replace(steps=steps._replace(x=steps.x[:1])), none),
        (ys, dstate, cache.inner._replace(rows=Rows(np.ones(1, int), np.ones((3, 1), bool))), one),
    ):
        with pytest.raises(ValueError, match=message):
            layer.unroll_backward(given, start, inner)
    assert not layer.flat_grad.any()


def compiled_loss(layer: Layer, rng: Generator) -> None:
    """Against the other: by two threads, where some tokens do not count, whatever their scores are."""
    if not isinstance(layer, SoftmaxCrossEntropy):
        return
    ys, targets, found = rng.standard_normal((5, 2, 5)), rng.integers(0, 5, (5, 2)), []
    targets[1, 0], ys[1, 0] = layer.ignore_index, np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_count", 2)
        loss, cache = layer.forward(ys, targets)
        patch.setattr(backends, "_compiled", COMPILED)
        np.testing.assert_allclose(layer.forward(ys, targets)[0], loss, rtol=0, atol=1e-14)
        patch.setattr(compiled_loss_kernel, "_backward", by_python(compiled_loss_kernel._backward))
        for name, stand_in in {"WORTH": 10, "row": row, "exp": np.exp}.items():
            patch.setattr(compiled_loss_kernel, name, stand_in)
        patch.setattr(np, "empty", unwritten)
        for on in (False, True):
            patch.setattr(backends, "_compiled", COMPILED if on else None)
            found.append(layer.backward(cache, np.asarray(1.5 + loss)))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-14)


def many_ids(layer: Layer, rng: Generator) -> None:
    """So many that no dense product sums their gradients. Some do not occur, some once, some often."""
    if not isinstance(layer, Embedding):
        return
    ids = np.array([2, *rng.choice([1, 3, 6], 3000)])
    dy, expected = rng.standard_normal((ids.size, layer.w.shape[1])), np.zeros(layer.w.shape)
    np.add.at(expected, ids, dy)
    for device in (Device("cpu"), StrictDevice()):
        layer.to(device, "float64").zero_grad()
        for _ in range(2):
            layer.backward(device.asarray(dy), device.asarray(ids))
        np.testing.assert_allclose(device.to_host(layer.w.grad), 2 * expected, rtol=0, atol=1e-11)


def large_products(layer: Layer, rng: Generator) -> None:
    """So large that, where that is faster, the gradients of weights are made in parts: they are the same."""
    if not isinstance(layer, RNNCell):
        return
    layer = RNNCell(96, 64, rng=rng).to(dtype="float64")
    xs, dys = rng.standard_normal((5, 2, 96)), rng.standard_normal((5, 2, 64))
    whole, kept = layer.backward(dys, None, layer.forward(xs)[2])[0], plain_products._parts
    gradient = layer.flat_grad.copy()
    plain_products._parts = lambda array, rows, K, N: (K // 2, rows // 2, N // 4)
    try:
        in_parts = layer.backward(dys, None, layer.forward(xs)[2])[0]
    finally:
        plain_products._parts = kept
    np.testing.assert_allclose(in_parts, whole, rtol=0, atol=1e-11)
    np.testing.assert_allclose(layer.flat_grad, 2 * gradient, rtol=0, atol=1e-11)


def updates(layer: Layer, rng: Generator) -> None:
    """What `VanillaRNN.backward` takes from a parameter is the slope of the loss, each time, cut to the bound."""
    if not isinstance(layer, VanillaRNN):
        return
    layer.to(dtype="float64").flat_value[...] += 0.5 * rng.standard_normal(layer.flat_value.shape)
    SGD(layer, 0.0, clip=ClipValue(1.0)).step()  # no helper of a backward: the optimizers have tests of their own
    xs, ys = rng.standard_normal((4, 2, 4)), np.eye(5)[rng.integers(0, 5, (4, 2))]
    ys[1, 0] = ys[2:, 1] = 0
    for X, Y in ((xs, ys), (xs[:, 0], ys[:, 0]), (xs[:1], ys[:1])):
        for parameter in layer.parameters():
            start, slope = layer.flat_value.copy(), np.zeros(parameter.shape)
            for index in np.ndindex(parameter.shape):
                for shift in (1e-5, -1e-5):
                    parameter.value[index] += shift
                    slope[index] += float(layer.compute_loss(Y, layer.forward(X)[1])) / (2 * shift)
                    parameter.value[index] -= shift
            before = parameter.value.copy()
            layer.backward(X, Y, *layer.forward(X))
            expected = np.clip(slope, -layer.clip, layer.clip)
            np.testing.assert_allclose(before - parameter.value, layer.lr * expected, rtol=1e-6, atol=1e-9)
            layer.flat_value[...] = start
        hs, probabilities = layer.forward(X)
        for given in ((X[1:], Y, hs, probabilities), (X, Y, hs[1:], probabilities), (X, Y[1:], hs, probabilities[1:])):
            with pytest.raises(ValueError, match=r"VanillaRNN\(4, 3, 5, 0.5, clip=0.1\): X, hs and ys have shapes"):
                layer.backward(*given)
        with pytest.raises(ValueError, match="hs has shape"):
            layer.backward(X, Y, hs[..., 1:], probabilities)


class ListsCell(RNNCell):
    """Its backward gives a list for a state."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return dx, [*dstate]


def steps_that_give_something_else(layer: Layer, rng: Generator) -> None:
    """Are told so, at the first step that a backward takes."""
    if isinstance(layer, RNNCell):
        cell = ListsCell(3, 4, rng=rng)
        for steps in (1, 3):
            ys, _, cache = cell.forward(rng.standard_normal((steps, 2, 3)).astype("float32"))
            words = rf"^ListsCell\(3, 4\): step_backward at step {steps - 1} gave a list as dstate, expected a tuple"
            with pytest.raises(TypeError, match=words):
                cell.backward(ys, None, cache)


class CarelessCell(RNNCell):
    """Gives no gradient by one-hot rows, and leaves anything in the padding, as it may: its base class cares."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return None if isinstance(cache.x, OneHotRows) else dx, dstate

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dxs, dstate = super().unroll_backward(dys, dstate, cache)
        if dxs is not None and cache.rows.active is not None:
            dxs[~cache.rows.active] = 1.0
        return dxs, dstate


class LearntRNN(RNNCell):
    """Its initial state learns; the steps are those of the kernel."""

    def __init__(self, in_size: int, out_size: int, *, rng: Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h0 = Parameter(rng.standard_normal(out_size).astype("float32"))

    @property
    def state_spec(self) -> Any:
        return (Leaf("h", (self.out_size,), initial=self.h0),)


class SteppedLearntRNN(LearntRNN):
    """Step by step."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


class FromOne(RNNCell):
    """Its initial state is another number than 0."""

    @property
    def state_spec(self) -> Any:
        return (Leaf("h", (self.out_size,), initial=1.0),)


class SteppedFromOne(FromOne):
    """Step by step."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return super().step_forward(x, state, training=training)


class Root(Feedforward):
    """The root, with the sign of x. Its slope is infinite at 0, which is what padding is."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Any]:
        checks.check_array(self, "x", x, None)
        return np.sign(x) * np.sqrt(abs(x)), x

    def backward(self, dy: Any, cache: Any) -> Any:
        checks.check_array(self, "dy", dy, cache)
        with np.errstate(divide="ignore", invalid="ignore"):
            return dy * 0.5 / np.sqrt(abs(cache))


LAYERS = {name: case.make for name, case in CASES.items()} | {
    "careless": lambda rng: CarelessCell(3, 4, rng=rng),
    "careless in a model": lambda rng: Sequential(Linear(3, 3, rng=rng), CarelessCell(3, 4, rng=rng)),
    "careless both ways": lambda rng: Bidirectional(CarelessCell(3, 4, rng=rng), CarelessCell(3, 2, rng=rng)),
    "learnt": lambda rng: LearntRNN(3, 4, rng=rng),
    "learnt by steps": lambda rng: SteppedLearntRNN(3, 4, rng=rng),
    "from one": lambda rng: FromOne(3, 4, rng=rng),
    "from one by steps": lambda rng: SteppedFromOne(3, 4, rng=rng),
    "learnt after an embedding": lambda rng: Sequential(Embedding(5, 3, rng=rng), LearntRNN(3, 4, rng=rng)),
    "vanilla": lambda rng: VanillaRNN(4, 3, 5, 0.5, rng=rng, clip=0.1),
}


LEFT_OUT = (*(f"tinygrad_rnn.{room}" for room in ("testing", "plotting", "interop")), f"{KERNELS}.cuda")


def package_modules() -> Iterator[ModuleType]:
    """All but those of the checks, of the pictures and of `interop`, which hold no gradient, and those that need CuPy.

    The mutants of the latter are in tests/cuda.
    """
    for info in pkgutil.walk_packages(tinygrad_rnn.__path__, "tinygrad_rnn."):
        if not info.name.startswith(LEFT_OUT):
            yield importlib.import_module(info.name)


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that are written there, but for abstract ones."""
    for owner in [module, *filter(inspect.isclass, vars(module).values())]:
        for member in vars(owner).values():
            function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
            abstract = getattr(member, "__isabstractmethod__", False)
            if isinstance(function, FunctionType) and function.__module__ == module.__name__ and not abstract:
                yield function


FUNCTIONS = {id(function.__code__): function for module in package_modules() for function in functions_of(module)}
"""By the identity of their code, which takes less time than its hash: a test asks for millions."""
BACKWARDS = {
    f"{function.__module__.removeprefix('tinygrad_rnn.')}.{function.__qualname__}": function
    for function in FUNCTIONS.values()
    if "backward" in function.__name__
}
BACKWARD_CODES = frozenset(id(function.__code__) for function in BACKWARDS.values())
CODES_OF_BLAS = frozenset(
    code for code, function in FUNCTIONS.items() if function.__module__ == "tinygrad_rnn.core.blas"
)
"""They set the threads of products, and compute nothing."""
TALLY = Counter[str]()


numerical = differences.numerical
KNOWN: dict[Any, Arrays] = {}
"""Of a forward, which no mutant of a backward changes, by the layer and all that it is given."""


class Job:
    """A check of the layer `name`, and the functions of the package that it calls outside and inside of a backward."""

    def __init__(self, name: str, check: Callable[[Layer, Generator], None], others: Sequence[Job] = ()) -> None:
        """With `others`, those of the same layer, it is not run but taken to call what they call."""
        self.name, self.check = name, check
        self.outside, self.inside, self.in_differences = (set[int]() for _ in range(3))
        self.passed = False
        for other in others:
            for mine, known in zip(self.called(), other.called(), strict=True):
                mine |= known
        self.seconds: float = sum(o.seconds for o in others) if others else self.record()  # a contract takes as long

    def called(self) -> tuple[set[int], set[int], set[int]]:
        return self.outside, self.inside, self.in_differences

    def run(self, *, fresh: bool = False) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if not fresh:
                patch.setattr(differences, "numerical", self.numerical)
            self.check(LAYERS[self.name](np.random.default_rng(0)), np.random.default_rng(1))

    def numerical(self, example: Example, upstream: Arrays, step: float = differences.STEP) -> Arrays:
        """The differences, computed once for all checks of the layer."""
        arrays = [*leaves(tuple(example.given.values())), *(p.value for p in example.layer.parameters())]
        bits = (np.asarray(array).tobytes() for array in [*arrays, *upstream.values()])
        key = (self.name, repr(example.layer), type(example), example.how, step, *bits)
        if key not in KNOWN:
            KNOWN[key] = numerical(example, upstream, step)
        return KNOWN[key]

    def must_pass(self) -> None:
        """Where no function is changed: it is run the first time that it matters."""
        if not self.passed:
            self.time_run()
            self.passed = True

    def time_run(self, *, fresh: bool = False) -> None:
        """A run, after which `seconds` is what it took: much less where the differences were known."""
        began = time.perf_counter()
        self.run(fresh=fresh)
        self.seconds = time.perf_counter() - began

    def catches(self, function: FunctionType, mutant: FunctionType) -> bool:
        code, function.__code__ = function.__code__, mutant.__code__  # by whatever name it was imported elsewhere
        try:
            self.time_run(fresh=id(code) in self.in_differences)
            return False
        except (Exception, pytest.fail.Exception):
            pass
        finally:
            function.__code__ = code
        self.must_pass()  # or it would catch anything
        return True

    def record(self) -> float:
        """Note what is called, and give the seconds that a run takes, about."""
        depth, differing, expected = 0, False, 0.0  # how many backwards are running

        def watch(frame: FrameType, event: str, _: Any) -> Any:
            """Every call, and the end of those of a backward."""
            nonlocal depth
            code = id(frame.f_code)
            if event == "call" and code in FUNCTIONS:
                (self.in_differences if differing else self.inside if depth else self.outside).add(code)
            if code not in BACKWARD_CODES:
                return None
            depth += (event == "call") - (event == "return")
            frame.f_trace_lines = False
            return watch

        def stand_in(example: Example, upstream: Arrays, step: float = differences.STEP) -> Arrays:
            """What the backward gives, in place of differences, for which a forward is run a hundred times."""
            nonlocal differing, expected
            differing, began = True, time.perf_counter()
            example.forward()
            differing, took = False, time.perf_counter() - began
            parameters = dict(example.layer.named_parameters())
            found = differences.analytic(example, upstream, {name: np.zeros(p.shape) for name, p in parameters.items()})
            arrays = example.variables | {name: p.value for name, p in parameters.items()}
            expected += sum(2 * took * array.size for array in arrays.values())
            return {name: found.get(name, np.zeros(array.shape)) for name, array in arrays.items()}

        start, tracing = time.perf_counter(), sys.gettrace()  # that of coverage, perhaps
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(differences, "numerical", stand_in)
            sys.settrace(watch)
            try:
                self.run(fresh=True)
            finally:
                sys.settrace(tracing)
        return expected + time.perf_counter() - start


@pytest.fixture(scope="module", autouse=True)
def no_locating() -> Iterator[None]:
    """Here a mistake need only be caught: to locate it takes longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "locate", lambda *_: Fault((), ""))
        yield


def whole_loss(layer: Layer, rng: Generator) -> None:
    """By a backend that computes the loss as a whole, as that of a GPU does, against the plain one."""
    if not isinstance(layer, SoftmaxCrossEntropy):
        return
    ys, targets = rng.standard_normal((5, 2, 5)), rng.integers(0, 5, (5, 2))
    targets[1, 0], given = layer.ignore_index, {"lengths": np.array([5, 3]), "weights": rng.random((5, 2))}
    for logits, ids, rows in ((ys, targets, {}), (ys, targets, given), (ys[:0], targets[:0], {})):
        loss, cache = layer.forward(logits, ids, **rows)
        upstream = None, 0.5, np.asarray(1.5 + loss), rng.standard_normal((3, 7))
        used: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loss_module, "backend", lambda array, used=used: backend_of_whole_loss(used))
            there, cache_there = layer.forward(logits, ids, **rows)
            found = [layer.backward(cache_there, dloss) for dloss in upstream[:3]]
            with pytest.raises(ValueError, match="dloss has shape"):
                layer.backward(cache_there, upstream[3])
            with pytest.raises(ValueError, match="dloss is"):
                layer.backward(cache_there, 10**400)
        assert len(used) == (3 if logits.size and layer._is_covered(ids) else 0)
        np.testing.assert_allclose(there, loss, rtol=0, atol=1e-14)
        for dloss, dys in zip(upstream, found, strict=False):
            np.testing.assert_allclose(dys, layer.backward(cache, dloss), rtol=0, atol=1e-14)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    """Every check of every layer. A contract, which calls a layer so often, is not recorded."""
    every_check: tuple[Callable[[Layer, Generator], None], ...] = (
        *(check for check in RECIPE if check is not contract),
        an_initial_state_that_learns,
        one_state_given_and_one_not,
        padding_of_infinite_slope,
        a_cache_of_another_kind,
        steps_that_give_something_else,
        one_hot_rows,
        several_threads,
        compiled_steps,
        compiled_steps_of_many_units,
        compiled_loss,
        whole_loss,
        a_cache_of_another_call,
        wrong_states_raise,
        what_no_forward_gave,
        a_step_that_gives_something_else,
        no_step,
        many_ids,
        large_products,
        updates,
    )
    found = []
    for name in LAYERS:
        others = [Job(name, check) for check in every_check]
        found += [*others, Job(name, contract, others)]
    return found


def helpers(jobs: list[Job]) -> list[FunctionType]:
    """The functions that are called in a backward and nowhere else."""
    inside = {code for job in jobs for code in job.inside}
    elsewhere = BACKWARD_CODES.union(CODES_OF_BLAS, *(job.outside | job.in_differences for job in jobs))
    return [function for code, function in FUNCTIONS.items() if code in inside - elsewhere]


@cache
def mutants_of(function: FunctionType) -> dict[str, str]:
    """The sources by their descriptions."""
    return dict(changes(function))


def misjudged(function: FunctionType, jobs: list[Job], config: pytest.Config) -> str:
    """The mutants that are not caught, and the equivalent ones that are, a line each."""
    jobs = [job for job in jobs if id(function.__code__) in set[int]().union(*job.called())]
    assert jobs, f"no check of the table calls {function.__qualname__}"
    wrong = ""
    for description, source in mutants_of(function).items():
        equivalent = description in EQUIVALENT
        if not config.getoption("--all-mutants") and (equivalent or zlib.crc32(description.encode()) % SAMPLE):
            continue
        mutant = compiled(source, function)
        caught = any(job.catches(function, mutant) for job in sorted(jobs, key=lambda job: job.seconds))
        TALLY["caught" if caught else "equivalent" if equivalent else "survived"] += 1
        if caught == equivalent:
            wrong += f"\n  {description} is " + ("listed as equivalent, but caught" if caught else "not caught")
    return wrong


@pytest.mark.parametrize("name", BACKWARDS)
def test_every_mutant_of_a_backward_is_caught(name: str, jobs: list[Job], pytestconfig: pytest.Config) -> None:
    wrong = misjudged(BACKWARDS[name], jobs, pytestconfig)
    assert not wrong, f"a check is missing, or EQUIVALENT is wrong:{wrong}"


def test_every_mutant_of_what_only_backwards_call_is_caught(jobs: list[Job], pytestconfig: pytest.Config) -> None:
    assert OneHotColumns.__matmul__ in helpers(jobs)
    wrong = "".join(misjudged(function, jobs, pytestconfig) for function in helpers(jobs))
    assert not wrong, f"a check is missing, or EQUIVALENT is wrong:{wrong}"


def test_every_check_passes(jobs: list[Job]) -> None:
    """Of the functions as they are; but for the recipe of a layer of the table, which has tests of its own."""
    for job in jobs:
        if job.check not in RECIPE or job.name not in CASES:
            job.must_pass()


def test_every_backward_is_tried() -> None:
    """None that the sources hold is overlooked, such as one inside of a function."""
    nodes = [node for module in package_modules() for node in ast.walk(ast.parse(inspect.getsource(module)))]
    defs = [node for node in nodes if isinstance(node, ast.FunctionDef) and "backward" in node.name]
    written = [node.name for node in defs if "abstractmethod" not in map(ast.unparse, node.decorator_list)]
    assert sorted(written) == sorted(function.__name__ for function in BACKWARDS.values())


def test_every_equivalent_mutant_exists(jobs: list[Job]) -> None:
    found = {description for function in [*BACKWARDS.values(), *helpers(jobs)] for description in mutants_of(function)}
    assert set(EQUIVALENT) <= found


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\nmutants:", ", ".join(f"{count} {what}" for what, count in TALLY.items()))


class Derived(Counter[str]):
    def elements(self, *, by: int = 2) -> Any:
        return [*super().elements()] * by


def test_a_mutant_keeps_super_and_defaults() -> None:
    assert [mutant.function(Derived("a")) for mutant in mutants(Derived.elements)] == [["a"], 2]
