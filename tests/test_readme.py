"""What README.md promises: its loop learns, its two commands stand there word for word, its links lead somewhere."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (
    "python -m pip install . && python examples/char_rnn.py train",
    "python -m pip install nox && python -m nox -s tests typecheck",
)


def test_the_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    (loop,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(loop, "README.md", "exec"), names)
    assert float(names["loss"]) < 0.2 * math.log(names["V"])
    assert len(capsys.readouterr().out) == 30 + 1  # it writes that many characters


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_stand_in_blocks_of_their_own(command: str) -> None:
    assert f"\n```\n{command}\n```\n" in README


def test_the_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 5
    assert not [link for link in links if not (ROOT / link).is_file()]
