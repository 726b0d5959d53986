"""Text to ids and back, with one id per byte of UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arrays import Integers, NDArray
from .vocabulary import joined, require_distinct, require_str, row_of_ids, special_tokens


class ByteTokenizer:
    """One id per byte of UTF-8, so that every text can be encoded.

    The special tokens have the ids 0 to S-1, the bytes 0 to 255 follow, and `len(tokenizer)` is S + 256. A character
    is one byte in ASCII and up to four bytes otherwise, so a text has more transitions than with one id per character.

    Args:
        special: tokens that `encode` never gives: look up their ids with `id_of`, and insert these. The attribute
            `special` keeps them as a tuple.

    Raises:
        TypeError: `special` is not a sequence of str.
        ValueError: a special token occurs twice, is empty, or is one ASCII character and so the text of a byte.

    Example:
        >>> tokenizer = ByteTokenizer(special=("<end>",))
        >>> tokenizer.encode("né"), tokenizer.decode([111, 196, 170, 0])
        (array([111, 196, 170], dtype=uint16), 'né<end>')
    """

    def __init__(self, *, special: Sequence[str] = ()) -> None:
        self.special = special_tokens("ByteTokenizer", special)
        require_distinct("ByteTokenizer", (*self.special, *map(chr, range(128))), "special tokens and ASCII characters")
        self._tokens = [token.encode("utf-8", "surrogatepass") for token in self.special]
        self._tokens += [bytes([byte]) for byte in range(256)]
        self._dtype = np.min_scalar_type(len(self) - 1)

    def encode(self, text: str) -> NDArray[np.unsignedinteger[Any]]:
        """The ids (N,) of the N bytes of `text`: uint8 without special tokens, uint16 with them.

        Lone surrogates, which UTF-8 forbids, become three bytes each, as with Python's "surrogatepass".

        Raises:
            TypeError: `text` is not a str.
        """
        require_str(text, "ByteTokenizer.encode: text")
        # astype copies, so the caller may write to the ids.
        ids = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(self._dtype)
        ids += len(self.special)
        return ids

    def decode(self, ids: Sequence[int] | Integers) -> str:
        r"""The text of `ids` (N,), the inverse of `encode`.

        Bytes that are not UTF-8 become U+FFFD, as with Python's "replace": a model may give any bytes, and a piece of a
        text may begin or end inside a character. A special token becomes its own text, which `encode` then reads as
        plain characters, not as a special token.

        Raises:
            TypeError: `ids` are not integers.
            ValueError: `ids` are not one row, or one of them is outside the vocabulary.

        Example:
            >>> ByteTokenizer().decode([110, 195])
            'n\ufffd'
        """
        array = row_of_ids("ByteTokenizer", ids, len(self))
        return joined(self._tokens, array).decode("utf-8", _ERRORS)

    def id_of(self, token: str) -> int:
        """The id of a special token or of an ASCII character; ValueError if it is neither."""
        if token in self.special:
            return self.special.index(token)
        if len(token) != 1 or not token.isascii():
            raise ValueError(
                f"ByteTokenizer.id_of: {token!r} is neither one of special={self.special!r} nor one ASCII character; "
                "name it when the tokenizer is built, or take the ids of its bytes from encode"
            )
        return len(self.special) + ord(token)

    def config(self) -> dict[str, Any]:
        """The arguments of an equal tokenizer, `ByteTokenizer(**config)`: a list of strings, fit for JSON."""
        return {"special": list(self.special)}

    def __len__(self) -> int:
        return len(self._tokens)

    def __eq__(self, other: object) -> bool:
        return self.special == other.special if isinstance(other, ByteTokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.special)

    def __repr__(self) -> str:
        return f"<ByteTokenizer of {len(self)} ids: special={self.special!r}>"


def _lenient(error: UnicodeError) -> tuple[str | bytes, int]:
    """A surrogate where `encode` wrote one, else U+FFFD: two handlers in one, because `bytes.decode` takes only one."""
    try:
        return codecs.lookup_error("surrogatepass")(error)
    except UnicodeError:
        return codecs.lookup_error("replace")(error)


_ERRORS = "tinygrad_rnn.lenient"
codecs.register_error(_ERRORS, _lenient)
