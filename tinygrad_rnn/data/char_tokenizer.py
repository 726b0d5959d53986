"""Text to ids and back, with one id per character."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arrays import Integers, NDArray
from .vocabulary import joined, require_distinct, require_str, row_of_ids, special_tokens

# How many characters are encoded at a time: the code points and indices of one block stay in a core's cache, so that
# encoding needs little memory beyond its result (a whole text at once would take 16 more bytes per character).
_BLOCK = 1 << 16


class CharTokenizer:
    """One id per character (Unicode code point); special tokens, such as the start of a text, have their own ids.

    A vowel sign or an accent that is a character of its own has an id of its own: "é" may be one id or two.
    `unicodedata.normalize("NFC", text)` writes it as one wherever that exists.

    The special tokens have the ids 0 to S-1, the characters follow in their order, and `len(tokenizer)` is the size
    of the vocabulary. The attributes are named like the parameters (`special` is kept as a tuple).

    Args:
        characters: the characters, each once.
        special: tokens that `encode` never gives: look up their ids with `id_of`, and insert these.
        unknown: the special token for every character that is not in `characters`.

    Raises:
        TypeError: `characters` is not a str, or `special` is not a sequence of str.
        ValueError: a character or special token occurs twice, a special token is empty or is one of the characters,
            `unknown` is not one of the special tokens, or there is neither a character nor a special token.

    Example:
        >>> tokenizer = CharTokenizer.from_text("banana", special=("<end>",))
        >>> tokenizer.encode("nab"), tokenizer.decode([2, 1, 3, 0])
        (array([3, 1, 2], dtype=uint8), 'ban<end>')
    """

    def __init__(self, characters: str, *, special: Sequence[str] = (), unknown: str | None = None) -> None:
        require_str(characters, "CharTokenizer: characters")
        self.special = special_tokens("CharTokenizer", special)
        tokens = (*self.special, *characters)
        if not tokens:
            raise ValueError("CharTokenizer: an empty vocabulary; give at least one character or special token")
        require_distinct("CharTokenizer", tokens, "special tokens and characters")
        if unknown is not None and unknown not in self.special:
            raise ValueError(f"CharTokenizer: unknown={unknown!r} is not one of special={self.special!r}; add it there")
        self.characters = characters
        self.unknown = unknown
        self._tokens = tokens
        self._dtype = np.min_scalar_type(len(tokens) - 1)
        # From code point to id. The last entry belongs to no character: every larger code point is clipped to it.
        # The size follows from the largest code point: 0.5 kB for ASCII, at worst 4.5 MB.
        codes = _code_points(characters)
        missing = -1 if unknown is None else self.special.index(unknown)
        self._table = np.full(int(codes.max(initial=0)) + 2, missing, np.int32)
        self._table[codes] = np.arange(len(self.special), len(tokens))

    @classmethod
    def from_text(cls, text: str, *, special: Sequence[str] = (), unknown: str | None = None) -> CharTokenizer:
        """The tokenizer of the distinct characters of `text`, sorted by code point; raises the errors of the class."""
        require_str(text, "CharTokenizer.from_text: text")
        return cls("".join(sorted(set(text))), special=special, unknown=unknown)

    def extended(self, text: str) -> CharTokenizer:
        """A tokenizer that also knows the characters of `text`: the new ones follow in the order of their code points.

        All other ids stay the same, so the rows of a table for this tokenizer are the first rows of one for the new.

        Raises:
            TypeError: `text` is not a str.
            ValueError: a new character is a special token.

        Example:
            >>> tokenizer = CharTokenizer("ab", special=("<end>",)).extended("a cab")
            >>> tokenizer.characters, tokenizer.encode("abc")
            ('ab c', array([1, 2, 4], dtype=uint8))
        """
        require_str(text, "CharTokenizer.extended: text")
        new = "".join(sorted(set(text) - set(self.characters)))
        return CharTokenizer(self.characters + new, special=self.special, unknown=self.unknown)

    def encode(self, text: str) -> NDArray[np.unsignedinteger[Any]]:
        """The ids (N,) of the N characters of `text`, in the smallest unsigned type (uint8 up to 256 ids).

        Raises:
            TypeError: `text` is not a str.
            ValueError: a character is not known, and no `unknown` token was named.
        """
        require_str(text, "CharTokenizer.encode: text")
        ids: NDArray[np.unsignedinteger[Any]] = np.empty(len(text), self._dtype)
        for start in range(0, len(text), _BLOCK):
            block = self._table.take(_code_points(text[start : start + _BLOCK]), mode="clip")
            if block.min() < 0:
                position = start + int(np.argmax(block < 0))
                raise ValueError(
                    f"CharTokenizer.encode: {_name(text[position])} at position {position} is not one of the "
                    f"{len(self.characters)} characters known; build the tokenizer from a text that holds it, "
                    'or name a token for such characters (special=("<unk>",), unknown="<unk>"), '
                    "or drop it from the text"
                )
            ids[start : start + _BLOCK] = block
        return ids

    def decode(self, ids: Sequence[int] | Integers) -> str:
        """The text of `ids` (N,), the inverse of `encode`.

        A special token becomes its own text, which `encode` then reads as plain characters, not as a special token.

        Raises:
            TypeError: `ids` are not integers.
            ValueError: `ids` are not one row, or one of them is outside the vocabulary.
        """
        array = row_of_ids("CharTokenizer", ids, len(self))
        text: str = joined(self._tokens, array)
        return text

    def id_of(self, token: str) -> int:
        """The id of a special token or of a character; ValueError if it is neither, even with an `unknown` token."""
        if token not in self._tokens:
            raise ValueError(
                f"CharTokenizer.id_of: {token!r} is neither one of special={self.special!r} nor one of the "
                f"{len(self.characters)} characters; name it when the tokenizer is built"
            )
        return self._tokens.index(token)

    def config(self) -> dict[str, Any]:
        """The arguments of an equal tokenizer, `CharTokenizer(**config)`: strings, a list and None, fit for JSON.

        Lone surrogates survive only `json.dumps(config, ensure_ascii=False)`: JSON escapes turn a high surrogate before
        a low one into one character.
        """
        return {"characters": self.characters, "special": list(self.special), "unknown": self.unknown}

    def __len__(self) -> int:
        return len(self._tokens)

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, CharTokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.characters, self.special, self.unknown))

    def __repr__(self) -> str:
        characters = reprlib.repr(self.characters)  # shortened in the middle
        return f"<CharTokenizer of {len(self)} ids: {characters}, special={self.special!r}, unknown={self.unknown!r}>"


def _code_points(text: str) -> NDArray[np.uint32]:
    """One number per character, whatever its plane; surrogatepass accepts lone surrogates."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _name(character: str) -> str:
    return f"{character!r} (U+{ord(character):04X})"
