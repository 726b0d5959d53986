"""Whoever computes makes the GPU of its arrays the current one: here a strict device stands in for a second GPU."""

from __future__ import annotations

from running import run_alone

SECOND = """
import numpy as np
import tinygrad_rnn as rnn
from tinygrad_rnn.core.device import use_gpus
from tinygrad_rnn.testing import StrictDevice, strict

entered, call, asarray = [0], strict.StrictNamespace.__call__, StrictDevice.asarray

def on_it(self, *args, **kwargs):
    assert entered[0] or self._path == "ndarray.reshape", "the GPU of the array is not the current one"
    return call(self, *args, **kwargs)

def moved(self, *args):
    with self:
        return asarray(self, *args)

StrictDevice.__enter__ = lambda self: entered.__setitem__(0, entered[0] + 1) or self
StrictDevice.__exit__ = lambda self, *error: entered.__setitem__(0, entered[0] - 1)
StrictDevice.asarray = moved
strict.StrictNamespace.__call__ = on_it
get, put = strict.StrictArray.__getitem__, strict.StrictArray.__setitem__
"""

USES = """
from tinygrad_rnn.training.metrics import Accuracy
use_gpus()  # as the first Device("cuda") does
device, rng = StrictDevice(), np.random.default_rng(0)

class Own(rnn.Feedforward):  # also a class that is made afterwards
    def forward(self, x, *, training=True):
        return 2 * x, None

    def backward(self, dy, cache):
        return 2 * dy

layers = rnn.Embedding(5, 4, rng=rng), rnn.LSTMCell(4, 4, rng=rng), Own(), rnn.Dropout(0.5, rng=rng)
model = rnn.Sequential(*layers, rnn.Linear(4, 5, rng=rng)).to(device)
criterion = rnn.SoftmaxCrossEntropy(class_weights=[1, 2, 3, 4, 5]).to(device)
optimizer = rnn.Adam(model, 0.01, clip=rnn.ClipNorm(1.0), rates={"layers.4.b": 0.0})
average = rnn.MovingAverage(model)
stream = rnn.TokenStream(np.arange(60) % 5, batch=2, steps=6)
state = None
for batch in stream:
    xs, targets, starts = (device.asarray(array) for array in batch[:2] + batch[3:4])
    ys, state, cache = model.forward(xs, state, starts=starts)
    loss, loss_cache = criterion.forward(ys, targets)
    model.zero_grad()
    model.backward(criterion.backward(loss_cache), None, cache)
    optimizer.step()
    average.update()
linear = rnn.Linear(3, 2, rng=rng).to(device)
y, cache = linear.forward(device.asarray(np.ones((2, 3), np.float32)))
linear.backward(y, cache)
linear.zero_grad()
model.step(xs[0], model.initial_state(2))
rnn.fit(model, criterion, optimizer, stream, steps=3, validation=stream, metrics={"accuracy": Accuracy()})
rnn.evaluate(model, stream)
list(rnn.generate(model, [1, 2], length=3, rng=rng))
list(rnn.generate_samples(model, [1, 2], samples=2, length=3, rng=rng))
rnn.beam_search(model, [1, 2], width=2, length=3)
rnn.greedy_search(model, [1, 2], length=3)
optimizer.restore(optimizer.memory())
attention = rnn.AdditiveAttention(3, 3, 4, rng=rng).to(device)
memory = device.asarray(np.ones((2, 1, 3), np.float32))
context, weights, cache = attention.forward(memory, memory)
attention.backward(context, None, cache)
assert not entered[0]
print("ok")
"""


def test_what_computes_enters_the_gpu_of_its_arrays() -> None:
    assert run_alone(SECOND + USES) == "ok"


def test_the_first_gpu_may_come_before_the_layers_are_imported() -> None:
    early = "import sys\nfrom tinygrad_rnn.core.device import use_gpus\n"
    early += "assert 'tinygrad_rnn.core.layer' not in sys.modules\nuse_gpus()\n"
    assert run_alone(early + SECOND + USES) == "ok"


def test_before_the_first_gpu_nothing_is_entered() -> None:
    model = "model = rnn.Linear(3, 2, rng=np.random.default_rng(0)).to(StrictDevice())\n"
    attempt = "try:\n    model.forward(StrictDevice().asarray(np.ones((2, 3), np.float32)))\n"
    assert run_alone(SECOND + model + attempt + "except AssertionError:\n    print('refused')\n") == "refused"
