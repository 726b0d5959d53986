from __future__ import annotations

import copy
import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.core.layer import Layer
from tinygrad_rnn.core.parameter import Parameter
from tinygrad_rnn.data.char_tokenizer import CharTokenizer
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.models.sequential import Sequential
from tinygrad_rnn.optim.adagrad import Adagrad
from tinygrad_rnn.saving.checkpoint import Checkpoint, load, save
from tinygrad_rnn.testing import StrictDevice

# Every plane; and lone surrogates, among them a high one before a low one, which are two characters and not one.
PLANES = "".join(chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0x41, 0xD800, 0xFFFF))
PAIR = "\ud83d" + "\ude00"
TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from('\\"u/\x00\x7f' + PLANES))

EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def network(rng: np.random.Generator) -> Sequential:
    return Sequential(OneHot(5), RNNCell(5, 3, rng=rng, nonlinearity="relu"), Linear(3, 5, rng=rng))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def header(path: Path) -> dict[str, Any]:
    """The header as any reader of JSON sees it."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    text: dict[str, Any] = json.loads(data[8 : 8 + size])
    return text


def forge(path: Path, change: Callable[[dict[str, Any]], None], tensors: dict[str, Any] | None = None) -> None:
    """Change the content of the header, and give it a checksum as `save` does."""
    from tinygrad_rnn.saving.safe_file import checksum

    content = json.loads(header(path)["__metadata__"]["tinygrad_rnn"])
    tensors = safetensors.numpy.load_file(path) if tensors is None else tensors
    change(content)
    content["sha256"] = ""
    content["sha256"] = checksum(json.dumps(content), tensors)
    path.write_bytes(safetensors.numpy.save(tensors, {"tinygrad_rnn": json.dumps(content)}))


def assert_same(saved: Any, model: Any) -> None:
    assert repr(saved) == repr(model)
    parameters, expected = dict(saved.named_parameters()), dict(model.named_parameters())
    assert list(parameters) == list(expected)
    for name, parameter in expected.items():
        value = parameters[name].value
        assert value.dtype == parameter.value.dtype
        assert value.shape == parameter.value.shape
        assert value.tobytes() == parameter.value.tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_round_trip_is_exact(path: Path, rng: np.random.Generator, dtype: str, packed: bool) -> None:
    model = network(rng).to(dtype=dtype)
    odd = np.array([np.nan, -0.0, np.inf, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max], dtype)
    model.layers[2].b.value = odd  # type: ignore[union-attr]
    if packed:
        assert model.flat_value.size
    tokenizer = CharTokenizer("abcde")
    save(path, model, tokenizer=tokenizer, metadata={"epochs": 3}, allow_nonfinite=True)
    saved = load(path)
    assert isinstance(saved, Checkpoint)
    assert_same(saved.model, model)
    assert saved.tokenizer == tokenizer
    assert saved.metadata == {"epochs": 3}
    ids = rng.integers(0, 5, (7, 2))
    (ys, state), (expected, after) = saved.model(ids), model(ids)
    assert ys.tobytes() == expected.tobytes()
    assert state[1][0].tobytes() == after[1][0].tobytes()


def test_what_is_not_given_is_none_or_empty(path: Path, rng: np.random.Generator) -> None:
    save(str(path), network(rng))
    saved = load(str(path))
    assert saved.tokenizer is None
    assert saved.metadata == {}


def test_a_model_without_parameters(path: Path) -> None:
    save(path, Sequential(OneHot(3)))
    assert_same(load(path).model, Sequential(OneHot(3)))


def test_the_file_is_plain_safetensors(path: Path, rng: np.random.Generator) -> None:
    model = network(rng)
    save(path, model, tokenizer=CharTokenizer("aé😀bc"), metadata={"loss": 0.5})
    tensors = safetensors.numpy.load_file(path)
    assert tensors.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(tensors[name], parameter.value)
    (text,) = header(path)["__metadata__"].values()
    assert "aé😀bc" in text  # characters stand there as they are
    content = json.loads(text)
    assert content["version"] == 1
    assert content["metadata"] == {"loss": 0.5}
    cell = content["model"]["config"]["layers"]["tuple"][1]
    sizes = {"in_size": 5, "out_size": 3}
    options = {"nonlinearity": "relu", "recurrent_initializer": "orthogonal", "bias": True}
    assert cell == {"class": "RNNCell", "config": sizes | options}


def test_the_same_model_gives_the_same_bytes(path: Path, rng: np.random.Generator) -> None:
    save(path, network(rng), tokenizer=CharTokenizer("abcde"), metadata={"b": 1, "a": 2})
    first = path.read_bytes()
    saved = load(path)
    save(path, saved.model, tokenizer=saved.tokenizer, metadata=saved.metadata)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(3, 2).T,
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-2],
    ],
)
def test_arrays_in_another_order(path: Path, rng: np.random.Generator, array: Any) -> None:
    model = Linear(2, 3, rng=rng).to(dtype=array.dtype)
    model.w._value = array
    assert not model.w.value.flags.c_contiguous
    save(path, model)
    np.testing.assert_array_equal(load(path).model.w.value, array)


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_on_another_device(path: Path, rng: np.random.Generator, packed: bool) -> None:
    model = network(rng)
    there = copy.deepcopy(model).to(StrictDevice())
    if packed:
        assert there.flat_value.size
    save(path, there)
    assert_same(load(path).model, model)


def test_a_training_is_loaded_to_any_device(path: Path, rng: np.random.Generator) -> None:
    model, device = network(rng), StrictDevice()
    optimizer = Adagrad(model, lr=0.1)
    model.flat_grad.fill(1)
    optimizer.step()
    save(path, model, optimizer=optimizer, state=model.initial_state(2))
    training = load(path, device=device)
    assert load(path, device=device).model.device == training.model.device == device
    h = training.state[1][0]
    ids = device.asarray(np.array([[0, 1]]))
    training.model(ids, training.state)  # which refuses a state of another device
    assert (h.device, h.shape) == (device, (2, 3))
    again = Adagrad(training.model, lr=0.1)
    again.restore(training.optimizer)
    for name, total in optimizer.memory().arrays["sum"].items():
        np.testing.assert_array_equal(device.to_host(again.memory().arrays["sum"][name]), total)


class Odd(Layer):
    """A scalar parameter and an empty one."""

    def __init__(self) -> None:
        self.scalar = Parameter(np.array(2.5, np.float32))
        self.empty = Parameter(np.zeros((0, 3), np.float32))


def test_parameters_without_axes_or_entries(path: Path) -> None:
    model = Odd()
    model.scalar.value[...] = 7
    save(path, model)
    assert_same(load(path, classes=[Odd]).model, model)


@EXAMPLES
@given(characters=TEXTS, text=TEXTS)
@example(characters=PLANES, text=PAIR)
@example(characters="\ude00\ud83d", text="\\" + PAIR + '\\ud83d\\ude00"' + "\U0001f600")
@example(characters="\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), text="\\u0041\ud800")
def test_every_text_survives(tmp_path: Path, characters: str, text: str) -> None:
    path = tmp_path / "model.safetensors"
    tokenizer = CharTokenizer("".join(dict.fromkeys(characters)), special=("<s>", PAIR), unknown=PAIR)
    save(path, Sequential(OneHot(len(tokenizer))), tokenizer=tokenizer, metadata={text: text})
    saved = load(path)
    assert saved.tokenizer == tokenizer
    assert saved.metadata == {text: text}
    header(path)  # any reader of JSON can read it


def test_metadata_is_what_json_holds(path: Path) -> None:
    numbers = [True, 1, 10**30, 0.1, 1e-320, float("inf")]
    metadata: dict[str, Any] = {"none": None, "list": [*numbers, "x"], "dict": {"": {}}, "tuple": (1, (2,))}
    save(path, Sequential(OneHot(2)), metadata=metadata)
    saved = load(path).metadata
    assert saved == {**metadata, "tuple": [1, [2]]}
    assert list(map(type, saved["list"])) == [bool, int, int, float, float, float, str]
    for key in ("class", "config", "tuple", "dict", "same"):  # the words that mark layers mean nothing here
        save(path, Sequential(OneHot(2)), metadata={key: {key: [1]}})
        assert load(path).metadata == {key: {key: [1]}}


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 3}, "model is a int, where a layer was expected"),
        ({"tokenizer": "ab"}, r"tokenizer is a str, without the config\(\) that saving needs"),
        ({"metadata": [1]}, "metadata is a list, where a dict was expected"),
        ({"metadata": {"a": [0, {"b": {1}}]}}, r"metadata\['a'\]\[1\]\['b'\] is a set, \{1\}, which JSON cannot"),
        ({"metadata": {"a": {1: 2}}}, r"metadata\['a'\] is a dict with a key that is not a str, \{1: 2\}, which JSON"),
        ({"metadata": {"w": np.ones(2)}}, r"metadata\['w'\] is a ndarray, array\(\[1., 1.\]\), which"),
        ({"metadata": {"x": np.float32(1)}}, r"metadata\['x'\] is a float32"),
        ({"metadata": {"m": OneHot(3)}}, r"metadata\['m'\] is a OneHot"),
        ({"metadata": {"b": b"x"}}, r"metadata\['b'\] is a bytes"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    path: Path, rng: np.random.Generator, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=rf"^save\('.*model.safetensors'\): {message}"):
        save(path, **{"model": network(rng), **arguments})
    assert not list(path.parent.iterdir())


@pytest.mark.messages
def test_parameters_of_two_dtypes_are_refused(path: Path, rng: np.random.Generator) -> None:
    model = Sequential(Linear(2, 2, rng=rng), Linear(2, 2, rng=rng).to(dtype="float64"))
    with pytest.raises(ValueError, match=r"the parameters differ in dtype: call model.to\(dtype=...\) first"):
        save(path, model)


@pytest.mark.messages
def test_paths_that_cannot_be(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(IsADirectoryError, match=r"^save\(.*this is a directory; give the path of a file in it"):
        save(tmp_path, network(rng))
    with pytest.raises(FileNotFoundError, match=r"^save\(.*there is no directory '.*none'; make it first"):
        save(tmp_path / "none" / "x", network(rng))
    with pytest.raises(IsADirectoryError, match=r"^load\(.*this is a directory; give the path of a file in it"):
        load(tmp_path)
    none = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=rf"^load\('.*none'\): .* \(looked for {re.escape(repr(str(none)))}\)"):
        load(none)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_while_writing_leaves_the_old_file(
    path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, failing: str, error: type[BaseException]
) -> None:
    def fail(*arguments: object) -> None:
        assert len(list(path.parent.iterdir())) == 2, "not beside the target"
        raise error("no space")

    class Full:
        def __init__(self, path: Path, mode: str) -> None:
            self.path, self.file = path, open(path, mode)  # noqa: SIM115

        def __enter__(self) -> Any:
            self.file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.__exit__(*error)

        def write(self, data: bytes) -> None:
            self.file.write(data[: len(data) // 2])
            fail()

    save(path, network(rng))
    old = path.read_bytes()
    if failing == "write":
        monkeypatch.setattr("tinygrad_rnn.core.files.open", Full, raising=False)
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(error, match="no space"):
        save(path, network(rng))
    monkeypatch.undo()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == old


def test_the_content_is_on_the_disk_before_it_takes_its_name(
    path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        calls.append(("fsync", os.fstat(file).st_size))
        fsync(file)

    def replaced(source: Path, target: Path) -> None:
        calls.append(("replace", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    save(path, network(rng))
    size = path.stat().st_size
    assert calls == [("fsync", size), ("replace", size), ("fsync", path.parent.stat().st_size)]  # and so is the name


@pytest.mark.skipif(os.name != "posix", reason="links and permissions as POSIX has them")
def test_links_and_permissions_are_as_of_any_file(path: Path, rng: np.random.Generator) -> None:
    link, plain = path.with_name("latest"), path.with_name("plain")
    link.symlink_to(path.name)
    save(link, network(rng))
    plain.touch()
    assert link.is_symlink()
    assert path.stat().st_mode == plain.stat().st_mode
    assert load(link).metadata == {}


@pytest.mark.messages
def test_empty_files_and_those_of_others(path: Path, rng: np.random.Generator) -> None:
    path.touch()
    with pytest.raises(ValueError, match=r"^load\('.*'\): the file is empty, so its writing was cut short; take"):
        load(path)
    path.write_bytes(safetensors.numpy.save({"b": np.ones(2), "a": np.ones(2)}))
    with pytest.raises(ValueError, match=r"^load\(.*not written by `save`.*its tensors: a, b\. Read it with"):
        load(path)
    path.write_bytes(safetensors.numpy.save({}, {"format": "pt"}))
    with pytest.raises(ValueError, match=r"not written by `save`.*: none"):
        load(path)
    for text in ("", "[]", "3", "{}", '{"version": 1}', '{"version": "1", "sha256": ""}', "[" * 10**6):
        path.write_bytes(safetensors.numpy.save({}, {"tinygrad_rnn": text}))
        with pytest.raises(ValueError, match="the file is damaged: its header is not what `save` writes; take another"):
            load(path)


@pytest.mark.messages
def test_a_newer_format(path: Path) -> None:
    save(path, Sequential(OneHot(3)))
    forge(path, lambda content: content.update(version=2, later=[]))
    message = r"the file is of format version 2, and this tinygrad_rnn reads up to 1: install a newer one"
    with pytest.raises(ValueError, match=rf"^load\('.*'\): {message}"):
        load(path)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": np.ones((3, 2), np.float16)}, "the tensors are F16, where F32 or F64 was expected"),
        ({"w": np.ones((3, 2)), "b": np.ones(2, np.float32)}, "the tensors are F32 and F64, where F32 or F64 was"),
        ({"w": np.ones((3, 2), int), "b": np.ones(2, np.uint8)}, "the tensors are I64 and U8, where"),
    ],
)
def test_other_dtypes(path: Path, rng: np.random.Generator, tensors: dict[str, Any], message: str) -> None:
    save(path, Linear(3, 2, rng=rng))
    forge(path, lambda content: None, tensors)
    with pytest.raises(ValueError, match=message):
        load(path)


@pytest.mark.messages
def test_dtypes_that_numpy_has_not(path: Path) -> None:
    save(path, Sequential(OneHot(3)))
    text = json.dumps(
        {"__metadata__": header(path)["__metadata__"], "w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}
    )
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + b"\0\0")
    with pytest.raises(ValueError, match="the tensors are BF16, where F32 or F64 was expected"):
        load(path)


@pytest.mark.messages
def test_all_that_does_not_match_is_listed(path: Path, rng: np.random.Generator) -> None:
    model = network(rng)
    save(path, model)
    tensors = {name: parameter.value for name, parameter in model.named_parameters()}
    del tensors["layers.1.w_h"], tensors["layers.2.b"]
    tensors |= {"layers.2.w": np.zeros((5, 3), np.float32), "layers.2.v": np.zeros(4, np.float32)}
    forge(path, lambda content: None, tensors)
    message = (
        r"the model cannot be made anew\. The parameters in the file are not those of its classes: "
        r"layers\.1\.w_h \(3, 3\) is missing; layers\.2\.b \(5,\) is missing; "
        r"layers\.2\.v \(4,\) is unexpected; layers\.2\.w is \(5, 3\), expected \(3, 5\)\. Give the classes as they"
    )
    with pytest.raises(ValueError, match=message):
        load(path)


BROKEN, CHANGED = "no whole safetensors file", "the file is damaged: its content does not match its checksum"
NOT_OURS = "not written by `save`"


def training_file(path: Path, rng: np.random.Generator) -> tuple[bytes, int]:
    """The bytes of a whole training at `path`, and where its header ends."""
    model = network(rng)
    state, optimizer = model.initial_state(2), Adagrad(model, lr=0.1)
    save(path, model, tokenizer=CharTokenizer("abcde"), metadata={"note": "x"}, optimizer=optimizer, state=state)
    data = path.read_bytes()
    return data, 8 + int(struct.unpack("<Q", data[:8])[0])


def spread(data: bytes, end: int) -> list[int]:
    """250 places and more all over a file, with those around the bounds of its parts."""
    return sorted(
        {0, 1, *range(6, 11), *range(end - 2, end + 3), *range(0, len(data), len(data) // 250), len(data) - 1}
    )


@contextmanager
def little_memory() -> Iterator[None]:
    """No more than 16 megabytes are taken, and where the system can refuse it, no 64 of addresses are asked for.

    The reader itself takes less than one; hypothesis, which may run in between, some two.
    """
    tracemalloc.start()
    try:
        with address_limit(2**26):
            yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@contextmanager
def address_limit(more: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def assert_refused(path: Path, data: bytes, says: str) -> None:
    """`data` at `path` is, by an error that names the file and says why; the file stays as it is."""
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"^load\({re.escape(repr(str(path)))}\): .*({says})"):
        load(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == data


def test_a_truncated_file_is_refused_wherever_it_ends(path: Path, rng: np.random.Generator) -> None:
    data, end = training_file(path, rng)
    ends = spread(data, end)
    assert len(ends) >= 200
    with little_memory():
        for place in ends:
            assert_refused(path, data[:place], BROKEN if place else "the file is empty")
        assert_refused(path, data + b"\0", BROKEN)


def test_a_flipped_bit_is_found_wherever_it_is(path: Path, rng: np.random.Generator) -> None:
    data, end = training_file(path, rng)
    places = spread(data, end)
    assert len(places) >= 200
    assert sum(place >= end for place in places) >= 30
    with little_memory():
        for number, place in enumerate(places):
            damaged = bytearray(data)
            damaged[place] ^= 1 << number % 8
            header = f"{BROKEN}|the file is damaged|{NOT_OURS}|the tensors are|the file is of format version"
            assert_refused(path, bytes(damaged), CHANGED if place >= end else header)


@pytest.mark.messages
def test_what_a_flipped_bit_says(path: Path, rng: np.random.Generator) -> None:
    save(path, network(rng), metadata={"note": "as it was"})
    data = path.read_bytes()
    changes = [(data[-4:], b"\0\0\0\0"), (b"as it was", b"as it has")]
    for old, new in [*changes, (b"layers.2.b", b"layers.2.c"), (b"[3,5]", b"[5,3]")]:
        assert old in data
        path.write_bytes(data.replace(old, new))
        with pytest.raises(ValueError, match="the file is damaged: its content does not match its checksum; take"):
            load(path)


@EXAMPLES
@given(data=st.binary(min_size=1) | st.binary().map(lambda b: struct.pack("<Q", len(b)) + b))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    with little_memory():
        assert_refused(tmp_path / "random", data, f"{BROKEN}|{NOT_OURS}")


def test_many_random_bytes_alone_and_in_the_place_of_weights(path: Path, rng: np.random.Generator) -> None:
    data, end = training_file(path, rng)
    with little_memory():
        for size in range(1, 4001, 20):
            assert_refused(path, rng.bytes(size), BROKEN)
            assert_refused(path, data[:end] + rng.bytes(len(data) - end), CHANGED)


CLAIMS = [10**8, 4 * 10**12, 2**63, 2**64 - 1, *np.geomspace(2e8, 1.8e19, 200).astype(np.uint64).tolist()]


@pytest.mark.messages
def test_a_header_that_claims_terabytes(path: Path, rng: np.random.Generator) -> None:
    training_file(path, rng)
    honest, cut_short = header(path), f"{BROKEN}, but one that was cut short"
    with little_memory():
        for size in CLAIMS:
            assert_refused(path, struct.pack("<Q", size) + b"{}", cut_short)
            claim = {"dtype": "F64", "shape": [size], "data_offsets": [0, 8 * size]}
            for tensors in ({"w": claim}, {**honest, "layers.1.b": claim}, {**honest, "state/1/0": claim}):
                text = json.dumps(tensors).encode()
                assert_refused(path, struct.pack("<Q", len(text)) + text + bytes(100), cut_short)


def test_a_made_up_header_is_refused_too(path: Path, rng: np.random.Generator) -> None:
    """Such files have a right checksum; what they say is nonsense."""
    changes: list[dict[str, Any]] = [
        {"classes": 3},
        {"model": None},
        {"model": "RNNCell"},
        {"model": {"class": "Device", "config": {"name": "cpu"}}},
        {"model": {"class": "CharTokenizer", "config": {"characters": "ab"}}},
        {"model": {"class": "Layer", "config": {}}},
        {"model": {"class": "OneHot", "config": [3]}},
        {"model": {"same": 0}},
        {"model": {"class": "Linear", "config": {"in_size": 10**15, "out_size": 10**6}}},
        {"tied": 3},
    ]
    for change in changes:
        save(path, Linear(3, 2, rng=rng))
        forge(path, lambda content, change=change: content.update(change))  # type: ignore[misc]
        with pytest.raises(ValueError, match=r"^load\(.*the model cannot be made anew"):
            load(path)
    for key in ("classes", "model", "tokenizer", "metadata", "tied"):
        save(path, Linear(3, 2, rng=rng))
        forge(path, lambda content, key=key: content.pop(key))  # type: ignore[misc]
        with pytest.raises(ValueError, match=r"^load\(.*the model cannot be made anew"):
            load(path)


def test_importing_the_package_stays_cheap() -> None:
    code = "import sys, numpy; before = {*sys.modules}; import tinygrad_rnn; print(*({*sys.modules} - before))"
    root = Path(sys.modules["tinygrad_rnn"].__file__ or "").parent.parent
    run = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert not {"safetensors", "hashlib", "json", "numpy.random"} & {*run.stdout.split()}
