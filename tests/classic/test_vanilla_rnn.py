"""`VanillaRNN`: the names of the second seed, without its faults. Its parts are proved by the table of layers."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import OneHot, OneHotRows, Sequential, VanillaRNN, load, save
from tinygrad_rnn.testing import StrictDevice

NAMES = ("Wxh", "Whh", "Why", "bh", "by")
WORDS = ["hello.", "help.", "world."]
CHARS = dict(enumerate(sorted(set("".join(WORDS)))))
IDS = {character: i for i, character in CHARS.items()}
V = len(IDS)


def make(n_x: int = 4, n_h: int = 3, n_y: int = 5, lr: float = 1.0, clip: float = math.inf) -> VanillaRNN:
    """In float64, with weights that are not small and biases that are not 0: what is updated is the gradient."""
    rng = np.random.default_rng(0)
    model = VanillaRNN(n_x, n_h, n_y, lr, rng=rng, clip=clip).to(dtype="float64")
    for parameter in model.parameters():
        parameter.value = 0.7 * rng.standard_normal(parameter.shape)
    return model


def values(model: VanillaRNN) -> dict[str, Any]:
    return {name: getattr(model, name).copy() for name in NAMES}


def update(model: VanillaRNN, X: Any, Y: Any) -> dict[str, Any]:
    """What `backward` takes from the parameters of a copy."""
    model = copy.deepcopy(model)
    before = values(model)
    model.backward(X, Y, *model.forward(X))
    return {name: before[name] - after for name, after in values(model).items()}


def batch(T: int = 4, B: int = 2) -> tuple[Any, Any]:
    """Any inputs, and targets of which one in the middle and the end of a row do not count."""
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((T, B, 4)), np.eye(5)[rng.integers(0, 5, (T, B))]
    Y[1, 0] = Y[2:, 1] = 0
    return X, Y


def words_model() -> VanillaRNN:
    return VanillaRNN(V, 16, V, 0.3, rng=np.random.default_rng(0))


def reference(p: dict[str, Any], X: Any, Y: Any) -> tuple[Any, Any, float, dict[str, Any]]:
    """States, probabilities, loss and gradients of one sequence, straight from the equations, row by row."""
    T, H = len(X), p["Whh"].shape[0]
    hs, ys, loss = np.zeros((T, H)), np.zeros(Y.shape), 0.0
    count = sum(row.any() for row in Y)
    h = np.zeros(H)
    for t in range(T):
        a = [sum(X[t] * p["Wxh"][:, j]) + sum(h * p["Whh"][:, j]) + p["bh"][0, j] for j in range(H)]
        h = hs[t] = np.array([math.tanh(number) for number in a])
        exps = [math.exp(sum(h * p["Why"][:, v]) + p["by"][0, v]) for v in range(Y.shape[1])]
        ys[t] = [e / sum(exps) for e in exps]
        loss -= sum(math.log(y) for y, target in zip(ys[t], Y[t], strict=True) if target) / count
    grads, dh = {name: np.zeros_like(value) for name, value in p.items()}, np.zeros(H)
    for t in reversed(range(T)):
        dy = (ys[t] - Y[t]) / count if Y[t].any() else np.zeros(Y.shape[1])
        da = (p["Why"] @ dy + dh) * (1 - hs[t] ** 2)
        grads["Why"] += np.outer(hs[t], dy)
        grads["by"] += dy
        grads["Wxh"] += np.outer(X[t], da)
        grads["Whh"] += np.outer(hs[t - 1] if t else np.zeros(H), da)
        grads["bh"] += da
        dh = p["Whh"] @ da
    return hs, ys, loss, grads


def test_forward_loss_and_update_are_the_equations() -> None:
    model, (X, Y) = make(), batch(T=6)
    for b in (0, 1):
        hs, ys, loss, grads = reference(values(model), X[:, b], Y[:, b])
        np.testing.assert_allclose(model.forward(X[:, b])[0], hs, rtol=1e-12)
        np.testing.assert_allclose(model.forward(X[:, b])[1], ys, rtol=1e-12)
        assert float(model.compute_loss(Y[:, b], ys)) == pytest.approx(loss, rel=1e-12)
        found = update(model, X[:, b], Y[:, b])
        for name in NAMES:
            np.testing.assert_allclose(found[name], grads[name], rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_the_update_is_the_slope_of_the_loss(name: str) -> None:
    model, (X, Y) = make(), batch()
    found, array = update(model, X, Y)[name], getattr(model, name)
    for index in np.ndindex(array.shape):
        losses, value = [], array[index]
        for shift in (1e-5, -1e-5):
            array[index] = value + shift
            losses.append(float(model.compute_loss(Y, model.forward(X)[1])))
        array[index] = value
        assert found[index] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_a_batch_is_its_rows_weighted_by_the_steps_that_count() -> None:
    model, (X, Y) = make(), batch()
    hs, ys = model.forward(X)
    counts = Y.any(axis=-1).sum(axis=0)
    rows = [update(model, X[:, b], Y[:, b]) for b in (0, 1)]
    for b in (0, 1):
        np.testing.assert_allclose(hs[:, b], model.forward(X[:, b])[0], rtol=1e-12)
        np.testing.assert_allclose(ys[:, b], model.forward(X[:, b])[1], rtol=1e-12)
    for name, found in update(model, X, Y).items():
        mean = sum(count * row[name] for count, row in zip(counts, rows, strict=True)) / counts.sum()
        np.testing.assert_allclose(found, mean, rtol=1e-9, atol=1e-14)


def test_fault_1_the_seeds_products_of_rows_cannot_run_and_ours_do() -> None:
    X: Any = np.eye(5, dtype=np.float32)
    with pytest.raises(ValueError, match="matmul"):
        X[0].T @ np.zeros((1, 8), np.float32)  # its `X[t].T @ dh_raw`
    model = VanillaRNN(5, 8, 5, rng=np.random.default_rng(0))
    hs, ys = model.forward(X)
    assert (hs.shape, ys.shape) == ((5, 8), (5, 5))
    model.backward(X, np.roll(X, -1, axis=0), hs, ys)


def test_fault_1_the_loss_of_five_equal_choices() -> None:
    Y: Any = np.eye(5)
    seed = -np.sum(Y * np.log(np.full((5, 1, 5), 0.2)))  # its ys have an axis more
    assert seed == pytest.approx(40.24, abs=0.005)
    model = make()
    assert 5 * float(model.compute_loss(Y, np.full((5, 5), 0.2))) == pytest.approx(8.05, abs=0.005)


@pytest.mark.messages
def test_fault_1_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Y is \(5, 5\), expected an array \(5, 1, 5\), one one-hot"):
        make().compute_loss(np.eye(5), np.full((5, 1, 5), 0.2))


def test_fault_1_each_step_starts_from_the_state_before_it_the_first_from_0() -> None:
    model, (X, Y) = make(), batch(T=2)
    hs, ys = model.forward(X[:, 0])
    assert not update(model, X[:1, 0], Y[:1, 0])["Whh"].any()  # hs[0 - 1] would be the last state
    np.testing.assert_allclose(hs[0], np.tanh(X[0, 0] @ model.Wxh + model.bh[0]), rtol=1e-12)
    da = ((ys[1] - Y[1, 0]) * Y[1, 0].any() @ model.Why.T) * (1 - hs[1] ** 2) / Y[:, 0].any(axis=-1).sum()
    np.testing.assert_allclose(update(model, X[:, 0], Y[:, 0])["Whh"], np.outer(hs[0], da), atol=1e-14)


def test_fault_2_padded_targets_have_neither_loss_nor_gradient() -> None:
    model = make()
    X, Y = batch(T=3)[0][:, 0], np.eye(5)[[1, 4, 2]]
    padded_X, padded_Y = np.concatenate([X, np.ones((2, 4))]), np.concatenate([Y, np.zeros((2, 5))])
    ys = model.forward(padded_X)[1]
    assert (ys - padded_Y)[3:].any()  # what the seed sends back
    assert model.compute_loss(padded_Y, ys) == pytest.approx(float(model.compute_loss(Y, ys[:3])), rel=1e-14)
    found = update(model, padded_X, padded_Y)
    for name, expected in update(model, X, Y).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, atol=1e-15)
    nothing = np.zeros_like(padded_Y)
    assert model.compute_loss(nothing, ys) == 0
    assert not any(array.any() for array in update(model, padded_X, nothing).values())


@pytest.mark.parametrize("T", [1, 7])
def test_fault_3_loss_and_update_are_normalised_alike(T: int) -> None:
    model, rng = make(), np.random.default_rng(2)
    X, Y, direction = rng.standard_normal((T, 4)), np.eye(5)[rng.integers(0, 5, T)], rng.standard_normal((1, 5))
    by, losses = model.by.copy(), []
    for shift in (1e-5, -1e-5):
        model.by = by + shift * direction
        losses.append(float(model.compute_loss(Y, model.forward(X)[1])))
    model.by = by
    slope = (losses[0] - losses[1]) / 2e-5
    assert (update(model, X, Y)["by"] * direction).sum() == pytest.approx(slope, rel=1e-6)
    seed = (model.forward(X)[1] - Y).sum(axis=0)  # a sum over time, where its loss is a mean
    assert (seed * direction).sum() == pytest.approx(T * slope, rel=1e-6)


@pytest.mark.parametrize("call", ["predict", "prepare_sequences"])
def test_fault_4_an_unknown_character_is_named_with_the_options(call: str) -> None:
    model = words_model()
    with pytest.raises(KeyError, match=r"^'z'$"):
        [IDS[character] for character in "hezo"]  # the seed's
    arguments: Any = ("hezo", IDS, CHARS, 3) if call == "predict" else (["help.", "hezo"], IDS)
    with pytest.raises(ValueError, match=r"'z' \(U\+007A\) at position 2 of 'hezo' is not one of the 9 .* Drop it, or"):
        getattr(model, call)(*arguments)


def test_the_parameters_are_seen_under_the_names_and_in_the_shapes_of_the_seed() -> None:
    model = VanillaRNN(4, 3, 5, rng=np.random.default_rng(0))
    assert [getattr(model, name).shape for name in NAMES] == [(4, 3), (3, 3), (3, 5), (1, 3), (1, 5)]
    names = {"cell.w_x", "cell.w_h", "cell.b", "linear.w", "linear.b"}
    assert {name for name, _ in model.named_parameters()} == names
    assert not model.bh.any()
    assert not model.by.any()
    weights = np.concatenate([model.Wxh.ravel(), model.Whh.ravel(), model.Why.ravel()])
    assert 0.005 < weights.std() < 0.02
    b = model.cell.b.value
    model.bh += 1
    model.Why = np.full((3, 5), 2, np.float32)
    assert b is model.cell.b.value
    assert (b == 1).all()
    assert (model.linear.w.value == 2).all()


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((3, 3)), 1.0])
def test_a_parameter_takes_no_other_shape(wrong: Any) -> None:
    model = VanillaRNN(4, 3, 5, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"bh \(1, n_h\) was assigned"):
        model.bh = wrong
    assert not model.bh.any()


def test_each_update_is_of_its_own_gradient() -> None:
    model, (X, Y) = make(lr=0.0), batch()
    fresh = copy.deepcopy(model)
    model.backward(X, Y, *model.forward(X))
    model.lr = fresh.lr = 1.0
    for name, found in update(model, X, Y).items():
        np.testing.assert_array_equal(found, update(fresh, X, Y)[name])


def test_the_gradient_is_clipped_and_left_for_inspection() -> None:
    model, (X, Y) = make(clip=0.01), batch()
    before = model.by.copy()
    model.backward(X, Y, *model.forward(X))
    assert abs(model.flat_grad).max() == 0.01
    np.testing.assert_allclose(before - model.by, model.linear.b.grad[None], atol=1e-15)


def test_the_learning_rate_is_an_attribute() -> None:
    model, (X, Y) = make(), batch()
    whole = update(model, X, Y)
    model.lr = 0.5
    for name, half in update(model, X, Y).items():
        np.testing.assert_allclose(half, whole[name] / 2, rtol=1e-9, atol=1e-15)


def test_calls_leave_nothing_behind_and_write_to_no_argument() -> None:
    model, (X, Y) = make(), batch()
    given = [X, Y, *model.forward(X)]
    for array in given:
        array.flags.writeable = False
    attributes, copies = dict(vars(model)), [array.copy() for array in given]
    model.forward(np.ones((1, 4)))  # between forward and backward, another
    model.compute_loss(Y, given[3])
    model.backward(X, Y, given[2], given[3])
    assert vars(model) == attributes
    for array, expected in zip(given, copies, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (3, 0)])
def test_no_steps_and_no_rows_are_legal(shape: tuple[int, ...]) -> None:
    model = make()
    X, Y = np.zeros((*shape, 4)), np.zeros((*shape, 5))
    hs, ys = model.forward(X)
    assert (hs.shape, ys.shape) == ((*shape, 3), (*shape, 5))
    assert not any(array.any() for array in update(model, X, Y).values())


def test_one_hot_rows_do_as_inputs() -> None:
    model = make()
    X, Y = OneHotRows(np.array([3, 0, 3]), 4), np.eye(5)[[1, 2, 3]]
    dense = np.eye(4)[[3, 0, 3]]
    np.testing.assert_allclose(model.forward(X)[1], model.forward(dense)[1], rtol=1e-12)
    for name, found in update(model, X, Y).items():
        np.testing.assert_allclose(found, update(model, dense, Y)[name], rtol=1e-12, atol=1e-15)


def test_a_probability_of_0_gives_a_finite_loss_and_the_whole_gradient() -> None:
    model = make(lr=1.0).to(dtype="float32")
    model.by = np.array([[800, 0, 0, 0, 0]], np.float32)
    X, Y = np.ones((1, 4), np.float32), np.eye(5, dtype=np.float32)[[1]]
    hs, ys = model.forward(X)
    assert ys[0, 1] == 0
    assert 87 < float(model.compute_loss(Y, ys)) < 88
    model.backward(X, Y, hs, ys)
    np.testing.assert_allclose(model.by, [[799, 1, 0, 0, 0]], atol=1e-30)


def test_another_device_computes_the_same() -> None:
    model, (X, Y) = make(), batch()
    device: Any = StrictDevice()
    strict = copy.deepcopy(model).to(device)
    strict_X, strict_Y = device.asarray(X), device.asarray(Y)
    hs, ys = strict.forward(strict_X)
    loss = strict.compute_loss(strict_Y, ys)
    assert loss.device == device
    strict.backward(strict_X, strict_Y, hs, ys)
    assert device.to_host(loss) == pytest.approx(float(model.compute_loss(Y, model.forward(X)[1])))
    model.backward(X, Y, *model.forward(X))
    for mine, theirs in zip(model.parameters(), strict.parameters(), strict=True):
        np.testing.assert_allclose(device.to_host(theirs.value), mine.value, rtol=1e-12)


def test_words_on_another_device(capsys: pytest.CaptureFixture[str]) -> None:
    model, device = words_model(), StrictDevice()
    strict = copy.deepcopy(model).to(device)
    assert strict.train_words(WORDS, IDS, 3, None) == pytest.approx(model.train_words(WORDS, IDS, 3, None), rel=1e-5)
    assert strict.predict("h", IDS, CHARS, 5) == model.predict("h", IDS, CHARS, 5)
    assert capsys.readouterr().out == ""


def test_save_and_load_give_the_model_back(tmp_path: Any) -> None:
    model = make(lr=0.25)
    save(tmp_path / "model", model)
    again = load(tmp_path / "model", classes=(VanillaRNN,)).model
    assert repr(again) == repr(model) == "VanillaRNN(4, 3, 5, 0.25, clip=inf)"
    for name in NAMES:
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


def test_pickle_gives_an_independent_model() -> None:
    model, (X, Y) = make(), batch()
    model.backward(X, Y, *model.forward(X))
    again = pickle.loads(pickle.dumps(model))
    again.backward(X, Y, *again.forward(X))
    assert (again.Whh != model.Whh).all()
    expected = values(model)
    for name, found in update(model, X, Y).items():
        np.testing.assert_allclose(getattr(again, name), expected[name] - found, rtol=1e-12, atol=1e-15)


def test_words_become_one_hot_rows_and_what_follows() -> None:
    X_train, Y_train = words_model().prepare_sequences(["hello.", "h."], IDS)
    assert [X.shape for X in X_train] == [Y.shape for Y in Y_train] == [(5, V), (1, V)]
    assert {array.dtype for array in (*X_train, *Y_train)} == {np.dtype("float32")}
    assert "".join(CHARS[i] for i in X_train[0].argmax(axis=1)) == "hello"
    assert "".join(CHARS[i] for i in Y_train[0].argmax(axis=1)) == "ello."
    assert all((array.sum(axis=1) == 1).all() for array in (*X_train, *Y_train))


def test_words_are_learnt_and_completed(capsys: pytest.CaptureFixture[str]) -> None:
    model = words_model()
    losses = model.train_words(WORDS, IDS, epochs=200, print_interval=50)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"epoch {n}: loss {losses[n - 1]:.4f} nats a step" for n in (50, 100, 150, 200)]
    assert losses[0] == pytest.approx(math.log(V), rel=0.01)
    assert losses[-1] < 0.25  # of two words, no more than the first letters tell which
    assert model.predict("w", IDS, CHARS, 5) == "world."
    assert model.predict("hell", IDS, CHARS, 2) == "hello."
    assert model.predict("hell", IDS, CHARS, 0) == "hell"


def test_train_goes_through_all_in_order_and_returns_the_mean_over_the_steps_that_count() -> None:
    model, (X, Y) = make(lr=0.1), batch()
    X_train, Y_train = [X, X[:, 0]], [Y, Y[:, 0]]
    by_hand, expected = copy.deepcopy(model), []
    for _ in range(2):
        total = 0.0
        for x, y in zip(X_train, Y_train, strict=True):
            hs, ys = by_hand.forward(x)
            total += y.any(axis=-1).sum() * float(by_hand.compute_loss(y, ys))
            by_hand.backward(x, y, hs, ys)
        expected.append(total / (5 + 3))
    assert model.train(X_train, Y_train, epochs=2) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(model.Whh, by_hand.Whh)


def test_predict_is_greedy() -> None:
    model = words_model()
    model.train_words(WORDS, IDS, 30, None)
    text = "he"
    for _ in range(6):
        _, ys = model.forward(np.eye(V, dtype=np.float32)[[IDS[character] for character in text]])
        text += CHARS[int(ys[-1].argmax())]
    assert model.predict("he", IDS, CHARS, 6) == text


def test_its_layers_serve_in_a_sequential() -> None:
    model = words_model()
    logits, _ = Sequential(OneHot(V), model.cell, model.linear)(np.array([[0], [1]]))
    ys = model.forward(np.eye(V, dtype=np.float32)[[0, 1]])[1]
    np.testing.assert_allclose(np.exp(logits[:, 0]) / np.exp(logits[:, 0]).sum(axis=1, keepdims=True), ys, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_h": 0}, ValueError, "VanillaRNN: n_h must be at least 1, not 0"),
        ({"n_y": 2.5}, TypeError, "VanillaRNN: n_y must be an integer, not 2.5"),
        ({"lr": -1.0}, ValueError, "VanillaRNN: lr must be at least 0, not -1.0"),
        ({"clip": math.nan}, ValueError, "VanillaRNN: clip must be at least 0, not nan"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
@pytest.mark.messages
def test_what_the_constructor_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"n_x": 2, "n_h": 2, "n_y": 2, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=message):
        VanillaRNN(**(given | arguments))


X, Y = batch()
SOFT = np.full((4, 2, 5), 0.2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"X": X.astype("float32")}, TypeError, "X is float32, but the parameters are float64.*model.to"),
        ({"X": X[0, 0]}, ValueError, r"X has shape \(4,\), expected \(T, 4\) or \(T, B, 4\)"),
        ({"X": X[..., :3]}, ValueError, r"X has shape \(4, 2, 3\), but its last axis must have size 4"),
        ({"Y": Y[:2]}, ValueError, r"Y is \(2, 2, 5\), expected an array \(4, 2, 5\), one one-hot row per step"),
        ({"Y": Y.tolist()}, ValueError, r"Y is a list, expected an array \(4, 2, 5\)"),
        ({"Y": SOFT}, ValueError, "a row of Y is neither one-hot nor all 0, which stands for padding"),
        ({"Y": np.ones_like(Y)}, ValueError, "a row of Y is neither one-hot"),
        ({"Y": Y * np.nan}, ValueError, "a row of Y is neither one-hot"),
        ({"hs": np.ones((4, 2, 5))}, ValueError, r"hs has shape \(4, 2, 5\), but its last axis must have size 3"),
        ({"hs": np.ones((3, 2, 3))}, ValueError, r"X, hs and ys have shapes \(4, 2, 4\), \(3, 2, 3\) and \(4, 2, 5\)"),
        ({"ys": SOFT.astype("float32")}, TypeError, "ys is float32"),
    ],
)
@pytest.mark.messages
def test_what_backward_refuses_changes_nothing(given: dict[str, Any], error: type[Exception], message: str) -> None:
    model = make()
    hs, ys = model.forward(X)
    before = values(model)
    with pytest.raises(error, match=message):
        model.backward(**({"X": X, "Y": Y, "hs": hs, "ys": ys} | given))
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (([X], []), ValueError, "train takes as many X as Y, not 1 and 0"),
        (([], []), ValueError, "train takes as many X as Y, not 0 and 0"),
        (([X], [Y], 0), ValueError, "epochs must be at least 1, not 0"),
        (([X], [Y], 1, 0), ValueError, "print_interval must be at least 1, not 0"),
        (([X, X], [Y, SOFT]), ValueError, "a row of Y is neither one-hot"),
        (([X, X[0, 0]], [Y, Y]), ValueError, r"X has shape \(4,\), expected"),
    ],
)
@pytest.mark.messages
def test_what_train_refuses_changes_nothing(given: tuple[Any, ...], error: type[Exception], message: str) -> None:
    model = make()
    before = values(model)
    with pytest.raises(error, match=message):
        model.train(*given)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    model = make()
    model.by = np.full((1, 5), np.nan)
    with pytest.raises(FloatingPointError, match="the loss of epoch 1 is nan: restart with lower lr"):
        model.train([X], [Y])


@pytest.mark.messages
def test_what_words_and_prompts_are_refused() -> None:
    model = words_model()
    with pytest.raises(TypeError, match="words is the str 'hello'; give a list of words"):
        model.prepare_sequences("hello", IDS)
    with pytest.raises(ValueError, match=r"words\[1\] is 'h', in which no character follows another"):
        model.prepare_sequences(["hello", "h"], IDS)
    with pytest.raises(ValueError, match=r"id 9 at index .* is outside the vocabulary, 0 to 8"):
        model.prepare_sequences(["hello"], IDS | {"h": 9})
    with pytest.raises(ValueError, match="the prompt is empty"):
        model.predict("", IDS, CHARS, 3)
    with pytest.raises(ValueError, match="idx_to_char has no character for 3; it needs 0 to 8"):
        model.predict("h", IDS, {i: c for i, c in CHARS.items() if i != 3}, 3)
    with pytest.raises(ValueError, match="n_x must be n_y to learn or predict texts"):
        make(n_x=8, n_y=9).prepare_sequences(WORDS, IDS)
