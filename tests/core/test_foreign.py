"""What is no array of this library, and sizes and numbers that are not what they look like."""

from __future__ import annotations

import copy
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.core.checks import check_number, check_size
from tinygrad_rnn.testing import StrictDevice

RNG = np.random.default_rng(0)
MODEL = rnn.Sequential(rnn.OneHot(4), rnn.RNNCell(4, 3, rng=RNG))
XS, IDS = np.zeros((3, 2, 4), np.float32), np.ones((3, 2), np.int64)


class Tensor:
    """What a tensor of another framework looks like."""

    dtype, device, shape, ndim = "torch.float32", "cpu", (3, 2, 4), 3

    def detach(self) -> Tensor:
        return self


class Series:
    """What a column of a table looks like."""

    dtype, shape, ndim = np.dtype("int64"), (3,), 1

    def to_numpy(self) -> Any:
        return np.zeros(3)

    def __array__(self) -> Any:
        return np.zeros(3)


class Lazy:
    def __array__(self) -> Any:
        return XS


@pytest.mark.messages
@pytest.mark.parametrize(
    ("value", "cure"),
    [
        (np.ma.masked_array(XS, True), "xs.filled(0), and say by lengths or targets of -1 what does not count"),
        (XS.view(np.recarray), "np.asarray(xs)"),
        (Tensor(), "xs.detach().cpu().numpy()"),
        (Series(), "xs.to_numpy()"),
        (Lazy(), "np.asarray(xs)"),
    ],
)
def test_what_is_no_array_is_told_how_to_become_one(value: Any, cure: str) -> None:
    layers: list[Any] = [rnn.LSTMCell(4, 3, rng=RNG), rnn.Sequential(rnn.OneHot(4), rnn.Linear(4, 3, rng=RNG))]
    for layer in layers:
        with pytest.raises(TypeError) as caught:
            layer(value)
        message = str(caught.value)
        assert message.startswith(f"{layer!r}: xs is a ")
        assert f"not an array. Give {cure}" in message


@pytest.mark.messages
def test_the_mask_of_targets_lengths_and_flags_is_not_lost() -> None:
    logits, masked = np.zeros((3, 2, 4)), np.ma.masked_array(IDS, IDS > 0)
    for call in (
        lambda: rnn.SoftmaxCrossEntropy()(logits, masked),
        lambda: rnn.SoftmaxCrossEntropy()(logits, IDS, lengths=masked[:, 0]),
        lambda: rnn.RNNCell(4, 3, rng=RNG)(XS, starts=masked > 0),
        lambda: rnn.generate(rnn.Sequential(rnn.OneHot(4)), masked[:, 0], length=1, rng=RNG),
        lambda: rnn.pad([masked[:, 0]]),
        lambda: rnn.Parameter(np.ma.masked_array(XS, True)),
    ):
        with pytest.raises(TypeError, match="MaskedArray"):
            call()


@pytest.mark.messages
def test_a_number_that_no_layer_computes_in_is_to_be_converted_not_the_model() -> None:
    for dtype in ("float16", "longdouble", ">f4"):
        with pytest.raises(TypeError) as caught:
            rnn.LSTMCell(4, 3, rng=RNG)(XS.astype(dtype))
        assert "Convert the array, xs.astype('float32')" in str(caught.value)
        assert "model.to" not in str(caught.value)
        with pytest.raises(TypeError, match="layers compute in float32 or float64"):
            rnn.Tanh()(XS.astype(dtype))
    with pytest.raises(TypeError, match=r"holds complex numbers. Give their real part, x\.real"):
        rnn.Tanh()(XS.astype(complex))


def test_arrays_of_each_device_are_arrays() -> None:
    device = StrictDevice()
    ys, _ = rnn.RNNCell(4, 3, rng=RNG).to(device)(device.asarray(XS))
    assert ys.shape == (3, 2, 3)


@pytest.mark.messages
def test_sizes_become_ints_that_neither_overflow_nor_fail_to_be_saved(tmp_path: Path) -> None:
    sizes: list[tuple[Any, Any]] = [(np.int8(4), size) for size in (np.uint8(100), np.array(100), np.int64(100))]
    for pair in sizes:
        cell = rnn.LSTMCell(*pair, rng=RNG)
        assert cell.b.shape == (400,)
        assert {type(value) for value in (cell.in_size, cell.out_size, *cell.state_sizes)} == {int}
    rnn.save(tmp_path / "cell.safetensors", cell)
    assert rnn.load(tmp_path / "cell.safetensors").model.out_size == 100
    assert check_size("f", "size", np.array(3)) == 3


@pytest.mark.messages
@pytest.mark.parametrize("size", [True, np.True_, 3.0, np.float64(3), "3", None, np.array([3]), np.array(3.0), [3]])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(TypeError, match="f: size must be an integer, not"):
        check_size("f", "size", size)


@pytest.mark.messages
def test_a_size_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Linear: out_size must be at most 2\^48, not a number of 1329 bits"):
        rnn.Linear(3, 10**400, rng=RNG)


@pytest.mark.messages
def test_numbers() -> None:
    assert [check_number("f", "x", x) for x in (1, 0.5, np.float32(0.5), np.int8(3), Fraction(1, 4))] == [
        1,
        0.5,
        0.5,
        3,
        0.25,
    ]
    for wrong in (True, np.True_, "1", None, 1j, np.array(0.5), [0.5]):
        with pytest.raises(TypeError, match="f: x must be a number, not"):
            check_number("f", "x", wrong)
    with pytest.raises(ValueError, match="f: x must be at least 0, not nan"):
        check_number("f", "x", float("nan"), 0)
    with pytest.raises(ValueError, match="f: x is an integer too large for a float"):
        check_number("f", "x", 10**400)


@pytest.mark.messages
def test_a_target_of_another_framework_is_told_of_ignore_index() -> None:
    targets = IDS.copy()
    targets[1, 0] = -100
    with pytest.raises(ValueError, match=r"id -100 at index \(1, 0\) .* or say by ignore_index which target does not"):
        rnn.SoftmaxCrossEntropy()(np.zeros((3, 2, 4)), targets)
    assert rnn.SoftmaxCrossEntropy(ignore_index=-100)(np.zeros((3, 2, 4)), targets) == pytest.approx(np.log(4))


@pytest.mark.messages
def test_a_large_unsigned_target_is_no_ignored_one() -> None:
    targets = IDS.astype(np.uint64)
    targets[2, 1] = 2**64 - 1
    with pytest.raises(ValueError, match=r"at index \(2, 1\) is outside the vocabulary"):
        rnn.SoftmaxCrossEntropy()(np.zeros((3, 2, 4)), targets)


LAYERS: list[Any] = [
    rnn.Tanh(),
    rnn.Sigmoid(),
    rnn.ReLU(),
    rnn.Softmax(),
    rnn.Dropout(0.5, rng=RNG),
    rnn.LayerNorm(4),
    rnn.Linear(4, 3, rng=RNG),
    rnn.Bridge(4, (1, 2), rng=RNG),
    rnn.TiedLinear(rnn.Embedding(3, 4, rng=RNG)),
]


@pytest.mark.messages
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_a_gradient_is_not_broadcast(layer: Any) -> None:
    """Of another shape, dtype or kind of number; nothing is added to the parameters."""
    layer = copy.deepcopy(layer)
    y, cache = layer.forward(XS)
    for dy in (y[:1], y[..., :1], y[0], y[None]):
        with pytest.raises(ValueError, match=r"dy has shape .*, but forward gave an array"):
            layer.backward(dy, cache)
    for dy in (y.astype("float64"), y.astype(complex), y.astype(int), y.tolist(), 1.0, None):
        with pytest.raises(TypeError, match="dy"):
            layer.backward(dy, cache)
    assert not any(parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.messages
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", [rnn.SoftmaxCrossEntropy, rnn.MeanSquaredError, rnn.BinaryCrossEntropy])
def test_the_gradient_w_r_t_the_loss_weighs_no_other_axis(kind: Any, reduction: str) -> None:
    criterion, ys = kind(reduction=reduction), np.zeros((2, 2, 2))
    targets = np.zeros((2, 2), int) if criterion.takes_ids else np.zeros((2, 2, 2))
    loss, cache = criterion.forward(ys, targets)
    for dloss in (np.ones(2), np.ones((1, *loss.shape)), np.ones((2, 1))):
        with pytest.raises(ValueError, match=r"dloss has shape"):
            criterion.backward(cache, dloss)
    for wrong in (1j, np.array(1j), np.ones(loss.shape, int), True, "1", [1.0]):
        with pytest.raises(TypeError, match="dloss"):
            criterion.backward(cache, wrong)
    np.testing.assert_array_equal(criterion.backward(cache, np.ones(loss.shape)), criterion.backward(cache))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ids: rnn.TokenStream(ids, batch=1, steps=2), "TokenStream: ids"),
        (lambda ids: rnn.TokenStream([IDS[:, 0], ids], batch=1, steps=2), "TokenStream: ids[1]"),
        (lambda ids: rnn.split_documents(ids, 1), "split_documents: ids"),
        (lambda ids: rnn.length_batches(ids, batch=2), "length_batches: lengths"),
        (rnn.CharTokenizer("ab").decode, "CharTokenizer.decode: ids"),
    ],
)
def test_no_mask_of_a_row_of_ids_is_ignored(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(name)} is a numpy.ma.MaskedArray"):
        call(np.ma.masked_array(np.ones(6, np.int64), True))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ids: next(rnn.generate(MODEL, ids, length=1, rng=RNG)), "generate: ids"),
        (lambda ids: rnn.greedy_search(MODEL, ids, length=1), "greedy_search: ids"),
        (lambda ids: rnn.length_batches(ids, batch=2), "length_batches: lengths"),
        (rnn.CharTokenizer("ab").decode, "CharTokenizer.decode: ids"),
    ],
)
def test_lists_of_different_lengths_are_no_row(call: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} holds items of different lengths, where one row was expected"):
        call([[1, 0], [1]])


def test_ids_that_are_mapped_from_a_file_are_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(20) % 4)
    ids = np.load(tmp_path / "ids.npy", mmap_mode="r")
    batch = rnn.TokenStream(ids, batch=2, steps=3)[0]
    assert MODEL(batch.xs)[0].shape == (3, 2, 3)
    assert len(list(rnn.generate(MODEL, ids, length=2, rng=RNG))) == 2
