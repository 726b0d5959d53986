"""Weights from PyTorch and back, without PyTorch: golden files, round trips, and what is refused."""

from __future__ import annotations

import json
import os
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_rnn as rnn
from tinygrad_rnn.interop import from_torch, to_torch
from tinygrad_rnn.interop.torch import order
from tinygrad_rnn.testing import StrictDevice

GOLDEN = Path(os.environ.get("GOLDEN", Path(__file__).parent / "golden"))
CELLS: dict[str, Any] = {
    "tanh": lambda i, o, r: rnn.RNNCell(i, o, rng=r),
    "relu": lambda i, o, r: rnn.RNNCell(i, o, rng=r, nonlinearity="relu"),
    "lstm": lambda i, o, r: rnn.LSTMCell(i, o, rng=r),
    "gru": lambda i, o, r: rnn.GRUCell(i, o, rng=r),
}


def shaken(model: Any, dtype: str = "float32") -> Any:
    """All parameters are random, the biases too."""
    rng = np.random.default_rng(7)
    model.to(dtype=dtype)
    for parameter in model.parameters():
        parameter.value = rng.normal(size=parameter.shape).astype(dtype)
    return model


def same(one: Any, other: Any) -> None:
    mine, yours = dict(one.named_parameters()), dict(other.named_parameters())
    assert mine.keys() == yours.keys()
    for name, parameter in mine.items():
        assert parameter.value.tobytes() == yours[name].value.tobytes(), name


def stack(cell: str, depth: int, both: bool) -> Any:
    rng = np.random.default_rng(0)
    layers: list[Any] = []
    width = 3
    for _ in range(depth):
        cells = [CELLS[cell](width, 4, rng) for _ in range(1 + both)]
        layers.append(rnn.Bidirectional(*cells) if both else cells[0])
        width = 4 * (1 + both)
    return rnn.Sequential(*layers)


@pytest.mark.parametrize("case", json.loads((GOLDEN / "torch.json").read_text()), ids=lambda case: case["name"])
def test_golden_models_of_pytorch_compute_what_they_did(case: dict[str, Any]) -> None:
    everything = safetensors.numpy.load_file(GOLDEN / "torch.safetensors")
    arrays = {n.partition("/")[2]: a for n, a in everything.items() if n.startswith(case["name"] + "/")}
    xs, ys = arrays.pop("xs"), arrays.pop("ys")
    model = from_torch(arrays, **case["arguments"])
    assert repr(model) == case["repr"]
    np.testing.assert_allclose(model(xs)[0], ys, rtol=0, atol=1e-12 if ys.dtype == np.float64 else 1e-6)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_there_and_back_is_the_same_to_the_bit(cell: str, depth: int, both: bool, tmp_path: Path) -> None:
    for dtype in ("float32", "float64"):
        model = shaken(stack(cell, depth, both), dtype)
        arrays = to_torch(model)
        assert all(array.flags.c_contiguous and array.dtype == dtype for array in arrays.values())
        safetensors.numpy.save_file(arrays, tmp_path / "m.safetensors")
        for source in (arrays, tmp_path / "m.safetensors"):
            read = from_torch(source, nonlinearity=cell if cell in ("tanh", "relu") else None)
            same(read, model)
            assert repr(read) == repr(model)
            same(from_torch(source, model=shaken(stack(cell, depth, both), dtype).to(dtype=dtype)), model)


def network() -> Any:
    rng = np.random.default_rng(0)
    return rnn.Sequential(
        rnn.Embedding(9, 3, rng=rng),
        stack("gru", 2, True),
        rnn.LayerNorm(8),
        rnn.Linear(8, 6, rng=rng),
        rnn.ReLU(),
        rnn.Linear(6, 9, rng=rng),
    )


NAMES = ["embedding", "encoder.rnn", "norm", "hidden", "head"]


def test_the_order_of_modules_is_told_or_found(tmp_path: Path) -> None:
    model = shaken(network())
    arrays = to_torch(model, names=NAMES)
    assert list(arrays)[:2] == ["embedding.weight", "encoder.rnn.weight_ih_l0"]
    layers: list[Any] = [*NAMES[:4], rnn.ReLU(), "head"]
    same(from_torch(arrays, layers=layers, eps=1e-5), model)
    with pytest.raises(ValueError, match=r"'head' follows 'hidden', both Linear.* which activation is between them"):
        from_torch(arrays, eps=1e-5)
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file(arrays, path)
    same(from_torch(path, layers=layers, eps=1e-5), model)
    same(from_torch(path, model=shaken(network()), layers=NAMES), model)
    without = {name: array for name, array in arrays.items() if not name.startswith("hidden")}
    without["head.weight"] = np.zeros((9, 8), np.float32)
    safetensors.numpy.save_file(without, path)  # in alphabetical order, and only one order fits
    kinds = [type(layer).__name__ for layer in from_torch(path, eps=1e-5).layers]
    assert kinds == ["Embedding", "Sequential", "LayerNorm", "Linear"]


def test_any_model_can_be_filled_and_keeps_its_dtype() -> None:
    rng = np.random.default_rng(0)

    def build() -> Any:
        table = rnn.Embedding(9, 4, rng=rng)
        return rnn.ManyToOne(rnn.Sequential(table, rnn.LSTMCell(4, 4, rng=rng)), rnn.Linear(4, 2, rng=rng))

    model, other = shaken(build()), build().to(dtype="float64")
    arrays = to_torch(model)
    assert list(arrays) == [
        "encoder.layers.0.weight",
        *(f"encoder.layers.1.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        "layers.0.weight",
        "layers.0.bias",
    ]
    assert from_torch(arrays, model=other) is other
    assert other.dtype == np.float64
    same(other.to(dtype="float32"), model)


def test_cells_have_names_of_their_own() -> None:
    model = shaken(rnn.GRUCell(3, 4, rng=np.random.default_rng(0)))
    arrays = to_torch(model, cell_names=True)
    assert list(arrays) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    same(from_torch(arrays).layers[0], model)
    with pytest.raises(ValueError, match="no single cell"):
        to_torch(stack("lstm", 2, False), cell_names=True)


def test_a_tied_table_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def build() -> Any:
        table = rnn.Embedding(9, 4, rng=rng)
        return rnn.Sequential(table, rnn.GRUCell(4, 4, rng=rng), rnn.TiedLinear(table))

    model = shaken(build())
    arrays = to_torch(model)
    assert np.array_equal(arrays["layers.0.weight"], arrays["layers.2.weight"])
    same(from_torch(arrays, model=build()), model)
    other = build()
    before = other.flat_value.copy()
    with pytest.raises(ValueError, match="two arrays for it, which differ"):
        from_torch(arrays | {"layers.2.weight": np.zeros((9, 4), np.float32)}, model=other)
    assert np.array_equal(before, other.flat_value)


def test_no_biases_stay_none_and_are_zeros_in_a_model_that_has_some() -> None:
    arrays = {n: a for n, a in to_torch(shaken(stack("lstm", 2, True))).items() if "bias" not in n}
    model = from_torch(arrays)
    assert model.layers[1].backward_cell.b is None
    again = to_torch(model)
    assert again.keys() == arrays.keys()
    assert all(again[name].tobytes() == array.tobytes() for name, array in arrays.items())
    device = StrictDevice()
    there = from_torch(arrays, model=shaken(stack("lstm", 2, True)).to(device)).to("cpu")
    assert not there.layers[1].backward_cell.b.value.any()
    xs = np.random.default_rng(1).normal(size=(5, 2, there.in_size)).astype("float32")
    np.testing.assert_array_equal(there(xs)[0], model(xs)[0])


@pytest.mark.messages
def test_biases_for_a_model_without_some_are_told() -> None:
    arrays = to_torch(rnn.GRUCell(3, 4, rng=np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"bias_ih_l0 \(12,\) is unexpected; bias_hh_l0 \(12,\) is unexpected"):
        from_torch(arrays, model=rnn.GRUCell(3, 4, rng=np.random.default_rng(0), bias=False))


@pytest.mark.parametrize("kind", [rnn.RNNCell, rnn.GRUCell, rnn.LSTMCell])
def test_cells_that_differ_in_an_option_are_no_stack(kind: Any) -> None:
    rng = np.random.default_rng(0)
    stack = rnn.Sequential(kind(3, 3, rng=rng), kind(3, 3, rng=rng, bias=False))
    assert list(to_torch(stack))[::4] == ["layers.0.weight_ih_l0", "layers.1.weight_ih_l0"]


def without(arrays: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: array for name, array in arrays.items() if name not in names}


@pytest.mark.messages
def test_all_that_is_wrong_is_told_at_once() -> None:
    arrays = to_torch(shaken(network()), names=NAMES)
    arrays["conv.weight"] = np.zeros((4, 3, 5), np.float32)
    arrays["bn.running_mean"] = arrays["bn.weight"] = np.zeros(3, np.float32)
    arrays["p.weight_hr_l0"] = np.zeros((3, 4), np.float32)
    arrays["r.weight_ih_l0"] = arrays["r.weight_hh_l0"] = np.zeros((4, 4), np.float32)
    arrays["g.weight"] = arrays["v.weight"] = arrays["v.bias"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"from_torch\(dict\): these modules cannot be read:") as caught:
        from_torch(arrays)
    told = str(caught.value)
    for text in ("conv: these arrays", "bn: these arrays", "p: it was made with proj_size", "r: its names do not say"):
        assert text in told
    assert "g: a vector without a bias may be of LayerNorm, RMSNorm or PReLU" in told
    assert "v: a vector and a bias may be of LayerNorm, GroupNorm, InstanceNorm or BatchNorm; give the eps" in told


@pytest.mark.messages
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: without(a, "weight_hh_l1"), r"weight_hh_l1 \(16, 4\) is missing"),
        (lambda a: without(a, "bias_hh_l0"), r"bias_hh_l0 \(16,\) is missing"),
        (
            lambda a: a | {"weight_ih_l1": np.zeros((16, 5), np.float32)},
            r"weight_ih_l1 is \(16, 5\), expected \(16, 4\)",
        ),
        (lambda a: a | {"weight_ih_l999999": np.zeros((16, 4), np.float32)}, "weight_ih_l999999 is one too many"),
        (lambda a: a | {"weight_hh_l0": np.zeros((17, 4), np.float32)}, "of no RNN, LSTM or GRU"),
        (lambda a: a | {"bias_ih_l0": np.zeros(16, np.float16)}, r"bias_ih_l0 is float16; convert"),
        (lambda a: a | {"bias_ih_l0": np.zeros(16)}, "the arrays are float32 and float64; convert"),
        (lambda a: a | {"bias_ih_l0": np.zeros((0, 1 << 40), np.float32)}, "without a number"),
        (lambda a: {}, "there are no arrays"),
    ],
)
def test_what_is_missing_or_misshapen_is_told(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        from_torch(change(to_torch(stack("lstm", 2, False))))


@pytest.mark.messages
def test_ambiguous_modules_ask_for_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, unordered = tmp_path / "one.safetensors", tmp_path / "several.safetensors"
    rng = np.random.default_rng(0)
    for name, sizes in ((path, (4, 5, 6, 7)), (unordered, (4, 5, 6, 4))):
        cells = [rnn.GRUCell(one, other, rng=rng) for one, other in pairwise(sizes)]
        safetensors.numpy.save_file(to_torch(rnn.Sequential(*cells), names=list("zyxw"[: len(cells)])), name)
    square = np.zeros((4, 4), np.float32)
    lstm = to_torch(rnn.LSTMCell(4, 4, rng=np.random.default_rng(0)), names="b")
    both = {"a.weight": square, **lstm}
    with pytest.raises(ValueError, match=r"may be an Embedding or a Linear without a bias.*embeddings="):
        from_torch(both)
    assert repr(from_torch(both, embeddings=["a"])) == "Sequential(Embedding(4, 4), LSTMCell(4, 4))"
    assert repr(from_torch(both, embeddings=[])) == "Sequential(Linear(4, 4), LSTMCell(4, 4))"
    numbered = {"0.weight": np.zeros((5, 4), np.float32), **{f"2.{n[2:]}": a for n, a in lstm.items()}}
    with pytest.raises(ValueError, match="modules 1 have no weights"):
        from_torch(numbered, embeddings=["0"])
    with pytest.raises(ValueError, match=r"the modules do not fit in this order: 'b': LSTM 4 to 4; 'c': linear 5 to 2"):
        from_torch({**lstm, "c.weight": np.zeros((2, 5), np.float32), "c.bias": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="more than one order of the modules may fit"):
        from_torch(unordered)
    assert repr(from_torch(path)) == "Sequential(GRUCell(4, 5), GRUCell(5, 6), GRUCell(6, 7))"
    monkeypatch.setattr(order, "_SEARCHED", 4)  # one order is found, but not that it is the only one
    with pytest.raises(ValueError, match="more than one order of the modules may fit"):
        from_torch(path)
    with pytest.raises(ValueError, match=r"(?s)'x' is named, but.*'b' is not named"):
        from_torch(lstm, layers=["x"])


@pytest.mark.messages
def test_what_pytorch_has_not_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    model = rnn.Sequential(
        rnn.GRUCell(3, 4, rng=rng, reset="before"),
        rnn.LayerNormLSTMCell(4, 4, rng=rng),
        rnn.Zoneout(rnn.LSTMCell(4, 4, rng=rng), 0.1, rng=rng),
        rnn.LSTMCell(4, 4, rng=rng, peepholes=True),
        rnn.LSTMCell(4, 4, rng=rng, peepholes=True, coupled=True),
    )
    with pytest.raises(ValueError, match=r"to_torch\(Sequential.*: these layers cannot be written:") as caught:
        to_torch(model)
    told = str(caught.value)
    assert "layers.0, GRUCell(3, 4, reset='before'): PyTorch has no GRU with reset=\"before\"" in told
    assert "layers.3, LSTMCell(4, 4, peepholes=True): PyTorch has no LSTM with peepholes; train one without" in told
    assert "PyTorch has no LSTM with peepholes and coupled gates" in told
    with pytest.raises(ValueError, match="PyTorch has no LSTM with coupled gates"):
        from_torch(to_torch(rnn.LSTMCell(3, 4, rng=rng)), model=rnn.LSTMCell(3, 4, rng=rng, coupled=True))
    assert "layers.1, LayerNormLSTMCell(4, 4): PyTorch has no module like it" in told
    assert "layers.2, Zoneout" in told


@pytest.mark.messages
def test_a_pickle_is_refused_with_the_line_that_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\n.")
    with pytest.raises(ValueError, match=r"a pickle.*safetensors.torch.save_file\(torch.load\("):
        from_torch(path)
    path.write_bytes(b"\x80\x02cos\nsystem\n.")
    with pytest.raises(ValueError, match="a pickle"):
        from_torch(path)


@pytest.mark.messages
def test_a_damaged_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file(to_torch(stack("gru", 1, False)), path)
    whole = path.read_bytes()
    for cut in (0, 4, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="no whole safetensors file"):
            from_torch(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(whole)
        for place in rng.integers(0, 400, 3):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            from_torch(path, nonlinearity="tanh")
        except (ValueError, TypeError) as error:
            assert str(error).startswith("from_torch(")  # noqa: PT017  # most are refused, some bits are of no matter


@pytest.mark.messages
def test_a_header_of_many_tensors_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}
    header = json.dumps(tensors).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"^from_torch\(.*would take far more memory than the file"):
        from_torch(path)


def test_golden_files_are_small() -> None:
    files = [path for path in (Path(__file__).parent / "golden").glob("*.*") if path.suffix != ".py"]
    assert 0 < sum(path.stat().st_size for path in files) <= 50_000


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"source": 3}, "from_torch: source is a int"),
        ({"source": {1: 2}}, r"from_torch\(dict\): 1 stands where the name"),
        ({"source": {"a": "x"}}, r"from_torch\(dict\): a is a str"),
        ({"layers": "x"}, "from_torch: layers must be a list"),
        ({"layers": [3]}, "from_torch: layers holds 3"),
        ({"nonlinearity": "cube"}, "from_torch: nonlinearity must be"),
        ({"embeddings": "x"}, "from_torch: embeddings must be a list"),
        ({"eps": 0}, "from_torch: eps must be"),
        ({"model": 3}, "from_torch: model is a int"),
    ],
)
def test_arguments_are_checked_first(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        from_torch(**({"source": {}} | arguments))
