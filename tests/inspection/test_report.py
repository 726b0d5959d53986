"""What is in the file. `test_report_in_browser.py` looks at what a browser makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    Bidirectional,
    ByteTokenizer,
    CharTokenizer,
    Embedding,
    GRUCell,
    Linear,
    LSTMCell,
    OneHot,
    RNNCell,
    Sequential,
    Softmax,
    SoftmaxCrossEntropy,
    WordTokenizer,
    Zoneout,
    credit_map,
    inspection,
    record,
)
from tinygrad_rnn.inspection.packing import activations, predictions
from tinygrad_rnn.testing import StrictDevice

TEXT = 'He said "yes",\n\tthen </script><b>&amp;</b> {{data}} {{script}} <!-- and left.'
TOKENIZER = CharTokenizer.from_text(TEXT)
V = len(TOKENIZER)
IDS: Any = TOKENIZER.encode(TEXT).astype(np.int64)[:, None]
T = len(IDS)
KINDS = {"codes": "i1", "scale": "<f4", "end": "<f4", "bits": "<f4", "most": "<f4"}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def language_model(*cells: Any, size: int = V) -> Any:
    cells = cells or (LSTMCell(4, 5, rng=rng()),)
    model = Sequential(Embedding(size, 4, rng=rng()), *cells, Linear(cells[-1].out_size or 5, size, rng=rng()))
    for parameter in model.parameters():
        parameter.value = 0.6 * np.random.default_rng(2).standard_normal(parameter.shape).astype(np.float32)
    return model


class Page(HTMLParser):
    """The scripts of a page by their ids, and every tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.about = json.loads(self.scripts["about"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = (dict(attrs).get("id") or tag) if tag == "script" else tag

    def handle_data(self, data: str) -> None:
        self.scripts[self.inside] = self.scripts.get(self.inside, "") + data

    def array(self, name: str, kind: str = "") -> Any:
        kind = kind or KINDS.get(name.split("-")[0], "<u2")
        return np.frombuffer(base64.b64decode(self.scripts[f"data-{name}"]), kind)

    def values(self, layer: int, name: str) -> Any:
        """(T, H): what the page shows of a value."""
        (fraction,) = (v["fraction"] for v in self.about["layers"][layer]["values"] if v["name"] == name)
        codes = self.array(f"codes-{layer}-{name}", "u1" if fraction else "i1").reshape(-1, self.about["tokens"]).T
        return codes / 254 if fraction else codes / 127 * self.array(f"scale-{layer}-{name}")


def page(folder: Path, model: Any, text: str = TEXT, tokenizer: Any = TOKENIZER, **options: Any) -> Page:
    path = folder / "report.html"
    inspection.report(model, text, path, tokenizer=tokenizer, **options)
    return Page(path)


def test_activations_are_those_of_a_record_to_8_bits(tmp_path: Path) -> None:
    model = language_model(GRUCell(4, 5, rng=rng()), LSTMCell(5, 6, rng=rng()))
    shown, recording = page(tmp_path, model), record(model, IDS)
    assert [layer["name"] for layer in shown.about["layers"]] == list(recording.layers) == ["layers.1", "layers.2"]
    for i, cell in enumerate(recording.layers.values()):
        assert [value["name"] for value in shown.about["layers"][i]["values"]] == list(cell.values)
        for name, expected in cell.values.items():
            fraction = name in set("ifo" if i else "rz")
            limit = 1 / 508 if fraction else np.abs(expected[:, 0]).max(axis=0) / 254
            assert (np.abs(shown.values(i, name) - expected[:, 0]) <= limit + 1e-6).all(), name
            if not fraction:  # where colours end, as in plotting.unit
                end = np.quantile(np.abs(expected[:, 0]), 0.95, axis=0)
                np.testing.assert_allclose(shown.array(f"end-{i}-{name}"), end, rtol=1e-5)


def test_predictions_are_the_likeliest_of_the_softmax(tmp_path: Path) -> None:
    model = language_model()
    shown, expected = page(tmp_path, model, top=3), Softmax()(record(model, IDS).outputs)[:, 0]
    classes, found = shown.array("next").reshape(T, 3), shown.array("probabilities").reshape(T, 3) / 65535
    np.testing.assert_allclose(found, np.take_along_axis(expected, classes.astype(int), axis=1), atol=1e-5)
    np.testing.assert_allclose(found, -np.sort(-expected, axis=1)[:, :3], atol=1e-5)
    bits = -np.log2(expected[np.arange(T - 1), IDS[1:, 0]])
    np.testing.assert_allclose(shown.array("bits"), bits, rtol=1e-4)
    loss, _ = SoftmaxCrossEntropy().forward(record(model, IDS).outputs[:-1], IDS[1:])
    assert shown.about["mean"] == pytest.approx(float(loss) / np.log(2), rel=1e-5)
    assert "".join(shown.about["names"][i] for i in shown.array("ids")) == TEXT


@pytest.mark.parametrize(("credit", "reach"), [(1000, 1000), (1000, 7), (30, 7), (10, 16), (28, 28), (1, 1)])
def test_credit_is_a_band_of_the_credit_map(tmp_path: Path, credit: int, reach: int) -> None:
    model = language_model(LSTMCell(4, 5, rng=rng()), GRUCell(5, 5, rng=rng()))
    state = model.forward(IDS[:5])[1]
    shown = page(tmp_path, model, credit=credit, reach=reach, state=state)
    n, reach = min(credit, T - 1), min(reach, T - 1)
    assert shown.about["credit"] == {"layer": "layers.1", "tokens": n, "reach": reach}
    whole = credit_map(model, IDS[:-1], IDS[1:], layer="layers.1", state=state)
    found = shown.array("credit").reshape(n, reach) / 65535 * shown.array("most")[:, None]
    for t in range(n):
        band = whole[max(0, t - reach + 1) : t + 1, t][::-1]
        np.testing.assert_allclose(found[t, : len(band)], band, rtol=1e-4, atol=1e-4 * band.max())
        assert not found[t, len(band) :].any()


class Pieces:
    """A tokenizer of three tokens that look like HTML."""

    pieces = ("</script><b>", "<!--<script>", "&lt;")

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> Any:
        return np.array([self.pieces.index(piece) for piece in text.split()])

    def decode(self, ids: Any) -> str:
        return "".join(self.pieces[i] for i in ids)


def test_no_token_is_taken_for_html(tmp_path: Path) -> None:
    shown = page(tmp_path, language_model(size=3), "&lt; </script><b> <!--<script> &lt;", Pieces())
    assert shown.about["names"] == list(Pieces.pieces)
    assert [tag for tag, _ in shown.tags if tag == "b"] == []
    assert "<" not in shown.scripts["about"]
    assert not shown.about["characters"]


def test_nothing_of_a_text_is_taken_for_html(tmp_path: Path) -> None:
    shown = page(tmp_path, language_model(), title="</title><b>{{about}}</b>")
    assert [tag for tag, _ in shown.tags if tag == "b"] == []
    assert shown.scripts["title"].strip() == "</title><b>{{about}}</b>"
    assert shown.scripts["script"].count("start();") == 1  # the last one, which is whole
    names = {name for name in shown.scripts if name.startswith("data-")}
    assert names >= {"data-ids", "data-next", "data-codes-0-h", "data-credit"}


def test_a_page_names_no_other_file(tmp_path: Path) -> None:
    shown = page(tmp_path, language_model())
    sources = [(tag, attributes) for tag, attributes in shown.tags if {"src", "href"} & attributes.keys()]
    assert sources == [("link", {"rel": "icon", "href": "data:,"})]
    policy = next(a["content"] for tag, a in shown.tags if tag == "meta" and "http-equiv" in a)
    assert str(policy).startswith("default-src 'none';")
    assert "@import" not in shown.scripts["style"]
    assert "url(" not in shown.scripts["style"]


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    model = language_model(LSTMCell(4, 5, rng=rng()), GRUCell(5, 5, rng=rng()))
    options: Any = {"layers": ["layers.2"], "values": ("z", "h"), "units": (4, 0), "credit": 0}
    shown = page(tmp_path, model, **options, unit=("layers.2", "z", 4))
    (layer,) = shown.about["layers"]
    assert layer == {
        "name": "layers.2",
        "units": [4, 0],
        "all": 5,
        "values": [{"name": "z", "fraction": True}, {"name": "h", "fraction": False}],
    }
    assert shown.about["first"] == ["layers.2", "z", 4]
    expected = record(model, IDS)["layers.2"].values["z"][:, 0, [4, 0]]
    np.testing.assert_allclose(shown.values(0, "z"), expected, atol=1 / 508)
    assert "data-credit" not in shown.scripts


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("the cat sat\non the mat", WordTokenizer.from_text("the cat sat\non the mat")),
        ("Ünïcode", ByteTokenizer()),
        ("a\ud800b\x00c\u202e", CharTokenizer("a\ud800b\x00c\u202e")),
    ],
)
def test_other_tokens(tmp_path: Path, text: str, tokenizer: Any) -> None:
    size = len(tokenizer)
    shown = page(
        tmp_path, language_model(Zoneout(RNNCell(4, 5, rng=rng()), 0.1, rng=rng()), size=size), text, tokenizer
    )
    assert shown.about["names"] == [tokenizer.decode([i]) for i in range(size)]
    assert shown.about["tokens"] == len(tokenizer.encode(text))


def test_a_model_is_as_it_was_and_a_file_is_replaced(tmp_path: Path) -> None:
    model = language_model()
    before = model.flat_value.copy()
    (tmp_path / "report.html").write_text("old")
    first = page(tmp_path, model)
    assert (model.flat_value == before).all()
    assert page(tmp_path, model).scripts == first.scripts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_on_another_device(tmp_path: Path) -> None:
    model = language_model()
    expected = page(tmp_path, model, credit=20, reach=8)
    found = page(tmp_path, model.to(StrictDevice()), credit=20, reach=8)
    np.testing.assert_allclose(found.values(0, "c"), expected.values(0, "c"), rtol=1e-5, atol=0.03)
    np.testing.assert_allclose(found.array("bits"), expected.array("bits"), rtol=1e-4)
    np.testing.assert_allclose(found.array("most"), expected.array("most"), rtol=1e-4)


def test_what_is_not_finite() -> None:
    values: Any = np.array([[0.5, -2.0, np.nan], [np.inf, 4.0, np.nan], [0.25, 0.0, np.nan]], np.float32)
    packed = activations(values)
    np.testing.assert_array_equal(packed.codes, [[127, -128, 64], [-64, 127, 0], [-128, -128, -128]])
    np.testing.assert_array_equal(packed.scale, [0.5, 4, 0])
    gates = activations(np.abs(values[:, :1]) / 2)
    assert gates.fraction
    np.testing.assert_array_equal(gates.codes, [[64, 255, 32]])
    none = predictions(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([1, 0]), 5)
    assert none.probabilities.shape == (2, 2)
    assert none.bits == pytest.approx([np.log2(1 + np.e)])


def wrong_calls() -> Iterator[tuple[Any, dict[str, Any], type[Exception], str]]:
    model = language_model()
    both = Bidirectional(RNNCell(4, 3, rng=rng()), RNNCell(4, 3, rng=rng()))
    yield len, {}, TypeError, r"report\('.*'\): model must be a Recurrent, such as Sequential, not <built-in"
    yield LSTMCell(4, 5, rng=rng()), {}, ValueError, r"LSTMCell\(4, 5\) takes vectors, but a text has ids: begin it"
    yield language_model(both), {}, ValueError, r"is not causal: it has read the next token when it predicts it"
    yield model, {"tokenizer": None}, TypeError, "tokenizer must have encode and decode, as CharTokenizer, not None"
    yield model, {"text": 3}, TypeError, "text must be a str, not 3"
    yield model, {"text": "H"}, ValueError, "text has 1 tokens, but a token and the one after it are needed"
    yield model, {"text": "Hü"}, ValueError, r"CharTokenizer.encode: 'ü' \(U\+00FC\) at position 1"
    yield (
        model,
        {"tokenizer": CharTokenizer.from_text(TEXT + "ü")},
        ValueError,
        "outputs have shape .* a logit for each",
    )
    cell = Sequential(OneHot(V), LSTMCell(V, 5, rng=rng()))
    yield cell, {}, ValueError, rf"the outputs have shape \({T}, 1, 5\), expected \(T, 1, {V}\)"
    yield model, {"layers": "layers.1"}, TypeError, r"layers must be a list of names, such as \[\"h\"\], not 'layers.1'"
    yield model, {"layers": ["layers.0"]}, ValueError, "layers has 'layers.0', which is not there: 'layers.1'"
    yield model, {"values": ["z"]}, ValueError, "values has 'z', which is not there: 'h', 'c', 'i', 'f', 'o', 'g'"
    yield model, {"units": 3}, TypeError, r"units must be integers, such as range\(64\), not 3"
    yield model, {"units": ()}, ValueError, "units is empty, but must hold integers from 0 to 4"
    yield model, {"units": [5]}, ValueError, "units holds 5, but must hold integers from 0 to 4"
    yield model, {"unit": 3}, TypeError, r'unit must be a layer, a value and a number, as \("layers.1", "h", 0\), not 3'
    yield model, {"unit": ("layers.2", "h", 0)}, ValueError, "unit has 'layers.2', which is not there: 'layers.1'"
    yield model, {"unit": ("layers.1", "h", 5)}, ValueError, "unit 5 is not on the page: 'layers.1' has 5 units"
    yield model, {"unit": ("layers.1", "h", 3), "units": [1]}, ValueError, r"unit 3 is not on .* units is \[1\]"
    yield model, {"top": 0}, ValueError, "top must be at least 1"
    yield model, {"credit": -1}, ValueError, "credit must be at least 0"
    yield model, {"reach": 0}, ValueError, "reach must be at least 1"
    yield model, {"title": 1}, TypeError, "title must be a str, not 1"
    yield model, {"path": 3}, TypeError, "report: path is a int, where the path of a file was expected"
    yield model, {"path": "/none/report.html"}, FileNotFoundError, "there is no directory '/none'; make it first"


@pytest.mark.messages
@pytest.mark.parametrize(("model", "options", "error", "message"), list(wrong_calls()))
def test_what_does_not_go_together_is_told_why(
    tmp_path: Path, model: Any, options: Any, error: type[Exception], message: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    arguments = {"text": TEXT, "path": path, "tokenizer": TOKENIZER, **options}
    with pytest.raises(error, match=message):
        inspection.report(model, **arguments)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
