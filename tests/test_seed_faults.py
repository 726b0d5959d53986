"""The faults of the three small networks that this library grew from. Each is impossible here.

`FAULTS`, at the end, has for each a check, what is checked here, and the fault itself in a small form: the check must
pass the one and fail on the other.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Adagrad,
    CharTokenizer,
    Feedforward,
    Linear,
    OneHot,
    RNNCell,
    Sequential,
    Softmax,
    SoftmaxCrossEntropy,
    TokenStream,
    VanillaRNN,
    encode_file,
    generate,
    load,
    save,
)
from tinygrad_rnn.datasets import read_text


class Fault(NamedTuple):
    """A row of `FAULTS`."""

    name: str
    check: Callable[[Any, Path], None]
    """Takes what is checked, and an empty folder."""
    ours: Any
    faulty: Any
    says: str
    """What the failure on the faulty form says: that it is this fault, and no other."""
    error: type[Exception] = AssertionError


def integers(*numbers: int) -> Any:
    return np.array(numbers)


# 1 and 10: back through time


def check_gradients(backward: Any, folder: Path) -> None:
    """The slopes of sum(dys * hs) by what goes in."""
    rng = np.random.default_rng(1)
    given = {name: rng.standard_normal((3, 3)) for name in ("w_x", "w_h", "xs", "dys")} | {"h": rng.standard_normal(3)}

    def objective() -> float:
        h, total = given["h"], 0.0
        for x, dy in zip(given["xs"], given["dys"], strict=True):
            h = np.tanh(x @ given["w_x"] + h @ given["w_h"])
            total += dy @ h
        return total

    found = backward(**given)
    for name in ("w_x", "w_h", "h"):
        array, slopes = given[name], np.zeros_like(given[name])
        for index in np.ndindex(array.shape):
            for shift in (1e-5, -1e-5):
                array[index] += shift
                slopes[index] += objective() / (2 * shift)
                array[index] -= shift
        np.testing.assert_allclose(found[name], slopes, rtol=1e-7, atol=1e-9, err_msg=f"the gradient of {name}")


def cell_gradients(w_x: Any, w_h: Any, xs: Any, dys: Any, h: Any) -> dict[str, Any]:
    cell = RNNCell(3, 3, rng=np.random.default_rng(0)).to(dtype="float64")
    cell.w_x.value, cell.w_h.value = w_x, w_h
    _, _, cache = cell.forward(xs[:, None], (h[None],))
    _, (dh,) = cell.backward(dys[:, None], None, cache)
    return {"w_x": cell.w_x.grad, "w_h": cell.w_h.grad, "h": dh[0]}


def back_through_time(
    w_x: Any, w_h: Any, xs: Any, dys: Any, h: Any, *, first: bool = True, upstream: bool = True, before: bool = True
) -> dict[str, Any]:
    """The equations, right by themselves; without the term at t = 0, the factor from upstream, or the state before."""
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ w_x + hs[-1] @ w_h))
    dw_x, dw_h, dh = np.zeros_like(w_x), np.zeros_like(w_h), np.zeros_like(h)
    for t in reversed(range(len(xs))):
        slope = 1 - hs[t + 1] ** 2
        da = slope * (dys[t] + dh)
        dw_x += np.outer(xs[t], da if upstream else slope)
        dw_h += np.outer(hs[t] if before else xs[t], da if upstream else slope) * (first or t > 0)
        dh = w_h @ da
    return {"w_x": dw_x, "w_h": dw_h, "h": dh}


without_the_first = partial(back_through_time, first=False)
without_upstream = partial(back_through_time, upstream=False)
with_x_for_h = partial(back_through_time, before=False)


def check_rows_train(train: Any, folder: Path) -> None:
    """`train` takes rows without a batch, and returns the probabilities that they end with."""
    X: Any = np.eye(5, dtype=np.float32)
    np.testing.assert_array_equal(train(X, np.roll(X, -1, axis=0)).argmax(axis=1), [1, 2, 3, 4, 0])


def vanilla_rows(X: Any, Y: Any) -> Any:
    model = VanillaRNN(5, 8, 5, lr=1.0, rng=np.random.default_rng(0))
    for _ in range(300):
        hs, ys = model.forward(X)
        model.backward(X, Y, hs, ys)
    return ys


def columns_of_rows(X: Any, Y: Any) -> Any:
    """A row has no axis to transpose."""
    dw = np.zeros((5, 5))
    for x, y in zip(X, Y, strict=True):
        dw += x.T @ (np.full((1, 5), 0.2) - y)


def check_summed_loss(loss: Any, folder: Path) -> None:
    """Of five steps with five equal choices."""
    assert float(loss(np.eye(5))) == pytest.approx(5 * math.log(5), rel=1e-12)


def vanilla_loss(Y: Any) -> Any:
    model = VanillaRNN(5, 8, 5, rng=np.random.default_rng(0)).to(dtype="float64")
    model.flat_value.fill(0)
    return 5 * model.compute_loss(Y, model.forward(Y)[1])


def loss_over_three_axes(Y: Any) -> Any:
    ys: Any = np.full((5, 1, 5), 0.2)
    return -(Y * np.log(ys)).sum()


# 2, 3, 5 and 6: the loss


def summed(logits: Any, targets: Any) -> Any:
    criterion = SoftmaxCrossEntropy(reduction="sum")
    loss, cache = criterion.forward(logits, targets)
    return loss, criterion.backward(cache)


def averaged(logits: Any, targets: Any) -> Any:
    criterion = SoftmaxCrossEntropy()
    loss, cache = criterion.forward(logits, targets)
    return loss, criterion.backward(cache)


def raw_softmax(logits: Any) -> Any:
    with np.errstate(all="ignore"):
        powers = np.exp(logits)
        return powers / powers.sum(axis=-1, keepdims=True)


def one_hot_loss(logits: Any, targets: Any, *, mean: bool = False) -> Any:
    """Of a row of zeros where a target is padded; the gradient is that of the sum."""
    p, q = raw_softmax(logits), targets[..., None] == np.arange(logits.shape[-1])
    with np.errstate(all="ignore"):
        losses = -np.log(p, where=q, out=np.zeros_like(p)).sum(axis=-1)
    return losses.mean() if mean else losses.sum(), p - q


mean_of_one_hot = partial(one_hot_loss, mean=True)


def check_padding(loss: Any, folder: Path) -> None:
    """What comes after a sequence's end changes no gradient of a model."""
    rng = np.random.default_rng(0)
    model = Sequential(OneHot(4), RNNCell(4, 3, rng=rng), Linear(3, 4, rng=rng))

    def gradients(xs: Any, targets: Any) -> Any:
        model.zero_grad()
        logits, _, cache = model.forward(xs[:, None])
        model.backward(loss(logits, targets[:, None])[1], None, cache)
        return model.flat_grad.copy()

    short = gradients(integers(1, 2), integers(2, 3))
    assert short.any()
    padded = gradients(integers(1, 2, 0, 0), integers(2, 3, -1, -1))
    np.testing.assert_allclose(padded, short, atol=1e-7, err_msg="the padding trains")


def check_normalisation(loss: Any, folder: Path) -> None:
    """The gradient is that of this very loss."""
    rng = np.random.default_rng(0)
    ys, targets, direction = rng.standard_normal((7, 2, 5)), rng.integers(0, 5, (7, 2)), rng.standard_normal((7, 2, 5))
    slope = (loss(ys + 1e-6 * direction, targets)[0] - loss(ys - 1e-6 * direction, targets)[0]) / 2e-6
    ratio = (loss(ys, targets)[1] * direction).sum() / slope
    assert ratio == pytest.approx(1, rel=1e-7), f"the gradient is {ratio:.3f} times the slope"


def perplexity(logits: Any, targets: Any) -> float:
    return math.exp(SoftmaxCrossEntropy()(logits, targets))


def two_to_the_summed_nats(logits: Any, targets: Any) -> Any:
    return 2 ** one_hot_loss(logits, targets)[0]


def check_perplexity(perplexity: Any, folder: Path) -> None:
    """Of 25 steps with six equal choices."""
    found = perplexity(np.zeros((25, 1, 6)), np.arange(25)[:, None] % 6)
    assert found == pytest.approx(6, rel=1e-14), f"{found:.2e}"


def check_large_logits(softmax: Any, folder: Path) -> None:
    for dtype in ("float32", "float64"):
        np.testing.assert_array_equal(softmax(np.array([[0, 800], [-800, 0]], dtype)), [[0, 1], [0, 1]])


def check_large_losses(loss: Any, folder: Path) -> None:
    for dtype in ("float32", "float64"):
        total, dlogits = loss(np.array([[0, 800], [-800, 0]], dtype), integers(0, 1))
        np.testing.assert_array_equal(dlogits, [[-1, 1], [0, 0]])
        assert total == 800


# 4 and 8: the text


def check_unknown(encode: Any, folder: Path) -> None:
    """`encode(known, text)`."""
    with pytest.raises(ValueError, match=r"'z'.* at position 2 is not one of the 3 \w+.*unknown="):
        encode("abc", "abz")


def known_ids(known: str, text: str) -> Any:
    return CharTokenizer(known).encode(text)


def ids_by_dict(known: str, text: str) -> list[int]:
    ids = {character: i for i, character in enumerate(known)}
    return [ids[character] for character in text]


def check_transitions(stream: Any, folder: Path) -> None:
    """`stream(ids, steps)` gives each pair of neighbours once, whatever the length."""
    for length in range(2, 20):
        expected = [(i, i + 1) for i in range(length - 1)]
        assert list(stream(np.arange(length), 4)) == expected, f"of {length} tokens"


def streamed(ids: Any, steps: int) -> Iterator[tuple[int, int]]:
    for batch in TokenStream(ids, batch=1, steps=steps):
        counts = batch.targets[:, 0] != -1
        yield from zip(batch.xs[counts, 0].tolist(), batch.targets[counts, 0].tolist(), strict=True)


def chunked(ids: Any, steps: int) -> Iterator[tuple[int, int]]:
    """A chunk that is full is taken for one that another follows."""
    for start in range(0, len(ids), steps):
        chunk = ids[start : start + steps + 1].tolist()
        yield from zip(chunk[:-1], chunk[1:-1] if len(chunk) == steps else chunk[1:], strict=False)


# 7 and 9: what is saved and loaded


class Trained:
    """Weights of one row, and an optimizer that takes 1 from each."""

    def __init__(self) -> None:
        self.model = Linear(1, 3, rng=np.random.default_rng(0))
        self.optimizer = SGD(self.model, 1.0)

    @property
    def w(self) -> Any:
        return self.model.w.value

    def load(self, path: Path) -> None:
        saved = dict(load(path).model.named_parameters())
        for name, parameter in self.model.named_parameters():
            parameter.value = saved[name].value

    def step(self) -> None:
        self.model.w.grad.fill(1)
        self.optimizer.step()


class Rebound:
    """As `Trained`, but loading gives the model arrays that its optimizer does not know."""

    def __init__(self) -> None:
        self.w: Any = np.zeros((1, 3))
        self.updated = [self.w]

    def load(self, path: Path) -> None:
        self.w = load(path).model.w.value

    def step(self) -> None:
        for array in self.updated:
            array -= 1


def check_loaded_weights_train(make: Any, folder: Path) -> None:
    other, trained = Linear(1, 3, rng=np.random.default_rng(1)), make()
    save(folder / "other", other)
    trained.load(folder / "other")
    np.testing.assert_array_equal(trained.w, other.w.value)
    trained.step()
    np.testing.assert_array_equal(trained.w, other.w.value - 1, err_msg="the step was not of the weights loaded")


class Noise(Feedforward):
    """Adds noise while training: it holds a random stream."""

    def __init__(self, *, rng: np.random.Generator) -> None:
        self.stream = rng.spawn(1)[0]

    def forward(self, x: Any, *, training: bool = True) -> Any:
        return x + (0.1 * self.stream.standard_normal(x.shape).astype(x.dtype) if training else 0), None

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy


def network(seed: int) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(OneHot(7), RNNCell(7, 9, rng=rng), Noise(rng=rng), Linear(9, 7, rng=rng))


def train(model: Any, optimizer: Any, steps: int) -> None:
    criterion, ids = SoftmaxCrossEntropy(), np.random.default_rng(5).integers(0, 7, (9, 2))
    for _ in range(steps):
        logits, _, cache = model.forward(ids[:-1])
        model.zero_grad()
        model.backward(criterion.backward(criterion.forward(logits, ids[1:])[1]), None, cache)
        optimizer.step()


def check_resuming(checkpoint: Any, folder: Path) -> None:
    """`checkpoint(path, model, optimizer)` saves a training, and gives the model and the optimizer back."""
    model = network(0)
    optimizer = Adagrad(model, lr=0.1)
    train(model, optimizer, 5)
    again, other = checkpoint(folder / "training", model, optimizer)
    assert again is not model
    np.testing.assert_array_equal(again.flat_value, model.flat_value, err_msg="the weights")
    np.testing.assert_array_equal(other.sum, optimizer.sum, err_msg="the optimizer's memory")
    assert other.steps == optimizer.steps
    states = [m.layers[2].stream.bit_generator.state for m in (again, model)]  # type: ignore[union-attr]
    assert states[0] == states[1], "the random stream"
    train(model, optimizer, 5)
    train(again, other, 5)
    np.testing.assert_array_equal(again.flat_value, model.flat_value, err_msg="the training that went on")


def saved_training(path: Path, model: Any, optimizer: Any) -> Any:
    save(path, model, optimizer=optimizer)
    training = load(path, classes=[Noise])
    again = Adagrad(training.model, lr=0.1)
    again.restore(training.optimizer)
    return training.model, again


def pickled(path: Path, model: Any, optimizer: Any, *, memory: bool) -> Any:
    """With the optimizer's memory or without; the random stream begins anew."""
    path.write_bytes(pickle.dumps((model.flat_value, optimizer.memory() if memory else None)))
    again = network(0)
    other = Adagrad(again, lr=0.1)
    again.flat_value[...], kept = pickle.loads(path.read_bytes())
    if kept is not None:
        other.restore(kept)
    return again, other


pickled_weights, pickled_with_memory = (partial(pickled, memory=memory) for memory in (False, True))


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def check_nothing_is_unpickled(read: Any, folder: Path) -> None:
    bomb = Bomb(folder / "unpickled")
    objects: Any = np.array([bomb], dtype=object)
    (folder / "plain").write_bytes(pickle.dumps(bomb))
    np.save(folder / "array.npy", objects, allow_pickle=True)
    np.savez(folder / "arrays.npz", objects=objects)
    for name in ("plain", "array.npy", "arrays.npz"):
        read(folder / name)
        assert not bomb.path.exists(), f"{name} was unpickled"


def every_reader(path: Path) -> None:
    for read in (load, read_text, lambda path: encode_file(path, CharTokenizer("a"), f"{path}.ids")):
        with suppress(ValueError):
            read(path)


def unpickled(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def check_seed(run: Any, folder: Path) -> None:
    first, again, other = run(1), run(1), run(2)
    assert first == again, "one seed, two results"
    assert first != other


def training_of(seed: int) -> Any:
    model = network(seed)
    train(model, Adagrad(model, lr=0.1), 3)
    return model.flat_value.tolist(), list(generate(model, [1], length=20, rng=np.random.default_rng(seed)))


def training_of_global_numbers(seed: int) -> Any:
    return np.random.standard_normal(9).tolist()


def check_held_out(train: Any, folder: Path) -> None:
    """`train(text, folder)` gives what it learnt and the loss that it reports: that of the text's end, not learnt."""
    head = "The owl sat in the oak. It saw a mouse, and the mouse saw it.\n\n" * 18
    (learnt, loss), (same, other) = (train(head + tail, folder) for tail in (head[:120], "oak." * 30))
    assert learnt == same, "it has learnt what it is judged on"
    assert loss != other


def example(text: str, folder: Path) -> Any:
    """`examples/char_rnn.py`, as it comes."""
    (folder / "text").write_text(text, encoding="utf-8")
    script = Path(__file__).parents[1] / "examples" / "char_rnn.py"
    options = (
        "--text",
        "text",
        "--hidden",
        "8",
        "--batch",
        "2",
        "--steps",
        "16",
        "--iterations",
        "50",
    )  # more than an epoch
    command = [sys.executable, str(script), "train", *options, "--out", "model"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=60, check=True)
    losses = re.findall(r"^held out +(\S+)", done.stdout, re.MULTILINE)
    return load(folder / "model").model.flat_value.tolist(), losses


def judged_on_all(text: str, folder: Path) -> Any:
    counts = {character: text.count(character) for character in set(text)}
    return counts, -sum(n * math.log(n / len(text)) for n in counts.values()) / len(text)


FAULTS = [
    Fault("1 rows have no axis to transpose", check_rows_train, vanilla_rows, columns_of_rows, "matmul", ValueError),
    Fault("1 a loss over three axes", check_summed_loss, vanilla_loss, loss_over_three_axes, r"40\.2"),
    Fault("1 no term of the initial state", check_gradients, cell_gradients, without_the_first, "gradient of w_h"),
    Fault("2 padded targets train", check_padding, summed, one_hot_loss, "the padding trains"),
    Fault("3 a mean, the gradient of a sum", check_normalisation, averaged, mean_of_one_hot, r"is 14\.000 times the"),
    Fault("3 also where a sum is asked for", check_normalisation, summed, mean_of_one_hot, r"is 14\.000 times the"),
    Fault("4 an unknown character", check_unknown, known_ids, ids_by_dict, "^'z'$", KeyError),
    Fault("5 perplexity", check_perplexity, perplexity, two_to_the_summed_nats, r"3\.05e\+13"),
    Fault("6 softmax of 800", check_large_logits, Softmax(), raw_softmax, "nan"),
    Fault("6 loss of 800", check_large_losses, summed, one_hot_loss, "nan"),
    Fault("7 loaded arrays", check_loaded_weights_train, Trained, Rebound, "the step was not of the weights loaded"),
    Fault("8 the last transition", check_transitions, streamed, chunked, "of 4 tokens"),
    Fault("9 no optimizer state", check_resuming, saved_training, pickled_weights, "the optimizer's memory"),
    Fault("9 no random state", check_resuming, saved_training, pickled_with_memory, "the random stream"),
    Fault("9 a pickle", check_nothing_is_unpickled, every_reader, unpickled, "plain was unpickled"),
    Fault("9 no seed", check_seed, training_of, training_of_global_numbers, "one seed, two results"),
    Fault("9 nothing held out", check_held_out, example, judged_on_all, "it has learnt what it is judged on"),
    Fault("10 no factor from upstream", check_gradients, cell_gradients, without_upstream, "gradient of w_x"),
    Fault("10 x_t for the state before", check_gradients, cell_gradients, with_x_for_h, "gradient of w_h"),
]

FAULT = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])


@FAULT
def test_the_fault_is_impossible_here(fault: Fault, tmp_path: Path) -> None:
    fault.check(fault.ours, tmp_path)


@FAULT
def test_the_check_fails_on_the_fault(fault: Fault, tmp_path: Path) -> None:
    with pytest.raises(fault.error, match=fault.says):
        fault.check(fault.faulty, tmp_path)


def test_each_of_the_ten_is_there() -> None:
    assert {int(fault.name.split()[0]) for fault in FAULTS} == {*range(1, 11)}


def test_1_and_10_the_faulty_forms_are_right_but_for_their_faults(tmp_path: Path) -> None:
    check_gradients(back_through_time, tmp_path)


def test_1_a_row_without_a_batch_is_told_what_is_expected() -> None:
    with pytest.raises(ValueError, match=r"forward takes \(T, B, D\); xs has shape \(4, 2\)"):
        RNNCell(2, 3, rng=np.random.default_rng(0)).forward(np.ones((4, 2), np.float32))
