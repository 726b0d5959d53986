from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.datasets import texts
from tinygrad_rnn.datasets.texts import paragraphs, pydoc_topics, read_text, tiny_shakespeare


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
    path.write_bytes(b"a")
    for encoding in ("nonsense", "rot13", ""):
        with pytest.raises(
            ValueError, match=f"read_text: '{encoding}' is not the name of an encoding, such as 'utf-8'"
        ):
            read_text(path, encoding=encoding)
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


@given(text=st.text(st.sampled_from("ab \t\n\n")))
def test_paragraphs_keep_every_line_that_is_not_blank(text: str) -> None:
    parts = paragraphs(text)
    lines = [line for line in text.split("\n") if line.strip()]
    assert [line for part in parts for line in part.split("\n")] == lines
    assert paragraphs("\n \n".join(parts)) == parts
    blank = r"(?:(?<=\n)|^)\s*\n"  # a blank line, as another rule finds it
    assert len(parts) == len([part for part in re.split(blank, text) if part.strip()])


def test_paragraphs_stay_as_they_are() -> None:
    assert paragraphs("\n \n  to be,\n\tor not \n\u2003\n\nto\rbe") == ["  to be,\n\tor not ", "to\rbe"]
    assert paragraphs(" \n") == paragraphs("") == []


@pytest.mark.messages
def test_paragraphs_of_bytes() -> None:
    data: Any = b"to be"
    with pytest.raises(TypeError, match="paragraphs: text is a bytes, where a str was expected"):
        paragraphs(data)


TEXT = b"First Citizen:\nSpeak, speak.\n"


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | None], Path]:
    """Makes `TEXT` the text expected, and another one (None: no file) what is found at its address."""

    def put(found: bytes | None) -> Path:
        there = tmp_path / "there.txt"
        there.unlink(missing_ok=True)
        if found is not None:
            there.write_bytes(found)
        expected = texts._Source(there.as_uri(), "text.txt", len(TEXT), hashlib.sha256(TEXT).hexdigest())
        monkeypatch.setattr(texts, "_TINY_SHAKESPEARE", expected)
        return there

    return put


def test_a_text_is_downloaded_once(tmp_path: Path, publish: Callable[[bytes | None], Path]) -> None:
    cache = tmp_path / "new" / "folder"
    publish(TEXT)
    assert tiny_shakespeare(cache=cache) == TEXT.decode()
    assert [(path.name, path.read_bytes()) for path in cache.iterdir()] == [("text.txt", TEXT)]
    publish(None)
    assert tiny_shakespeare(cache=str(cache)) == TEXT.decode()


def test_where_the_cache_is(
    tmp_path: Path, publish: Callable[[bytes | None], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for variable, folder in (
        ("given", "given"),
        (None, "home/.cache"),
        ("relative", "home/.cache"),
        ("", "home/.cache"),
    ):
        if variable is None:
            monkeypatch.delenv("XDG_CACHE_HOME")
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "given") if variable == "given" else variable)
        file = tmp_path / folder / "tinygrad_rnn" / "text.txt"
        assert not file.exists()
        tiny_shakespeare()
        file.unlink()


@pytest.mark.parametrize("wrong", [b"", TEXT[:-1], TEXT + b"\n", TEXT.upper(), TEXT * 1000])
def test_another_file_is_refused_and_not_kept(
    wrong: bytes, tmp_path: Path, publish: Callable[[bytes | None], Path]
) -> None:
    cache = tmp_path / "cache"
    there = publish(wrong)
    message = (
        f"tiny_shakespeare: what {there.as_uri()} gave is not the file expected, of {len(TEXT)} bytes and the SHA-256 "
        f"{hashlib.sha256(TEXT).hexdigest()}; try again, or put the file at {str(cache / 'text.txt')!r} by hand"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tiny_shakespeare(cache=cache)
    assert not cache.exists()


def test_another_file_in_the_cache_is_refused_and_left_alone(
    tmp_path: Path, publish: Callable[[bytes | None], Path]
) -> None:
    publish(TEXT)
    file = tmp_path / "text.txt"
    file.write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=rf"{re.escape(repr(str(file)))} is not .*; remove it, and it is downloaded again"
    ):
        tiny_shakespeare(cache=tmp_path)
    assert file.read_bytes() == b"mine"


def test_no_network(tmp_path: Path, publish: Callable[[bytes | None], Path]) -> None:
    there = publish(None)
    message = (
        rf"tiny_shakespeare: {re.escape(there.as_uri())} could not be downloaded \(.*\); try again, or put the file at "
        rf"{re.escape(repr(str(tmp_path / 'cache' / 'text.txt')))} by hand"
    )
    with pytest.raises(ConnectionError, match=f"^{message}$"):
        tiny_shakespeare(cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, publish: Callable[[bytes | None], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(TEXT)

    def fail(source: str, target: str) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        tiny_shakespeare(cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_the_address_and_size_that_are_documented() -> None:
    source = texts._TINY_SHAKESPEARE
    assert source.url.startswith("https://")
    assert re.fullmatch("86c4e6aa[0-9a-f]{52}65ed", source.sha256)
    assert f"{source.size:,} characters" in str(tiny_shakespeare.__doc__)
    assert source.size == 1_003_854 + 111_540
