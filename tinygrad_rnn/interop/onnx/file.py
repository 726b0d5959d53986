"""What a file of ONNX holds, looked at before anything is made of it: no code is run, and nothing else is opened."""

from __future__ import annotations

import math
import os
import stat
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import NDArray
from ...core.files import as_path, check_source
from ...saving.safe_file import shortened
from ..extras import missing
from .wire import MOST, is_mostly_weights

STANDARD = ("", "ai.onnx")
"""The names of the domain whose operators are those of ONNX itself."""
_OLDEST = 7
"""The set of operators since which those that are read compute what they do now."""
_MOST_NODES = 2000


class File(NamedTuple):
    """What is in a file."""

    call: str
    """The call as messages quote it."""
    graph: Any
    opset: int
    """The set of operators of ONNX itself: what some do by default differs between them."""
    constants: dict[str, NDArray[Any]]
    problems: list[str]
    """What is wrong with the constants."""


def read_graph(path: str | os.PathLike[str]) -> File:
    """The graph in a file.

    Raises:
        ImportError: the package `onnx` is missing.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read.
        ValueError: it is no file of ONNX.
    """
    where = as_path(path, "from_onnx")
    call = f"from_onnx({where!r})"
    found = check_source(where, call)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{call}: this is a device, a pipe or a socket; give the path of a file")
    if found.st_size >= 1 << 31:
        raise ValueError(f"{call}: the file has {found.st_size:,} bytes, but one of ONNX has less than 2 GiB")
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", "onnx", call) from error
    with open(where, "rb") as file:
        data = file.read()
    if not is_mostly_weights(data):
        raise ValueError(
            f"{call}: this is no file of ONNX, or it has more than {MOST:,} bytes beside its weights, far more than a "
            "chain of layers; export the recurrent part alone, without the texts of its source"
        )
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf, whose classes differ between its versions
        raise ValueError(f"{call}: this is no file of ONNX, or a damaged one ({shortened(error)})") from error
    if not model.graph.node:
        raise ValueError(f"{call}: this is no file of ONNX with a graph, or a damaged one; it has no nodes")
    count = len(model.graph.node)
    if count > _MOST_NODES:
        raise ValueError(
            f"{call}: the graph has {count:,} nodes, but a chain of layers has at most {_MOST_NODES:,}; export the "
            "recurrent part alone"
        )
    opset = max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0)
    if opset < _OLDEST:
        raise ValueError(
            f"{call}: its operators are of set {opset}, before {_OLDEST}, and some computed something else then; bring "
            "it up to date where it comes from: onnx.version_converter.convert_version(model, 17)"
        )
    problems: list[str] = []
    constants: dict[str, NDArray[Any]] = {}
    tensors = [(tensor.name, tensor) for tensor in model.graph.initializer]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            tensors += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
    for name, tensor in tensors:
        try:
            constants[name] = _array(onnx, tensor)
        except ValueError as error:
            problems.append(f"the constant {shortened(name, 80)}: {shortened(error)}")
    return File(call, model.graph, opset, constants, problems)


def _array(onnx: Any, tensor: Any) -> NDArray[Any]:
    """A tensor as an array; it must hold as many numbers as its shape says."""
    kinds = onnx.TensorProto
    if tensor.data_location == kinds.EXTERNAL or tensor.external_data:
        raise ValueError(
            "it lies in another file, and none but the one that was named is opened; put all into one where the model "
            "comes from: onnx.save_model(onnx.load(path), path)"
        )
    sizes = {kinds.FLOAT: ("float_data", 4), kinds.DOUBLE: ("double_data", 8), kinds.INT64: ("int64_data", 8)}
    sizes |= {kinds.INT32: ("int32_data", 4), kinds.BOOL: ("int32_data", 1)}
    if tensor.data_type not in sizes:
        raise ValueError(
            f"its type is number {tensor.data_type} of ONNX, where float, double or integers were expected"
        )
    field, size = sizes[tensor.data_type]
    wanted, numbers = math.prod(tensor.dims), len(getattr(tensor, field))
    held = len(tensor.raw_data) / size if tensor.HasField("raw_data") else numbers
    if min(tensor.dims, default=1) < 0 or wanted != held:
        raise ValueError(f"its shape {tuple(tensor.dims)} is that of {wanted} numbers, but it holds {held:g}")
    return np.asarray(onnx.numpy_helper.to_array(tensor))
