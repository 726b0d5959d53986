"""Draws the picture of README.md: a text coloured by the unit of an LSTM that tells best what stands in quotes.

    python docs/picture.py

It learns the first nine tenths of the manual that comes with Python, for some 20 seconds on one core. The unit is
chosen by its correlation with "in quotes" over the first half of the rest; what is drawn is the passage of the second
half with the most quotes in six lines. Nobody told the network what a quote is.
"""

from html import escape
from pathlib import Path

import numpy as np

from tinygrad_rnn import (
    Adam,
    CharTokenizer,
    ClipNorm,
    Embedding,
    Linear,
    LSTMCell,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
    datasets,
    schedules,
)

PICTURE = Path(__file__).parent / "_static" / "unit.svg"
BLUE, WHITE, RED = np.array([[67, 147, 195], [255, 255, 255], [244, 120, 90]])
ACROSS, DOWN, LINES = 9, 20, 6  # a character, in pixels, and how many lines are drawn


def trained(ids: np.ndarray, V: int, iterations: int = 1000) -> Sequential:
    rng = np.random.default_rng(0)
    model = Sequential(Embedding(V, 64, rng=rng), LSTMCell(64, 128, rng=rng), Linear(128, V, rng=rng))
    criterion, stream, state = SoftmaxCrossEntropy(), TokenStream(ids, batch=32, steps=64), None
    optimizer = Adam(model, schedules.cosine(0.01, steps=iterations), clip=ClipNorm(1.0))
    for i in range(iterations):
        xs, targets, fresh = stream[i % len(stream)]
        state = model.restart(state, fresh)
        ys, state, cache = model.forward(xs, state)
        _, loss_cache = criterion.forward(ys, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
    return model


def memories(model: Sequential, ids: np.ndarray) -> np.ndarray:
    """The memory c of each unit after each character, (T, H)."""
    state, found = model.initial_state(1), []
    for i in ids:
        _, state = model.step(np.array([i]), state)
        found.append(state[1][1][0])
    return np.array(found)


def in_quotes(text: str) -> np.ndarray:
    """1 from an opening quote to before the closing one; a paragraph closes what was left open."""
    marks, quoted = [], False
    for i, character in enumerate(text):
        quoted = (quoted != (character == '"')) and text[i - 1 : i + 1] != "\n\n"
        marks.append(float(quoted))
    return np.array(marks)


def drawn(lines: list[str], values: list[np.ndarray]) -> str:
    """An SVG of the lines, each character on a ground of its value, -1 to 1."""
    width, height = ACROSS * max(map(len, lines)) + 16, DOWN * len(lines) + 16
    parts = [f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for row, (line, numbers) in enumerate(zip(lines, values, strict=True)):
        for column, number in enumerate(numbers[: len(line)]):
            red, green, blue = np.round(WHITE + abs(number) * ((RED if number > 0 else BLUE) - WHITE)).astype(int)
            place = f'x="{8 + ACROSS * column}" y="{8 + DOWN * row}" width="{ACROSS + 0.5}" height="{DOWN - 2}"'
            parts.append(f'<rect {place} fill="#{red:02x}{green:02x}{blue:02x}"/>')
        place = f'x="8" y="{22 + DOWN * row}" textLength="{ACROSS * len(line)}"'
        parts.append(f'<text {place} xml:space="preserve">{escape(line)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'{head} font-family="monospace" font-size="14.5">\n' + "\n".join(parts) + "\n</svg>\n"


def main() -> None:
    text = datasets.pydoc_topics()
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    cut, half = len(ids) * 9 // 10, len(ids) * 19 // 20
    model = trained(ids[:cut], len(tokenizer))

    units, quotes = memories(model, ids[cut:half]), in_quotes(text[cut:half])
    correlations = np.array([np.corrcoef(unit, quotes)[0, 1] for unit in units.T])
    k = int(abs(correlations).argmax())
    print(f"unit {k} has a correlation of {correlations[k]:.2f} with being in quotes")

    lines = text[half:].split("\n")[1:]
    after = memories(model, ids[half:])[len(text[half:].split("\n")[0]) + 1 :, k] * np.sign(correlations[k])
    ends = np.cumsum([len(line) + 1 for line in lines])
    values = np.split(np.clip(after / np.quantile(abs(after), 0.98), -1, 1), ends[:-1])
    counts = [sum(line.count('"') for line in lines[i : i + LINES] if line.strip()) for i in range(len(lines) - LINES)]
    first = int(np.argmax(counts))
    part = slice(first, first + LINES)
    PICTURE.write_text(drawn(lines[part], values[part]), encoding="utf-8")


if __name__ == "__main__":
    main()
