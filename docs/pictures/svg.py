"""What the scripts of this folder draw with: SVG that stands inside a page and takes its colours, in light and dark.

A script has a dictionary PICTURES, of a function for each file that it draws. Where numbers take a training, or
depend on the version of Python, the script keeps them in a file beside itself, and the functions draw from that file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "_static" / "learn"
WIDTH = 350  # of a picture, about that of the text on a phone: a letter has as many pixels there as it has units here
# From site.css; what follows the comma is for a page without it.
BLUE = "var(--picture-blue, #0a4bff)"
ORANGE = "var(--picture-orange, #b34700)"
GREEN = "var(--picture-green, #00734f)"
GREY = "var(--picture-grey, #5a5c63)"
GROUND = "var(--color-background-primary, #fff)"
INK = "currentColor"

Point = tuple[float, float]


def tag(name: str, content: str = "", **attributes: Any) -> str:
    """An element; numbers are rounded to a tenth, `stroke_width` is `stroke-width`, None and "" are left out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value not in (None, "")}
    opening = " ".join([name, *(f'{key}="{number(value)}"' for key, value in given.items())])
    return f"<{opening}>{content}</{name}>" if content else f"<{opening}/>"


def number(value: Any) -> str:
    """As it stands in an attribute: 3 for 3.04, 2.5 for 2.54, and 0 for −0.04."""
    return value if isinstance(value, str) else f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def signed(value: Any, digits: str = "") -> str:
    """A number as a reader sees it, with a minus sign."""
    return format(value, digits).replace("-", "−")


def escaped(words: Any) -> str:
    return str(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def line(points: Iterable[Sequence[float]], colour: str = INK, dashes: str = "", width: float = 1.2) -> str:
    joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return tag("polyline", points=joined, fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dashes)


def arrow(points: Sequence[Point], colour: str = INK, dashes: str = "", width: float = 1.2, bend: float = 6) -> str:
    """A line with round corners and a head at its last point."""
    (before_x, before_y), (x, y) = points[-2:]
    length = ((x - before_x) ** 2 + (y - before_y) ** 2) ** 0.5
    u, v = (x - before_x) / length, (y - before_y) / length
    base = (x - 6 * u, y - 6 * v)
    head = [(x, y), (base[0] - 3 * v, base[1] + 3 * u), (base[0] + 3 * v, base[1] - 3 * u)]
    joined = " ".join(f"{number(x)},{number(y)}" for x, y in head)
    return wire([*points[:-1], base], colour, dashes, width, bend) + tag("polygon", points=joined, fill=colour)


def wire(points: Sequence[Point], colour: str = INK, dashes: str = "", width: float = 1.2, bend: float = 6) -> str:
    """A line with round corners."""
    d = "M" + at(points[0])
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        d += "L" + at(towards(corner, before, bend)) + "Q" + at(corner) + " " + at(towards(corner, after, bend))
    d += "L" + at(points[-1])
    return tag("path", d=d, fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dashes)


def at(point: Point) -> str:
    return " ".join(map(number, point))


def towards(start: Point, end: Point, distance: float) -> Point:
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    part = min(distance, length / 2) / length
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])


def dots(points: Iterable[Sequence[float]], colour: str = INK, radius: float = 2.2) -> str:
    return "".join(tag("circle", cx=x, cy=y, r=radius, fill=colour) for x, y in points)


def box(x: float, y: float, width: float, height: float, **how: Any) -> str:
    """A rectangle around the point (x, y)."""
    return tag("rect", x=x - width / 2, y=y - height / 2, width=width, height=height, **how)


def text(x: Any, y: float, words: Any, anchor: str = "middle", **how: Any) -> str:
    """Words at x, or each letter at an x of its own: `x` may be a string of numbers."""
    return tag("text", escaped(words), x=x, y=y, text_anchor=anchor, **how)


def maths(x: float, y: float, formula: str, anchor: str = "middle", colour: str = "", size: float = 15) -> str:
    """A formula of one line, such as `dh_{t−1} = f_t`: letters are italic, what follows `_` or `^` is small."""
    parts, level = [], 0
    for mark, group, one, rest in re.findall(r"([_^])(?:\{([^}]*)\}|(.))|([^_^]+)", formula):
        here = {"_": 4, "^": -5}.get(mark, 0)
        small = min(11, size) if mark else None
        parts.append(tag("tspan", upright(rest or group or one), dy=(here - level) or None, font_size=small))
        level = here
    return tag("text", "".join(parts), x=x, y=y, text_anchor=anchor, font_size=size, fill=colour, class_="maths")


def upright(formula: str) -> str:
    """Letters in italics, but for names of functions; digits and signs as they are."""
    found = re.findall(r"(tanh|exp|ln)|([A-Za-zα-ω]+)|([^A-Za-zα-ω]+)", formula)
    return "".join(
        escaped(name + signs) or tag("tspan", letters, font_style="italic") for name, letters, signs in found
    )


class Chart(NamedTuple):
    """A rectangle for numbers: the smallest x and y are at its lower left corner, the largest at the upper right."""

    left: float
    top: float
    right: float
    bottom: float
    xs: tuple[float, float]
    ys: tuple[float, float]

    def at(self, x: float, y: float) -> Point:
        across = (x - self.xs[0]) / (self.xs[1] - self.xs[0])
        up = (y - self.ys[0]) / (self.ys[1] - self.ys[0])
        return self.left + across * (self.right - self.left), self.bottom + up * (self.top - self.bottom)

    def curve(self, xs: Iterable[float], ys: Iterable[float], colour: str, dashes: str = "", width: float = 1.8) -> str:
        return line([self.at(x, y) for x, y in zip(xs, ys, strict=True)], colour, dashes, width)

    def rows(self, labels: Mapping[float, Any]) -> list[str]:
        """A thin line across, for each y, and its label to the left."""
        heights = {self.at(self.xs[0], y)[1]: label for y, label in labels.items()}
        lines = [
            tag("path", d=f"M{at((self.left, y))}H{number(self.right)}", stroke=GREY, stroke_opacity="0.3")
            for y in heights
        ]
        return lines + [text(self.left - 6, y + 4, label, "end") for y, label in heights.items()]

    def columns(self, labels: Mapping[float, Any]) -> list[str]:
        """A label below each x."""
        return [text(self.at(x, 0)[0], self.bottom + 16, label) for x, label in labels.items()]


def picture(name: str, title: str, height: float, parts: Iterable[str], *, half: bool = False) -> str:
    """The file; `title` is for those who do not see it. Two halves stand side by side where there is room."""
    opening = (
        f'<svg class="picture{" half" * half}" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{name}-title" font-size="12" fill="currentColor" stroke="none">'
    )
    return "\n".join([opening, f'<title id="{name}-title">{escaped(title)}</title>', *parts, "</svg>\n"])


def write(pictures: dict[str, Callable[[], str]], folder: Path = FOLDER) -> None:
    for name, draw in pictures.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


def keep(script: str, numbers: Any) -> None:
    """Keep what was measured for the pictures of a script, whose `__file__` is given."""
    Path(script).with_suffix(".json").write_text(json.dumps(numbers, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(script: str) -> Any:
    return json.loads(Path(script).with_suffix(".json").read_text(encoding="utf-8"))
