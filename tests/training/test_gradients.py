from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Batch,
    Dropout,
    GRUCell,
    Linear,
    ManyToOne,
    OneHot,
    Recurrent,
    Sequential,
    SoftmaxCrossEntropy,
    gradients,
)

RNG = np.random.default_rng(0)
MODEL = Sequential(OneHot(5), GRUCell(5, 5, rng=RNG))
ONE = ManyToOne(MODEL, Linear(5, 5, rng=RNG))
IDS = np.zeros((4, 3), int)
BATCH = Batch(IDS, IDS)


def test_gradients_add_up_and_give_outputs_and_state() -> None:
    rng = np.random.default_rng(1)
    layers = (OneHot(5), GRUCell(5, 6, rng=rng), Dropout(0.3, rng=rng), Linear(6, 5, rng=rng))
    model: Recurrent = Sequential(*layers)
    for stream_of in model.generators().values():
        stream_of.bit_generator.state = np.random.default_rng(5).bit_generator.state
    batch = Batch(rng.integers(0, 5, (7, 3)), rng.integers(0, 5, (7, 3)), starts=np.zeros((7, 3), bool))
    loss, ys, state = gradients(model, SoftmaxCrossEntropy(), batch)
    once = model.flat_grad.copy()
    for stream_of in model.generators().values():
        stream_of.bit_generator.state = np.random.default_rng(5).bit_generator.state
    gradients(model, SoftmaxCrossEntropy(), batch, dloss=2.0)
    np.testing.assert_allclose(model.flat_grad, 3 * once, rtol=1e-5, atol=1e-7)
    assert (loss.shape, ys.shape, state[1][0].shape) == ((), (7, 3, 5), (3, 6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (Linear(5, 5, rng=RNG), SoftmaxCrossEntropy(), BATCH),
            "model must be a Recurrent, such as Sequential",
        ),
        (("model", SoftmaxCrossEntropy(), BATCH), "model must be a Recurrent, such as Sequential"),
        ((MODEL, "loss", BATCH), "criterion must be a Loss, not a str"),
        ((MODEL, SoftmaxCrossEntropy(), (IDS, IDS)), r"batch must be a Batch\(xs, targets, ...\), not a tuple"),
        ((MODEL, SoftmaxCrossEntropy(reduction="none"), BATCH), "SoftmaxCrossEntropy.* gives a loss of shape"),
        ((ONE, SoftmaxCrossEntropy(), Batch(IDS, IDS[0], starts=IDS > 0)), "the batch has starts, but"),
    ],
)
def test_mistakes(given: Any, message: str) -> None:
    before = MODEL.flat_grad.copy()
    with pytest.raises((TypeError, ValueError), match=f"^gradients: {message}"):
        gradients(*given)
    np.testing.assert_array_equal(MODEL.flat_grad, before)
