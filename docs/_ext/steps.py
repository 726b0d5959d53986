"""`steps` in a class of the reference: the source of its step and of the way back, to stand beside the equations.

    .. autoclass:: LSTMCell

       .. steps:: tinygrad_rnn.LSTMCell

It shows `step_forward` and `step_backward`, or the methods named as further arguments; and what these call on `self`
among the methods that the class itself writes, so that no part of a step that was given a name of its own is missed.
The text is read from the module, never copied. `site.css` sets the two columns.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


def with_helpers(owner: type, names: list[str]) -> Iterator[str]:
    """Each name, and before the first that calls it each method of the class that is called."""
    seen: set[str] = set()

    def walk(name: str) -> Iterator[str]:
        if name not in seen and inspect.isfunction(vars(owner).get(name)):
            seen.add(name)
            for called in re.findall(r"\bself\.(\w+)\(", inspect.getsource(vars(owner)[name])):
                yield from walk(called)
            yield name

    for name in names:
        yield from walk(name)


class Steps(SphinxDirective):
    required_arguments = 1
    optional_arguments = 9

    def run(self) -> list[nodes.Node]:
        path, *names = self.arguments
        module, _, name = path.rpartition(".")
        owner = getattr(importlib.import_module(module), name)
        self.env.note_dependency(inspect.getfile(owner))
        box = nodes.container(classes=["steps"])
        for method in with_helpers(owner, names or ["step_forward", "step_backward"]):
            text = textwrap.dedent(inspect.getsource(vars(owner)[method]))
            box += nodes.literal_block(text, text, language="python", classes=["fragment"])
        if not box.children:
            raise self.error(f"{path} writes none of the methods that are to be shown")
        return [box]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("steps", Steps)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
