"""What a browser shows of a report, and whether that is what the library computes. `nox -s browser` has a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browsing import contrasts, opened
from tinygrad_rnn import (
    CharTokenizer,
    Embedding,
    GRUCell,
    Linear,
    LSTMCell,
    Sequential,
    Softmax,
    Tanh,
    credit_map,
    inspection,
    record,
)

pytestmark = pytest.mark.browser

TEXT = 'She said "yes" </script><b>to</b> all,\n\n\tand then she left the house of her aunt.\n' * 4
TOKENIZER = CharTokenizer.from_text(TEXT)
V = len(TOKENIZER)
IDS: Any = TOKENIZER.encode(TEXT).astype(np.int64)[:, None]
T = len(IDS)
COLOURS = {  # of the style: light, dark
    "ground": ("#ffffff", "#16181d"),
    "low": ("#69aaf2", "#2561ab"),
    "high": ("#f58f72", "#a8412b"),
    "open": ("#57bd8c", "#1b6b47"),
    "bits": ("#f0b43a", "#7a5600"),
}


def make_model() -> Any:
    rng = np.random.default_rng(3)
    cells = LSTMCell(6, 12, rng=rng), GRUCell(12, 9, rng=rng)
    model = Sequential(Embedding(V, 6, rng=rng), *cells, Linear(9, V, rng=rng))
    for parameter in model.parameters():
        parameter.value = 0.7 * rng.standard_normal(parameter.shape).astype(np.float32)
    return model


MODEL = make_model()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    inspection.report(MODEL, TEXT, path, tokenizer=TOKENIZER, top=5, credit=200, reach=30)
    return path


def spans(page: Any, what: str) -> list[Any]:
    """A property of each token."""
    found: list[Any] = page.eval_on_selector_all("#text span", f"spans => spans.map((s) => {what})")
    return found


def rgb(colour: str) -> Any:
    """Of `#69aaf2`, or of `rgb(1, 2, 3)`."""
    if colour.startswith("#"):
        return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.array([float(number) for number in re.findall(r"[\d.]+", colour)])[:3]


def mixed(name: str, share: Any, scheme: str = "light") -> Any:
    """What the colour of a share from 0 to 1 should be."""
    ground, end = (rgb(COLOURS[colour][scheme == "dark"]) for colour in ("ground", name))
    return ground + np.clip(share, 0, 1)[..., None] * (end - ground)


def backgrounds(page: Any) -> Any:
    """(T, 3): the colours behind the tokens; NaN where there is none."""
    found = spans(page, "s.style.backgroundColor")
    return np.array([rgb(colour) if colour else [np.nan] * 3 for colour in found])


def likeliest(t: int) -> list[tuple[str, str]]:
    """What should stand in the list of the next tokens."""
    expected = Softmax()(record(MODEL, IDS).outputs)[t, 0]
    best = np.argsort(-expected, kind="stable")[:5]
    visible = {" ": "␣", "\n": "↵", "\t": "⇥"}
    return [
        (
            visible.get(name := TOKENIZER.decode([i]), name),
            f"{100 * expected[i]:.0f} %" if expected[i] >= 0.0995 else f"{100 * expected[i]:.1f} %",
        )
        for i in best.tolist()
    ]


def listed(page: Any) -> list[tuple[str, str]]:
    found = page.eval_on_selector_all(
        "#next li", "rows => rows.map((r) => [r.children[0].textContent, r.children[2].textContent])"
    )
    return [(name, "0.0 %" if number == "<0.1 %" else number) for name, number in found]


def test_the_text_stands_there_as_it_is(browser: Any, written: Path) -> None:
    with opened(browser, written) as page:
        shown = "".join(spans(page, "s.textContent"))
        assert shown == TEXT.replace("\n", "↵\n").replace("\t", "⇥")
        assert page.locator("#text b").count() == 0
        assert page.title() == "What Sequential reads"
        assert "characters" in page.locator("#facts").inner_text()
        assert page.locator("#next-title").inner_text() == "Next character"
        assert "token" not in page.locator("#keys").text_content()


def test_all_values_of_an_lstm_are_in_view_in_the_frame_of_a_page(browser: Any, tmp_path: Path) -> None:
    path, rng = tmp_path / "page.html", np.random.default_rng(0)
    model = Sequential(Embedding(V, 5, rng=rng), LSTMCell(5, 128, rng=rng), Linear(128, V, rng=rng))
    inspection.report(model, TEXT, path, tokenizer=TOKENIZER)
    with opened(browser, path, width=736) as page:
        page.set_viewport_size({"width": 736, "height": 736})  # 92 % of a low screen
        reader, time = (page.locator(name).bounding_box() for name in ("#reader", "#time"))
        assert reader["x"] + reader["width"] <= time["x"]
        assert time["y"] + time["height"] < 736


def test_a_hovered_character_shows_its_distribution(browser: Any, written: Path) -> None:
    with opened(browser, written) as page:
        for t in (5, 77, 200):
            page.locator("#text span").nth(t).hover()
            assert listed(page) == likeliest(t)
            expected = Softmax()(record(MODEL, IDS).outputs)[t, 0]
            widths = [
                float(w[:-1]) for w in page.eval_on_selector_all("#next i", "bars => bars.map((b) => b.style.width)")
            ]
            np.testing.assert_allclose(widths, 100 * -np.sort(-expected)[:5], atol=0.01)
            p = float(expected[IDS[t + 1, 0]])
            bits = -np.log2(p)
            assert f", {bits:.{2 if bits < 10 else 1}f} bits." in page.locator("#came").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_clicked_unit_colours_the_text(browser: Any, written: Path, scheme: str) -> None:
    values = record(MODEL, IDS)["layers.1"].values
    with opened(browser, written, scheme=scheme) as page:
        bits = -np.log2(Softmax()(record(MODEL, IDS).outputs)[np.arange(T - 1), 0, IDS[1:, 0]])
        np.testing.assert_allclose(backgrounds(page)[1:], mixed("bits", bits / 8, scheme), atol=2)
        for name, k in (("h", 7), ("c", 2), ("f", 11)):
            page.select_option("#value", label=f"{name} of layers.1")
            page.locator("#units button").nth(k).click()
            x, end = values[name][:, 0, k], np.quantile(np.abs(values[name][:, 0, k]), 0.95)
            expected = (
                mixed("open", x, scheme)
                if name == "f"
                else np.where(x[:, None] < 0, mixed("low", -x / end, scheme), mixed("high", x / end, scheme))
            )
            np.testing.assert_allclose(backgrounds(page), expected, atol=3)
        page.click("text=plain")
        assert np.isnan(backgrounds(page)).all()


def test_a_clicked_character_shows_what_it_depends_on(browser: Any, written: Path) -> None:
    credit = credit_map(MODEL, IDS[:-1], IDS[1:], layer="layers.1")
    with opened(browser, written) as page:
        for t in (60, 190):
            page.locator("#text span").nth(t).click()
            shadows = spans(page, "s.style.boxShadow")
            heights = np.array([abs(float(s.split("em")[0].split()[-1])) if s else 0 for s in shadows]) / 0.5
            band = np.where((np.arange(T - 1) > t - 30) & (np.arange(T - 1) <= t), credit[:, t], 0)
            expected = band / band.max()
            np.testing.assert_allclose(heights[:-1], np.where(expected > 0.004, expected, 0), atol=5e-4)
            assert float(page.locator(".row.credit span").inner_text()) == pytest.approx(band.max(), rel=0.06)
        page.locator("#text span").nth(250).click()  # one for which none was computed
        assert not any(spans(page, "s.style.boxShadow"))
        assert page.locator(".row.credit span").inner_text() == "—"
        page.click("summary")
        assert "for the first 200 characters only" in page.locator("#notes").inner_text()


def test_gates_over_time(browser: Any, written: Path) -> None:
    values = record(MODEL, IDS)["layers.2"].values
    with opened(browser, written) as page:
        page.select_option("#value", label="r of layers.2")
        page.locator("#units button").nth(4).click()
        page.locator("#text span").nth(130).hover()
        columns = page.evaluate("columns")
        for name in values:
            row = page.locator(".row", has=page.locator(f"b:text-is('{name}')"))
            up, down = (row.locator(f"path.{part}").get_attribute("d") or "" for part in ("up", "down"))
            found = np.zeros(columns)
            for start, height in re.findall(r"M([\d.]+) \d+v(-?[\d.e-]+)", up + down):
                found[int(float(start))] = -float(height)
            x = values[name][:, 0, 4]
            end = 1 if name in "rz" else np.quantile(np.abs(x), 0.95)
            np.testing.assert_allclose(found, np.clip(x / end, -1, 1)[131 - columns : 131], atol=0.02)
            assert float(row.locator("span").inner_text().replace("−", "-")) == pytest.approx(x[130], abs=0.03)


def test_all_of_it_by_the_keyboard(browser: Any, written: Path) -> None:
    with opened(browser, written) as page:
        page.focus("#text")
        at = page.evaluate("at")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("at") == at + 1
        assert listed(page) == likeliest(at + 1)
        assert page.locator("#spoken").inner_text().startswith("After ")
        page.keyboard.press("Enter")
        assert page.evaluate("pinned") == at + 1
        page.keyboard.press("Home")
        page.keyboard.press("End")
        line_end = page.evaluate("at")
        assert TEXT[line_end] == "\n" or line_end > at
        tops = [page.evaluate("spans[at].getBoundingClientRect().top")]
        for _ in range(3):
            page.keyboard.press("ArrowDown")
            tops.append(page.evaluate("spans[at].getBoundingClientRect().top"))
        assert tops == sorted(set(tops))
        for _ in range(3):
            page.keyboard.press("ArrowUp")
        assert page.evaluate("spans[at].getBoundingClientRect().top") == tops[0]
        page.keyboard.press("Escape")
        assert page.evaluate("pinned") == -1
        assert not any(spans(page, "s.style.boxShadow"))
        page.locator("#units button").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("[unit, by, document.activeElement.title]") == [2, "unit", "unit 2"]
        page.fill("#number", "5")
        page.keyboard.press("Enter")
        assert page.evaluate("unit") == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_letters_can_be_read_and_nothing_sticks_out(browser: Any, written: Path, width: int, scheme: str) -> None:
    with opened(browser, written, width=width, scheme=scheme, touch=width == 390) as page:
        page.click("summary")
        for _ in range(2):  # by the system, and after the button, the other ones
            for value in ("c of layers.1", "f of layers.1"):
                page.select_option("#value", label=value)
                page.locator("#units button").nth(3).click()
                ratios = contrasts(page)
                assert len(ratios) > T
                assert ratios[0][0] >= 4.5, ratios[:3]
            page.locator("input[value=bits]").check()
            ratios = contrasts(page)
            assert ratios[0][0] >= 4.5, ratios[:3]
            before = page.evaluate("getComputedStyle(document.body).backgroundColor")
            page.click("#theme")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        inside = "e => e.getBoundingClientRect().right <= innerWidth + 0.5"
        assert all(page.eval_on_selector_all("main *", f"all => all.map({inside})"))


def test_a_frame_hands_on_its_colours(browser: Any, written: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer.html"
    outer.write_text(f'<!doctype html><link rel="icon" href="data:,"><iframe src="{written.as_uri()}#dark"></iframe>')
    page = browser.new_page(color_scheme="light")
    page.goto(outer.as_uri())
    frame = page.frames[1]
    ground = "getComputedStyle(document.getElementById('reader')).backgroundColor"
    assert frame.evaluate(ground) == "rgb(22, 24, 29)"
    page.eval_on_selector("iframe", "frame => { frame.src = frame.src.replace('dark', 'light'); }")
    frame.wait_for_function(f"{ground} === 'rgb(255, 255, 255)'")
    assert frame.evaluate("document.getElementById('theme').textContent") == "Dark"
    page.close()


def test_a_finger(browser: Any, written: Path) -> None:
    with opened(browser, written, width=390, touch=True) as page:
        page.locator("#text span").nth(70).tap()
        assert page.evaluate("[at, pinned]") == [70, 70]
        assert listed(page) == likeliest(70)
        page.locator("#units button").nth(6).tap()
        assert page.evaluate("[unit, by]") == [6, "unit"]
        box = page.locator("#units button").nth(6).bounding_box()
        assert min(box["width"], box["height"]) >= 24


def test_a_page_may_begin_with_a_unit(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    options: Any = {"unit": ("layers.2", "z", 8), "units": [2, 8], "credit": 0, "title": "<i>GRU</i> & co"}
    inspection.report(MODEL, TEXT, path, tokenizer=TOKENIZER, **options)
    with opened(browser, path) as page:
        assert page.title() == page.locator("h1").inner_text() == "<i>GRU</i> & co"
        z = record(MODEL, IDS)["layers.2"].values["z"][:, 0, 8]
        np.testing.assert_allclose(backgrounds(page), mixed("open", z), atol=3)
        assert page.input_value("#number") == "8"
        page.click("summary")
        notes = page.locator("#notes").inner_text()
        assert "Credit was not computed" in notes
        assert "Of layers.2, 2 of 9 units are on the page" in notes


def test_a_model_without_cells(browser: Any, tmp_path: Path) -> None:
    path, rng = tmp_path / "page.html", np.random.default_rng(0)
    model = Sequential(Embedding(V, 5, rng=rng), Tanh(), Linear(5, V, rng=rng))
    inspection.report(model, TEXT, path, tokenizer=TOKENIZER)
    with opened(browser, path) as page:
        page.locator("#text span").nth(9).click()
        assert not page.locator("#unit-panel").is_visible()
        assert not page.locator("input[value=unit]").is_visible()
        assert page.locator("#next li").count() == 8
