"""The picture of README.md: `python docs/pictures/readme.py`. It moves, and stands still for those who ask for that.

It stands by itself, so it has a ground and a style of its own. What it shows, gates.py has measured.
"""

from __future__ import annotations

import gates
import svg
from svg import GROUND, INK, ORANGE, box, picture, tag, text

FOLDER = svg.FOLDER.parent / "readme"
COLUMNS, ACROSS, DOWN, MARGIN, WIDE = 44, 8, 21, 16, 384
LETTER, LOOP = 0.035, 22  # seconds: of a letter, and until all begins anew
STYLE = f"""
svg {{ color: #1f2328; --color-background-primary: #fff; --picture-orange: #b34700; }}
@media (prefers-color-scheme: dark) {{
  svg {{ color: #e6edf3; --color-background-primary: #16181d; --picture-orange: #ff9d57; }}
}}
.read {{ animation: read {LOOP}s linear infinite backwards; }}
.ahead {{ animation: ahead {LOOP}s linear infinite backwards; }}
@keyframes ahead {{ 0% {{ opacity: 0.65; }} 1%, 92% {{ opacity: 1; }} 95%, 100% {{ opacity: 0.65; }} }}
@keyframes read {{ 0% {{ opacity: 0; }} 1%, 92% {{ opacity: 1; }} 95%, 100% {{ opacity: 0; }} }}
@media (prefers-reduced-motion: reduce) {{ .read, .ahead {{ animation: none; }} }}
"""


def delay(letters: int) -> str:
    return f"animation-delay: {letters * LETTER:.2f}s"


def reading() -> str:
    """A passage that an LSTM reads, letter by letter; a tile shows the value of one unit after that letter."""
    parts, rows = [], 0
    for word in gates.passage(COLUMNS):
        y = MARGIN + 12 + DOWN * word.row
        places = [MARGIN + (word.column + i + 0.5) * ACROSS for i in range(len(word.letters) + 1)]
        for i, (x, value) in enumerate(zip(places, word.values, strict=False)):
            if value > 0.05:
                how = {"fill": ORANGE, "fill_opacity": f"{0.45 * value:.2f}", "class_": "read"}
                how["style"] = delay(word.start + i)
                parts.append(box(x, y - 4.5, ACROSS - 0.7, DOWN - 2, rx=1.5, **how))
        how = {"font_family": "monospace", "class_": "ahead", "style": delay(word.start)}
        parts.append(text(" ".join(map(svg.number, places[:-1])), y, word.letters, font_size=13, **how))
        rows = word.row + 1
    height = 2 * MARGIN + DOWN * rows - 4
    ground = box(WIDE / 2, height / 2, WIDE - 1, height - 1, rx=6, fill=GROUND, stroke=INK, stroke_opacity="0.2")
    title = "An LSTM reads a passage of Python's manual. One of its units is active while the text is in quotes."
    drawn = picture("reading", title, height, [tag("style", STYLE), ground, *parts])
    size = f'viewBox="0 0 {WIDE} {height:.0f}" width="{1.5 * WIDE:.0f}" height="{1.5 * height:.0f}"'
    return drawn.replace(f'viewBox="0 0 {svg.WIDTH} {height:.0f}"', f'xmlns="http://www.w3.org/2000/svg" {size}')


PICTURES = {"reading": reading}


if __name__ == "__main__":
    svg.write(PICTURES, FOLDER)
