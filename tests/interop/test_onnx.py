"""Files of ONNX: what is written is checked and evaluated, what others write is read or refused."""

from __future__ import annotations

import builtins
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.core.states import leaves
from tinygrad_rnn.interop import from_onnx, to_onnx

onnx: Any = pytest.importorskip("onnx", reason="needs the package onnx")
from onnx_operators import evaluate  # noqa: E402

GOLDEN = Path(os.environ.get("GOLDEN", Path(__file__).parent / "golden"))
CASES = json.loads((GOLDEN / "onnx.json").read_text())


def shaken(model: Any, dtype: str) -> Any:
    rng = np.random.default_rng(7)
    model.to(dtype=dtype)
    for parameter in model.parameters():
        parameter.value = rng.uniform(-0.7, 0.7, parameter.shape).astype(dtype)
    return model


def both(i: int, o: int, merge: str = "concat", kind: Any = rnn.LSTMCell, **options: Any) -> Any:
    return rnn.Bidirectional(*(kind(i, o, rng=np.random.default_rng(k), **options) for k in (0, 1)), merge=merge)


def sequences() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    table = rnn.Embedding(9, 4, rng=rng)
    dropped = rnn.DropConnect(rnn.LSTMCell(3, 4, rng=rng), 0.5, rng=rng)
    return {
        "text": rnn.Sequential(
            table, rnn.LSTMCell(4, 5, rng=rng), rnn.LayerNorm(5, eps=2**-10), rnn.Linear(5, 3, rng=rng), rnn.Softmax()
        ),
        "tied": rnn.Sequential(table, rnn.GRUCell(4, 4, rng=rng), rnn.TiedLinear(table)),
        "gru": rnn.Sequential(
            rnn.OneHot(9),
            rnn.GRUCell(9, 5, rng=rng, reset="before"),
            rnn.Residual(rnn.GRUCell(5, 5, rng=rng), rnn.Sigmoid()),
            rnn.Tanh(),
        ),
        "both": rnn.Sequential(
            rnn.Standardize((1.0, 2.0, 3.0), (2.0, 3.0, 4.0)),
            both(3, 4),
            rnn.Sequential(both(8, 4, "sum", rnn.GRUCell), both(4, 4, "mean", rnn.RNNCell, nonlinearity="relu")),
            both(4, 4, "mul", rnn.GRUCell, reset="before"),
            rnn.LayerNorm(4, eps=2**-4, bias=False),
            rnn.ReLU(),
        ),
        "peepholes": both(3, 4, peepholes=True),
        "coupled": rnn.Sequential(
            rnn.LSTMCell(3, 4, rng=rng, coupled=True), rnn.LSTMCell(4, 5, rng=rng, peepholes=True, coupled=True)
        ),
        "no biases": rnn.Sequential(
            rnn.LSTMCell(3, 4, rng=rng, peepholes=True, bias=False),
            rnn.RNNCell(4, 5, rng=rng, bias=False),
            rnn.GRUCell(5, 4, rng=rng, bias=False),
            rnn.GRUCell(4, 3, rng=rng, reset="before", bias=False),
        ),
        "cell": rnn.RNNCell(3, 4, rng=rng),
        "dropout": rnn.Sequential(rnn.Dropout(0.5, rng=rng), dropped, rnn.LockedDropout(0.5, rng=rng)),
        "last": rnn.ManyToOne(rnn.Sequential(table, rnn.LSTMCell(4, 5, rng=rng)), rnn.Linear(5, 2, rng=rng)),
        "last of both": rnn.ManyToOne(both(3, 4), rnn.Linear(8, 2, rng=rng)),
        "mean": rnn.ManyToOne(rnn.GRUCell(3, 4, rng=rng), rnn.Linear(4, 2, rng=rng), pool="mean"),
        "max": rnn.ManyToOne(both(3, 4), rnn.Tanh(), pool="max"),
    }


def read(path: Path) -> Any:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sequences())
def test_what_is_written_computes_what_the_model_does(name: str, dtype: str, tmp_path: Path) -> None:
    model, limit = shaken(sequences()[name], dtype), 1e-6 if dtype == "float32" else 1e-12
    to_onnx(model, tmp_path / "m.onnx")
    graph = read(tmp_path / "m.onnx")
    rng = np.random.default_rng(1)
    for steps, lengths in ((6, [6, 6, 6, 6]), (6, [6, 1, 0, 3]), (1, [1, 0, 1, 1])):
        n = np.array(lengths, np.int32)
        past = np.arange(steps)[:, None] >= n
        if model.takes_ids:
            ids = rng.integers(9, size=(steps, 4))
            xs, dirty = np.where(past, 0, ids), np.where(past, 99, ids)
        else:
            xs = rng.normal(size=(steps, 4, 3)).astype(dtype)
            dirty = np.where(past[..., None], np.nan, xs).astype(dtype)
        ys, state = model(xs, lengths=n)
        found = evaluate(graph, {"x": dirty, "lengths": n})
        assert found["y"].dtype == dtype
        np.testing.assert_allclose(found["y"], ys, rtol=0, atol=limit)
        states = [array for key, array in found.items() if key != "y"]
        for theirs, ours in zip(states, leaves(state), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=limit)


@pytest.mark.parametrize("step", [False, True])
@pytest.mark.parametrize("name", sequences())
def test_onnx_runtime_computes_it_too(name: str, step: bool, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: run `nox -s interop`")
    model, rng = shaken(sequences()[name], "float32"), np.random.default_rng(1)
    if step and not getattr(model, "causal", False):
        pytest.skip("has no step")
    to_onnx(model, tmp_path / "m.onnx", step=step)
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    names = [output.name.removesuffix(".next") for output in session.get_outputs()]
    xs = rng.integers(9, size=(6, 4)) if model.takes_ids else rng.normal(size=(6, 4, 3)).astype("float32")
    if not step:
        n = np.array([6, 1, 0, 3], np.int32)
        ys, state = model(xs, lengths=n)
        found = session.run(None, {"x": xs, "lengths": n})
        for theirs, ours in zip(found, [ys, *leaves(state)], strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)
        return
    state, feed = None, {i.name: np.zeros((4, i.shape[1]), "float32") for i in session.get_inputs()[1:]}
    for x in xs:
        y, state = model.step(x, state)
        feed = dict(zip(names, session.run(None, {"x": x, **feed}), strict=True))
        np.testing.assert_allclose(feed.pop("y"), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_golden_models_compute_what_they_did(name: str) -> None:
    case = CASES[name]
    xs, ys = (np.array(case[key], "float32") for key in ("x", "y"))
    if case["batch_first"]:
        xs, ys = (array.swapaxes(0, 1).copy() for array in (xs, ys))
    model = from_onnx(GOLDEN / f"onnx_{name}.onnx")
    assert repr(model) == case["repr"]
    np.testing.assert_allclose(model(xs)[0], ys, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["text", "gru", "both", "peepholes", "coupled", "no biases", "cell"])
def test_there_and_back_is_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    for dtype in ("float32", "float64"):
        model = shaken(sequences()[name], dtype)
        to_onnx(model, tmp_path / "m.onnx")
        back = from_onnx(tmp_path / "m.onnx")
        flat = [
            layer
            for part in getattr(model, "layers", [model])
            for layer in (part.layers if type(part) is rnn.Sequential else [part])
        ]
        assert repr(back) == repr(rnn.Sequential(*flat))
        for one, other in zip(back.parameters(), model.parameters(), strict=True):
            assert one.value.tobytes() == other.value.tobytes()
        assert back.dtype == dtype


@pytest.mark.parametrize("name", ["text", "gru", "coupled", "no biases", "cell", "dropout", "last"])
def test_steps_with_their_state_give_the_sequence(name: str, tmp_path: Path) -> None:
    model = shaken(sequences()[name], "float64")
    to_onnx(model, tmp_path / "m.onnx", step=True)
    graph = read(tmp_path / "m.onnx")
    rng = np.random.default_rng(1)
    xs = rng.integers(9, size=(5, 2)) if model.takes_ids else rng.normal(size=(5, 2, 3))
    feed = {i.name: np.zeros((2, i.type.tensor_type.shape.dim[1].dim_value)) for i in graph.graph.input[1:]}
    state = None
    for x in xs:
        y, state = model.step(x, state)
        found = evaluate(graph, {"x": x, **feed})
        feed = {key.removesuffix(".next"): array for key, array in found.items() if key != "y"}
        np.testing.assert_allclose(found["y"], y, rtol=0, atol=1e-12)
    if name in ("text", "gru"):
        assert repr(from_onnx(tmp_path / "m.onnx")) == repr(model)


def test_a_softmax_as_asked(tmp_path: Path) -> None:
    model = shaken(sequences()["mean"], "float64")
    to_onnx(model, tmp_path / "m.onnx", softmax=True)
    xs, n = np.random.default_rng(1).normal(size=(5, 2, 3)), np.array([5, 2], np.int32)
    found = evaluate(read(tmp_path / "m.onnx"), {"x": xs, "lengths": n})["y"]
    np.testing.assert_allclose(found, rnn.Softmax()(model(xs, lengths=n)[0]), atol=1e-12)


def random_graph(seed: int) -> tuple[Any, str | None]:
    """A chain of nodes made by onnx.helper with random options, and why it must be refused, where it must."""
    rng = np.random.default_rng(seed)
    helper = onnx.helper
    dtype = rng.choice(["float32", "float64"])
    kind, directions = str(rng.choice(["RNN", "LSTM", "GRU"])), int(rng.integers(1, 3))
    gates, hidden, width = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind], int(rng.integers(1, 6)), int(rng.integers(1, 5))
    refused: str | None = None
    options: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    layout = int(rng.integers(2))
    options["layout"] = layout
    if kind == "GRU" and rng.random() < 0.7:  # otherwise it is 0
        options["linear_before_reset"] = int(rng.integers(2))
    if kind == "RNN" and rng.random() < 0.5:
        options["activations"] = ["Relu"] * directions
    odd = rng.random()
    if odd < 0.08:
        options["clip"], refused = 3.0, "clip"
    elif odd < 0.16 and directions == 1:
        options["direction"], refused = "reverse", "direction 'reverse'"
    elif odd < 0.24 and kind == "LSTM":
        options["input_forget"] = 1
    elif odd < 0.32:
        options["activations"], refused = (
            ["HardSigmoid"] * (len(options.get("activations", [])) or gates),
            "activations",
        )
    shapes: dict[str, tuple[int, ...]] = {
        "W": (directions, gates * hidden, width),
        "R": (directions, gates * hidden, hidden),
    }
    if rng.random() < 0.7:
        shapes["B"] = (directions, 2 * gates * hidden)
    constants = {n: rng.normal(size=s).astype(dtype) for n, s in shapes.items()}
    inputs = ["x", "W", "R", "B" if "B" in shapes else ""]
    if kind == "LSTM" and 0.32 <= odd < 0.45:
        constants["P"] = rng.normal(size=(directions, 3 * hidden + (odd > 0.4))).astype(dtype)
        inputs, refused = [*inputs, "", "", "", "P"], "P is" if odd > 0.4 else None
    nodes = [helper.make_node(kind, inputs, ["raw"], **options)]
    if layout == 1:  # (B, T, directions, H)
        if directions == 2:
            constants["shape"] = np.array([0, 0, -1])
            nodes.append(helper.make_node("Reshape", ["raw", "shape"], ["ys"]))
        else:
            constants["two"] = np.array([2])
            nodes.append(helper.make_node("Squeeze", ["raw", "two"], ["ys"]))
    elif directions == 2:
        constants["shape"] = np.array([0, 0, -1])
        nodes.append(helper.make_node("Transpose", ["raw"], ["turned"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", ["turned", "shape"], ["ys"]))
    else:
        constants["one"] = np.array([1])
        nodes.append(helper.make_node("Squeeze", ["raw", "one"], ["ys"]))
    last = "ys"
    if rng.random() < 0.6:
        constants["w"] = rng.normal(size=(hidden * directions, 3)).astype(dtype)
        nodes.append(helper.make_node("MatMul", [last, "w"], ["product"]))
        last = "product"
        if rng.random() < 0.7:
            constants["b"] = rng.normal(size=3).astype(dtype)
            nodes.append(helper.make_node("Add", ["b", last], ["sum"]))
            last = "sum"
    if rng.random() < 0.4:
        nodes.append(helper.make_node(str(rng.choice(["Tanh", "Relu", "Sigmoid", "Softmax"])), [last], ["last"]))
        last = "last"
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", number, ["a", "b", width])], [info(last, number, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), refused


def test_random_graphs_are_read_and_equal_or_refused(tmp_path: Path) -> None:
    path, counts = tmp_path / "m.onnx", {True: 0, False: 0}
    for seed in range(80):
        graph, refused = random_graph(seed)
        onnx.save_model(graph, path)
        counts[refused is None] += 1
        if refused is not None:
            with pytest.raises(ValueError, match=refused):
                from_onnx(path)
            continue
        model = from_onnx(path)
        xs = np.random.default_rng(seed).normal(size=(4, 3, model.in_size)).astype(model.dtype)
        batch_first = any(a.name == "layout" and a.i for a in graph.graph.node[0].attribute)
        ys = model(xs.swapaxes(0, 1).copy() if batch_first else xs)[0]
        found = next(iter(evaluate(graph, {"x": xs}).values()))
        limit = 1e-6 if model.dtype == np.float32 else 1e-12  # of numbers up to 1, and of larger ones in proportion
        error = abs((ys.swapaxes(0, 1) if batch_first else ys) - found)
        assert (error <= limit * np.maximum(1, abs(found))).all()
    assert min(counts.values()) >= 15


@pytest.mark.messages
def test_what_onnx_has_not_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = rnn.Sequential(
        rnn.LayerNormLSTMCell(3, 4, rng=rng),
        rnn.Zoneout(rnn.LSTMCell(4, 4, rng=rng), 0.1, rng=rng),
        rnn.Bidirectional(rnn.LSTMCell(4, 4, rng=rng), rnn.GRUCell(4, 4, rng=rng)),
    )
    path = tmp_path / "m.onnx"
    with pytest.raises(ValueError, match=r"to_onnx\(.*: these layers cannot be written:") as caught:
        to_onnx(model, path)
    assert all(
        text in str(caught.value) for text in ("layers.0, LayerNormLSTM", "layers.1, Zoneout", "layers.2, Bidir")
    )
    assert not path.exists()
    with pytest.raises(ValueError, match="has no step"):
        to_onnx(both(3, 4), path, step=True)
    with pytest.raises(TypeError, match=r"to_onnx\(.*: model is a int"):
        to_onnx(3, path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"step must be True or False"):
        to_onnx(both(3, 4), path, step=1)  # type: ignore[arg-type]


@pytest.mark.messages
def test_without_the_package_the_error_has_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ImportError, match=r"needs the package onnx; install it by pip install \"tinygrad-rnn\[onnx\]\""
    ):
        to_onnx(both(3, 4), tmp_path / "m.onnx")


@pytest.mark.messages
def test_made_up_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    to_onnx(shaken(sequences()["text"], "float32"), path)
    whole = onnx.load(path)

    def spoilt(change: Any) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(whole)
        change(model.graph)
        path.write_bytes(model.SerializeToString())

    def outside(graph: Any) -> None:
        tensor = graph.initializer[-1]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    def huge(graph: Any) -> None:
        graph.initializer[-1].dims[0] = 1 << 60

    def strings(graph: Any) -> None:
        graph.initializer[-1].data_type = onnx.TensorProto.STRING

    opened: list[Any] = []
    real = builtins.open

    def watched(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments[0])
        return real(*arguments, **options)

    monkeypatch.setattr(builtins, "open", watched)
    for change, text in (
        (outside, "it lies in another file"),
        (huge, "but it holds"),
        (strings, "its type is number 8"),
    ):
        spoilt(change)
        with pytest.raises(ValueError, match=text):
            from_onnx(path)
    assert "/etc/passwd" not in opened
    spoilt(lambda graph: graph.node.extend([onnx.helper.make_node("Relu", ["x"], ["y"])] * 2000))
    with pytest.raises(ValueError, match=r"nodes, but a chain of layers has at most 2,000"):
        from_onnx(path)
    nodes = b"\x0a\x00" * 1_000_000  # each takes 70 bytes in memory
    size = bytes([128 | len(nodes) & 127, 128 | len(nodes) >> 7 & 127, len(nodes) >> 14 & 127])
    for data in (b"\x3a" + size + nodes, b"\x0b" * 1_000_001, b"\x3a" + bytes([255] * 9) + bytes(1_000_000)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"more than 1,000,000 bytes beside its weights"):
            from_onnx(path)
    for data in (b"", b"x", b"\x08\x08" * 50):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="no file of ONNX"):
            from_onnx(path)
    rng = np.random.default_rng(0)
    data = whole.SerializeToString()
    for _ in range(200):
        other = bytearray(data)
        for place in rng.integers(len(data), size=3):
            other[place] = rng.integers(256)
        path.write_bytes(other)
        try:
            from_onnx(path)
        except ValueError as error:
            assert str(error).startswith("from_onnx(")  # noqa: PT017


def chain(path: Path, *nodes: Any, opset: int = 17, constants: Any = (), rank: int = 3) -> Path:
    """A file of these nodes, from x (T, B, 4) to y."""
    info, axes = onnx.helper.make_tensor_value_info, ["a", "b", 4][-rank:]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in dict(constants).items()]
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, axes)], [info("y", 1, None)], tensors)
    opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("own", 1)]
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_a_softmax_before_set_13_is_over_all_axes_from_1_on(tmp_path: Path) -> None:
    path, node = tmp_path / "m.onnx", onnx.helper.make_node("Softmax", ["x"], ["y"])
    with pytest.raises(ValueError, match="Softmax y: there is no layer that computes it"):
        from_onnx(chain(path, node, opset=12))
    assert repr(from_onnx(chain(path, node, opset=12, rank=2))) == "Sequential(Softmax())"
    assert repr(from_onnx(chain(path, node, opset=13))) == "Sequential(Softmax())"
    last = onnx.helper.make_node("Softmax", ["x"], ["y"], axis=2)
    assert repr(from_onnx(chain(path, last, opset=12))) == "Sequential(Softmax())"


@pytest.mark.messages
def test_operators_that_compute_something_else_are_refused(tmp_path: Path) -> None:
    path, node = tmp_path / "m.onnx", onnx.helper.make_node
    with pytest.raises(ValueError, match="of set 6, before 7"):
        from_onnx(chain(path, node("Relu", ["x"], ["y"]), opset=6))
    with pytest.raises(ValueError, match=r"own\.Relu: no operator of ONNX itself"):
        from_onnx(chain(path, node("Relu", ["x"], ["y"], domain="own")))
    mean = node("ReduceMean", ["x"], ["y"], axes=[-1])
    with pytest.raises(ValueError, match="a LayerNorm that an exporter took apart"):
        from_onnx(chain(path, mean, opset=13))
    computed = node("Abs", ["g"], ["b"]), node("LayerNormalization", ["x", "g", "b"], ["y"])
    with pytest.raises(ValueError, match="its bias is computed, where a constant was expected"):
        from_onnx(chain(path, *computed, constants={"g": np.ones(4, "float32")}))
    yes = {"half": np.array(0.5, "float32"), "yes": np.array(True)}
    dropout = node("Dropout", ["x", "half", "yes"], ["z"]), node("Relu", ["z"], ["y"])
    with pytest.raises(ValueError, match="Dropout z: it drops at inference too"):
        from_onnx(chain(path, *dropout, constants=yes))
    assert repr(from_onnx(chain(path, *dropout, constants=yes | {"yes": np.array(False)}))) == "Sequential(ReLU())"


@pytest.mark.messages
def test_layers_that_share_a_constant_do_not_fill_the_memory(tmp_path: Path) -> None:
    def shared(count: int) -> Path:
        names = ["x", *(f"z{i}" for i in range(count - 1)), "y"]
        nodes = [onnx.helper.make_node("MatMul", [one, "w"], [other]) for one, other in pairwise(names)]
        return chain(tmp_path / "m.onnx", *nodes, constants={"w": np.eye(256, dtype="float32")})

    assert len(from_onnx(shared(4)).layers) == 4
    assert shared(400).stat().st_size < 300_000
    with pytest.raises(ValueError, match="far more memory than the file"):
        from_onnx(tmp_path / "m.onnx")


def test_a_file_may_have_any_number_of_weights(tmp_path: Path) -> None:
    """In a constant of the graph, in a node, and as numbers that are not raw."""
    w = np.random.default_rng(0).normal(size=(400, 1000)).astype("float32")
    floats = onnx.helper.make_tensor("w", 1, w.T.shape, w.T.ravel())
    node = onnx.helper.make_node
    path = chain(
        tmp_path / "m.onnx",
        node("Constant", [], ["v"], value=floats),
        node("MatMul", ["x", "first"], ["z"]),
        node("MatMul", ["z", "w"], ["u"]),
        node("MatMul", ["u", "v"], ["y"]),
        constants={"first": w[:4, :400].copy(), "w": w},
    )
    assert path.stat().st_size > 3_000_000
    assert len(from_onnx(path).layers) == 3
