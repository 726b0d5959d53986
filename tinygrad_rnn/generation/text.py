"""Text from a model, piece by piece: only whole characters, and nothing that may still become a stop string."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, SupportsIndex, runtime_checkable

from ..core.arrays import Array, Generator
from ..core.checks import check_size
from ..core.roles import Recurrent
from .steering import is_collection
from .tokens import draw_ids

# The characters that errors="replace" or "surrogateescape" give for bytes of an unfinished character. More ids may turn
# up to three of these, at the end of a text, into one character: UTF-8 takes four bytes at most.
_UNFINISHED = "\N{REPLACEMENT CHARACTER}" + "".join(map(chr, range(0xDC80, 0xDD00)))


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back, such as `CharTokenizer`."""

    def encode(self, text: str, /) -> Any:
        """The ids of `text`, an array (N,)."""

    def decode(self, ids: Any, /) -> str:
        """The text of `ids`, a list."""


def generate_text(
    model: Recurrent,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    length: int,
    start: SupportsIndex | None = None,
    end: SupportsIndex | None = None,
    stop: Collection[str] = (),
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    min_p: float | int | None = None,
    banned: Collection[str | SupportsIndex] = (),
    bias: Mapping[str | int, float] | Array | None = None,
    repetition_penalty: float | int = 1.0,
    min_length: int = 0,
    rng: Generator,
) -> Iterator[str]:
    r"""Text that continues a prompt, in pieces that come as soon as they are certain.

    It is the text of the ids that `generate` gives. A character of several ids, such as one of several bytes, is given
    whole. How the text is divided into ids makes no difference: it ends before the stop string that is complete first.

    Args:
        model: as in `generate`.
        tokenizer: the one that the model was trained with; it has `encode` and `decode`.
        prompt: the text to continue; it is not echoed, and may be empty if `start` is given.
        length: how many ids to draw at most.
        start: the id of a token to put before the prompt, such as `tokenizer.id_of("<start>")`.
        end: the id of a token that ends the text.
        stop: strings that end the text, and are not given; if several are complete at once, the longest counts. They
            are searched for only in the new text, not in the prompt.
        temperature: as in `generate`.
        top_k: as in `generate`.
        top_p: as in `generate`.
        min_p: as in `generate`.
        banned: strings that must not occur in the text: the last id of such a string is not drawn after its others,
            whether these are new or the end of the prompt. Also ids, such as those of special tokens.
        bias: as in `generate`; a string of one id, such as a character, may take the place of the id.
        repetition_penalty: as in `generate`.
        min_length: `end` is not drawn before there are so many ids; stop strings are not affected.
        rng: as in `generate`.

    Returns:
        An iterator of pieces of text, none of them empty. Where `length` cuts a character, the text ends in what the
        tokenizer gives for its first part, such as U+FFFD.

    Raises:
        ValueError: there is neither a prompt nor `start`, a stop string is empty, a string of `banned` or `bias` is not
            in the vocabulary, and as in `generate`.
        TypeError: `tokenizer` lacks a method, `start` or `end` is not an integer, `stop` is a str or holds something
            that is not a str, and as in `generate`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tokenizer = CharTokenizer.from_text("banana\n", special=("<end>",))
        >>> V = len(tokenizer)
        >>> model = Sequential(OneHot(V), RNNCell(V, 8, rng=rng), Linear(8, V, rng=rng))
        >>> text = "".join(generate_text(model, tokenizer, "ba", length=20, end=0, stop=("\n", "nana"), rng=rng))
        >>> "nana" in text
        False
    """
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(f"generate_text: tokenizer must have encode and decode, as CharTokenizer, not {tokenizer!r}")
    stop = _check_stop(stop)
    first, last = _as_ids("start", start), _as_ids("end", end)
    ids = [*first, *map(int, tokenizer.encode(prompt))]
    if not ids:
        raise ValueError("generate_text: the prompt is empty: give a text, or start, the id of a token to begin with")
    filters: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    wishes = {
        "banned": _banned_ids(tokenizer, banned),
        "bias": _bias_of_ids(tokenizer, bias),
        "repetition_penalty": repetition_penalty,
        "min_length": min_length,
    }
    drawn = draw_ids(
        "generate_text", model, ids, length=length, state=None, filters=filters, wishes=wishes, stop=last, rng=rng
    )
    return _before_stop(_whole_characters(tokenizer, ids, drawn), stop)


def _whole_characters(tokenizer: Tokenizer, prompt: list[int], ids: Iterable[int]) -> Iterator[str]:
    """The text of `ids`, with one piece for each id that ends a character.

    Only a window of the last ids is decoded each time: the ids of the last piece or of the prompt, and those after it.
    The former are needed because a tokenizer may decode an id differently after other ids (words with a space between).
    """
    window = list(prompt)
    text = tokenizer.decode(window)
    context, given, undecoded = len(window), len(text), 0
    for chosen in ids:
        window.append(chosen)
        try:
            text = tokenizer.decode(window)
        except UnicodeDecodeError as error:  # a tokenizer that does not decode an unfinished character at all
            undecoded += 1
            if error.reason != "unexpected end of data" or undecoded > 3:
                raise
            continue
        undecoded = 0
        tail = len(text[-3:]) - len(text[-3:].rstrip(_UNFINISHED))
        whole = len(text) - tail
        if whole > given:
            yield text[given:whole]
            given = whole
        if not tail:
            window = window[context:]
            text = tokenizer.decode(window)
            context, given = len(window), len(text)
        elif len(window) - context > 16:
            # There was no text for many ids, so the window is cut to its last 9. These are enough: UTF-8 is in step
            # again after 4 ids, and up to 3 characters are held back, of 3 ids each if they are real U+FFFD.
            held = len(text) - given
            window, context = window[-9:], 0
            text = tokenizer.decode(window)
            given = len(text) - held
    if text[given:]:
        yield text[given:]


def _before_stop(pieces: Iterable[str], stop: Collection[str]) -> Iterator[str]:
    """The text of `pieces` up to the first complete stop string; text that may still become one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        found = [(at + len(s), at) for s in stop if (at := held.find(s)) >= 0]
        if found:
            held = held[: min(found)[1]]
            break
        sizes = (n for s in stop for n in range(1, len(s)) if held.endswith(s[:n]))
        certain = len(held) - max(sizes, default=0)
        if certain:
            yield held[:certain]
            held = held[certain:]
    if held:
        yield held


def _as_ids(name: str, token: Any) -> tuple[int, ...]:
    if token is None:
        return ()
    if isinstance(token, str):
        raise TypeError(
            f"generate_text: {name} must be the id of a token, such as tokenizer.id_of('<{name}>'), not {token!r}"
        )
    return (check_size("generate_text", name, token, least=0),)


def _banned_ids(tokenizer: Tokenizer, banned: Any) -> Any:
    if isinstance(banned, str):
        raise TypeError(f"generate_text: banned is the str {banned!r}; write banned=({banned!r},)")
    if not is_collection(banned):
        raise TypeError(f"generate_text: banned must be a collection of str, such as ('z',), not {banned!r}")
    return [_ids_of(tokenizer, "banned", entry) if isinstance(entry, str) else entry for entry in banned]


def _bias_of_ids(tokenizer: Tokenizer, bias: Any) -> Any:
    if not isinstance(bias, Mapping):
        return bias
    found = {}
    for key, number in bias.items():
        ids = _ids_of(tokenizer, "bias", key) if isinstance(key, str) else [key]
        if len(ids) != 1:
            raise ValueError(f"generate_text: bias has {key!r}, which is {len(ids)} ids; give those of one id")
        found[ids[0]] = number
    return found


def _ids_of(tokenizer: Tokenizer, name: str, text: str) -> list[int]:
    """The ids of a text, which must be the text again: an unknown token would stand for others, too."""
    ids = list(map(int, tokenizer.encode(text)))
    if not ids or tokenizer.decode(ids) != text:
        raise ValueError(f"generate_text: {name} has {text!r}, which is not in the vocabulary; leave it out")
    return ids


def _check_stop(stop: Any) -> tuple[str, ...]:
    if isinstance(stop, str):
        raise TypeError(f"generate_text: stop is the str {stop!r}; write stop=({stop!r},)")
    if not isinstance(stop, (list, tuple, set, frozenset)):
        raise TypeError(f"generate_text: stop must be a collection of str, such as ('.',), not {stop!r}")
    for text in stop:
        if not isinstance(text, str):
            raise TypeError(f"generate_text: stop holds {text!r}, not a str; the id of a token is given as end")
        if not text:
            raise ValueError("generate_text: a stop string is empty; leave it out")
    return tuple(stop)
