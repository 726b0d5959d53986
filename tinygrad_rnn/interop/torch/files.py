"""The arrays of a PyTorch model: of a `.safetensors` file or a dict, by module. PyTorch is not needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arrays import Array
from ...core.files import as_path, check_source
from ...saving.safe_file import check_start, shortened
from ..filling import FLOATS

HALVES = "convert them where PyTorch is: {name: tensor.float() for name, tensor in state_dict.items()}"


def read_arrays(source: Any, function: str) -> tuple[str, dict[str, Array], bool]:
    """The call as messages quote it, the arrays by name, and whether they are in the order of the modules.

    Raises:
        TypeError: `source` is neither a path nor a dict of arrays by name.
        FileNotFoundError, IsADirectoryError, PermissionError: it is not a file that can be read.
        ValueError: it is no safetensors file, or holds other numbers than float32 or float64.
    """
    if isinstance(source, Mapping):
        return f"{function}(dict)", _of_dict(source, f"{function}(dict)"), True
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"{function}: source is a {type(source).__name__}, where the path of a .safetensors file, or a dict of "
            "arrays by name as state_dict() gives it, was expected"
        )
    where = as_path(source, function)
    call = f"{function}({where!r})"
    if not stat.S_ISREG(check_source(where, call).st_mode):
        raise ValueError(f"{call}: this is a device, a pipe or a socket; give the path of a file")
    _refuse_pickle(where, call)
    return call, _of_file(where, call), False


def _of_dict(source: Mapping[Any, Any], call: str) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, value in source.items():
        if not isinstance(name, str):
            raise TypeError(f"{call}: {shortened(repr(name), 80)} stands where the name of an array was expected")
        try:
            found[name] = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:  # of a tensor on a GPU, or of bfloat16
            raise TypeError(
                f"{call}: {name} cannot be made an array of NumPy ({shortened(error, 200)}); give "
                "{name: tensor.float().cpu() for name, tensor in state_dict.items()}"
            ) from error
        if found[name].dtype == object or found[name].dtype.kind in "USV":
            raise TypeError(f"{call}: {name} is a {type(value).__name__}, where an array was expected")
    return found


def _refuse_pickle(where: str, call: str) -> None:
    with open(where, "rb") as file:
        start = file.read(9)
    # A header of safetensors begins with its length, which may look like the start of a pickle, and then a brace.
    if start[8:] != b"{" and start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ValueError(
            f"{call}: this is a file of torch.save, a pickle, which could run any code when it is read, so nothing "
            "here reads one. Convert it once where PyTorch is: safetensors.torch.save_file("
            f"torch.load({where!r}, weights_only=True), 'model.safetensors')"
        )


def _of_file(where: str, call: str) -> dict[str, Array]:
    import safetensors

    safe_open: Any = safetensors.safe_open  # its stubs have no types
    check_start(where, call)
    try:
        with safe_open(where, framework="np") as file:
            names = sorted(file.keys(), key=natural)
            kinds = {name: file.get_slice(name).get_dtype() for name in names}
            wrong = [f"{name} is {kind}" for name, kind in kinds.items() if kind not in ("F32", "F64", *_COUNTS)]
            if wrong:
                raise ValueError(
                    f"{call}: {shortened('; '.join(wrong))}, where {' or '.join(FLOATS)} was expected; {HALVES}"
                )
            return {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{call}: this is no whole safetensors file, but one that was cut short, damaged or of another kind "
            f"({shortened(error)}); write it by safetensors.torch.save_file(model.state_dict(), path)"
        ) from error


_COUNTS = ("I64", "I32", "BOOL", "U8")
"""What buffers hold, such as num_batches_tracked: they are refused later, with their module."""


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts the numbers in names as numbers: layers.2 before layers.10."""
    parts = name.split(".")
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 10 else (1, 0, part) for part in parts
    ]


def modules(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays by module and by their names in it; the module itself of `state_dict()` is named ""."""
    found: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        module, _, own = name.rpartition(".")
        found.setdefault(module, {})[own] = array
    return found
