"""A graph of ONNX while it is written: its nodes, its constants, and names for what flows between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arrays import NDArray


class Graph:
    """Nodes and constants in the order in which they were added.

    Args:
        onnx: the package.
        dtype: that of the weights.
    """

    def __init__(self, onnx: Any, dtype: Any) -> None:
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.size = 0

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a constant."""
        value: NDArray[Any] = np.ascontiguousarray(np.asarray(array, dtype))
        value = value.reshape(np.shape(array))  # which has an axis too many where there was none
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(value, name))
        self.size += value.nbytes
        return name

    def number(self, value: float) -> str:
        """A number of the dtype of the weights."""
        return self.constant(np.array(value, self.dtype))

    def ints(self, *values: int) -> str:
        """A vector of integers, such as axes."""
        return self.constant(values, np.int64)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of the one output of a node."""
        return self.outputs_of(op, 1, *inputs, **attributes)[0]

    def outputs_of(self, op: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """The names of the outputs of a node."""
        names = [f"{op.lower()}{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(count)]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names

    def kind(self, dtype: Any = None) -> int:
        """ONNX's number of a dtype."""
        number: int = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype or self.dtype))
        return number

    def input(self, name: str, dtype: Any, shape: list[Any]) -> str:
        """An input of the whole graph."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), shape))
        return name

    def output(self, name: str, source: str, shape: list[Any]) -> None:
        """An output of the whole graph."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [source], [name], name=name))
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.kind(), shape))
