from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Adam, ClipNorm, GRUCell, Linear, ManyToOne, Sequential, Standardize, load, save
from tinygrad_rnn.testing import StrictDevice

RNG = np.random.default_rng
NAN = float("nan")


def series(*lengths: int, size: int = 3, dtype: str = "float64") -> list[Any]:
    rng = RNG(sum(lengths))
    return [(rng.standard_normal((n, size)) * [1, 5, 0.1][:size] + [0, 100, -3][:size]).astype(dtype) for n in lengths]


def test_what_is_fitted_has_mean_0_and_variance_1() -> None:
    sequences = series(5, 0, 9, 1)
    ys = np.concatenate([Standardize.fit(sequences)(xs) for xs in sequences])
    np.testing.assert_allclose(ys.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(ys.var(axis=0), 1, atol=1e-12)


def test_gaps_are_left_out_of_the_moments() -> None:
    sequences = [np.array([[1.0, NAN], [3.0, 4.0]]), np.array([[NAN, 4.0]])]
    for gaps in ("zero", "mark"):
        layer = Standardize.fit(sequences, gaps=gaps)
        assert (layer.mean, layer.scale) == ((2.0, 4.0), (1.0, 1.0))
    assert layer(sequences[0]).tolist() == [[-1, 0, 0, 1], [1, 0, 0, 0]]
    assert Standardize.fit(sequences, gaps="zero")(sequences[0]).tolist() == [[-1, 0], [1, 0]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1, -1e-30, 3e38])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_feature_has_scale_1(value: float, dtype: str) -> None:
    layer = Standardize.fit([np.full((n, 1), value, dtype) for n in (1000, 3, 77)])
    assert layer.scale == (1.0,)
    np.testing.assert_allclose(layer(np.full((2, 1), value, dtype)), 0, atol=1e-6 * max(abs(value), 1))


def test_a_large_offset_costs_no_digits() -> None:
    shape = RNG(0).standard_normal((2000, 1))
    one, other = (Standardize.fit([offset + shape]) for offset in (0.0, 1e9))
    np.testing.assert_allclose(other.scale, one.scale, rtol=1e-6)
    single = Standardize.fit([(101325 + shape).astype("float32")])
    np.testing.assert_allclose(single.scale, one.scale, rtol=1e-3)
    assert single((101325 + shape).astype("float32")).dtype == "float32"


def test_inverse_is_the_inverse() -> None:
    xs = series(7)[0]
    layer = Standardize.fit([xs], gaps="mark")
    np.testing.assert_allclose(layer.inverse(layer(xs)[..., :3]), xs, rtol=0, atol=1e-12)
    assert layer.inverse(np.zeros((4, 2, 3), "float32")).dtype == "float32"


def test_a_file_has_mean_and_scale_and_nothing_trains_them(tmp_path: Path) -> None:
    sequences, rng = series(5, 9, dtype="float32"), RNG(0)
    layer = Standardize.fit(sequences, gaps="mark")
    model = ManyToOne(Sequential(layer, GRUCell(6, 4, rng=rng)), Linear(4, 2, rng=rng))
    assert [name for name, _ in model.named_parameters() if "0" in name.split(".")[:3:2] and "encoder" in name] == []
    before, optimizer = (layer.mean, layer.scale), Adam(model, lr=0.1, clip=ClipNorm(1.0))
    for _ in range(3):
        y, _, cache = model.forward(sequences[1][:, None])
        model.backward(y, None, cache)
        optimizer.step()
    assert (layer.mean, layer.scale) == before
    save(tmp_path / "model", model, optimizer=optimizer)
    loaded: Any = load(tmp_path / "model").model
    again = loaded.encoder.layers[0]
    assert (again.mean, again.scale, again.gaps) == (*before, "mark")
    np.testing.assert_array_equal(loaded(sequences[0][:, None])[0], model(sequences[0][:, None])[0])
    model.to(dtype="float64")
    assert model(sequences[0][:, None].astype("float64"))[0].dtype == "float64"


def test_padding_is_no_gap() -> None:
    """A model clears it before, so that NaN there is not refused."""
    rng = RNG(0)
    model = Sequential(Standardize((1.0,), (2.0,)), GRUCell(1, 3, rng=rng))
    xs = np.ones((4, 2, 1), "float32")
    expected, _ = model(xs, lengths=np.array([4, 2]))
    xs[2:, 1] = NAN
    np.testing.assert_array_equal(model(xs, lengths=np.array([4, 2]))[0], expected)
    with pytest.raises(
        ValueError, match=r"x is NaN at index \(2, 1, 0\), in feature 0. If it is a gap, fit with gaps="
    ):
        model(xs)


def test_on_a_device_no_value_is_read() -> None:
    x = StrictDevice().asarray(np.array([[NAN, 2.0]]))
    y = StrictDevice().to_host(Standardize((1.0, 1.0), (1.0, 1.0))(x))
    np.testing.assert_array_equal(y, [[NAN, 1.0]])


def test_many_features_are_not_all_shown() -> None:
    layer = Standardize.fit(series(9))
    assert re.fullmatch(r"Standardize\(\(-?0.\d+, ..., -2.\d+\), \(0.\d+, ..., 0.\d+\)\)", repr(layer)), repr(layer)
    assert repr(Standardize((0.5, 1.0), (1.0, 2.0), gaps="zero")) == "Standardize((0.5, 1.0), (1.0, 2.0), gaps='zero')"


@pytest.mark.messages
@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        (np.zeros((4, 2)), TypeError, "sequences must be a list of arrays (T, D), not a ndarray; for one array, [xs]"),
        ([], ValueError, "there are no sequences"),
        ([[[1.0]]], TypeError, "sequences[0] is a list, where a NumPy array (T, D) was expected"),
        ([np.zeros((2, 1), int)], TypeError, "sequences[0] is of dtype int64, where floating-point numbers were"),
        ([np.zeros(3)], ValueError, "sequences[0] has the shape (3,), where (T, D) with the same D"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], ValueError, "sequences[1] has the shape (3, 1), where (T, D) with"),
        ([np.zeros((3, 0))], ValueError, "sequences[0] has the shape (3, 0), where"),
        (
            [np.zeros((1, 2)), np.array([[0, 0], [0, NAN]])],
            ValueError,
            'sequences[1] is nan at step 1, feature 1; if it is a gap, say gaps="zero" or gaps="mark"',
        ),
        ([np.array([[-np.inf]])], ValueError, "sequences[0] is -inf at step 0, feature 0; mend or drop it"),
        ([np.zeros((0, 2))], ValueError, "feature 0 has no number in any sequence, only gaps; leave it out"),
    ],
)
def test_bad_data(sequences: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"Standardize.fit: {message}")):
        Standardize.fit(sequences)


@pytest.mark.messages
def test_other_mistakes() -> None:
    with pytest.raises(ValueError, match="feature 1 has no number in any sequence"):
        Standardize.fit([np.array([[1.0, NAN]])], gaps="mark")
    with pytest.raises(ValueError, match="is inf at step 0, feature 0"):
        Standardize.fit([np.array([[np.inf]])], gaps="mark")
    with pytest.raises(ValueError, match=r'^Standardize.fit: gaps must be "refuse", "zero" or "mark", not \'drop\''):
        Standardize.fit(series(3), gaps="drop")
    given: Any
    for given, error, message in (
        (((), ()), TypeError, "mean must be a tuple of numbers, one a feature, not ()"),
        (((1.0,), [1.0]), TypeError, "scale must be a tuple of numbers, one a feature, not [1.0]"),
        (((1.0,), (1.0, 2.0)), ValueError, "mean has 1 numbers and scale 2; give one a feature"),
        (((1.0,), (0.0,)), ValueError, "scale[0] must be above 0, not 0.0"),
        (((NAN,), (1.0,)), ValueError, "mean[0] must be finite, not nan"),
        (((1.0,), ("a",)), TypeError, "scale[0] must be a number, not 'a'"),
    ):
        with pytest.raises(error, match=f"^Standardize: {re.escape(message)}"):
            Standardize(*given)
    layer = Standardize((1.0, 2.0), (1.0, 1.0), gaps="mark")
    with pytest.raises(ValueError, match=r"x has shape \(3,\), but its last axis must have size 2"):
        layer(np.zeros(3))
    with pytest.raises(ValueError, match=r"y has shape \(2, 4\), but its last axis must have size 2"):
        layer.inverse(np.zeros((2, 4)))
