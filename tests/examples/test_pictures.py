"""Each example that draws its result by `--plot` draws it; what it shows is looked at in the gallery."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from running import EXAMPLES

pytest.importorskip("matplotlib")

SMALL = {
    "adding_problem": "--steps 4 --hidden 4 --iterations 4 --every 2",
    "addition": "--hidden 4 --iterations 2 --every 2",
    "copy_memory": "--delay 2 --hidden 4 --iterations 2 --every 2",
    "reber": "--hidden 4 --iterations 2 --every 2",
    "reverse_strings": "--longest 4 --hidden 4 --iterations 2 --every 2",
    "tagger": "--text text --hidden 2 --epochs 1",
}


@pytest.mark.parametrize("name", SMALL)
def test_a_picture_is_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    Path("text").write_text("\n\n".join(f"{word} and the rest" for word in "abcdefghijklmnop"), encoding="utf-8")
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([*SMALL[name].split(), "--plot", "picture.svg"])
    assert "</svg>" in Path("picture.svg").read_text(encoding="utf-8")


def test_no_attention_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    main = runpy.run_path(str(EXAMPLES / "addition.py"))["main"]
    with pytest.raises(SystemExit):
        main(["--attention", "none", "--plot", "picture.svg"])
    message = "--plot draws where it looks, but with --attention none it looks nowhere\n"
    assert capsys.readouterr().err.endswith(message)
