from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from table import CASES, Case
from tinygrad_rnn import Bidirectional, Embedding, Layer, Linear, OneHot, Parameter, Residual, RNNCell, Sequential, Tanh
from tinygrad_rnn.testing import StrictDevice


class Own(Layer):
    """A layer of one's own, without role, with a layer in it that knows the whole."""

    def __init__(self, size: int, *inner: Any, note: Any = None, rng: np.random.Generator) -> None:
        self.size, self.inner, self.note = size, inner, note
        self.w = Parameter(rng.standard_normal((size, 1)))
        self.again = [self.w, self.inner[-1]]
        self.inner[0].whole = self


def test_a_model(rng: np.random.Generator) -> None:
    model = Sequential(
        OneHot(65),
        Bidirectional(RNNCell(65, 128, rng=rng), RNNCell(65, 128, rng=rng, nonlinearity="relu"), merge="sum"),
        Tanh(),
        Linear(128, 65, rng=rng),
    )
    expected = """
        name                        layer                                        size  parameters
                                    Sequential(...)                                65      58,049
        layers.0                    OneHot(65)                                     65           0
        layers.1                    Bidirectional(..., merge='sum')               128      49,664
        layers.1.forward_cell       RNNCell(65, 128)                              128      24,832
        layers.1.forward_cell.w_x                                           (65, 128)       8,320
        layers.1.forward_cell.w_h                                          (128, 128)      16,384
        layers.1.forward_cell.b                                                (128,)         128
        layers.1.backward_cell      RNNCell(65, 128, nonlinearity='relu')         128      24,832
        layers.1.backward_cell.w_x                                          (65, 128)       8,320
        layers.1.backward_cell.w_h                                         (128, 128)      16,384
        layers.1.backward_cell.b                                               (128,)         128
        layers.2                    Tanh()                                                      0
        layers.3                    Linear(128, 65)                                65       8,385
        layers.3.w                                                          (128, 65)       8,320
        layers.3.b                                                              (65,)          65
        58,049 parameters, 232,196 bytes
    """
    assert model.summary() == inspect.cleandoc(expected)
    assert max(map(len, model.summary().split("\n"))) <= 100


def test_a_layer_of_ones_own_with_shared_parameters(rng: np.random.Generator) -> None:
    model = Own(3, Linear(2, 2, rng=rng), Tanh(), note="b", rng=rng)
    linear = Linear(2, 2, rng=rng)
    linear.w = model.inner[0].w
    model.inner = (*model.inner, linear)
    expected = """
        name       layer                    size  parameters
                   Own(3, ..., note='b')                  11
        inner.0    Linear(2, 2)                2           6
        inner.0.w                         (2, 2)           4
        inner.0.b                           (2,)           2
        inner.1    Tanh()                                  0
        inner.2    Linear(2, 2)                2           2
        inner.2.w  is inner.0.w, shared   (2, 2)           0
        inner.2.b                           (2,)           2
        w                                 (3, 1)           3
        again.0    is w, shared           (3, 1)           0
        again.1    Tanh()                                  0
        11 parameters, 56 bytes
    """
    assert model.summary() == inspect.cleandoc(expected)  # w is float64


def test_a_layer_deep_within_that_knows_the_whole(rng: np.random.Generator) -> None:
    deep = Linear(2, 2, rng=rng)
    model = Sequential(Sequential(Sequential(deep)), Tanh())
    deep.whole = model  # type: ignore[attr-defined]
    names = [line.split()[0] for line in model.summary().split("\n")[2:-1]]
    path = "layers.0.layers.0.layers.0"
    assert names == ["layers.0", "layers.0.layers.0", path, f"{path}.w", f"{path}.b", "layers.1"]


def test_layers_in_arguments_are_dots() -> None:
    """Also where one is written within another."""
    for model in (Sequential(Tanh(), Residual(Tanh())), Sequential(Residual(Tanh()), Tanh())):
        assert model.summary().split("\n")[1].split() == ["Sequential(...)", "0"]


def test_layers_without_parameters_and_without_anything() -> None:
    head = "name  layer   size  parameters"
    assert Tanh().summary() == f"{head}\n      Tanh()                 0\n0 parameters, 0 bytes"
    assert Layer().summary().split("\n")[1].split() == ["Layer()", "0"]


def test_another_dtype_and_device(rng: np.random.Generator) -> None:
    layer = Embedding(10, 4, rng=rng)
    table = layer.summary()
    assert table.endswith("\n40 parameters, 160 bytes")
    assert layer.to(StrictDevice(), "float64").summary() == table.replace("160", "320")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_numbers_of_every_layer_add_up(rng: np.random.Generator, case: Case) -> None:
    layer = case.make(rng)
    table = layer.summary()
    counts: dict[str, int] = {}
    for line in table.split("\n")[1:-1]:
        name = "" if line.startswith(" ") else line.split()[0]
        counts[name] = int(line.split()[-1].replace(",", ""))
    total = sum(parameter.size for parameter in layer.parameters())
    assert counts[""] == total
    assert table.split("\n")[-1].startswith(f"{total:,} parameters, ")
    for name, parameter in layer.named_parameters():
        assert counts[name] == parameter.size
    parameters = {name for name, _ in layer.named_parameters()}
    for name in counts:
        inside = [own for own in parameters if own == name or own.startswith(f"{name}.") or not name]
        assert counts[name] == sum(counts[own] for own in inside)
