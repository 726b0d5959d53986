"""The pictures of the chapter on attention: `python docs/pictures/attention.py`.

It trains two small models for some seconds, and keeps the weights of the attention and the tree of the search.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREY, GROUND, INK, ORANGE, arrow, box, line, maths, picture, tag, text
from tinygrad_rnn import datasets

WIDTH_OF_SEARCH, LENGTH = 3, 5


def alignments() -> dict[str, Any]:
    """Where a model looks that has learnt to write strings backwards, as in the chapter, but from 1000 batches."""
    V, D, H, rng = 9, 16, 32, np.random.default_rng(0)

    def batch(texts: list[Any]) -> tuple[Any, ...]:
        sources, lengths = rnn.pad(texts)
        read, _ = rnn.pad([np.append(0, text[::-1]) for text in texts])
        targets, _ = rnn.pad([np.append(text[::-1], 0) for text in texts], fill=-1)
        return sources, lengths, read, targets

    def reader() -> rnn.Sequential:
        return rnn.Sequential(rnn.Embedding(V, D, rng=rng), rnn.GRUCell(D, H, rng=rng))

    decoder = rnn.AttentionDecoder(reader(), rnn.DotAttention(), rnn.Linear(2 * H, V, rng=rng))
    model, criterion = rnn.EncoderDecoder(reader(), decoder), rnn.SoftmaxCrossEntropy()
    optimizer = rnn.Adam(model, rnn.schedules.cosine(0.01, steps=1000), clip=rnn.ClipNorm(1.0))
    for _ in range(1000):
        sources, lengths, read, targets = batch([rng.integers(1, V, n) for n in rng.integers(1, 9, 32)])
        logits, cache = model.forward(sources, read, source_lengths=lengths)
        _, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), cache)
        optimizer.step()
    found = {}
    for source in ("cafe", "headache"):
        sources, _, read, _ = batch([np.array(["abcdefgh".index(letter) + 1 for letter in source])])
        written = "".join("∎abcdefgh"[k] for k in model(sources, read)[:, 0].argmax(axis=-1))
        print(source, written)
        weights = model.alignments(sources, read)[:, 0].astype(float)
        found[source] = {"written": written, "weights": weights.round(3).tolist()}
    return found


def tree() -> dict[str, Any]:
    """A beam search by a model of Python's manual: at each step the extensions that were kept and the next best."""
    words = datasets.pydoc_topics()
    tokenizer = rnn.CharTokenizer.from_text(words)
    ids, V, rng = tokenizer.encode(words), len(tokenizer), np.random.default_rng(0)
    model = rnn.Sequential(rnn.Embedding(V, 32, rng=rng), rnn.LSTMCell(32, 96, rng=rng), rnn.Linear(96, V, rng=rng))
    optimizer = rnn.Adam(model, rnn.schedules.cosine(0.01, steps=600), clip=rnn.ClipNorm(1.0))
    rnn.fit(model, rnn.SoftmaxCrossEntropy(), optimizer, rnn.TokenStream(ids, batch=32, steps=64), steps=600)
    prompt = "the m"
    beams, steps = [("", 0.0)], []
    for _ in range(LENGTH):
        extensions = []
        for parent, (written, score) in enumerate(beams):
            p = rnn.Softmax()(model(tokenizer.encode(prompt + written)[:, None])[0][-1, 0].astype(float))
            for k in np.argsort(-p)[:WIDTH_OF_SEARCH]:
                letter = tokenizer.decode([int(k)])
                extensions.append(
                    (score + float(np.log(p[k])), parent, letter, round(float(p[k]), 3), written + letter)
                )
        extensions.sort(reverse=True)
        steps.append([(parent, letter, p) for _, parent, letter, p, _ in extensions[: 2 * WIDTH_OF_SEARCH]])
        beams = [(written, score) for score, _, _, _, written in extensions[:WIDTH_OF_SEARCH]]
    found = rnn.beam_search(model, tokenizer.encode(prompt), width=WIDTH_OF_SEARCH, length=LENGTH)
    assert [tokenizer.decode(beam.ids) for beam in found] == [written for written, _ in beams]
    (greedy,) = rnn.beam_search(model, tokenizer.encode(prompt), width=1, length=LENGTH)
    print("greedy", tokenizer.decode(greedy.ids), np.exp(greedy.log_prob), "beams", beams)
    return {"prompt": prompt, "steps": steps, "found": [float(f"{np.exp(score):.3g}") for _, score in beams]}


def look() -> str:
    """An encoder, a decoder, and what one step of the decoder gets of the memory."""
    source, t = "cafe", 2
    numbers = svg.kept(__file__)["alignments"][source]
    y, columns = 168, [22 + 38.5 * k for k in range(9)]
    reads, writes = columns[: len(source)], columns[len(source) :]
    parts = [arrow([(columns[0], y), (columns[-1] + 20, y)], BLUE, width=2.4)]
    parts += [text((reads[0] + reads[-1]) / 2, 14, "encoder"), text((writes[0] + writes[-1]) / 2, 14, "decoder")]
    mono: dict[str, Any] = {"font_family": "monospace", "font_size": 15}
    for s, x in enumerate(reads):
        weight = numbers["weights"][t][s]
        curve = f"M{svg.at((x, 116))}C{svg.at((x, 78))} {svg.at((x + 30, 92))} {svg.at((writes[t] - 10, 92))}"
        parts.append(
            tag("path", d=curve, fill="none", stroke=ORANGE, stroke_width=0.8 + 7 * weight, stroke_opacity="0.75")
        )
        parts += [arrow([(x, y - 10), (x, 139)]), maths(x, 131, f"m_{s + 1}")]
        parts.append(text(x, 72, f"{weight:.2f}", fill=ORANGE))
    for x, letter in zip(writes, numbers["written"], strict=True):
        name = {"font_size": 11} if letter == "∎" else mono
        parts += [arrow([(x, y - 10), (x, 44)]), text(x, 36, letter if letter != "∎" else "end", **name)]
    parts.append(tag("circle", cx=writes[t], cy=92, r=11, fill=GROUND, stroke=ORANGE, stroke_width=1.6))
    parts.append(maths(writes[t], 96, f"c_{t + 1}", size=13))
    for x, letter in zip(columns, source + "∎" + numbers["written"][:-1], strict=True):
        parts.append(tag("circle", cx=x, cy=y, r=9, fill=GROUND, stroke=BLUE, stroke_width=2))
        name = {"font_size": 11} if letter == "∎" else mono
        parts += [arrow([(x, y + 32), (x, y + 11)]), text(x, y + 46, letter if letter != "∎" else "begin", **name)]
    title = (
        "An encoder reads cafe, and a decoder writes efac from its state. The third step of the decoder also gets the "
        "mean of the memory, with the weights of the attention."
    )
    return picture("look", title, y + 52, parts)


def weights() -> str:
    """A row for each letter written, a column for each letter of the source."""
    source = "headache"
    numbers = svg.kept(__file__)["alignments"][source]
    side, left, top = 30, 66, 48
    mono: dict[str, Any] = {"font_family": "monospace", "font_size": 16}
    rows = len(numbers["written"])
    parts = [text(left + 4 * side, 14, "it looks at")]
    parts.append(text(14, top + 135, "it writes", transform=f"rotate(-90 14 {top + 135})"))
    for j, letter in enumerate(source):
        parts.append(text(left + (j + 0.5) * side, top - 10, letter, **mono))
    for i, letter in enumerate(numbers["written"]):
        y = top + (i + 0.5) * side
        name = text(left - 18, y + 5, letter, **mono) if letter != "∎" else text(left - 10, y + 4, "end", "end")
        parts.append(name)
        for j, weight in enumerate(numbers["weights"][i]):
            x = left + (j + 0.5) * side
            shade = {"fill": BLUE, "fill_opacity": f"{weight:.2f}", "stroke": GREY, "stroke_opacity": "0.25"}
            parts.append(box(x, y, side - 2, side - 2, **shade))
    title = (
        "The weights of the attention while a model writes headache backwards: it looks from the last letter to the "
        "first. Large weights lie near this diagonal."
    )
    return picture("weights", title, top + rows * side + 4, parts)


def beams() -> str:
    """The tree of a search: what is kept has a lane of its own, and what is dropped lies below."""
    numbers = svg.kept(__file__)["tree"]
    lanes = (16.0, 92.0, 168.0)
    places = [(31.0, lanes[1])]
    parts: list[str] = []
    nodes = [box(21, lanes[1], 40, 22, fill=GROUND, stroke=INK), text(21, lanes[1] + 4, numbers["prompt"])]
    for column, extensions in enumerate(numbers["steps"], 1):
        x, below = 28.0 + 54 * column, [y for _, y in places]
        order = sorted(range(WIDTH_OF_SEARCH), key=lambda k: (places[extensions[k][0]][1], k))
        kept = [(x, lanes[order.index(k)]) for k in range(WIDTH_OF_SEARCH)]
        for k, (parent, letter, p) in enumerate(extensions):
            below[parent] += 25 * (k >= WIDTH_OF_SEARCH)
            y, colour, dashes, width = (
                (kept[k][1], BLUE, "", 2) if k < WIDTH_OF_SEARCH else (below[parent], GREY, "2 2", 1)
            )
            start = places[parent]
            parts.append(line([(start[0] + 10, start[1]), (x - 36, y), (x - 10, y)], colour, dashes, width))
            parts.append(text(x - 23, y - 4, f"{p:.2f}", font_size=11, fill=colour))
            nodes.append(box(x, y, 20, 20, rx=3, fill=GROUND, stroke=colour, stroke_width=width))
            nodes.append(text(x, y + 5, letter.replace(" ", "␣"), font_size=14, fill="" if width > 1 else GREY))
        places = kept
    parts += [
        text(x + 14, y + 4, f"{p:.3f}", "start", fill=BLUE) for (x, y), p in zip(places, numbers["found"], strict=True)
    ]
    title = (
        "The tree of a beam search of width 3. It keeps three beginnings at each step. The likeliest text begins with "
        "the second likeliest letter; the text that begins with the likeliest letter is the least likely of the three."
    )
    return picture("beams", title, lanes[-1] + 44, [*parts, *nodes])


PICTURES = {"look": look, "weights": weights, "beams": beams}


if __name__ == "__main__":
    svg.keep(__file__, {"alignments": alignments(), "tree": tree()})
    svg.write(PICTURES)
