"""`examples/tagger.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_each, run_example

SCRIPT = EXAMPLES / "tagger.py"
run = partial(run_example, "tagger")
SMALL = ("--text", "text", "--hidden", "16", "--epochs", "6", "--batch", "16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a text of words that begin alike: where one ends, only what follows says."""
    rng, words = np.random.default_rng(0), ("the", "theme", "me", "men", "mend", "end", "ten", "tent", "net", "meet")
    lines = [*dict.fromkeys(" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(500))][:400]
    path = tmp_path_factory.mktemp("tagger")
    (path / "text").write_text(".\n".join(lines), encoding="utf-8")
    (path / "short").write_text("To be. Or not to be.", encoding="utf-8")
    return path


def measured(output: str) -> list[tuple[float, float]]:
    """F1 and accuracy, of the usual tags and after each epoch, in percent."""
    return [(float(a), float(b)) for a, b in re.findall(r"held out F1 (\S+) %, accuracy (\S+) %\n", output)]


@pytest.fixture(scope="module")
def outputs(folder: Path) -> list[str]:
    """Read one way, and both ways."""
    done = [run(folder, *SMALL, *options) for options in (("--one-way",), ())]
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 2
    return [each.stdout for each in done]


def test_both_ways_beat_one_way_and_that_beats_the_usual_tag(outputs: list[str]) -> None:
    figures = []
    readers = ("LSTMCell(26, 32)", "Bidirectional(LSTMCell(26, 16), LSTMCell(26, 16))")
    for output, reader in zip(outputs, readers, strict=True):
        assert output.startswith(f"Sequential(OneHot(26), {reader}, Linear(32, 2)), ")
        assert "\n360 sentences, 40 more held out\n" in output
        usual, *epochs = measured(output)
        assert len(epochs) == 6
        figures += [usual, epochs[-1]]
    usual, one_way, same, both_ways = figures
    assert usual == same
    for k in range(2):
        assert usual[k] + 5 < one_way[k] < both_ways[k] - 5
    assert min(both_ways) > 95


def test_spaces_are_put_into_sentences_that_were_held_out(folder: Path, outputs: list[str]) -> None:
    held_out = (folder / "text").read_text(encoding="utf-8").split(".\n")[360::8]
    written = outputs[1].splitlines()[-5:]
    for line, sentence in zip(written, held_out, strict=True):
        assert line.replace(" ", "") == sentence.replace(" ", "")
    assert sum(line == f"{sentence} " for line, sentence in zip(written, held_out, strict=True)) >= 3


def test_sentences_are_cut_and_tagged() -> None:
    script = runpy.run_path(str(SCRIPT))
    found = script["sentences"]("It's 3 p.m.: so late!\n\nYes\n\nThe\nend. SO LATE; no, x.y")
    assert [script["with_spaces"](*each) for each in found] == ["it s p m ", "so late ", "the end ", "no x y "]
    letters, tags = found[1]
    assert (letters.tolist(), tags.tolist()) == ([18, 14, 11, 0, 19, 4], [0, 1, 0, 0, 0, 1])


def test_padding_does_not_count() -> None:
    script: Any = runpy.run_path(str(SCRIPT))
    data = script["sentences"]("a bc. the men. or")
    assert len(data) == 2

    def first_of_the_alphabet(letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        assert letters.shape == (6, 2)
        return (letters <= 2).astype(int)  # a, b and c, of which a and c are ends; padding is 0, as is a

    # 2 of 3 given are ends, 2 of 4 ends are given; of 9 letters b, e and n are wrong.
    assert script["measured"](first_of_the_alphabet, data) == f"F1 {100 * 4 / 7:.1f} %, accuracy {100 * 6 / 9:.1f} %"


def test_without_a_text_it_learns_the_manual(tmp_path: Path) -> None:
    done = run(tmp_path, "--hidden", 2, "--epochs", 1, "--batch", 128)
    assert (done.returncode, done.stderr) == (0, "")
    usual, _ = measured(done.stdout)
    assert 70 < usual[1] < 90


def test_the_seed_determines_all(folder: Path) -> None:
    one, same, two = by_seeds("tagger", folder, *SMALL[:4], "--epochs", 1)
    assert one == same != two
    assert len(measured(one)) == 2


def test_a_text_that_cannot_be_read_is_one_line(folder: Path) -> None:
    messages = {
        ("--text", "missing"): "there is no file 'missing'",
        ("--text", ""): "path is empty, where the path of a file was expected",
        ("--text", "text", "--encoding", ""): "'' is not the name of an encoding",
    }
    for arguments, done in run_each("tagger", folder, messages).items():
        assert (done.returncode, done.stdout) == (1, "")
        message = re.escape(messages[arguments])  # type: ignore[index]
        assert re.fullmatch(rf"tagger: read_text: {message}[^\n]*\n", done.stderr), done.stderr


def test_a_text_may_have_another_encoding(folder: Path) -> None:
    (folder / "other").write_text((folder / "text").read_text(encoding="utf-8"), encoding="utf-16")
    done = run(folder, *SMALL[:2], "--text", "other", "--encoding", "utf-16", "--epochs", 1)
    assert done.returncode == 0, done.stderr
    assert "\n360 sentences, 40 more held out\n" in done.stdout


def test_a_mistake_is_one_line(folder: Path) -> None:
    done = run(folder, "--text", "short")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "tagger: a tenth is held out: the text must have at least 10 sentences of two words, not 2\n"
    )
