"""What `save` refuses, because `load` could not read it or would read something else; nothing is then written."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Adagrad,
    CharTokenizer,
    EncoderDecoder,
    Layer,
    Linear,
    LSTMCell,
    MovingAverage,
    OneHot,
    Parameter,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    load,
    save,
)

RNG = np.random.default_rng(0)
TOKENIZER = CharTokenizer("abcde")


def network(width: int = 3) -> Any:
    return Sequential(OneHot(5), RNNCell(5, width, rng=RNG), Linear(width, 5, rng=RNG))


class Box(Layer):
    """Takes anything, and keeps it."""

    def __init__(self, thing: Any = None) -> None:
        self.thing = thing


class Doubling(Layer):
    """Does not keep its argument as it is."""

    def __init__(self, size: int) -> None:
        self.size = 2 * size


class Once(Layer):
    """Cannot be made of its config."""

    made = 0

    def __init__(self, size: int) -> None:
        type(self).made += 1
        if self.made > 1:
            raise RuntimeError("only once")
        self.size = size


class Untied(Layer):
    """Makes parameters that share, which are then no longer shared."""

    def __init__(self) -> None:
        self.a = Parameter(np.zeros(2, np.float32))
        self.b = self.a


class Words:
    """A tokenizer that forgets a word."""

    def __init__(self, words: list[str]) -> None:
        self.words = words[:-1]

    def config(self) -> dict[str, Any]:
        return {"words": self.words}


def assert_refused(tmp_path: Path, error: type[Exception], says: str, model: Any, **rest: Any) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(error, match=says) as caught:
        save(path, model, **rest)
    assert str(caught.value).startswith(f"save({str(path)!r}): ")
    assert len(str(caught.value)) < 5000
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    assert path.read_text() == "old"


@pytest.mark.messages
@pytest.mark.parametrize(
    ("tokenizer", "error", "says"),
    [
        (
            CharTokenizer("abcd"),
            ValueError,
            "tokenizer has 4 ids, but the model takes 5; give the tokenizer of the ids",
        ),
        (CharTokenizer("abcdef"), ValueError, "tokenizer has 6 ids, but the model takes 5"),
        (OneHot(5), TypeError, r"tokenizer is a layer, OneHot\(5\), where a tokenizer was expected"),
        (CharTokenizer, TypeError, "tokenizer is the class CharTokenizer; make one"),
        (Words(["a", "b"]), ValueError, r"tokenizer\.config\.words is \['a'\], and would come back as \[\]"),
    ],
)
def test_tokenizers(tmp_path: Path, tokenizer: Any, error: type[Exception], says: str) -> None:
    assert_refused(tmp_path, error, says, network(), tokenizer=tokenizer)


def test_a_tokenizer_of_one_of_two_vocabularies(tmp_path: Path) -> None:
    model = EncoderDecoder(network(), Sequential(OneHot(4), RNNCell(4, 3, rng=RNG)))
    save(tmp_path / "model", model, tokenizer=TOKENIZER)
    save(tmp_path / "model", model, tokenizer=CharTokenizer("abcd"))
    assert_refused(tmp_path, ValueError, "has 3 ids, but the model takes 5 or 4", model, tokenizer=CharTokenizer("abc"))


def test_a_tokenizer_of_a_model_that_takes_no_ids(tmp_path: Path) -> None:
    """Of what it gives, perhaps, or of nothing that can be known."""
    for model in (Linear(2, 3, rng=RNG), Tanh(), SoftmaxCrossEntropy()):
        save(tmp_path / "model", model, tokenizer=TOKENIZER)
        assert load(tmp_path / "model").tokenizer == TOKENIZER


@pytest.mark.messages
@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        (
            np.zeros((2, 3), np.float32),
            TypeError,
            "state is a ndarray, where a tuple was expected, as `forward` gives it",
        ),
        ([(), (np.zeros((2, 3), np.float32),), ()], TypeError, "state is a list, where a tuple was expected"),
        (((), [np.zeros((2, 3), np.float32)], ()), TypeError, r"state\[1\] is a list, where an array of float32"),
        (((), (np.zeros((2, 3), np.float16),), ()), TypeError, r"state\[1\]\[0\] is a array of float16, where"),
        (((), (np.zeros((2, 3), complex),), ()), TypeError, r"state\[1\]\[0\] is a array of complex128, where"),
        (((), (np.ma.zeros((2, 3), np.float32),), ()), TypeError, r"state\[1\]\[0\] is a MaskedArray, where"),
        (((), (3.0,), ()), TypeError, r"state\[1\]\[0\] is a float, where"),
        (network(4).initial_state(2), ValueError, r"the state is not one of this model\. .*shape \(2, 4\), expected"),
        (
            LSTMCell(5, 3, rng=RNG).initial_state(2),
            TypeError,
            r"is not one of this model\. .*a tuple of 3, not a tuple of",
        ),
        (((), (np.zeros((2, 3)),), ()), TypeError, r"is not one of this model\. .*is float64, but the parameters are"),
    ],
)
def test_states(tmp_path: Path, state: Any, error: type[Exception], says: str) -> None:
    assert_refused(tmp_path, error, says, network(), state=state)


def test_states_that_fit(tmp_path: Path) -> None:
    model = network()
    for state in (model.initial_state(2), ((), None, ()), ((), (np.zeros((2, 3), np.float32)[::-1],), ())):
        save(tmp_path / "model", model, state=state)
        assert repr(load(tmp_path / "model").state) == repr(state)
    swapped = (np.arange(3, dtype=">f4"),)
    save(tmp_path / "model", Box(), state=swapped)
    np.testing.assert_array_equal(load(tmp_path / "model", classes=[Box]).state[0], swapped[0])


@pytest.mark.messages
def test_optimizers(tmp_path: Path) -> None:
    model = network()
    says = "optimizer is a {}, where an optimizer was expected"
    assert_refused(tmp_path, TypeError, says.format("MovingAverage"), model, optimizer=MovingAverage(model))
    assert_refused(tmp_path, TypeError, says.format("OptimizerState"), model, optimizer=Adagrad(model, lr=1).memory())


@pytest.mark.messages
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(tmp_path: Path, number: float) -> None:
    model = network()
    optimizer, state = Adagrad(model, lr=0.1), model.initial_state(2)
    rest = {"optimizer": optimizer, "state": state}
    arrays = {
        "layers.1.w_h": model.layers[1].w_h.value,
        "optimizer/sum/layers.2.b": optimizer.memory().arrays["sum"]["layers.2.b"],
        "state/1/0": state[1][0],
    }
    for name, array in arrays.items():
        array.flat[-1] = number
        where = tuple(size - 1 for size in array.shape)
        message = f"{name} is {number} at {where}. Go back".replace("(", r"\(").replace(")", r"\)")
        assert_refused(tmp_path, ValueError, message, model, **rest)
        path = tmp_path / "model"
        save(path, model, **rest, allow_nonfinite=True)
        np.testing.assert_array_equal(load(path).model.flat_value, model.flat_value)
        array.flat[-1] = 1
    save(path, model, **rest)
    model.layers[2].w.value[...] = model.layers[2].b.value[...] = number
    assert_refused(tmp_path, ValueError, r"layers\.2\.w is .* at \(0, 0\), and so is a number of layers\.2\.b\.", model)


class Colour(enum.StrEnum):
    RED = "red"


class Odd(str):
    """Is equal to nothing but itself."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


def circle() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return {"a": inner}


@pytest.mark.messages
@pytest.mark.parametrize(
    ("metadata", "error", "says"),
    [
        ({"a": 10**5000}, TypeError, r"metadata\['a'\] is an integer of 16610 bits, which JSON cannot hold"),
        ({Odd("a"): 1, Odd("a"): 2}, ValueError, "JSON would not be read as it is written"),
        (circle(), ValueError, "layers or metadata are nested too deeply, or hold themselves"),
    ],
)
def test_metadata(tmp_path: Path, metadata: Any, error: type[Exception], says: str) -> None:
    assert_refused(tmp_path, error, says, network(), metadata=metadata)


def test_metadata_that_json_holds(tmp_path: Path) -> None:
    metadata = {
        "nan": math.nan,
        "inf": -math.inf,
        "colour": Colour.RED,
        "float": np.float64(0.1),
        "zero": -0.0,
        "": [{}],
    }
    save(tmp_path / "model", network(), metadata=metadata)
    assert repr(load(tmp_path / "model").metadata) == (
        "{'nan': nan, 'inf': -inf, 'colour': 'red', 'float': 0.1, 'zero': -0.0, '': [{}]}"
    )


def test_a_header_that_no_reader_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_rnn.saving.safe_file._LONGEST_HEADER", 10_000)
    save(tmp_path / "model", Tanh(), metadata={"a": "x" * 9000})
    assert_refused(tmp_path, ValueError, "no reader of safetensors takes more", Tanh(), metadata={"a": "x" * 10_000})


@pytest.mark.messages
def test_models_that_would_not_come_back(tmp_path: Path) -> None:
    wrong = r"`load` would not make the model anew\. "
    assert_refused(tmp_path, ValueError, r"model\.config\.size is 2, and would come back as 4", Doubling(1))
    assert_refused(tmp_path, ValueError, wrong + r"Once does not take \{'size': 1\}: only once", Once(1))
    grown = Linear(2, 3, rng=RNG)
    grown.b = Parameter(np.zeros(4, np.float32))
    assert_refused(tmp_path, ValueError, wrong + r".* b is \(4,\), expected \(3,\)", grown)
    untied = Untied()
    untied.b = Parameter(np.zeros(2, np.float32))
    assert_refused(tmp_path, ValueError, wrong + r".* b \(2,\) is unexpected", untied)
    late = Box()
    late.thing, late.more = (), Parameter(np.zeros(2, np.float32))  # type: ignore[attr-defined]
    assert_refused(tmp_path, ValueError, wrong + r".* more \(2,\) is unexpected", late)
    for name in ("a/b", "__metadata__"):
        odd = Box()
        setattr(odd, name, Parameter(np.zeros(2, np.float32)))
        assert_refused(tmp_path, ValueError, f"a parameter is named '{name}', which means something else", odd)
    deep: Any = Tanh()
    for _ in range(400):
        deep = Box(deep)
    assert_refused(tmp_path, ValueError, "nested too deeply", deep)
    inner: Any = Tanh()
    for _ in range(40):
        inner = Box([inner, inner])
    assert_refused(tmp_path, ValueError, "stand in more than 5,000 places", inner)


class Streams(Layer):
    """Holds streams of other kinds than the usual, one of them twice."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.streams = [np.random.Generator(kind(seed)) for kind in (np.random.Philox, np.random.MT19937)]
        self.again = np.random.default_rng(seed)
        self.other = Box()


def test_streams_come_back_as_they_were(tmp_path: Path) -> None:
    model: Any = Streams(3)
    model.streams[0] = np.random.Generator(np.random.SFC64(5))
    model.other.stream = model.again
    model.other.thing = None
    for stream in (*model.streams, model.again):
        stream.random(7)
    with pytest.raises(ValueError, match="tied"):
        save(tmp_path / "model", model)  # `Box` makes no stream that could be shared again
    del model.other.stream
    save(tmp_path / "model", model)
    loaded: Any = load(tmp_path / "model", classes=[Streams, Box]).model
    for name, stream in model.generators().items():
        np.testing.assert_array_equal(loaded.generators()[name].random(5), stream.random(5))


class Sharing(Layer):
    """One stream for both of its layers."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second


class Drawer(Layer):
    def __init__(self, *, rng: np.random.Generator) -> None:
        self.rng = rng


def test_a_stream_that_is_shared_stays_shared(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    save(tmp_path / "model", Sharing(Drawer(rng=rng), Drawer(rng=rng)))
    loaded: Any = load(tmp_path / "model", classes=[Sharing, Drawer]).model
    assert loaded.first.rng is loaded.second.rng
    assert loaded.first.rng.random() == rng.random()
