"""`examples/char_rnn.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES, run_each, run_example
from tinygrad_rnn import RNNCell, load, save

SCRIPT = EXAMPLES / "char_rnn.py"
run = partial(run_example, "char_rnn")
SMALL = ("--hidden", "16", "--batch", "4", "--steps", "16")
TEXT = "The owl sat in the oak. It saw a mouse, and the mouse saw it.\n\n" * 60
SAVED = "char_rnn.safetensors"


# The example, to which a signal, that of Ctrl-C, comes in the middle of the fourth step of its optimizer.
CTRL_C = f"""
import os, runpy, signal
from tinygrad_rnn.optim.base import Optimizer
step = Optimizer.step
def interrupted(self):
    if self.steps == 3:
        os.kill(os.getpid(), signal.SIGINT)
    step(self)
Optimizer.step = interrupted
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


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
    assert first == f"{len(TEXT):,} characters, {len(set(TEXT))} different"
    assert load(trained[0] / SAVED).model.summary() in output
    rows = table(output)
    assert list(rows) == ["training, lately", "held out", "bigram counts", "zlib", "xz"]
    for name, (nats, bits, perplexity) in rows.items():
        assert abs(bits - nats / math.log(2)) < 2e-3, name
        assert abs(perplexity - math.exp(nats)) < 0.01 + 1e-3 * perplexity, name
    assert 0 < rows["held out"][0] < rows["training, lately"][0] < math.log(len(set(TEXT)))  # still falling
    assert rows["zlib"][0] < rows["bigram counts"][0]  # a repeated text is compressed to next to nothing


def test_training_saves_the_model_and_writes_a_sample(trained: tuple[Path, str]) -> None:
    folder, output = trained
    model, tokenizer, metadata, *_ = load(folder / SAVED)
    V = len(set(TEXT))
    assert repr(model) == f"Sequential(OneHot({V}), GRUCell({V}, 16), Linear(16, {V}))"
    assert set(tokenizer.characters) == set(TEXT)
    assert metadata["fit"]["step"] == 30
    _, sample = output.split(f"saved as {SAVED}; a sample:\n\n")
    assert len(sample) == 1 + 400 + 1  # the prompt, what was written, the end of the line
    assert set(sample) <= set(TEXT)


def test_generation_is_determined_by_the_seed(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    calls = [("generate", SAVED, "--prompt", "The ", "--length", 100, "--seed", seed) for seed in (1, 2)]
    one, same, two = run(folder, *calls[0]), *run_each("char_rnn", folder, calls).values()
    for done in (one, same, two):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("The ")
        assert len(done.stdout) == 4 + 100 + 1
    assert one.stdout == same.stdout != two.stdout


def test_training_without_a_text_learns_the_manual(tmp_path: Path) -> None:
    small = (*SMALL[:-1], 256)  # steps, or the long text that is held out would take many
    done = run(tmp_path, "train", *small, "--iterations", 2, "--out", "manual.safetensors")
    assert done.returncode == 0, done.stderr
    assert "held out" in table(done.stdout)
    assert load(tmp_path / "manual.safetensors").metadata["fit"]["step"] == 2


def test_a_resumed_training_ends_in_the_weights_of_one_that_never_stopped(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    for arguments in (
        ("--iterations", 12, "--out", "a", "--every", 4),  # does not disturb it
        ("--iterations", 30, "--out", "b", "--resume", "a", "--every", 5),
    ):
        done = run(folder, "train", "--text", "text", *SMALL, "--length", 9, *arguments)
        assert done.returncode == 0, done.stderr
    whole, resumed = load(folder / SAVED).model.flat_value, load(folder / "b").model.flat_value
    np.testing.assert_array_equal(resumed, whole)


def test_what_is_not_given_to_resume_is_as_it_was(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    done = run(folder, "train", "--resume", SAVED, "--iterations", 31, "--out", "c")
    assert done.returncode == 0, done.stderr
    before, after = load(folder / SAVED).metadata["arguments"], load(folder / "c").metadata["arguments"]
    assert before | {"iterations": 31, "out": "c"} == after
    assert (after["hidden"], after["text"]) == (16, "text")


def test_validation_and_samples_come_as_often_as_asked(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    often = ("--every", 2, "--temperature", 0.5, "--prompt", "The ", "--length", 9)
    done = run(folder, "train", "--text", "text", *SMALL, "--iterations", 6, "--out", "d", *often)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"step (\d): held out \d\.\d{3} nats; saved", done.stdout) == ["2", "4", "6"]
    assert re.findall(r"step (\d): The .{9}\n", done.stdout, re.DOTALL) == ["2", "4", "6"]
    assert re.search(r"a sample:\n\nThe .{9}\n$", done.stdout, re.DOTALL)  # the last one when it is over


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_ctrl_c_saves_and_says_so(trained: tuple[Path, str], tmp_path: Path, signal: str) -> None:
    done = run(tmp_path, "train", "--text", trained[0] / "text", *SMALL, code=CTRL_C.replace("SIGINT", signal))
    assert done.returncode == 1
    assert done.stderr.endswith(f"\nstopped after 4 iterations and saved; go on by train --resume {SAVED}\n")
    assert "held out" not in done.stdout
    assert load(tmp_path / SAVED).metadata["fit"]["step"] == 4


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_what_stops_before_the_first_step_does_not_say_that_it_saved(trained: tuple[Path, str], tmp_path: Path) -> None:
    code = f"""
import os, runpy, signal
import tinygrad_rnn
tinygrad_rnn.fit = lambda *what, **how: os.kill(os.getpid(), signal.SIGTERM)
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    for how in (SMALL, ("--resume", trained[0] / SAVED, "--iterations", 31)):
        done = run(tmp_path, "train", "--text", trained[0] / "text", *how, "--out", "new", code=code)
        assert (done.returncode, done.stderr) == (1, "\nstopped before the first step: nothing was saved\n")
    assert not list(tmp_path.iterdir())


def test_paragraphs_are_documents(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    train = ("train", "--text", "text", "--documents", *SMALL, "--iterations", 150, "--out", "e")
    generate = ("generate", "e", "--samples", 3, "--temperature", 0, "--length", 1000)
    done, written = run_each("char_rnn", folder, [train, generate]).values()
    assert done.returncode == 0, done.stderr
    _, tokenizer, metadata, *_ = load(folder / "e")
    assert tokenizer.special == ("<start>", "<end>")
    assert metadata["arguments"]["documents"]
    first, *others = written.stdout.split("\n\n")
    assert others == [first, first, ""]  # greedy: one text, which ends by itself
    assert 0 < len(first) < 1000


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(
    ("options", "layers"),
    [
        (("--cell", "lstm", "--optimizer", "adagrad"), "OneHot(20), LSTMCell(20, 16), Linear(16, 20)"),
        (
            ("--cell", "gru", "--layers", 2, "--embedding", 8, "--dropout", 0.5, "--schedule", "cosine"),
            "Embedding(20, 8), GRUCell(8, 16), Dropout(0.5), GRUCell(16, 16), Dropout(0.5), Linear(16, 20)",
        ),
    ],
    ids=["lstm", "gru"],
)
def test_other_models_resume_to_the_bit_too(
    trained: tuple[Path, str], tmp_path: Path, options: tuple[str, ...], layers: str
) -> None:
    folder, _ = trained
    begin = ("train", "--text", folder / "text", *SMALL, "--out", "part", *options)
    whole = ("train", "--text", folder / "text", *SMALL, "--out", "whole", *options, "--iterations", 9)
    assert run(tmp_path, *begin, "--iterations", 9, code=CTRL_C).returncode == 1
    assert load(tmp_path / "part").metadata["fit"]["step"] == 4
    ended = run_each("char_rnn", tmp_path, [("train", "--resume", "part"), whole])
    assert [done.returncode for done in ended.values()] == [0, 0]
    one, other = load(tmp_path / "whole").model, load(tmp_path / "part").model
    assert repr(one) == f"Sequential({layers})"
    np.testing.assert_array_equal(one.flat_value, other.flat_value)


def test_samples_differ_and_filters_apply(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    call = ("generate", SAVED, "--prompt", "T", "--samples", 2, "--length", 30, "--temperature", 5)
    calls = {call: False, (*call, "--top-k", 1): True, (*call, "--top-p", 1e-9): True}  # the likeliest: as greedy
    for done, alike in zip(run_each("char_rnn", folder, calls).values(), calls.values(), strict=True):
        written = done.stdout
        assert len(written) == 2 * (1 + 30 + 2)
        assert (written[:33] == written[33:]) is alike


def test_a_resumed_training_is_saved_where_it_was_found(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = trained
    original = (folder / SAVED).read_bytes()
    (tmp_path / "moved").write_bytes(original)
    done = run(folder, "train", "--resume", tmp_path / "moved", "--iterations", 31)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "moved").metadata["fit"]["step"] == 31
    assert (folder / SAVED).read_bytes() == original


def test_seconds_or_iterations_tell_how_long_a_training_is_resumed(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    resume = ("train", "--resume", SAVED, "--out", "f")
    assert run(folder, *resume, "--seconds", 0.01).returncode == 0
    _, _, metadata, *_ = load(folder / "f")
    assert metadata["fit"]["step"] > 30
    assert (metadata["arguments"]["iterations"], metadata["arguments"]["seconds"]) == (None, 0.01)
    more = metadata["fit"]["step"] + 1
    assert run(folder, *resume[:2], "f", "--iterations", more).returncode == 0
    _, _, metadata, *_ = load(folder / "f")
    assert metadata["arguments"]["seconds"] is None
    assert metadata["fit"]["step"] == more


def test_a_terminal_that_lacks_a_character_gets_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("éèêçà" * 200, encoding="utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run(tmp_path, "train", "--text", "text", *SMALL, "--iterations", 4, "--every", 2, "--length", 9)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"saved as {SAVED}; a sample:\n\n??????????\n")
    assert load(tmp_path / SAVED).metadata["fit"]["step"] == 4
    done = run(tmp_path, "generate", SAVED, "--prompt", "é", "--length", 9)
    assert (done.returncode, done.stdout, done.stderr) == (0, "??????????\n", "")


def test_a_sample_that_cannot_be_written_loses_nothing(trained: tuple[Path, str], tmp_path: Path) -> None:
    code = f"""
import runpy, tqdm
def broken(*what):
    raise BrokenPipeError(32, "Broken pipe")
tqdm.tqdm.write = broken
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    text = trained[0] / "text"
    done = run(tmp_path, "train", "--text", text, *SMALL, "--iterations", 9, "--every", 4, code=code)
    assert done.returncode == 1
    assert done.stderr.endswith("char_rnn: [Errno 32] Broken pipe\n")
    assert load(tmp_path / SAVED).metadata["fit"]["step"] == 4


def test_a_text_may_have_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT.replace("owl", "Öwl"), encoding="latin-1")
    begin = ("train", "--text", "text", *SMALL, "--iterations", 2)
    calls = [begin, (*begin, "--encoding", "latin-1"), ("train", "--resume", SAVED, "--iterations", 3)]
    refused, *trainings = run_each("char_rnn", tmp_path, calls).values()
    assert "is not utf-8" in refused.stderr
    for done in trainings:
        assert done.returncode == 0, done.stderr
    saved = load(tmp_path / SAVED)
    assert "Ö" in saved.tokenizer.characters
    assert saved.metadata["fit"]["step"] == 3


OUT_OF_RANGE = [
    *((f"--{name} 0", f"--{name} must be at least 1, not 0") for name in ("layers", "hidden", "embedding", "batch")),
    *((f"--{name} 0", f"--{name} must be at least 1, not 0") for name in ("steps", "iterations", "top-k")),
    ("--every -1", "--every must be at least 1, not -1"),
    *((f"--{name} -1", f"--{name} must be at least 0, not -1") for name in ("length", "seed")),
    *((f"--{name} 0", f"--{name} must be above 0, not 0.0") for name in ("lr", "clip", "seconds", "top-p")),
    *((f"--{name} nan", f"--{name} must be above 0, not nan") for name in ("lr", "clip", "seconds", "top-p")),
    ("--top-p 1.5", "--top-p must be at most 1, not 1.5"),
    ("--temperature -1", "--temperature must be at least 0, and finite, not -1.0"),
    ("--temperature nan", "--temperature must be at least 0, and finite, not nan"),
    ("--dropout 1", "--dropout must be 0 to below 1, not 1.0"),
    ("--dropout nan", "--dropout must be 0 to below 1, not nan"),
    ("--schedule cosine", "--schedule cosine needs --iterations, at the end of which the rate is 0"),
    ("--schedule cosine --seconds 5", "--schedule cosine needs --iterations, at the end of which the rate is 0"),
    ("--seconds 5 --iterations 5", "argument --iterations: not allowed with argument --seconds"),
    ("--out missing/model", f"--out missing/model: no file can be written in {os.sep}"),
    ("--out text/model", "--out text/model: no file can be written in "),
    ("--out .", "--out . is not a file"),
    ("--out=", "--out  is not a file"),
    ("--out ./text", "--out ./text is the text"),
]


@pytest.fixture(scope="module")
def out_of_range(trained: tuple[Path, str]) -> Any:
    """What comes of each of these, and the names of the files before and after them."""
    folder, _ = trained
    before = sorted(folder.iterdir())
    done = run_each("char_rnn", folder, [("train", "--text", "text", *each.split()) for each, _ in OUT_OF_RANGE])
    return list(done.values()), before, sorted(folder.iterdir())


@pytest.mark.parametrize("which", range(len(OUT_OF_RANGE)), ids=[arguments for arguments, _ in OUT_OF_RANGE])
def test_an_option_that_is_out_of_range_is_an_error_before_the_training(
    trained: tuple[Path, str], out_of_range: Any, which: int
) -> None:
    done, before, after = out_of_range
    assert (done[which].returncode, done[which].stdout) == (2, "")
    *_, last = done[which].stderr.splitlines()
    assert last.startswith(f"char_rnn.py train: error: {OUT_OF_RANGE[which][1]}"), last
    assert after == before
    assert (trained[0] / "text").read_text(encoding="utf-8") == TEXT


def test_an_encoding_without_a_file_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "train", "--encoding", "latin-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("char_rnn.py train: error: --encoding is that of --text, which is not given\n")


CONTRADICTIONS = {
    "--hidden 17": "16",
    "--cell lstm": "gru",
    "--layers 2": "1",
    "--dropout 0.1": "0.0",
    "--embedding 8": "not given",
    "--documents": "not given",
    "--batch 5": "4",
    "--steps 8": "16",
    "--optimizer sgd": "adam",
    "--seed 1": "0",
}


@pytest.fixture(scope="module")
def contradicted(trained: tuple[Path, str]) -> Any:
    """What comes of each of these, and the saved model before and after them."""
    folder, _ = trained
    original, resume = (folder / SAVED).read_bytes(), ("train", "--resume", SAVED, "--iterations", 31)
    done = run_each("char_rnn", folder, [(*resume, *arguments.split()) for arguments in CONTRADICTIONS])
    return dict(zip(CONTRADICTIONS, done.values(), strict=True)), original, (folder / SAVED).read_bytes()


@pytest.mark.parametrize("arguments", CONTRADICTIONS)
def test_an_option_that_contradicts_the_resumed_training_is_an_error(contradicted: Any, arguments: str) -> None:
    done, before, after = contradicted
    assert (done[arguments].returncode, done[arguments].stdout) == (2, "")
    option, was = arguments.split()[0], CONTRADICTIONS[arguments]
    message = f"{option} was {was} when {SAVED} was trained: leave it out, or train a new model"
    assert done[arguments].stderr.endswith(f"char_rnn.py train: error: {message}\n")
    assert after == before


def test_a_model_of_another_program_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "other", RNNCell(3, 4, rng=np.random.default_rng(0)))
    message = "other was saved by another program, not by char_rnn.py train"
    calls = [("train", "--resume", "other"), ("generate", "other")]
    for (command, *_), done in run_each("char_rnn", tmp_path, calls).items():
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"char_rnn.py {command}: error: {message}\n")


def test_a_model_of_before_generates_but_is_not_trained_on(trained: tuple[Path, str], tmp_path: Path) -> None:
    now = load(trained[0] / SAVED)
    before = {"iterations": 30, "text": now.metadata["text"], "arguments": now.metadata["arguments"]}
    save(tmp_path / "old", now.model, tokenizer=now.tokenizer, metadata=before)
    calls = [("generate", "old"), ("generate", trained[0] / SAVED), ("train", "--resume", "old")]
    one, other, done = run_each("char_rnn", tmp_path, calls).values()
    assert one.stdout == other.stdout != ""
    assert (done.returncode, done.stdout) == (2, "")
    assert "old was saved by an older char_rnn.py, and can only generate" in done.stderr


OF_SAMPLES = {
    "--samples 0": "--samples must be at least 1, not 0",
    "--temperature nan": "--temperature must be at least 0, and finite, not nan",
    "--length -5": "--length must be at least 0, not -5",
    "--top-k 0": "--top-k must be at least 1, not 0",
}


def test_options_of_samples_are_checked(trained: tuple[Path, str]) -> None:
    calls = [("generate", SAVED, *arguments.split()) for arguments in OF_SAMPLES]
    for done, message in zip(run_each("char_rnn", trained[0], calls).values(), OF_SAMPLES.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"char_rnn.py generate: error: {message}\n")


MISTAKES = [
    (("train", "--text", "missing"), r"there is no file 'missing'"),
    (("train", "--text", ""), r"path is empty, where the path of a file was expected"),
    (("train", "--text", "text", "--encoding", ""), r"'' is not the name of an encoding"),
    (("train", "--text", "text", "--encoding", "rot13"), r"'rot13' is not the name of an encoding"),
    (("train", "--text", "short", *SMALL), r"3 tokens .* too short for batch=4: .* The largest batch is 2"),
    (("generate", SAVED, "--prompt", "Zoë"), r"'Z' \(U\+005A\) at position 0 is not one of the"),
    (
        ("train", "--text", "text", *SMALL, "--prompt", "Zoë", "--out", "no"),
        r"'Z' .* at position 0 is not one of the",
    ),
    (("generate", "missing.safetensors"), r"there is no such file"),
    (("train", "--resume", SAVED), r"char_rnn.safetensors has had 30 iterations: give more"),
    (("train", "--resume", SAVED, "--text", "short"), r"was trained on another text: give that one by --text"),
    (
        ("train", "--text", "text", *SMALL, "--optimizer", "sgd", "--lr", "1e39", "--out", "no"),
        r"fit: the loss of step 2 is nan; the norms of its gradients are layers\.1 nan, layers\.2 nan\. ",
    ),
]
NAMES = [
    "missing text",
    "empty name",
    "empty encoding",
    "no encoding of texts",
    "short text",
    "unknown character",
    "unknown character in training",
    "missing model",
    "no more",
    "other text",
    "diverged",
]


@pytest.fixture(scope="module")
def mistaken(trained: tuple[Path, str]) -> Any:
    """What comes of each of these."""
    folder, _ = trained
    (folder / "short").write_text("to b", encoding="utf-8")  # the first nine tenths: 3
    return run_each("char_rnn", folder, [arguments for arguments, _ in MISTAKES])


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=NAMES)
def test_a_mistake_is_one_line(
    trained: tuple[Path, str], mistaken: Any, arguments: tuple[str, ...], message: str
) -> None:
    done = mistaken[arguments]
    assert done.returncode == 1
    *_, last = re.split(r"[\r\n]", done.stderr.strip())  # after the bar, which a carriage return ends
    assert re.fullmatch(rf"char_rnn: [^\n]*{message}[^\n]*", last), done.stderr
    assert "Traceback" not in done.stderr
    assert not (trained[0] / "no").exists()
