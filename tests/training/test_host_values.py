"""What comes from the host is checked before it is moved to a GPU, which looks at no values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.data.batch import Batch
from tinygrad_rnn.testing import StrictDevice

V, T, B = 5, 4, 3
CRITERION = rnn.SoftmaxCrossEntropy(ignore_index=-7)
LENGTHS = np.array([4, 2, 0])


def model(device: Any) -> Any:
    rng = np.random.default_rng(0)
    return rnn.Sequential(rnn.Embedding(V, 4, rng=rng), rnn.GRUCell(4, 4, rng=rng), rnn.Linear(4, V, rng=rng)).to(
        device
    )


def batch(**wrong: Any) -> Batch:
    rng = np.random.default_rng(1)
    whole = Batch(rng.integers(0, V, (T, B)), rng.integers(0, V, (T, B)), LENGTHS.copy(), None, np.ones((T, B)))
    for name, (where, value) in wrong.items():
        getattr(whole, name)[where] = value
    return whole


def fitted(device: Any, given: Batch) -> None:
    network = model(device)
    before = network.device.to_host(network.flat_value).copy()
    try:
        rnn.fit(network, CRITERION, rnn.SGD(network, 0.1), [given], steps=1)
    except ValueError:
        np.testing.assert_array_equal(network.device.to_host(network.flat_value), before)
        raise


USES: dict[str, Callable[[Any, Batch], object]] = {
    "fit": fitted,
    "measure": lambda device, given: rnn.measure(model(device), CRITERION, [given]),
}


@pytest.mark.messages
@pytest.mark.parametrize("device", ["cpu", StrictDevice()], ids=["cpu", "gpu"])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"xs": ((0, 0), V)}, r"id 5 at index \(0, 0\) is outside the vocabulary, 0 to 4"),
        ({"xs": ((1, 1), -1)}, r"id -1 at index \(1, 1\) is outside the vocabulary, 0 to 4"),
        ({"targets": ((2, 0), V + 1)}, r"SoftmaxCrossEntropy.*: id 6 at index \(2, 0\) is outside .* by ignore_index"),
        ({"targets": ((0, 1), -1)}, r"SoftmaxCrossEntropy.*: id -1 at index \(0, 1\) is outside"),
        ({"lengths": (1, T + 1)}, r"lengths\[1\] is 5, but with 4 steps it must be 0 to 4"),
        ({"weights": ((0, 0), -1.0)}, r"weights is -1.0 at index \(0, 0\), but must be finite and at least 0"),
    ],
)
def test_what_is_outside_is_the_same_error_on_every_device(device: Any, use: str, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        USES[use](device, batch(**wrong))


@pytest.mark.parametrize("device", ["cpu", StrictDevice()], ids=["cpu", "gpu"])
@pytest.mark.parametrize("use", USES)
def test_what_does_not_count_may_be_outside(device: Any, use: str) -> None:
    USES[use](device, batch(xs=((3, 1), 99), targets=((2, 1), 99)))  # past a row's end
    USES[use](device, batch(targets=((0, 0), -7)))
    unweighted = batch(targets=((0, 0), 99), weights=((0, 0), 0.0))
    USES[use](device, unweighted)


@pytest.mark.messages
@pytest.mark.parametrize("device", ["cpu", StrictDevice()], ids=["cpu", "gpu"])
def test_a_stream_of_another_vocabulary_is_an_error_of_evaluate(device: Any) -> None:
    with pytest.raises(ValueError, match="is outside the vocabulary, 0 to 4"):
        rnn.evaluate(model(device), rnn.TokenStream(np.arange(12) % 7, batch=1, steps=6))
    with pytest.raises(ValueError, match=r"id 9 at index \(1,?.*\) is outside the vocabulary, 0 to 4"):
        list(rnn.generate(model(device), [0, 9], length=2, rng=np.random.default_rng(0)))
