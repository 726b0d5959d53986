"""What sphinx-gallery is told of the scripts of `examples/`, each of which is run while the pages are built.

The scripts are programs with options. `OPTIONS` gives each a size that takes a few seconds; the page of a script shows
the command, the pictures and the page `report.html` that it wrote, and what it printed. One that is not named here runs
without options. Pictures are SVG, which matplotlib draws in the style `gallery.mplstyle`; `in_ink` and `site.css` give
them the colours of the page. The card of a script that draws nothing shows the end of what it printed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import textwrap
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.style
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

OPTIONS = {
    "look_inside": "--folder pictures --format svg --iterations 400",
    "gradient_flow": "--folder pictures --format svg --iterations 100",
    "online": "--plot online.svg",
    "dates": "--plot dates.svg",
    "char_rnn": "train --batch 16 --iterations 400 --length 300 --prompt 'The '",
    "sensors": "--plot sensors.svg",
    "forecast": "--epochs 15 --plot forecast.svg",
    "brackets": "--hidden 32 --iterations 200 --lr 0.02 --plot brackets.svg",
    "deploy": "--iterations 200 --length 40",
    "custom_cell": "--plot custom_cell.svg",
    "adding_problem": "--cell gru --plot adding_problem.svg",
    "parity": "--iterations 300 --plot parity.svg",
    "copy_memory": "--delay 10 --hidden 64 --goal 0.2 --plot copy_memory.svg",
    "reber": "--hidden 16 --plot reber.svg",
    "reverse_strings": "--longest 8 --goal 0.97 --plot reverse_strings.svg",
    "addition": "--goal 0.5 --plot addition.svg",
    "tagger": "--hidden 32 --epochs 3 --plot tagger.svg",
    "vanilla_words": "",
}
"""In the order of the gallery."""

CAPTIONS = {
    "unit": "A text, each character coloured by the memory of one unit after it.",
    "losses": "The losses of the training, and those of the text that was held out.",
    "probabilities": "The probabilities of the next character, at each character of a text.",
    "states": "State, memory and gates of 24 units over a text.",
    "pca": "States as points: their first two principal components.",
    "tsne": "States as points: t-SNE.",
    "parameters": "The weights of each layer, and their gradients.",
    "gradient_flow": "The norm of the gradient w.r.t. the state of each step: that of the RNN vanishes.",
    "credit_rnn": "The RNN: which states the loss of each character reaches.",
    "credit_lstm": "The LSTM: which states the loss of each character reaches.",
    "credit_gru": "The GRU: which states the loss of each character reaches.",
    "online": "The loss of each method over the steps: those of truncated methods grow.",
    "dates": "Where the network looks in a date while it writes each digit.",
    "sensors": "Recordings of four gestures, and the probability of the right one after each reading.",
    "forecast": "The end of two series, their forecasts with bands, and what came.",
    "brackets": "Lines of Python, each character coloured by what the network says after it.",
    "custom_cell": "The losses of an RNNCell and of the cell that is written here.",
    "adding_problem": "The mean squared error over the training, and that of the constant answer.",
    "parity": "How many strings each cell gets right, by their length.",
    "copy_memory": "What the network writes at each step, and what it should write.",
    "reber": "What the network predicts after each symbol of a string, and what came next.",
    "reverse_strings": "Where the network looks in a string while it writes it backwards.",
    "addition": "Where the network looks in a question while it writes the sum.",
    "tagger": "Texts without their spaces, each letter coloured by the probability that a word ends there.",
}
"""What each picture shows, by the name of its file: its caption and its alternative text."""

LETTERS = ("unit", "brackets", "tagger")
"""Pictures that are a text, whose letters are too small to be shrunk on a phone."""
INK = "#010203"
"""What `gallery.mplstyle` has for text and axes."""
INKS = """<style>
:root { --ink: #1f2328; }
@media (prefers-color-scheme: dark) { :root { --ink: #cfd0d0; } }
</style>"""
"""The text of a picture, which takes the colour scheme of the image in the page: `site.css` sets that."""
CARD_WIDTH, CARD_HEIGHT = 400, 250
CARD_LINES, CARD_COLUMNS = 9, 36
REPORTS = "gallery/reports"
"""Where the pages `report.html` are kept, each under the name of its script, until that script runs again."""
FRAME = '<iframe class="report" loading="lazy" title="What an LSTM expects and keeps while it reads" src="{}"></iframe>'
FIRST = {"look_inside": "unit", "gradient_flow": "gradient_flow"}
"""Which picture of a script stands first, and in the gallery; of the others the one that it wrote first."""


def order(filename: str) -> tuple[int, str]:
    """The place of a script in the gallery; last where it is not named."""
    names = list(OPTIONS)
    name = Path(filename).stem
    return (names.index(name) if name in names else len(names)), name


def arguments(config: dict[str, Any], script: dict[str, Any]) -> list[str]:
    """The options of a script."""
    return shlex.split(OPTIONS.get(Path(script["src_file"]).stem, ""))


def scrape(block: Any, script: dict[str, Any], config: dict[str, Any]) -> str:
    """The command, and the page and the pictures that the script wrote where it ran."""
    source = Path(script["src_file"])
    found = sorted(source.parent.rglob("*.svg"), key=lambda path: path.stat().st_mtime_ns)
    found.sort(key=lambda path: path.stem != FIRST.get(source.stem))
    page = f".. code-block:: console\n\n    python examples/{source.name} {OPTIONS.get(source.stem, '')}".rstrip()
    for report in source.parent.rglob("report.html"):
        kept = Path(config["src_dir"]) / REPORTS / f"{source.stem}.html"
        kept.parent.mkdir(exist_ok=True)
        report.replace(kept)
        page += f"\n\n.. raw:: html\n\n    {FRAME.format(f'../reports/{kept.name}')}"
    for picture in found:
        path = Path(next(script["image_path_iterator"])).with_suffix(".svg")
        path.write_text(in_ink(picture.read_text(encoding="utf-8")), encoding="utf-8")
        picture.unlink()
        caption = CAPTIONS[picture.stem]
        place = path.relative_to(config["src_dir"]).as_posix()
        kind = "picture letters" if picture.stem in LETTERS else "picture"
        page += f"\n\n.. container:: {kind}\n\n    .. image:: /{place}\n        :alt: {caption}\n\n    {caption}"
    return page + "\n\n"


def in_ink(svg: str) -> str:
    """The picture, with a colour of text that depends on the colour scheme."""
    end = svg.index(">", svg.index("<svg")) + 1
    return svg[:end] + INKS + svg[end:].replace(INK, "var(--ink)")


def draw_cards(app: Sphinx) -> None:
    """Give all cards one shape; where there is no picture, draw the end of what the script printed."""
    gallery = Path(app.srcdir) / "gallery"
    for card in (gallery / "images" / "thumb").glob("*.svg"):
        name = card.stem.removeprefix("sphx_glr_").removesuffix("_thumb")
        page = (gallery / f"{name}.rst").read_text(encoding="utf-8")
        if ".. container:: picture" in page:
            svg = card.read_text(encoding="utf-8")
            _, _, width, height = map(float, re.search(r'viewBox="([^"]*)"', svg)[1].split())  # type: ignore[index]
            fit = "xMidYMid meet" if width > height else "xMidYMin slice"  # of a high one, the top
            size = f'width="{CARD_WIDTH}" height="{CARD_HEIGHT}" preserveAspectRatio="{fit}"'
            svg = re.sub(r'width="[^"]*pt" height="[^"]*pt"', size, svg, count=1)
        else:
            printed = re.search(r"sphx-glr-script-out\n\n \.\. code-block:: none\n(.*?)\n+\|\n", page, re.DOTALL)
            svg = in_type(textwrap.dedent(printed[1] if printed else ""))
        card.write_text(svg, encoding="utf-8")


def describe_cards(app: Sphinx, doctree: nodes.document) -> None:
    """Give each card the alternative text of the picture that it shows."""
    if app.env.docname == "gallery/index":
        for card in doctree.findall(nodes.image):
            name = Path(card["uri"]).stem.removeprefix("sphx_glr_").removesuffix("_thumb")
            page = (Path(app.srcdir) / "gallery" / f"{name}.rst").read_text(encoding="utf-8")
            text = re.search(r"^ +:alt: (.+)$", page, re.MULTILINE)
            card["alt"] = text[1] if text else "The end of what the script prints."


def in_type(text: str) -> str:
    """The last lines of a text as a picture."""
    lines = [part for line in text.strip("\n").splitlines() for part in textwrap.wrap(line, CARD_COLUMNS) or [""]]
    rows = "".join(
        f'<text x="16" y="{34 + 25 * row}" xml:space="preserve">{escape(line)}</text>'
        for row, line in enumerate(lines[-CARD_LINES:])
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{CARD_WIDTH}" height="{CARD_HEIGHT}" '
        f'font-family="monospace" font-size="17" style="fill: var(--ink)">{INKS}{rows}</svg>'
    )


def forget_old_reports(root: Path) -> None:
    """Let a script run again whose report was written before `inspection` was changed last."""
    changed = max(path.stat().st_mtime for path in (root / "tinygrad_rnn" / "inspection").iterdir())
    for report in (root / "docs" / REPORTS).glob("*.html"):
        if report.stat().st_mtime < changed:
            (root / "docs" / "gallery" / f"{report.stem}.py.md5").unlink(missing_ok=True)


def copy_reports(app: Sphinx, exception: Exception | None) -> None:
    """Beside the pages: Sphinx copies no page that is finished."""
    if exception is None and app.builder.format == "html":
        shutil.copytree(app.srcdir / REPORTS, app.outdir / "reports", dirs_exist_ok=True)


def plain(app: Sphinx, doctree: nodes.document) -> None:
    """What a docstring sets apart is a command or a table, not Python."""
    if app.env.docname.startswith("gallery/"):
        for block in doctree.findall(nodes.literal_block):
            block.attributes.setdefault("language", "none")


def setup(app: Sphinx) -> ExtensionMetadata:
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is nothing for a page
    root = Path(__file__).parents[2]
    scripts = root / "docs" / "_build" / "examples"  # a copy, for a script writes its files beside itself
    shutil.rmtree(scripts, ignore_errors=True)
    shutil.copytree(root / "examples", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    matplotlib.style.use(Path(__file__).with_name("gallery.mplstyle"))
    no_card = scripts.parent / "card.svg"  # of a script without a picture, until `draw_cards` draws it
    no_card.write_text("<svg/>", encoding="utf-8")
    forget_old_reports(root)
    app.config.sphinx_gallery_conf = {
        "examples_dirs": "_build/examples",
        "gallery_dirs": "gallery",
        "filename_pattern": "",  # all are run
        "ignore_pattern": r"options\.py$",  # what scripts import is none
        "within_subsection_order": "_ext.gallery.order",
        "reset_argv": "_ext.gallery.arguments",
        "image_scrapers": ("_ext.gallery.scrape",),
        "reset_modules": ("_ext.progress.script",),
        "default_thumb_file": str(no_card),
        "notebook_extensions": set(),
        "download_all_examples": False,
        "show_signature": False,
        "min_reported_time": float("inf"),
        "write_computation_times": False,
        "css": (),
    }
    app.setup_extension("sphinx_gallery.gen_gallery")
    app.connect("builder-inited", draw_cards, priority=900)  # after sphinx-gallery's
    app.connect("doctree-read", describe_cards)
    app.connect("doctree-read", plain)
    app.connect("build-finished", copy_reports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
