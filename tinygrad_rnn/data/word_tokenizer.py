"""Text to ids and back, with ids for words and for the characters between words."""

from __future__ import annotations

import functools
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np

from ..core.arrays import Integers, NDArray
from ..core.checks import check_size
from .vocabulary import joined, require_distinct, require_str, row_of_ids, special_tokens

# One of the alternatives matches any character, so the tokens of a text, joined, are the text.
_TOKEN_OF_ASCII = re.compile(r"\w+| +|[^\w ]")


class WordTokenizer:
    r"""One id per word; the characters between words have ids too, so that no character of a text is lost.

    A text is cut from left to right: a token is the longest run of letters, digits and underscores, the longest run of
    spaces, or any other single character. "Don't  go!\n" becomes Don, ', t, two spaces, go, !, and a newline.

    Combining marks, such as vowel signs and accents, belong to the character before them, unless that is white space;
    so do the zero-width joiner and non-joiner. So "हिन्दी" is one word, and "é" is one token however it is written.
    Symbols with joiners between them are one token, such as the emoji of a family. No text is normalised: "é" written
    as one character and as "e" with an accent are different words; `unicodedata.normalize` makes them one.

    Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words, so a whole clause would be
    one "word", and hardly any would occur twice. Use a `CharTokenizer` or a `ByteTokenizer` for them, or let a library
    for that language find the words, and join them with spaces.

    The special tokens have the ids 0 to S-1, the words follow in their order, and `len(tokenizer)` is the size of the
    vocabulary.

    Args:
        words: the known tokens, each once: words, runs of spaces and single other characters.
        special: tokens that `encode` never gives: look up their ids with `id_of`, and insert these.
        unknown: the special token for every token of a text that is not in `words`; it is appended to `special` if it
            is not there. With None such a token is an error.

    Attributes: `words` and `special` (tuples), and `unknown`.

    Raises:
        TypeError: `words` or `special` is not a sequence of str.
        ValueError: a word or special token occurs twice or is empty, a word is not one token, or there is neither a
            word nor a special token.

    Example:
        >>> tokenizer = WordTokenizer.from_text("to be or not to be", size=3)
        >>> tokenizer.words, tokenizer.encode("to see"), tokenizer.decode([2, 1, 3, 0])
        ((' ', 'to', 'be'), array([2, 1, 0], dtype=uint8), 'to be<unk>')
    """

    def __init__(self, words: Sequence[str], *, special: Sequence[str] = (), unknown: str | None = "<unk>") -> None:
        if isinstance(words, str):
            raise TypeError(
                "WordTokenizer: words is a str, where a sequence of str was expected; "
                "WordTokenizer.from_text takes a text"
            )
        if not isinstance(words, (list, tuple)):
            raise TypeError(f"WordTokenizer: words must be a list of str, not a {type(words).__name__}")
        self.words = tuple(words)
        self.special = special_tokens("WordTokenizer", special)
        self.unknown = unknown
        if unknown is not None and unknown not in self.special:
            self.special = special_tokens("WordTokenizer", (*self.special, unknown))
        for word in self.words:
            require_str(word, "WordTokenizer: a word")
            if not _token(word).fullmatch(word):
                raise ValueError(
                    f"WordTokenizer: the word {word!r} is cut into the tokens {list(_tokens(word))}, so no text has "
                    "it as a token; give these instead, or make it a special token"
                )
        self._tokens = (*self.special, *self.words)
        if not self._tokens:
            raise ValueError("WordTokenizer: an empty vocabulary; give at least one word or special token")
        require_distinct("WordTokenizer", self._tokens, "special tokens and words")
        self._ids = {word: index for index, word in enumerate(self.words, len(self.special))}
        self._dtype = np.min_scalar_type(len(self._tokens) - 1)

    @classmethod
    def from_text(
        cls, text: str, *, size: int | None = None, special: Sequence[str] = (), unknown: str | None = "<unk>"
    ) -> WordTokenizer:
        """The tokenizer of the `size` most frequent tokens of `text` (None: of all), the most frequent first.

        Of equally frequent tokens, the one that occurs first comes first. Special tokens do not count towards `size`.
        Raises the errors of the class, and TypeError or ValueError if `size` is not an integer of at least 1.
        """
        require_str(text, "WordTokenizer.from_text: text")
        if size is not None:
            size = check_size("WordTokenizer.from_text", "size", size)
        counts = Counter(_tokens(text)).most_common(size)
        return cls([word for word, _ in counts], special=special, unknown=unknown)

    def encode(self, text: str) -> NDArray[np.unsignedinteger[Any]]:
        """The ids (N,) of the N tokens of `text`, in the smallest unsigned type (uint8 up to 256 ids).

        Raises:
            TypeError: `text` is not a str.
            ValueError: a token is not known, and `unknown` is None.
        """
        require_str(text, "WordTokenizer.encode: text")
        missing = -1 if self.unknown is None else self.special.index(self.unknown)
        # Token by token: a list of all tokens would take some 60 bytes for each.
        ids = np.fromiter((self._ids.get(token, missing) for token in _tokens(text)), np.int32)
        if ids.min(initial=0) < 0:
            match = next(islice(_token(text).finditer(text), int(np.argmax(ids < 0)), None))
            raise ValueError(
                f"WordTokenizer.encode: {match[0]!r} at position {match.start()} is not one of the {len(self.words)} "
                "words known; build the tokenizer from a text that holds it, name a token for such words "
                '(unknown="<unk>"), or drop it from the text'
            )
        return ids.astype(self._dtype)

    def decode(self, ids: Sequence[int] | Integers) -> str:
        """The text of `ids` (N,), the inverse of `encode` wherever no token was unknown.

        A special token becomes its own text, which `encode` then reads as plain text. Nothing is put between words: if
        a model gives the ids of two words in a row, they become one word.

        Raises:
            TypeError: `ids` are not integers.
            ValueError: `ids` are not one row, or one of them is outside the vocabulary.
        """
        text: str = joined(self._tokens, row_of_ids("WordTokenizer", ids, len(self)))
        return text

    def id_of(self, token: str) -> int:
        """The id of a special token or of a word; ValueError if it is neither, even with an `unknown` token."""
        if token in self.special:
            return self.special.index(token)
        if token not in self._ids:
            raise ValueError(
                f"WordTokenizer.id_of: {token!r} is neither one of special={self.special!r} nor one of the "
                f"{len(self.words)} words; name it when the tokenizer is built"
            )
        return self._ids[token]

    def config(self) -> dict[str, Any]:
        """The arguments of an equal tokenizer, `WordTokenizer(**config)`: strings, lists and None, fit for JSON."""
        return {"words": list(self.words), "special": list(self.special), "unknown": self.unknown}

    def __len__(self) -> int:
        return len(self._tokens)

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, WordTokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.words, self.special, self.unknown))

    def __repr__(self) -> str:
        words = reprlib.repr(self.words)  # the first few
        return f"<WordTokenizer of {len(self)} ids: {words}, special={self.special!r}, unknown={self.unknown!r}>"


def _tokens(text: str) -> Iterator[str]:
    return (match[0] for match in _token(text).finditer(text))


def _token(text: str) -> re.Pattern[str]:
    """What cuts `text` into its tokens. For ASCII, which has no marks, it is an expression that is quick to compile."""
    return _TOKEN_OF_ASCII if text.isascii() else _token_with_marks()


@functools.cache
def _token_with_marks() -> re.Pattern[str]:
    """`re` has no name for marks, so this lists them, which takes some 40 ms, once."""
    marks = f"[{_marks()}\u200c\u200d]"
    # That none of them is below U+0300 is asked first: it is so after most words, and takes less time than the list.
    some, any_ = f"(?![\x00-\u02ff]){marks}+", f"(?:(?![\x00-\u02ff]){marks}+)?"
    symbol = rf"[^\w\s]{any_}"
    return re.compile(rf"\w+(?:{some}\w*)*| +|{symbol}(?:(?<=\u200d){symbol})*|\s")


def _marks() -> str:
    """The combining marks, as the ranges of a regular expression. All are in these planes of Unicode."""
    codes = [*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)]
    marks = [code for code in codes if unicodedata.category(chr(code))[0] == "M"]
    runs = (list(run) for _, run in groupby(enumerate(marks), lambda pair: pair[1] - pair[0]))
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)
