"""`examples/char_rnn.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_rnn import load

SCRIPT = Path(__file__).parents[2] / "examples" / "char_rnn.py"
SMALL = ("--hidden", "16", "--batch", "4", "--steps", "16")
TEXT = "The owl sat in the oak. It saw a mouse, and the mouse saw it.\n\n" * 60
SAVED = "char_rnn.safetensors"


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The example with `arguments`, its output as text whatever the locale."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def table(output: str) -> dict[str, list[float]]:
    """The lines of three numbers, by what stands before them: nats, bits and perplexity."""
    lines = re.findall(r"^ *(\S.*?) +(\d+\.\d+) +(\d+\.\d+) +(\d+\.\d+)$", output, re.MULTILINE)
    return {name: [float(number) for number in numbers] for name, *numbers in lines}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a text and a model trained on it, and what the training printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    done = run(folder, "train", "--text", "text", *SMALL, "--iterations", 30)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_training_prints_its_losses_beside_those_of_compressors(trained: tuple[Path, str]) -> None:
    _, output = trained
    first, *_ = output.splitlines()
    assert first.startswith(f"{len(TEXT):,} characters, {len(set(TEXT))} different; Sequential(OneHot(")
    rows = table(output)
    assert list(rows) == ["training, last 100", "held out", "bigram counts", "zlib", "xz"]
    for name, (nats, bits, perplexity) in rows.items():
        assert abs(bits - nats / math.log(2)) < 2e-3, name
        assert abs(perplexity - math.exp(nats)) < 0.01 + 1e-3 * perplexity, name
    assert 0 < rows["held out"][0] < rows["training, last 100"][0] < math.log(len(set(TEXT)))  # still falling
    assert rows["zlib"][0] < rows["bigram counts"][0]  # a repeated text is compressed to next to nothing


def test_training_saves_the_model_and_writes_a_sample(trained: tuple[Path, str]) -> None:
    folder, output = trained
    model, tokenizer, metadata = load(folder / SAVED)
    V = len(set(TEXT))
    assert repr(model) == f"Sequential(OneHot({V}), RNNCell({V}, 16), Linear(16, {V}))"
    assert set(tokenizer.characters) == set(TEXT)
    assert metadata == {"iterations": 30}
    _, sample = output.split(f"saved as {SAVED}; a sample:\n\n")
    assert len(sample) == 1 + 400 + 1  # the prompt, what was written, the end of the line
    assert set(sample) <= set(TEXT)


def test_generation_is_determined_by_the_seed(trained: tuple[Path, str]) -> None:
    folder, _ = trained

    def generate(seed: int) -> str:
        done = run(folder, "generate", SAVED, "--prompt", "The ", "--length", 100, "--seed", seed)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("The ")
        assert len(done.stdout) == 4 + 100 + 1
        return done.stdout

    assert generate(1) == generate(1) != generate(2)


def test_training_without_a_text_learns_the_manual(tmp_path: Path) -> None:
    done = run(tmp_path, "train", *SMALL, "--iterations", 2, "--out", "manual.safetensors")
    assert done.returncode == 0, done.stderr
    assert "held out" in table(done.stdout)
    assert load(tmp_path / "manual.safetensors").metadata == {"iterations": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--text", "missing"), r"there is no file 'missing'"),
        (("train", "--text", "short", *SMALL), r"18 tokens .* too short for batch=4, steps=16: .* largest batch"),
        (("generate", SAVED, "--prompt", "Zoë"), r"'Z' \(U\+005A\) at position 0 is not one of the"),
        (("generate", "missing.safetensors"), r"there is no such file"),
    ],
    ids=["missing text", "short text", "unknown character", "missing model"],
)
def test_a_mistake_is_one_line(trained: tuple[Path, str], arguments: tuple[str, ...], message: str) -> None:
    folder, _ = trained
    (folder / "short").write_text("to be or not to be!\n", encoding="utf-8")  # the first nine tenths: 18
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert re.fullmatch(rf"char_rnn: [^\n]*{message}[^\n]*\n", done.stderr), done.stderr
