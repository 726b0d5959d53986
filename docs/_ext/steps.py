r"""`steps` in a class of the reference: its equations beside the lines that compute them.

    .. autoclass:: SLSTMCell

       .. steps:: tinygrad_rnn.SLSTMCell
          :names: \ell = log_f

The equations are those of the docstring, from the paragraph on that begins with "Forward". The lines are the source of
`step_forward` and `step_backward`, and of what these call on `self` among the methods that the class itself writes. An
equation and a statement belong together where they assign the same name: `\bar{dc}_t` is `dc`, `h_{t-1}` is `h_prev`,
and `dW_x` is `self.w_x.grad`; `names` says where a symbol has another name in the source, or several. The second
equation of a name stands beside the second statement that assigns it, and so on, or beside the last.

The lines of a method stand in place of the first block of equations of which they compute one. A later block, of an
option, stays in the text too. An equation without a line, and a line without an equation that computes a gradient, are
warnings.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)

METHODS = "step_forward", "step_backward"


def name_of(symbol: str) -> str:
    r"""How the source calls a symbol: `dc` for `\bar{dc}_t`, `h_prev` for `h_{t-1}`, `da_i` for `da^i_t`."""
    name = re.sub(r"\\(?:bar|tilde)|[{}\[\]\\\s]", "", symbol.replace("_{t-1}", "_prev"))
    return re.sub(r"_t\b", "", name).replace("^", "_").lower()


@dataclass
class Equation:
    tex: str
    names: list[str]
    """What it assigns."""
    block: nodes.math_block


def equations(block: nodes.math_block) -> Iterator[Equation]:
    r"""Those of a block: a row ends with `\\`, and `, \qquad` parts what stands in it."""
    depth, rows = 0, [""]
    for part in re.split(r"(\\begin|\\end|\\\\)", block.astext()):
        depth += {r"\begin": 1, r"\end": -1}.get(part, 0)
        if part == r"\\" and not depth:
            rows.append("")
        else:
            rows[-1] += part
    for row in rows:
        for tex in re.split(r", *\s\\qquad", row.replace("&", "", 1)):
            left, right = re.split(r"(?=\\mathrel *{.} *=|=)", tex, maxsplit=1)
            yield Equation(f"{left.strip()} & {right.strip()}", [name_of(symbol) for symbol in left.split(",")], block)


@dataclass
class Statement:
    lines: list[str]
    names: set[str] = field(default_factory=set)
    """What it assigns, `self.w_x.grad` by the name `dw_x`."""
    computes: bool = False
    """Whether it computes, and does not only name a part of an array."""
    equations: list[Equation] = field(default_factory=list)
    families: set[frozenset[str]] = field(default_factory=set)
    """The names by which it computes what an equation says."""


def targets(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from targets(part)
        case ast.Attribute(value=ast.Attribute(attr=name), attr="grad"):
            yield f"d{name}"
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            yield from targets(inner)


def calculates(node: ast.AST) -> bool:
    """Whether there is arithmetic in it, outside subscripts."""
    inside = (node.value,) if isinstance(node, ast.Subscript) else ast.iter_child_nodes(node)
    return isinstance(node, ast.BinOp) or any(map(calculates, inside))


def leaves(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements in `body` that have none in them."""
    for statement in body:
        inner = [getattr(statement, branch, []) for branch in ("body", "orelse")]
        if any(inner):
            for branch in inner:
                yield from leaves(branch)
        else:
            yield statement


def reads_gradient(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "grad" for part in ast.walk(node))


def statements(owner: type, method: str) -> Iterator[Statement]:
    """Those of a method, each with the comments and conditions before it; first its head, which assigns nothing."""
    text = textwrap.dedent(inspect.getsource(vars(owner)[method]))
    lines, function = text.splitlines(), ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = {argument.arg for argument in function.args.args}
    returned = {"step_forward": {"y"}, "step_backward": {"dx", "dstate"}}.get(method, {method.strip("_")})
    assigned: set[str] = set()
    start = function.body[0].lineno - 1
    yield Statement(["", *lines[:start]])
    for node in leaves(function.body):
        statement = Statement(lines[start : node.end_lineno])
        start = node.end_lineno or start
        match node:
            case ast.Assign(targets=[ast.expr() as target], value=ast.Name(id=name)) if name in arguments:
                if name == "dstate":
                    returned |= {f"{array}_prev" for array in targets(target)}
            case ast.Assign(value=ast.expr() as value) if reads_gradient(value):
                pass  # it names parts of a gradient
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                if method in METHODS or isinstance(target, ast.Attribute):  # what others name is theirs
                    statement.names = set(targets(target))
                    statement.computes = isinstance(node, ast.AugAssign) or calculates(node)
            case ast.Return():
                statement.names = returned - assigned
        assigned |= statement.names
        yield statement


def with_helpers(owner: type, name: str, seen: set[str]) -> Iterator[str]:
    """A method, and before it each method of the class that it calls, if it was not seen before."""
    if name not in seen and inspect.isfunction(vars(owner).get(name)):
        seen.add(name)
        for called in re.findall(r"\bself\.(\w+)\(", inspect.getsource(vars(owner)[name])):
            yield from with_helpers(owner, called, seen)
        yield name


def row(group: list[Statement]) -> nodes.container:
    """Equations and their lines, each of which is hung by its indent where it is too long."""
    text = "\n".join(line for statement in group for line in statement.lines).strip("\n")
    coloured = PygmentsBridge().highlight_block(text, "python", nowrap=True).rstrip("\n")
    source = ""
    for plain, line in zip(text.split("\n"), coloured.split("\n"), strict=True):
        indent = len(plain) - len(plain.lstrip())
        source += f'<span class="line" style="--indent: {indent}ch">{line}\n</span>'
    box = nodes.container(classes=["row"])
    tex = r" \\ ".join(equation.tex for statement in group for equation in statement.equations)
    if tex:
        box += nodes.math_block(tex, rf"\begin{{aligned}}{tex}\end{{aligned}}")
    box += nodes.raw("", f'<code class="highlight">{source}</code>', format="html")
    return box


def pair(listing: list[Statement], written: list[Equation], aliases: dict[str, set[str]]) -> Iterator[str]:
    """Gives each equation to its statement; what is missing is yielded, in words."""
    assigned = {name for statement in listing for name in statement.names}
    seen: Counter[frozenset[str]] = Counter()
    for equation in written:
        wanted = frozenset().union(*(aliases.get(name, {name}) for name in equation.names))
        found = [statement for statement in listing if statement.names & wanted]
        if not wanted <= assigned:
            yield f"no line assigns {', '.join(sorted(wanted - assigned))}, as an equation does: {equation.tex}"
        if found:
            found[min(seen[wanted], len(found) - 1)].equations.append(equation)
            seen[wanted] += 1
    for statement in listing:
        statement.families = {wanted for wanted in seen if wanted & statement.names}
        gradient = any(name.startswith("d") for name in statement.names)
        if statement.computes and gradient and not statement.families:
            yield f"no equation says what is computed by the line {statement.lines[-1].strip()!r}"


def groups(listing: list[Statement]) -> Iterator[list[Statement]]:
    """Statements one after another stand in one row where they compute the same, or have no equation."""
    group = listing[:1]
    for before, statement in pairwise(listing):
        if not before.families & statement.families and any(s.equations for s in (*group, statement)):
            yield group
            group = []
        group.append(statement)
    yield group


class Steps(SphinxDirective):
    required_arguments = 1
    option_spec = {"names": directives.unchanged_required}  # noqa: RUF012  # as docutils has it

    def run(self) -> list[nodes.Node]:
        """Marks the place: the equations are not read yet."""
        return [nodes.container(classes=["steps"], owner=self.arguments[0], names=self.options.get("names", ""))]


def fill(app: Sphinx, doctree: nodes.document) -> None:
    for mark in [box for box in doctree.findall(nodes.container) if "owner" in box]:
        module, _, name = mark["owner"].rpartition(".")
        owner = getattr(importlib.import_module(module), name)
        pairs = [pair.split("=") for pair in mark["names"].split(",") if pair.strip()]
        aliases = {name_of(symbol): set(names.split()) for symbol, names in pairs}

        docstring = mark.parent
        texts = [node.astext() for node in docstring.children]
        first = next((i for i, text in enumerate(texts) if text.startswith("Forward")), 0)
        blocks = [node for node in docstring.children[first:] if isinstance(node, nodes.math_block)]
        written = [equation for block in blocks for equation in equations(block)]
        seen: set[str] = set()
        listings = [
            [s for part in with_helpers(owner, method, seen) for s in statements(owner, part)] for method in METHODS
        ]
        for lack in pair([statement for listing in listings for statement in listing], written, aliases):
            logger.warning("%s: %s", owner.__name__, lack, location=mark)
        replaced = []
        for listing in listings:
            beside = [equation for statement in listing for equation in statement.equations]
            block = min((e.block for e in beside), key=blocks.index)
            box = nodes.container("", *map(row, groups(listing)), classes=["steps"])
            docstring.insert(docstring.index(block), box)
            replaced.append(block)
        for block in set(replaced):
            docstring.remove(block)
        docstring.remove(mark)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("steps", Steps)
    app.connect("doctree-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
