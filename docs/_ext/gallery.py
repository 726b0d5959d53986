"""What sphinx-gallery is told of the scripts of `examples/`, each of which is run while the pages are built.

The scripts are programs with options. `OPTIONS` gives each a size that takes a few seconds; the page of a script shows
the command, the pictures and the page `report.html` that it wrote, and what it printed. One that is not named here runs
without options.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx_gallery.scrapers import figure_rst

OPTIONS = {
    "look_inside": "--folder pictures --iterations 400",
    "gradient_flow": "--folder pictures --iterations 100",
    "online": "--plot online.svg",
    "dates": "--plot dates.svg",
    "char_rnn": "train --batch 16 --iterations 400 --length 300",
    "sensors": "--plot sensors.svg",
    "forecast": "--epochs 15 --plot forecast.svg",
    "brackets": "--hidden 32 --iterations 200 --lr 0.02 --plot brackets.svg",
    "deploy": "--iterations 200",
    "custom_cell": "",
    "adding_problem": "--cell gru",
    "parity": "--iterations 300 --plot parity.svg",
    "copy_memory": "--delay 10 --hidden 64 --goal 0.2",
    "reber": "--hidden 16",
    "reverse_strings": "--longest 8 --goal 0.97",
    "addition": "--goal 0.5",
    "tagger": "--hidden 32 --epochs 3",
    "vanilla_words": "",
}
"""In the order of the gallery."""

PICTURES = {".svg", ".png"}
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
    """The command, and the pictures that the script wrote where it ran."""
    source = Path(script["src_file"])
    found = [path for path in source.parent.rglob("*") if path.suffix in PICTURES]
    found.sort(key=lambda path: (path.stem != FIRST.get(source.stem), path.stat().st_mtime_ns))
    page = f".. code-block:: console\n\n    python examples/{source.name} {OPTIONS.get(source.stem, '')}".rstrip()
    for picture in found:
        path = Path(next(script["image_path_iterator"])).with_suffix(picture.suffix)
        page += f"\n\n`{picture.name}`\n\n" + figure_rst([str(picture.replace(path))], config["src_dir"], picture.stem)
    for report in source.parent.rglob("report.html"):
        kept = Path(config["src_dir"]) / REPORTS / f"{source.stem}.html"
        kept.parent.mkdir(exist_ok=True)
        report.replace(kept)
        page += f"\n\n`{report.name}`\n\n.. raw:: html\n\n    {FRAME.format(f'../reports/{kept.name}')}"
    return page + "\n\n"


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
    app.config.sphinx_gallery_conf = {
        "examples_dirs": "_build/examples",
        "gallery_dirs": "gallery",
        "filename_pattern": "",  # all are run
        "ignore_pattern": r"options\.py$",  # what scripts import is none
        "within_subsection_order": "_ext.gallery.order",
        "reset_argv": "_ext.gallery.arguments",
        "image_scrapers": ("_ext.gallery.scrape",),
        "reset_modules": ("_ext.progress.script",),
        "default_thumb_file": str(root / "docs" / "_static" / "terminal.svg"),
        "notebook_extensions": set(),
        "download_all_examples": False,
        "show_signature": False,
        "min_reported_time": float("inf"),
        "write_computation_times": False,
        "css": ("sg_gallery",),
    }
    app.setup_extension("sphinx_gallery.gen_gallery")
    app.connect("doctree-read", plain)
    app.connect("build-finished", copy_reports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
