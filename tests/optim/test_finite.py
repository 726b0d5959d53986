from __future__ import annotations

import copy
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textbook import Weights
from tinygrad_rnn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    ClipValue,
    Layer,
    Linear,
    ReduceOnPlateau,
    RMSprop,
    RNNCell,
    Sequential,
    load,
    save,
)
from tinygrad_rnn.testing import StrictDevice

STRICT = StrictDevice()
every_optimizer = pytest.mark.parametrize("make", [SGD, partial(SGD, momentum=0.5), Adagrad, RMSprop, Adam, AdamW])
BAD = [math.nan, math.inf, -math.inf]


def network() -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(RNNCell(3, 4, rng=rng), Linear(4, 2, rng=rng))


def step(optimizer: Any, fill: float, bad: float | None = None) -> None:
    """A step with gradients of `fill`, or with one entry of `w` that is `bad`."""
    model: Layer = optimizer.model
    for parameter in model.parameters():
        parameter.grad.fill(fill)
    if bad is not None:
        first: Any = model.parameters()[0].grad
        first[0, 1] = bad
    optimizer.step()


def everything(optimizer: Any) -> list[Any]:
    """Parameters, optimizer state and the number of steps, on the host."""
    arrays = [optimizer.model.flat_value, *(getattr(optimizer, key) for key in optimizer.keeps)]
    host = optimizer.model.device.to_host
    return [optimizer.steps, *(host(array).tolist() for array in arrays if array is not None)]


@every_optimizer
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("clip", [None, ClipNorm(1.0), ClipValue(1.0)])
def test_a_gradient_that_is_not_finite_is_refused_and_changes_nothing(make: Any, bad: float, clip: Any) -> None:
    optimizer = make(Weights(), 0.1, clip=clip)
    step(optimizer, 1.0)
    before, norm = everything(optimizer), optimizer.last_norm
    with pytest.raises(FloatingPointError):
        step(optimizer, 2.0, bad)
    assert everything(optimizer) == before
    assert optimizer.last_norm is norm
    step(optimizer, 2.0)
    other = make(Weights(), 0.1, clip=clip)
    for fill in (1.0, 2.0):
        step(other, fill)
    assert everything(optimizer) == everything(other)


@pytest.mark.messages
def test_the_error_names_layer_and_parameter() -> None:
    model = network()
    optimizer = Adam(model, 0.1)
    for name, where in (("layers.0.w_h", "RNNCell(3, 4)"), ("layers.1.b", "Linear(4, 2)")):
        parameter = dict(model.named_parameters())[name]
        parameter.grad.fill(math.nan)
        with pytest.raises(FloatingPointError) as error:
            optimizer.step()
        assert str(error.value) == (
            f"Adam: the gradient of {name}, of {where}, is not finite. Nothing was changed. Look for NaN and infinity "
            'in the data, lower lr, or clip. nonfinite="skip" leaves out such steps'
        )
        parameter.grad.fill(0)


def test_the_optimizer_of_a_child_names_its_own_parameter() -> None:
    model = network()
    assert model.flat_value.size
    child = model.layers[1]
    optimizer = SGD(child, 0.1)
    child.parameters()[1].grad.fill(math.nan)
    with pytest.raises(FloatingPointError, match=r"the gradient of b, of Linear\(4, 2\)"):
        optimizer.step()
    model.zero_grad()
    model.layers[0].parameters()[0].grad.fill(math.nan)
    optimizer.step()  # it is not its own


@every_optimizer
@pytest.mark.parametrize("clip", [None, ClipNorm(1.0)])
def test_a_step_may_be_skipped(make: Any, clip: Any) -> None:
    optimizer = make(Weights(), 0.1, clip=clip, nonfinite="skip")
    step(optimizer, 1.0)
    _, *before = everything(optimizer)
    for bad in BAD:
        with np.errstate(invalid="ignore"):  # infinity by infinity, in the clipper
            step(optimizer, 1.0, bad)
    steps, *after = everything(optimizer)
    assert after == before
    assert (steps, optimizer.skipped) == (4, 3)
    assert clip is None or not math.isfinite(optimizer.last_norm)
    step(optimizer, 1.0)
    assert optimizer.skipped == 3
    assert everything(optimizer)[1:] != before


@every_optimizer
def test_a_gradient_may_propagate(make: Any) -> None:
    optimizer = make(Weights(), 0.1, nonfinite="propagate")
    step(optimizer, 1.0, math.nan)
    assert np.isnan(optimizer.model.flat_value).sum() == 1
    assert (optimizer.steps, optimizer.skipped) == (1, 0)


@pytest.mark.parametrize("nonfinite", ["refuse", "skip"])
def test_what_a_clipper_breaks_is_found(nonfinite: Any) -> None:
    def broken(grad: Any) -> Any:
        grad /= 0
        return 1.0

    for device in ("cpu", STRICT):
        optimizer: Any = SGD(Weights().to(device), 0.1, clip=broken, nonfinite=nonfinite)
        before = everything(optimizer)[1:]
        with np.errstate(all="ignore"):
            if device == "cpu" and nonfinite == "refuse":
                with pytest.raises(FloatingPointError):
                    step(optimizer, 1.0)
            else:
                step(optimizer, 1.0)
        assert everything(optimizer)[1:] == before


@every_optimizer
@pytest.mark.parametrize("clip", [None, ClipNorm(1.0)])
def test_a_gpu_stops_until_the_error_is_read(make: Any, clip: Any) -> None:
    """The strict device refuses whatever would wait, so `step` does not."""
    optimizer = make(Weights().to(STRICT), 0.1, clip=clip)
    step(optimizer, 1.0)
    before = everything(optimizer)
    step(optimizer, 1.0, math.nan)
    step(optimizer, 1.0)
    step(optimizer, 1.0)
    assert everything(optimizer)[1:] == before[1:]
    message = r"the gradient of w, of .*Weights.*, is not finite. 3 updates were left out, .* as after 1\. "
    with pytest.raises(FloatingPointError, match=message):
        optimizer.check()
    assert everything(optimizer) == before
    optimizer.check()
    step(optimizer, 2.0)
    other = make(Weights(), 0.1, clip=clip)
    for fill in (1.0, 2.0):
        step(other, fill)
    assert everything(optimizer) == everything(other)


def test_a_gpu_names_the_first_parameter_that_was_bad() -> None:
    optimizer = SGD(network().to(STRICT), 0.1)
    for i in (3, 1):
        optimizer.model.zero_grad()
        optimizer.model.parameters()[i].grad.fill(math.nan)
        optimizer.step()
    with pytest.raises(FloatingPointError, match=r"the gradient of layers.1.w, of Linear\(4, 2\)"):
        optimizer.check()


def test_saving_raises_what_a_gpu_has_found(tmp_path: Path) -> None:
    optimizer = SGD(network().to(STRICT), 0.1)
    for read in (optimizer.memory, lambda: save(tmp_path / "model", optimizer.model, optimizer=optimizer)):
        optimizer.model.flat_grad.fill(math.nan)
        optimizer.step()
        with pytest.raises(FloatingPointError):
            read()
    assert not (tmp_path / "model").exists()
    save(tmp_path / "model", optimizer.model, optimizer=optimizer)
    assert load(tmp_path / "model").optimizer.steps == 0


@every_optimizer
@pytest.mark.parametrize("device", ["cpu", STRICT])
def test_skipping_is_the_same_on_a_gpu(make: Any, device: Any) -> None:
    def run(device: Any) -> list[Any]:
        optimizer = make(Weights().to(device), lambda step: 0.1 / (1 + step), nonfinite="skip", clip=ClipNorm(1.0))
        for fill, bad in ((1.0, None), (2.0, math.nan), (3.0, None)):
            step(optimizer, fill, bad)
        assert optimizer.skipped == 1
        return everything(optimizer)

    assert run(device) == run("cpu")


def test_the_count_of_skipped_steps_is_saved_and_restored(tmp_path: Path) -> None:
    optimizer = SGD(network(), 0.1, momentum=0.9, nonfinite="skip")
    optimizer.model.flat_grad.fill(math.nan)
    optimizer.step()
    save(tmp_path / "model", optimizer.model, optimizer=optimizer)
    checkpoint = load(tmp_path / "model")
    again = SGD(checkpoint.model, 0.1, momentum=0.9, nonfinite="skip")
    again.restore(checkpoint.optimizer)
    assert (again.steps, again.skipped) == (1, 1)
    again.restore(checkpoint.optimizer._replace(skipped=0))
    assert again.skipped == 0


def test_a_stopped_optimizer_can_be_restored() -> None:
    optimizer = SGD(Weights().to(STRICT), 0.1, momentum=0.9)
    step(optimizer, 1.0)
    memory = copy.deepcopy(optimizer.memory())
    step(optimizer, 1.0, math.nan)
    optimizer.restore(memory)
    optimizer.check()
    assert optimizer.steps == 1


def test_a_plateau_reads_the_error() -> None:
    optimizer = SGD(Weights().to(STRICT), 0.1)
    plateau = ReduceOnPlateau(optimizer)
    step(optimizer, 1.0, math.nan)
    before = json.dumps(plateau.memory())
    with pytest.raises(FloatingPointError):
        plateau.update(1.0)
    assert json.dumps(plateau.memory()) == before


@pytest.mark.messages
@pytest.mark.parametrize("junk", ["raise", "", None, True, 0, np.array(["skip"]), ["skip"]])
def test_another_choice_is_refused(junk: Any) -> None:
    with pytest.raises(ValueError, match=r'^SGD: nonfinite must be "refuse", "skip" or "propagate", not '):
        SGD(Weights(), 0.1, nonfinite=junk)


@pytest.mark.parametrize("kind", [Adam, Adagrad, RMSprop])
def test_a_square_that_overflows_is_warned_of_and_not_saved(kind: Any, tmp_path: Path) -> None:
    layer = Linear(2, 3, rng=np.random.default_rng(0))
    optimizer = kind(layer, 0.1)
    layer.w.grad.fill(1e30)
    with pytest.warns(RuntimeWarning, match="overflow"):
        optimizer.step()
    assert np.isfinite(layer.w.value).all()
    with pytest.raises(ValueError, match="is inf at"):
        save(tmp_path / "model", layer, optimizer=optimizer)
