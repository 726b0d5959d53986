"""The charts of docs/measured, from what benchmarks/results holds: `python docs/pictures/measured.py`.

No number stands here: what a chart shows is what the file of a benchmark says, or for parity the table of its page.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import svg
from svg import BLUE, GREEN, GREY, INK, ORANGE, WIDTH, Chart, dots, line, number, picture, tag, text

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FOLDER = Path(__file__).parents[1] / "_static" / "measured"
OURS = {"tinygrad_rnn": ("NumPy", ORANGE), "compiled": ("compiled", BLUE)}
CELLS = {"RNN": ORANGE, "GRU": GREEN, "LSTM": BLUE}
ROW, BAR = 23, 8  # the height of a row of bars, and of a bar


class Ranged(NamedTuple):
    """The median over the rounds, and the smallest and the largest value."""

    middle: float
    low: float
    high: float


def results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def ranged(cell: str) -> Ranged:
    """Of a cell of a table, such as 1.86 (1.82 to 1.87)."""
    return Ranged(*map(float, re.findall(r"[\d.]+", cell)))


# ---- Ratios


def of_rounds(result: Any, theirs: str, ours: str) -> Ranged:
    """Their time divided by ours, round by round, as benchmarks/harness.py has it in its tables."""
    found = [b / a for a, b in zip(result["seconds"][ours], result["seconds"][theirs], strict=True)]
    return Ranged(median(found), min(found), max(found))


def model_of(row: Mapping[str, Any]) -> str:
    """The cell of a language model and its units, and what is unusual of its size."""
    unusual = {(1, 25): ", B = 1", (64, 128): ", B = 64"}.get((row["B"], row["T"]), "")
    return f"{row['model'].split()[-1]} {row['H']}{unusual}" + ", words" * int(row["V"] > 1000)


def layer_of(row: Mapping[str, Any]) -> str:
    """The cell and its units, or what is special of the layer."""
    return str(row["layer"]).replace("three", "3") if "," in row["layer"] else f"{row['layer']} {row['H']}"


def token_of(row: Mapping[str, Any]) -> str:
    return f"{row['inputs']} {row['H']}, B = {row['B']}"


def ratios(name: str, label: Callable[[Mapping[str, Any]], str], theirs: str, what: str, threads: int) -> str:
    """A bar for each model and each of ours, from 1 to the ratio; left of 1 PyTorch is faster."""
    found = [result for result in results(name)["results"] if result["row"]["threads"] == threads]
    bottom = 46 + ROW * len(found)
    chart = Chart(132, 46, WIDTH - 8, bottom, (math.log2(0.4), math.log2(6)), (0, 1))
    ticks = {0.5: "0.5", 1: "1", 2: "2", 4: "4"}
    parts = [text(0, 12, f"{threads} thread{'s' * (threads > 1)}", "start", font_weight="bold")]
    parts += legend(OURS.values(), chart.left)
    for ratio in ticks:
        x = chart.at(math.log2(ratio), 0)[0]
        parts.append(line([(x, chart.top - 4), (x, bottom)], GREY, width=1.2 if ratio == 1 else 0.4))
    parts += chart.columns({math.log2(ratio): label for ratio, label in ticks.items()})
    for i, result in enumerate(found):
        y = chart.top + ROW * i + 2
        parts.append(text(chart.left - 8, y + BAR + 4, label(result["row"]), "end"))
        for j, (ours, (_, colour)) in enumerate(OURS.items()):
            value = of_rounds(result, theirs, ours)
            parts += ranged_bar(chart, y + (BAR + 1) * j, *map(math.log2, (1, *value)), colour=colour)
    parts.append(text(chart.at(0, 0)[0] - 6, bottom + 32, "PyTorch is faster", "end"))
    parts.append(text(chart.at(0, 0)[0] + 6, bottom + 32, "this package is faster", "start"))
    title = f"PyTorch's time divided by ours, {what}, on {threads} thread{'s' * (threads > 1)}: {span(found, theirs)}."
    return picture(f"{name.replace('_', '-')}-{threads}", title, bottom + 40, parts, half=True)


def span(found: Sequence[Any], theirs: str) -> str:
    """What the bars say, for those who do not see them."""
    said = []
    for ours, (name, _) in OURS.items():
        values = [of_rounds(result, theirs, ours).middle for result in found]
        said.append(f"{name} {min(values):.2f} to {max(values):.2f}")
    return ", ".join(said)


def ranged_bar(
    chart: Chart, y: float, start: float, middle: float, low: float, high: float, *, colour: str
) -> list[str]:
    """A bar from a start to the median, and a line over the range, with an end at either side."""
    left, right = sorted((chart.at(start, 0)[0], chart.at(middle, 0)[0]))
    ends = chart.at(low, 0)[0], chart.at(high, 0)[0]
    whisker = "".join(f"M{number(x)} {number(y + 1.5)}V{number(y + BAR - 1.5)}" for x in ends)
    whisker += f"M{number(ends[0])} {number(y + BAR / 2)}H{number(ends[1])}"
    return [
        tag("rect", x=left, y=y, width=max(right - left, 0.5), height=BAR, fill=colour, fill_opacity="0.75"),
        tag("path", d=whisker, fill="none", stroke=INK, stroke_width=1),
    ]


def legend(names: Iterable[tuple[str, str]], x: float, y: float = 28) -> list[str]:
    """Squares with their names, in a row."""
    parts = []
    for name, colour in names:
        parts += [tag("rect", x=x, y=y - 9, width=10, height=10, fill=colour), text(x + 14, y, name, "start")]
        x += 28 + 6.4 * len(name)
    return parts


# ---- Memory and time


def peak() -> str:
    """The memory that a training step needs, and what it takes beyond that."""
    found = results("cost")["results"]["Peak memory of a training step"]
    bottom = 40 + 22 * len(found)
    chart = Chart(72, 40, WIDTH - 68, bottom, (0, 1.6), (0, 1))
    parts = [text(0, 14, "memory", "start"), *legend([("needed", BLUE), ("on top", ORANGE)], chart.left, 14)]
    for i, row in enumerate(found):
        y, needed = chart.top + 22 * i, chart.at(1, 0)[0]
        end = chart.at(row["peak, MiB"] / row["needed, MiB"], 0)[0]
        parts.append(text(chart.left - 8, y + 11, f"{row['cell']} {row['H']}", "end"))
        parts.append(tag("rect", x=chart.left, y=y, width=needed - chart.left, height=14, fill=BLUE))
        parts.append(tag("rect", x=needed, y=y, width=end - needed, height=14, fill=ORANGE))
        parts.append(text(end + 6, y + 11, f"{row['peak, MiB']:g} MiB", "start"))
    title = "The peak memory of a training step is 1.1 to 1.5 times what any such step needs."
    factors = [row["peak, MiB"] / row["needed, MiB"] for row in found]
    title = title.replace("1.1 to 1.5", f"{min(factors):.2f} to {max(factors):.2f}")
    return picture("peak", title, bottom + 2, parts, half=True)


def per_token(size: str) -> str:
    """The time of a token over the size of a batch or the length of the sequences."""
    found = results("cost")["results"][f"Time against {size}"]
    xs = [math.log2(row[size]) for row in found]
    chart = Chart(30, 30, WIDTH - 50, 190, (xs[0], xs[-1]), (0, 32))
    parts = [*chart.rows({us: us for us in (0, 10, 20, 30)}), text(0, 12, "µs a token", "start")]
    parts += chart.columns({math.log2(row[size]): row[size] for row in found})
    for cell, colour in CELLS.items():
        ys = [row[f"{cell}, µs a token"] for row in found]
        parts += [chart.curve(xs, ys, colour), dots([chart.at(x, y) for x, y in zip(xs, ys, strict=True)], colour, 3)]
        parts.append(text(chart.right + 8, chart.at(0, ys[-1])[1] + 4, cell, "start", fill=colour))
    name = {"T": "T, steps of a sequence", "B": "B, rows of a batch"}[size]
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, name))
    title = f"The time of a token of a training step over {name}."
    return picture(f"per-token-{size.lower()}", title, 228, parts, half=True)


def memory_over_steps() -> str:
    """What checkpointing keeps over T, and back-propagation in full, which needs memory in proportion to T."""
    found = results("checkpointing")["results"]
    rows = next(rows for name, rows in found.items() if name.startswith("Over the number of steps"))
    most = found["Over the number of states"][-1]
    steps = [float(row["T"]) for row in rows]
    full = float(most["memory, MiB"]) / float(most["of BPTT"].rstrip("%")) * 100
    chart = Chart(48, 30, WIDTH - 14, 190, (math.log10(steps[0]), math.log10(steps[-1])), (0, 4.5))
    parts = [*chart.rows({power: f"{10**power:,}" for power in range(5)}), text(0, 12, "MiB", "start")]
    parts += chart.columns({math.log10(t): f"{t:,.0f}" for t in steps[1:-1]})
    parts.append(text(chart.left, chart.bottom + 16, f"{steps[0]:,.0f}", "start"))
    parts.append(text(chart.right, chart.bottom + 16, f"{steps[-1]:,.0f}", "end"))
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "T, steps back-propagated"))
    ends = [chart.at(math.log10(t), math.log10(full * t / most["T"])) for t in (steps[0], steps[-1])]
    parts += [line(ends, ORANGE, "4 4", 1.8), dots(ends[:1], ORANGE, 3.5)]
    parts.append(
        text(chart.left + 4, chart.at(0, 3.4)[1], f"BPTT, {full:.0f} MiB at {most['T']:,} steps", "start", fill=ORANGE)
    )
    points = [chart.at(math.log10(row["T"]), math.log10(float(row["memory, MiB"]))) for row in rows]
    parts += [line(points, BLUE, width=1.8), dots(points, BLUE, 3.5)]
    said = f"{rows[0]['memory, MiB']} to {rows[-1]['memory, MiB']} MiB"
    parts.append(text(points[1][0], points[1][1] + 20, f"Checkpointed, {most['states']} states: {said}", fill=BLUE))
    title = f"Memory over the steps: with checkpoints {said} from {steps[0]:,.0f} to {steps[-1]:,.0f} steps."
    return picture("memory-over-steps", title, 228, parts, half=True)


def price_of_states() -> str:
    """The time of checkpointing over the number of states that it keeps."""
    found = results("checkpointing")["results"]["Over the number of states"]
    xs = [math.log2(row["states"]) for row in found]
    chart = Chart(30, 30, WIDTH - 14, 190, (xs[0] - 0.15, xs[-1] + 0.15), (0, 3))
    parts = [*chart.rows({times: times for times in range(4)}), text(0, 12, "times as long as BPTT", "start")]
    parts += chart.columns({x: row["states"] for x, row in zip(xs, found, strict=True)})
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "states kept"))
    parts.append(chart.curve(xs, [float(row["predicted"]) for row in found], GREY, "4 4"))
    measured = [ranged(row["time / BPTT (min to max)"]) for row in found]
    for x, value in zip(xs, measured, strict=True):
        parts.append(line([chart.at(x, value.low), chart.at(x, value.high)], INK))
    parts.append(chart.curve(xs, [value.middle for value in measured], BLUE))
    parts.append(dots([chart.at(x, value.middle) for x, value in zip(xs, measured, strict=True)], BLUE, 3.5))
    parts.append(text(chart.right - 4, chart.at(0, 2.3)[1], "dashed: predicted", "end", fill=GREY))
    title = (
        f"Checkpointing takes {measured[0].middle:g} times as long as BPTT with {found[0]['states']} states, and "
        f"{measured[-1].middle:g} times with {found[-1]['states']}."
    )
    return picture("price-of-states", title, 228, parts, half=True)


# ---- Learning


def shakespeare() -> str:
    """The losses of Tiny Shakespeare over the time that the training took."""
    page = (RESULTS / "tiny_shakespeare.md").read_text(encoding="utf-8")
    iterations = int(re.search(r"(\d+) iterations", page)[1])  # type: ignore[index]
    units = re.search(r"1 x lstm (\d+)", page)[1]  # type: ignore[index]
    trained = []  # name, minutes, carried, windows
    for cells in re.findall(r"^\| \d+ \| (\S+) \| (\S+) \| (\S+) \|$", page, re.MULTILINE):
        carried, windows, ms = map(float, cells)
        trained.append((f"{units} units", ms * iterations / 60_000, carried, windows))
    free = re.search(r"takes (\d+) and (\d+) ms", page).groups()  # type: ignore[union-attr]
    larger = re.findall(r"^\| `(.*)` \| (\S+) \| (\S+) \|$", page, re.MULTILINE)
    for ms, (options, carried, windows) in zip(free, larger, strict=True):
        given = dict(re.findall(r"--(\w+) (\S+)", options))
        name = f"{given['layers']} × {given['hidden']}" if "layers" in given else f"{given['hidden']} units"
        trained.append((name, float(ms) * int(given["iterations"]) / 60_000, float(carried), float(windows)))
    chart = Chart(38, 34, WIDTH - 24, 230, (0, 26), (1.4, 1.7))
    parts = chart.rows({loss: f"{loss:.1f}" for loss in (1.4, 1.5, 1.6, 1.7)})
    parts += chart.columns({minutes: minutes for minutes in (0, 5, 10, 15, 20, 25)})
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "minutes of training on one core"))
    parts += [text(0, 12, "nats", "start"), *legend([("windows", ORANGE), ("carried", BLUE)], 150, 14)]
    for name, of_name in groupby(trained, key=lambda one: one[0]):
        for _, minutes, carried, windows in (group := list(of_name)):
            ends = chart.at(minutes, windows), chart.at(minutes, carried)
            parts += [line(ends, GREY, width=0.8), dots(ends[:1], ORANGE, 3.5), dots(ends[1:], BLUE, 3.5)]
        parts.append(text(chart.at(group[0][1], 0)[0], chart.at(0, min(one[2] for one in group))[1] + 18, name))
    best = min(trained, key=lambda one: one[2])
    title = (
        f"Held-out losses of Tiny Shakespeare over the minutes of training; the best, {best[2]:.3f} nats carried, "
        f"after {best[1]:.0f} minutes."
    )
    return picture("shakespeare", title, 272, parts)


def recurrences() -> str:
    """The losses of four cells with as many parameters, and in the same time."""
    head, _, *rows = results("linear_recurrences")["table"]
    columns = {"equal parameters, nats": ("equal parameters", BLUE), "equal time, nats": ("equal time", ORANGE)}
    bottom = 40 + 26 * len(rows)
    chart = Chart(112, 40, WIDTH - 20, bottom, (1.58, 1.74), (0, 1))
    parts = legend(columns.values(), chart.left, 14)
    for loss in (1.6, 1.65, 1.7):
        x = chart.at(loss, 0)[0]
        parts += [line([(x, 30), (x, bottom)], GREY, width=0.4), text(x, bottom + 16, f"{loss:.2f}")]
    for i, row in enumerate(rows):
        found, y = dict(zip(head, row, strict=True)), chart.top + 26 * i + 8
        ends = [(chart.at(float(found[column]), 0)[0], y) for column in columns]
        parts += [text(chart.left - 8, y + 4, found[""], "end"), line(ends, GREY, width=0.8)]
        parts += [
            dots([end], colour, 4) for end, (_, colour) in reversed(list(zip(ends, columns.values(), strict=True)))
        ]
    parts.append(text((chart.left + chart.right) / 2, bottom + 34, "held-out loss, nats"))
    best = min(rows, key=lambda row: float(row[head.index("equal parameters, nats")]))
    title = f"Held-out losses of four cells. With as many parameters the {best[0]} is the best."
    return picture("recurrences", title, bottom + 42, parts)


# ---- Workers


def setting(row: Mapping[str, Any]) -> str:
    extra = ", compiled" * row["compiled"] + ", dropout" * bool(row.get("dropout"))
    return f"{row['cell']} {row['H']}{extra}"


def two_workers() -> str:
    """How many times as fast two workers are as three other ways to train."""
    found = results("distributed")["results"]["One worker, and two"]
    columns = {
        "2 workers / 1": ("as one worker", BLUE),
        "/ loop": ("as the loop", GREEN),
        "/ 2 threads": ("as two threads", ORANGE),
    }
    bottom = 46 + 24 * len(found)
    chart = Chart(124, 46, WIDTH - 14, bottom, (0.7, 2.1), (0, 1))
    parts = legend(columns.values(), 0, 14)
    for factor in (1.0, 1.5, 2.0):
        x = chart.at(factor, 0)[0]
        parts += [line([(x, 34), (x, bottom)], GREY, width=1.2 if factor == 1 else 0.4), text(x, bottom + 16, factor)]
    for i, row in enumerate(found):
        y = chart.top + 24 * i + 6
        parts.append(text(chart.left - 8, y + 4, setting(row), "end"))
        for column, (_, colour) in columns.items():
            value = ranged(row[column])
            parts.append(line([(chart.at(x, 0)[0], y) for x in (value.low, value.high)], INK))
            parts.append(dots([(chart.at(value.middle, 0)[0], y)], colour, 4))
    parts.append(text((chart.left + chart.right) / 2, bottom + 34, "two workers are … times as fast"))
    middles = {name: [ranged(row[column]).middle for row in found] for column, (name, _) in columns.items()}
    said = ", ".join(f"{min(values):.2f} to {max(values):.2f} times as fast {n}" for n, values in middles.items())
    return picture("two-workers", f"Two workers are {said}.", bottom + 42, parts)


def shards() -> str:
    """What shards cost over their number: 64 rows are divided among them."""
    found = results("distributed")["results"]["What shards cost"]
    counts = sorted(int(key.split()[0]) for key in found[0] if key.endswith(" shards"))
    chart = Chart(36, 30, WIDTH - 14, 200, (0, math.log2(counts[-1])), (0.8, 2.6))
    parts = chart.rows({times: times for times in (1.0, 1.5, 2.0, 2.5)})
    parts += chart.columns({math.log2(count): count for count in counts})
    parts += [text(0, 12, "times as long", "start"), *legend(OURS.values(), 150, 14)]
    for row in found:
        colour = OURS["compiled" if row["compiled"] else "tinygrad_rnn"][1]
        ys = [row[f"{count} shards"] for count in counts]
        parts.append(chart.curve([math.log2(count) for count in counts], ys, colour, width=1.4))
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "shards of 64 rows"))
    eight = [row["8 shards"] for row in found]
    title = (
        f"The time of a step over the number of shards; 8 make it {min(eight):.2f} to {max(eight):.2f} times as long."
    )
    return picture("shards", title, 238, parts, half=True)


def network() -> str:
    """The share of a step that the exchange takes, over the bandwidth of the network."""
    found = next(rows for name, rows in results("distributed")["results"].items() if name.startswith("The exchange"))
    links = sorted(float(key.split()[0]) for key in found[0] if key.endswith("bit/s"))
    chart = Chart(36, 30, WIDTH - 14, 200, (0, math.log10(links[-1])), (-2, 2))
    parts = chart.rows({power: f"{10.0**power:g}" for power in range(-2, 3)})
    parts += chart.columns({math.log10(link): f"{link:g}" for link in links})
    parts += [text(0, 12, "% of a step", "start"), *legend([("4,096 workers", BLUE), ("2", GREEN)], 150, 14)]
    for row in found:
        shares = [row[f"{link:g} Gbit/s"].split(" / ") for link in links]
        for place, colour in ((0, GREEN), (-1, BLUE)):
            ys = [math.log10(float(share[place])) for share in shares]
            parts.append(chart.curve(map(math.log10, links), ys, colour, width=1.2))
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "Gbit/s of the network"))
    ten = [float(row["10 Gbit/s"].split(" / ")[-1]) for row in found]
    title = (
        f"The exchange in % of a step over the network: {min(ten):g} to {max(ten):g} % at 10 Gbit/s with 4,096 workers."
    )
    return picture("network", title, 238, parts, half=True)


# ---- Parity

KINDS = {
    "cells, outputs": r"directions?: outputs",
    "cells, gradients": r"directions?: gradients",
    "layers, attention": r": (outputs|gradients)$",
    "losses": r"(Entropy|Error|Huber|Quantile|NLL)`",
    "optimizers": r", ten steps|`rates`|`decay`",
    "clippers": r"^`Clip",
    "schedules": r"^`([a-z_]+|ReduceOnPlateau)`$",
}
"""What the rows of the table are, by their names; the first that fits."""


def parity() -> str:
    """The worst errors of the table, by kind, on a logarithmic scale."""
    page = (ROOT / "docs" / "measured" / "parity.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`.*) \| (\d\.\de[+-]\d\d) \|$", page, re.MULTILINE)
    errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for name, error in table:
        errors[next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))].append(float(error))
    bottom = 40 + 26 * len(KINDS)
    chart = Chart(112, 40, WIDTH - 20, bottom, (-17, -9.5), (0, 1))
    parts = []
    for power in range(-16, -9, 2):
        x = chart.at(power, 0)[0]
        parts += [line([(x, 30), (x, bottom)], ORANGE if power == -10 else GREY, width=1.4 if power == -10 else 0.4)]
        parts.append(svg.maths(x, bottom + 16, f"10^{{{svg.signed(power)}}}", size=13))
    parts.append(text(chart.at(-10, 0)[0] + 4, 22, "allowed", "end", fill=ORANGE))
    for i, (kind, found) in enumerate(errors.items()):
        y = chart.top + 26 * i + 8
        parts.append(text(chart.left - 8, y + 4, kind, "end"))
        for error in found:
            x = chart.at(max(math.log10(error), -17) if error else -17, 0)[0]
            parts.append(tag("circle", cx=x, cy=y, r=4, fill=BLUE, fill_opacity="0.45"))
    parts.append(text(chart.left, bottom + 34, "0, or nearly", "start"))
    parts.append(text(chart.right, bottom + 34, "worst relative error", "end"))
    worst = max(max(found) for found in errors.values())
    title = f"The worst errors of {len(table)} comparisons with PyTorch: all are at most {worst:.1e}, far below 1e-10."
    return picture("parity-errors", title, bottom + 42, parts)


PICTURES: dict[str, Callable[[], str]] = {
    "peak": peak,
    "memory-over-steps": memory_over_steps,
    "price-of-states": price_of_states,
    "shakespeare": shakespeare,
    "recurrences": recurrences,
    "two-workers": two_workers,
    "shards": shards,
    "network": network,
    "parity-errors": parity,
}
for size in "TB":
    PICTURES[f"per-token-{size.lower()}"] = partial(per_token, size)
for threads in (1, 2):
    PICTURES |= {
        f"training-step-{threads}": partial(
            ratios, "training_step", model_of, "torch", "a training step of twelve models", threads
        ),
        f"layers-{threads}": partial(ratios, "layers", layer_of, "torch", "twelve layers", threads),
        f"generation-{threads}": partial(
            ratios, "generation", token_of, "torch LSTMCell", "a token of an LSTM", threads
        ),
    }


if __name__ == "__main__":
    svg.write(PICTURES, FOLDER)
