"""The weights of a file, by name, into a model that is there already: for fine-tuning."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..core.arguments import check_bool
from ..core.arrays import Array
from ..core.device import device_of
from ..core.layer import Layer
from .reading import check_kinds, named_call, read_file
from .safe_file import shortened


class LoadReport(NamedTuple):
    """What `load_parameters` took, and what it left; names are dotted names of parameters."""

    taken: tuple[str, ...]
    """What was written into the model."""
    missing: tuple[str, ...]
    """What the model has, but not the file; it is unchanged."""
    unexpected: tuple[str, ...]
    """What the file has, but not the model."""
    misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """What both have in different shapes, with the shape in the file and that in the model; it is unchanged."""

    def __repr__(self) -> str:
        """A line for each field that is not empty."""
        of = len(self.taken) + len(self.missing) + len(self.misshapen)
        wrong = [f"{name} is {there}, expected {here}" for name, (there, here) in self.misshapen.items()]
        parts = {"missing": self.missing, "unexpected": self.unexpected, "misshapen": wrong}
        lines = [f"{key}: {'; '.join(names)}" for key, names in parts.items() if names]
        return "\n".join([f"{len(self.taken)} of {of} parameters were taken", *lines])


def load_parameters(path: str | os.PathLike[str], model: Layer, *, strict: bool = True) -> LoadReport:
    """Write the weights of a file into an existing model, by dotted name: to train it further, or as a part of another.

    They are written into the existing arrays, on the device and in the dtype of the model, so an optimizer of the model
    goes on with it. Only the weights of the file are used: no class is needed, and no random stream is changed. To fill
    a part of a model, pass that part: `load_parameters(path, model.encoder)`.

    Args:
        path: the file that `save` wrote, of the same or of another model.
        model: any layer.
        strict: whether the names and shapes must be those of the file. With False, arrays with the same name and shape
            are taken, and the rest of the model stays as it is.

    Returns:
        A `LoadReport` of what was taken and what was not; `print` shows it as a short text.

    Raises:
        TypeError: `path` is not a path, `model` not a layer, or `strict` not a bool.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read.
        ValueError: the file is not what `save` writes; or, if `strict`, it is of another model: the message lists every
            parameter that does not match. Nothing is changed.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> old = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> new = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 2, rng=rng))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/old.safetensors", old)
        ...     load_parameters(f"{folder}/old.safetensors", new, strict=False)
        4 of 6 parameters were taken
        misshapen: layers.2.w is (8, 5), expected (8, 2); layers.2.b is (5,), expected (2,)
    """
    where, call = named_call(path, "load_parameters")
    if not isinstance(model, Layer):
        raise TypeError(f"{call}: model is a {type(model).__name__}, where a layer was expected")
    check_bool(call, "strict", strict)
    content, tensors = read_file(where, call)
    try:
        check_kinds(content)
    except ValueError as error:
        raise ValueError(f"{call}: the weights cannot be read. {error}") from error
    weights = {name: array for name, array in tensors.items() if "/" not in name}
    found, report = _compare(model, weights, content["tied"])
    if strict and any(report[1:]):
        raise ValueError(
            f"{call}: the file is of another model. {shortened(report, 4000)}\nGive the model that was saved, or take "
            "what fits with strict=False"
        )
    for name, parameter in model.named_parameters():
        if name in found:
            parameter.value = device_of(parameter.value).asarray(found[name])
    return report


def _compare(model: Layer, weights: dict[str, Array], tied: dict[str, str]) -> tuple[dict[str, Array], LoadReport]:
    """What is to be taken, by name, and the report; a tied parameter of the file has several names."""
    found: dict[str, Array] = {}
    missing, misshapen, used = list[str](), {}, set[str]()
    for name, parameter in model.named_parameters():
        source = name if name in weights else tied.get(name, name)
        used.add(source)
        if source not in weights:
            missing.append(name)
        elif weights[source].shape != parameter.shape:
            misshapen[name] = weights[source].shape, parameter.shape
        else:
            found[name] = weights[source]
    unexpected = tuple(name for name in weights if name not in used)
    return found, LoadReport(tuple(found), tuple(missing), unexpected, misshapen)
