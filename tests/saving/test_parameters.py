from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Adam,
    Dropout,
    Embedding,
    GRUCell,
    Linear,
    OneHot,
    Sequential,
    TiedLinear,
    load_parameters,
    save,
)
from tinygrad_rnn.testing import StrictDevice


def network(seed: int, classes: int = 5, hidden: int = 4) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(OneHot(5), GRUCell(5, hidden, rng=rng), Linear(hidden, classes, rng=rng))


def values(model: Any) -> dict[str, Any]:
    return {name: model.device.to_host(p.value).copy() for name, p in model.named_parameters()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "model", network(0))
    return tmp_path / "model"


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("device", ["cpu", StrictDevice()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_weights_are_written_into_the_arrays(path: Path, strict: bool, device: Any, dtype: str) -> None:
    model = network(1).to(device, dtype=dtype)
    optimizer = Adam(model, 0.1)
    arrays = [p.value for p in model.parameters()]
    report = load_parameters(path, model, strict=strict)
    for (name, parameter), array in zip(model.named_parameters(), arrays, strict=True):
        assert parameter.value is array
        assert array.dtype == dtype
        np.testing.assert_array_equal(model.device.to_host(array), values(network(0))[name])
    optimizer.step()  # it still belongs to the model
    assert report == (tuple(values(model)), (), (), {})
    assert repr(report) == "6 of 6 parameters were taken"


def test_what_fits_is_taken(path: Path) -> None:
    rng = np.random.default_rng(1)
    model = Sequential(OneHot(5), GRUCell(5, 4, rng=rng), Linear(4, 3, rng=rng), Linear(3, 2, rng=rng))
    before, saved = values(model), values(network(0))
    report = load_parameters(path, model, strict=False)
    assert report.taken == ("layers.1.w_x", "layers.1.w_h", "layers.1.b", "layers.1.b_h")
    assert report.missing == ("layers.3.w", "layers.3.b")
    assert report.unexpected == ()
    assert report.misshapen == {"layers.2.w": ((4, 5), (4, 3)), "layers.2.b": ((5,), (3,))}
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, (saved if name in report.taken else before)[name])
    assert repr(report) == (
        "4 of 8 parameters were taken\n"
        "missing: layers.3.w; layers.3.b\n"
        "misshapen: layers.2.w is (4, 5), expected (4, 3); layers.2.b is (5,), expected (3,)"
    )


def test_a_shape_of_one_is_not_broadcast(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save(tmp_path / "model", Linear(1, 1, rng=rng))
    model = Linear(3, 2, rng=rng)
    before = values(model)
    assert load_parameters(tmp_path / "model", model, strict=False).taken == ()
    np.testing.assert_array_equal(model.w.value, before["w"])


def test_a_part_is_loaded_as_a_model(tmp_path: Path) -> None:
    save(tmp_path / "cell", network(0).layers[1])
    model = network(1)
    load_parameters(tmp_path / "cell", model.layers[1])
    np.testing.assert_array_equal(values(model)["layers.1.w_h"], values(network(0))["layers.1.w_h"])
    np.testing.assert_array_equal(values(model)["layers.2.w"], values(network(1))["layers.2.w"])


def tied(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    model: Any = Sequential(Linear(3, 3, rng=rng), Linear(3, 3, rng=rng))
    model.layers[1].w = model.layers[0].w
    return model


def test_a_tied_parameter_has_several_names(tmp_path: Path) -> None:
    save(tmp_path / "tied", tied(0))
    rng = np.random.default_rng(1)
    model = Sequential(Linear(3, 3, rng=rng), Linear(3, 3, rng=rng))
    load_parameters(tmp_path / "tied", model)
    for layer in model.layers:
        np.testing.assert_array_equal(values(layer)["w"], values(tied(0))["layers.0.w"])
    load_parameters(tmp_path / "tied", tied(2))
    save(tmp_path / "untied", model)
    assert load_parameters(tmp_path / "untied", tied(2), strict=False).unexpected == ("layers.1.w",)


def test_random_streams_stay(tmp_path: Path) -> None:
    def noisy(seed: int) -> Any:
        rng = np.random.default_rng(seed)
        table = Embedding(5, 4, rng=rng)
        return Sequential(table, Dropout(0.5, rng=rng), TiedLinear(table))

    save(tmp_path / "model", noisy(0))
    model = noisy(1)
    before = {name: stream.bit_generator.state for name, stream in model.generators().items()}
    load_parameters(tmp_path / "model", model)
    assert {name: stream.bit_generator.state for name, stream in model.generators().items()} == before


@pytest.mark.messages
def test_another_model_is_refused_and_nothing_is_changed(path: Path) -> None:
    rng = np.random.default_rng(1)
    model = Sequential(OneHot(5), GRUCell(5, 4, rng=rng), GRUCell(4, 4, rng=rng), Linear(4, 5, rng=rng))
    before = values(model)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_parameters(path, model)
    assert str(error.value) == (
        f"load_parameters({str(path)!r}): the file is of another model. 4 of 10 parameters were taken\n"
        "missing: layers.2.w_x; layers.2.w_h; layers.2.b_h; layers.3.w; layers.3.b\n"
        "unexpected: layers.2.w\n"
        "misshapen: layers.2.b is (5,), expected (12,)\n"
        "Give the model that was saved, or take what fits with strict=False"
    )
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.messages
def test_junk_is_refused(path: Path, tmp_path: Path) -> None:
    call = r"load_parameters\('.*model'\): "
    with pytest.raises(TypeError, match=f"^{call}model is a Adam, where a layer was expected$"):
        load_parameters(path, Adam(network(0), 0.1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"^{call}strict must be True or False, not 1$"):
        load_parameters(path, network(0), strict=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^load_parameters: path is a Sequential, where the path of a file"):
        load_parameters(network(0), path)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"^load_parameters\('.*missing'\)"):
        load_parameters(tmp_path / "missing", network(0))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=f"^{call}this is no whole safetensors file"):
        load_parameters(path, network(0))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"^{call}the file is empty"):
        load_parameters(path, network(0))
