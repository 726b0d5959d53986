"""Files of Keras 3, without Keras: golden ones, round trips, and what is refused."""

from __future__ import annotations

import copy
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.interop import from_keras, to_keras

h5py: Any = pytest.importorskip("h5py", reason="needs the package h5py")
GOLDEN = Path(os.environ.get("GOLDEN", Path(__file__).parent / "golden"))
CASES = json.loads((GOLDEN / "keras.json").read_text())
REPRS = {
    "text": "Sequential(Embedding(6, 3), LSTMCell(3, 3), LayerNorm(3, eps=0.001), Linear(3, 6), Softmax())",
    "both": "ManyToOne(Sequential(Bidirectional(GRUCell(2, 2), GRUCell(2, 2), merge='mean'), "
    "GRUCell(2, 3, reset='before')))",
    "relu": "ManyToOne(Bidirectional(RNNCell(2, 3, nonlinearity='relu'), RNNCell(2, 3, nonlinearity='relu')), "
    "Linear(6, 2))",
    "chain": "Sequential(LSTMCell(2, 3, bias=False), Linear(3, 2))",
}


@pytest.mark.parametrize("name", CASES)
def test_golden_models_of_keras_compute_what_they_did(name: str) -> None:
    model = from_keras(GOLDEN / f"keras_{name}.keras")
    assert repr(model) == REPRS[name]
    x = np.array(CASES[name]["x"])
    x = x if name == "text" else x.astype("float32")
    y = model(x.swapaxes(0, 1).copy())[0]
    np.testing.assert_allclose(y if y.ndim == 2 else y.swapaxes(0, 1), CASES[name]["y"], rtol=0, atol=1e-6)


def shaken(model: Any, dtype: str = "float32") -> Any:
    rng = np.random.default_rng(7)
    model.to(dtype=dtype)
    for parameter in model.parameters():
        parameter.value = rng.normal(size=parameter.shape).astype(dtype)
    return model


def models() -> dict[str, Any]:
    r = np.random.default_rng(0)

    def both(i: int, o: int, kind: Any = rnn.LSTMCell, merge: str = "concat", **options: Any) -> Any:
        return rnn.Bidirectional(*(kind(i, o, rng=r, **options) for _ in range(2)), merge=merge)

    return {
        "text": rnn.Sequential(
            rnn.Embedding(6, 3, rng=r), rnn.LSTMCell(3, 4, rng=r), rnn.Linear(4, 6, rng=r), rnn.Softmax()
        ),
        "grus": rnn.Sequential(
            rnn.GRUCell(3, 4, rng=r), rnn.GRUCell(4, 5, rng=r, reset="before"), rnn.LayerNorm(5, bias=False), rnn.Tanh()
        ),
        "no biases": rnn.Sequential(
            rnn.LSTMCell(3, 4, rng=r, bias=False),
            rnn.GRUCell(4, 5, rng=r, bias=False),
            rnn.GRUCell(5, 4, rng=r, reset="before", bias=False),
            both(4, 3, rnn.RNNCell, bias=False),
        ),
        "both": rnn.Sequential(
            both(3, 4), both(8, 4, rnn.GRUCell, "mul"), both(4, 4, rnn.RNNCell, "sum", nonlinearity="relu")
        ),
        "last": rnn.ManyToOne(rnn.Sequential(rnn.RNNCell(3, 4, rng=r), both(4, 4)), rnn.Linear(8, 2, rng=r)),
        "mean": rnn.ManyToOne(rnn.LSTMCell(3, 4, rng=r), rnn.Sigmoid(), pool="mean"),
        "max": rnn.ManyToOne(both(3, 4, merge="mean"), rnn.Linear(4, 2, rng=r), rnn.ReLU(), pool="max"),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", models())
def test_there_and_back_is_the_same_to_the_bit(name: str, dtype: str, tmp_path: Path) -> None:
    model, path = shaken(models()[name], dtype), tmp_path / "m.keras"
    to_keras(model, path)
    first = path.read_bytes()
    to_keras(model, path)
    assert first == path.read_bytes()
    read = from_keras(path)
    assert repr(read).replace("Sequential(LSTMCell(3, 4))", "LSTMCell(3, 4)") == repr(model)
    filled = from_keras(path, model=models()[name].to(dtype=dtype))
    weights = tmp_path / "m.weights.h5"
    with zipfile.ZipFile(path) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    alone = from_keras(weights, model=models()[name].to(dtype=dtype))
    for other in (read, filled, alone):
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            assert ours.value.tobytes() == theirs.value.tobytes()


def rewritten(path: Path, change: Any, *, weights: bytes | None = None, packed: bool = False) -> Path:
    """A copy of the golden text model with another configuration."""
    with zipfile.ZipFile(GOLDEN / "keras_text.keras") as archive:
        config = json.loads(archive.read("config.json"))
        data = archive.read("model.weights.h5")
    change(config)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", data if weights is None else weights)
    return path


def layer(config: Any, i: int) -> Any:
    return config["config"]["layers"][i]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("i", "change", "text"),
    [
        (2, {"recurrent_activation": "hard_sigmoid"}, "lstm_1, LSTM: its recurrent_activation is 'hard_sigmoid'"),
        (2, {"activation": "relu"}, "lstm_1, LSTM: its activation is 'relu'"),
        (2, {"activation": {"class_name": "Custom"}}, "its activation is {'class_name'"),
        (2, {"go_backwards": True}, "reads backward alone"),
        (2, {"return_state": True}, "gives its state too"),
        (2, {"units": 4}, "units is 4, but its arrays are of 3"),
        (2, {"use_bias": False}, "has 3 arrays in the file, where 2 were expected"),
        (2, {"dtype": {"config": {"name": "mixed_float16"}}}, "it computes in mixed_float16"),
        (1, {"mask_zero": True}, 'embedding, Embedding: it masks .* give masks="lengths"'),
        (3, {"rms_scaling": True}, "RMS norm"),
        (3, {"axis": [1]}, "over the axes"),
        (4, {"activation": "gelu"}, "dense, Dense: its activation is 'gelu'"),
    ],
)
def test_what_differs_is_refused_by_name(tmp_path: Path, i: int, change: Any, text: str) -> None:
    path = rewritten(tmp_path / "m.keras", lambda config: layer(config, i)["config"].update(change))
    with pytest.raises(ValueError, match=r"from_keras\(.*: these layers cannot be read:") as caught:
        from_keras(path)
    caught.match(f"(?s){text}")


@pytest.mark.messages
def test_all_that_differs_is_told_at_once_and_no_code_is_run(tmp_path: Path) -> None:
    def change(config: Any) -> None:
        layer(config, 2)["config"].update(go_backwards=True, activation="elu")
        layer(config, 4)["class_name"] = "Lambda"
        layer(config, 4)["config"] = {
            "name": "evil",
            "function": {"class_name": "__lambda__", "config": {"code": "4wE="}},
        }

    with pytest.raises(ValueError, match="cannot be read") as caught:
        from_keras(rewritten(tmp_path / "m.keras", change))
    for text in ("its activation is 'elu'", "reads backward alone", "evil, Lambda: there is no layer here"):
        assert text in str(caught.value)


def test_masks_are_lengths_where_it_is_said(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "m.keras", lambda config: layer(config, 1)["config"].update(mask_zero=True))
    assert repr(from_keras(path, masks="lengths")) == REPRS["text"]


@pytest.mark.messages
def test_a_maximum_over_masked_steps_is_refused(tmp_path: Path) -> None:
    def change(config: Any) -> None:
        layer(config, 1)["config"].update(mask_zero=True)
        layer(config, 4).update(class_name="GlobalMaxPooling1D", config={"name": "most"})

    path = rewritten(tmp_path / "m.keras", change)
    with pytest.raises(ValueError, match="most, GlobalMaxPooling1D: its maximum is over masked steps too"):
        from_keras(path, masks="lengths")


@pytest.mark.messages
def test_made_up_files_are_refused(tmp_path: Path) -> None:
    path, outside = tmp_path / "m.keras", tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.zeros((6, 3), np.float32)
    with zipfile.ZipFile(GOLDEN / "keras_text.keras") as archive:
        golden = archive.read("model.weights.h5")
    place = "layers/embedding/vars/0"

    def spoilt(change: Any) -> None:
        data = io.BytesIO(golden)
        with h5py.File(data, "a") as file:
            del file[place]
            change(file)
        rewritten(path, lambda config: None, weights=data.getvalue())

    def linked(file: Any) -> None:
        file[place] = h5py.ExternalLink(str(outside), "secret")

    def softly(file: Any) -> None:
        file[place] = h5py.SoftLink("/layers/dense/vars/0")

    def elsewhere(file: Any) -> None:
        file.create_dataset(place, (6, 3), "float32", external=[(str(outside), 0, 72)])

    def huge(file: Any) -> None:
        file.create_dataset(place, (1 << 40, 3), "float32", chunks=(1024, 3), compression="gzip")

    def unwritten(file: Any) -> None:
        file.create_dataset(place, (1 << 40, 3), "float32")

    def strings(file: Any) -> None:
        file[place] = np.array([b"x"] * 6)

    wrong = (
        (linked, "is a link"),
        (softly, "is a link"),
        (elsewhere, "whole and unpacked"),
        (huge, "whole and unpacked"),
    )
    for change, text in (
        *wrong,
        (unwritten, "whole and unpacked"),
        (strings, "is|S1"),
        (lambda file: None, "0 arrays"),
    ):
        spoilt(change)
        with pytest.raises(ValueError, match=text):
            from_keras(path)
    rewritten(path, lambda config: None, weights=bytes(1 << 25), packed=True)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match="is packed and would take 33,554,432 bytes"):
        from_keras(path)
    rewritten(path, lambda config: config.update(more=[[]] * 2_000_000))
    with pytest.raises(ValueError, match=r"config.json has 8,00.* far more than that of a chain of layers"):
        from_keras(path)
    for data in (b"", b"PK", b"\x89HDF\r\n\x1a\n", golden[:1000], (GOLDEN / "keras_text.keras").read_bytes()[:2000]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="no file of Keras 3, or a damaged one"):
            from_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
        archive.writestr("model.weights.h5", golden)
    with pytest.raises(ValueError, match="no file of Keras 3"):
        from_keras(path)
    broken: list[Any] = [[], {}, {"class_name": "Sequential"}, {"class_name": "Sequential", "config": {"layers": [1]}}]
    for config in broken:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", golden)
        with pytest.raises(ValueError, match="where a Sequential"):
            from_keras(path)


@pytest.mark.messages
def test_a_model_that_is_no_chain_is_refused(tmp_path: Path) -> None:
    def functional(config: Any) -> None:
        config["class_name"] = "Functional"
        layers, before = config["config"]["layers"], "input_layer"
        for entry in layers[1:]:
            entry["name"] = entry["config"]["name"]
            history = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
            entry["inbound_nodes"] = [{"args": [history], "kwargs": {}}]
            before = entry["name"]
        layers[0]["name"] = "input_layer"
        config["config"]["output_layers"] = [before, 0, 0]

    def joined(config: Any) -> None:
        functional(config)
        layers = config["config"]["layers"]
        extra = copy.deepcopy(layers[2]["inbound_nodes"][0]["args"][0])
        layers[4]["inbound_nodes"][0]["args"].append(extra)

    def two_outputs(config: Any) -> None:
        functional(config)
        config["config"]["output_layers"] = [["lstm_1", 0, 0], ["dense", 0, 0]]

    def nested(config: Any) -> None:
        functional(config)
        for _ in range(800):
            layer(config, 4)["inbound_nodes"] = [layer(config, 4)["inbound_nodes"]]

    assert repr(from_keras(rewritten(tmp_path / "m.keras", functional))) == REPRS["text"]
    with pytest.raises(ValueError, match="gives the outputs of dense, lstm_1, where that of the last layer, dense"):
        from_keras(rewritten(tmp_path / "m.keras", two_outputs))
    assert repr(from_keras(rewritten(tmp_path / "m.keras", nested))) == REPRS["text"]
    with pytest.raises(ValueError, match=r"takes the output of embedding, layer_normalization, where .* is no chain"):
        from_keras(rewritten(tmp_path / "m.keras", joined))


@pytest.mark.messages
def test_what_keras_has_not_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    r, path = np.random.default_rng(0), tmp_path / "m.keras"
    model = rnn.Sequential(rnn.OneHot(5), rnn.LayerNormLSTMCell(5, 4, rng=r), rnn.Residual(rnn.GRUCell(4, 4, rng=r)))
    with pytest.raises(ValueError, match=r"(?s)to_keras\(.*OneHot\(5\): .*LayerNormLSTMCell\(5, 4\): .*Residual"):
        to_keras(model, path)
    cells = rnn.LSTMCell(3, 4, rng=r, coupled=True), rnn.LSTMCell(3, 4, rng=r, coupled=True)
    model_of_lstms = rnn.Sequential(rnn.Bidirectional(*cells), rnn.LSTMCell(8, 4, rng=r, peepholes=True))
    with pytest.raises(
        ValueError, match=r"(?s)Keras has no LSTM with coupled gates; .*Keras has no LSTM with peepholes"
    ):
        to_keras(model_of_lstms, path)
    assert not path.exists()
    with pytest.raises(ValueError, match=r"LSTMCell\(3, 3, peepholes=True\): Keras has no LSTM with peepholes"):
        from_keras(GOLDEN / "keras_text.keras", model=rnn.LSTMCell(3, 3, rng=r, peepholes=True))
    with pytest.raises(ValueError, match=r"(?s)the arrays are not those of the model:.*OneHot|LayerNormLSTM"):
        from_keras(GOLDEN / "keras_text.keras", model=model)
    with pytest.raises(ValueError, match=r"(?s)Embedding\(6, 4\): .*\[\(6, 3\)\], expected \[\(6, 4\)\]"):
        from_keras(GOLDEN / "keras_text.keras", model=rnn.Sequential(rnn.Embedding(6, 4, rng=r)))


@pytest.mark.messages
def test_arguments_and_the_package_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="from_keras: masks must be"):
        from_keras("x", masks="all")
    with pytest.raises(TypeError, match="from_keras: model is a int"):
        from_keras("x", model=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"to_keras\(.*model is a int"):
        to_keras(3, "x")  # type: ignore[arg-type]
    weights = tmp_path / "m.weights.h5"
    with zipfile.ZipFile(GOLDEN / "keras_text.keras") as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    with pytest.raises(ValueError, match="weights alone does not name its layers; give a model"):
        from_keras(weights)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    with pytest.raises(ValueError, match="the format of Keras 1 and 2"):
        from_keras(tmp_path / "old.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'needs the package h5py; install it by pip install "tinygrad-rnn\[keras\]"'):
        from_keras(weights)
