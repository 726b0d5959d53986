"""A model in one safetensors file: weights, architecture, tokenizer and metadata. Nothing is ever pickled."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .architecture import by_name, decode, encode, fill, tie, tied, to_json
from .arrays import Array
from .device import device_of
from .layers.base import Layer
from .parameter import Parameter

# safetensors, hashlib and json are imported where they are used: 7 to 10 ms, and whoever only computes does without.

# All but the weights is JSON under one key of the header. Several would come in random order, and one model would not
# always give the same bytes.
_KEY = "tinygrad_rnn"
_VERSION = 1


class Saved(NamedTuple):
    """What `load` gives."""

    model: Any
    """The layer, on the CPU, in the dtype that it was saved in."""
    tokenizer: Any
    """One equal to what was saved; None if none was."""
    metadata: dict[str, Any]
    """As given to `save`; empty if nothing was."""


def save(
    path: str | os.PathLike[str], model: Layer, *, tokenizer: Any = None, metadata: dict[str, Any] | None = None
) -> None:
    """Write a model to one safetensors file, from any device.

    The file holds the parameters by dotted name, a tied one once, and in its header, as JSON, what the model is made
    of (class and `config()` of each layer), the tokenizer, the metadata, and a checksum of it all. The same model gives
    the same bytes. They are written beside the target and then moved there: at any moment `path` is the old file or
    the new one. The state of a sequence is not saved, for it is no part of a model; nor are the streams of random
    numbers that a layer may draw from.

    Args:
        path: the file; one that exists is replaced. The usual suffix is `.safetensors`.
        model: any layer. `load` must be given the classes that are not of this package.
        tokenizer: one with a `config()` from which its class makes an equal one, such as `CharTokenizer`.
        metadata: what JSON holds. A tuple comes back as a list.

    Raises:
        TypeError: `model` is no layer, `tokenizer` has no `config()`, or the metadata or an argument of a layer is
            nothing that JSON holds.
        ValueError: two classes have one name, or the parameters differ in dtype.
        FileNotFoundError, IsADirectoryError: there can be no file at `path`.
        OSError: it could not be written.

    Example:
        >>> import tempfile
        >>> model = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/cell.safetensors", model, metadata={"epochs": 3})
        ...     saved = load(f"{folder}/cell.safetensors")
        >>> saved.model, saved.metadata, bool((saved.model.w_x.value == model.w_x.value).all())
        (RNNCell(3, 4), {'epochs': 3}, True)
    """
    import safetensors.numpy

    call = f"save({str(path)!r})"
    target = os.path.realpath(path)  # through a link, as open() writes
    if os.path.isdir(target):
        raise IsADirectoryError(f"{call}: this is a directory; give the path of a file in it")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"{call}: there is no directory {os.path.dirname(target)!r}; make it first")
    if not isinstance(model, Layer):
        raise TypeError(f"{call}: model is a {type(model).__name__}, where a layer was expected")
    if tokenizer is not None and not hasattr(tokenizer, "config"):
        raise TypeError(f"{call}: tokenizer is a {type(tokenizer).__name__}, without a config() to make it from")
    if not isinstance(metadata, (dict, type(None))):
        raise TypeError(f"{call}: metadata is a {type(metadata).__name__}, where a dict was expected")
    parts: list[Any] = []
    content = {
        "version": _VERSION,
        "sha256": "",
        "model": encode(model, f"{call}: model", parts),
        "tied": tied(model),
        "tokenizer": None if tokenizer is None else encode(tokenizer, f"{call}: tokenizer", parts),
        "metadata": to_json(metadata or {}, f"{call}: metadata"),
        "classes": sorted({type(part).__name__ for part in parts}),
    }
    by_name({type(part) for part in parts}, call)
    tensors = {name: _host(parameter) for name, parameter in model.named_parameters()}
    if len({array.dtype for array in tensors.values()}) > 1:
        raise ValueError(f"{call}: the parameters differ in dtype: call model.to(dtype=...) first")
    text = _to_text(content)
    text = text.replace('"sha256": ""', f'"sha256": "{_checksum(text, tensors)}"', 1)
    _write(target, safetensors.numpy.save(tensors, {_KEY: text}))


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = ()) -> Saved:
    """Read what `save` wrote: the model, made anew on the CPU, its tokenizer and the metadata.

    Classes are found by name among the public ones of this package and in `classes`; no other code is run. The
    weights are written into the arrays that the layers made for themselves.

    Args:
        path: the file.
        classes: the classes of model and tokenizer that are not of this package.

    Returns:
        `Saved(model, tokenizer, metadata)`.

    Raises:
        FileNotFoundError, IsADirectoryError: `path` is not a file.
        ValueError: the file is empty, truncated, damaged, of another program or a newer version of this one; a class
            is missing in `classes`, or is not what it was when the file was saved (the message lists every parameter
            that does not match); two classes have one name.

    Example: see `save`.
    """
    call = f"load({str(path)!r})"
    if os.path.isdir(path):
        raise IsADirectoryError(f"{call}: this is a directory; give the path of a file in it")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{call}: there is no such file (looked for {os.path.abspath(path)!r})")
    if not os.path.getsize(path):
        raise ValueError(f"{call}: the file is empty, so its writing was cut short; take another copy")
    known = by_name(classes, call)
    content, tensors = _read(path, call)
    try:
        missing = ", ".join(name for name in content["classes"] if name not in known)
        if missing:
            raise ValueError(f"It has classes that are not of this package: call load(..., classes=({missing},))")
        parts: list[Any] = []
        model, tokenizer = (decode(content[name], known, parts) for name in ("model", "tokenizer"))
        tie(model, content["tied"])
        fill(model, tensors)
        return Saved(model, tokenizer, content["metadata"])
    except Exception as error:  # also whatever a header may cause that someone made up, checksum and all
        raise ValueError(f"{call}: the model cannot be made anew. {error}") from error


def _host(parameter: Parameter) -> Array:
    """The value in the order in which safetensors writes any array: of another it makes wrong numbers, silently."""
    value = parameter.value
    return np.asarray(device_of(value).to_host(value), order="C")


def _write(target: str, data: bytes) -> None:
    """All of `data` or nothing."""
    temporary = os.path.join(os.path.dirname(target), f".tinygrad_rnn-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _read(path: str | os.PathLike[str], call: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header's JSON and the tensors, of a file that is whole. The weights of any other file are not read."""
    import safetensors

    safe_open: Any = safetensors.safe_open  # its stubs are without types
    try:
        with safe_open(path, framework="np") as file:
            names = sorted(file.keys())
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise ValueError(
                    f"{call}: the file was not written by `save`, so it does not say of what layers its tensors are: "
                    f"{', '.join(names) or 'none'}. Read it by safetensors.numpy.load_file, and assign them to the "
                    "values of the parameters of a model"
                )
            content = _content(text, call)
            kinds = sorted({file.get_slice(name).get_dtype() for name in names})
            if kinds not in ([], ["F32"], ["F64"]):
                raise ValueError(f"{call}: the tensors are {' and '.join(kinds)}, where F32 or F64 was expected")
            tensors = {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{call}: this is no whole safetensors file, but one that was cut short, damaged or of another kind "
            f"({error}); take another copy"
        ) from error
    checksum = content["sha256"]
    if _checksum(text.replace(checksum, "", 1), tensors) != checksum:
        raise ValueError(f"{call}: the file is damaged: its content does not have its checksum; take another copy")
    return content, tensors


def _content(text: str, call: str) -> dict[str, Any]:
    """The JSON in the header, if this version can read it."""
    try:
        content: dict[str, Any] = _from_text(text)
        version, checksum = content["version"], content["sha256"]
    except (ValueError, LookupError, TypeError, RecursionError):
        version = checksum = None
    if not isinstance(version, int) or not isinstance(checksum, str):
        raise ValueError(f"{call}: the file is damaged: its header is not what `save` writes; take another copy")
    if version > _VERSION:
        raise ValueError(
            f"{call}: the file is of format version {version}, and this tinygrad_rnn reads up to {_VERSION}: install a "
            "newer one"
        )
    return content


def _checksum(text: str, tensors: dict[str, Array]) -> str:
    """SHA-256 of the JSON, with no checksum yet in it, and of the tensors by name."""
    import hashlib

    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        total.update(tensors[name].data)
    return total.hexdigest()


def _to_text(content: dict[str, Any]) -> str:
    """JSON that UTF-8 can hold: lone surrogates are escaped, all other characters are themselves."""
    import json

    text = json.dumps(content, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _from_text(text: str) -> Any:
    """The inverse of `_to_text`; `json` by itself would read two lone surrogates in a row as one character."""
    import json

    return json.loads(re.sub(r"\\(?:u(d[89a-f]..)|.)", lambda m: chr(int(m[1], 16)) if m[1] else m[0], text))
