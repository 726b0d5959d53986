"""What flows through a graph of ONNX beside the data: zeros, states, and where rows end."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arrays import NDArray
from .nodes import RECURRENT


class Others:
    """The names of what does not depend on the data, by what it is.

    Args:
        graph: the whole.
        constants: by name.
        inputs: the names of the inputs of the graph but that of the data.
    """

    def __init__(self, graph: Any, constants: dict[str, NDArray[Any]], inputs: set[str]) -> None:
        self.constants = constants
        self.zeros = {name for name, array in constants.items() if not np.count_nonzero(array)}
        self.states = set(inputs)
        lengths = {node.input[4] for node in graph.node if node.op_type in RECURRENT and len(node.input) > 4}
        self.roles = dict.fromkeys(inputs & {*lengths, "lengths"}, "lengths")

    def clears(self, node: Any) -> bool:
        """Whether a node Where sets to 0 what is past the end of rows."""
        return self.roles.get(node.input[0]) == "mask" and node.input[2] in self.zeros

    def follow(self, node: Any) -> None:
        """Note what a node gives, if it is of use."""
        op, inputs = node.op_type, [name for name in node.input if name]
        arranges = op in ("Expand", "Concat", "Unsqueeze", "Squeeze", "Identity", "Slice", "Tile", "Transpose")
        is_zero = arranges and inputs and all(name in self.zeros for name in (inputs if op == "Concat" else inputs[:1]))
        if op == "ConstantOfShape":
            is_zero = not any(any(a.t.float_data) or any(a.t.double_data) or any(a.t.raw_data) for a in node.attribute)
        role = self._role(node, inputs)
        for name in node.output:
            if role:
                self.roles[name] = role
            if is_zero:
                self.zeros.add(name)
            if inputs and inputs[0] in self.states and op in ("Unsqueeze", "Identity", "Gather", "Slice"):
                self.states.add(name)

    def _role(self, node: Any, inputs: list[str]) -> str:
        """Whether a node gives the lengths, the numbers of the steps, or the mask of the steps within the lengths."""
        op, roles = node.op_type, [self.roles.get(name, "") for name in inputs]
        constants = [self.constants[name].tolist() for name in inputs if name in self.constants]
        if op == "Shape":
            return "shape"
        if op == "Gather" and roles[:1] == ["shape"]:
            return "steps" if constants == [0] else ""
        if op == "Range" and roles[1:2] == ["steps"] and constants == [0, 1]:
            return "times"
        if op == "Less" and roles == ["times", "lengths"]:
            return "mask"
        if op in ("Cast", "Identity", "Unsqueeze") or (op == "Max" and constants == [1]):
            return roles[0] if roles[:1] != ["shape"] else ""
        return ""
