from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinygrad_rnn.datasets import pydoc_topics, read_text


def test_pydoc_topics_repeats_no_paragraph_and_drops_none() -> None:
    from pydoc_data.topics import topics

    text = pydoc_topics()
    assert len(text) > 200_000
    assert text == pydoc_topics()
    assert text.startswith(topics[min(topics)].strip("\n").split("\n\n")[0] + "\n\n")
    paragraphs = text.removesuffix("\n").split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))
    lines = {line for topic in topics.values() for line in topic.splitlines() if line.strip()}
    assert lines == {line for line in text.splitlines() if line}


def test_pydoc_topics_are_sorted_and_cut_at_blank_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydoc_data.topics.topics", {"b": "three\n\none\n  two\n", "a": "\none\n  two\n \n\n  four\n"})
    assert pydoc_topics() == "one\n  two\n\n  four\n\nthree\n"


def test_read_text_makes_every_line_end_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("a\r\nb\rc\n\n\r\ré\x0b".encode())
    assert read_text(path) == "a\nb\nc\n\n\n\né\x0b"
    path.write_bytes("é\n".encode("latin-1"))
    assert read_text(str(path), encoding="latin-1") == "é\n"


@pytest.mark.messages
def test_read_text_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("text")
    with pytest.raises(FileNotFoundError, match=re.escape(f"no file 'text' (looked for {str(tmp_path / path)!r})")):
        read_text(path)
    with pytest.raises(IsADirectoryError, match=r"read_text: '\.' is a directory; give the path of a file in it"):
        read_text(".")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="read_text: 'text' is empty; give a file that holds text"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbfab\xff\xfe")
    for encoding in ("utf-8", "utf-8-sig"):
        message = (
            rf"read_text: 'text' is not {encoding}: bytes b'\xff' at offset 5 (invalid start byte); "
            "name the encoding of the file, such as encoding='latin-1', or repair the bytes"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            read_text(path, encoding=encoding)
