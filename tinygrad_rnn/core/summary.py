"""The table that `Layer.summary` gives."""

from __future__ import annotations

from .layer import Layer, places
from .parameter import Parameter

Row = tuple[str, str, str, str]


def summary(layer: Layer) -> str:
    """See `Layer.summary`."""
    rows, _ = _rows(layer, "", (), {})
    rows.insert(0, ("name", "layer", "size", "parameters"))
    name, kind, shape, count = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{row[0]:{name}}  {row[1]:{kind}}  {row[2]:>{shape}}  {row[3]:>{count}}" for row in rows]
    parameters = layer.parameters()
    bytes_ = sum(parameter.value.nbytes for parameter in parameters)
    return "\n".join([*lines, f"{sum(parameter.size for parameter in parameters):,} parameters, {bytes_:,} bytes"])


def _rows(layer: Layer, name: str, within: tuple[Layer, ...], first: dict[int, str]) -> tuple[list[Row], int]:
    """The rows of the layer and all below it, and how many parameters count there.

    `first` holds the name by which each parameter came first, so far.
    """
    rows, total, children = list[Row](), 0, list[Layer]()
    for own, part in places(layer, lambda value: isinstance(value, (Layer, Parameter))):
        path = f"{name}.{own}" if name else own
        if isinstance(part, Parameter):
            origin = first.setdefault(id(part), path)
            count = part.size if origin == path else 0
            note = "" if origin == path else f"is {origin}, shared"
            rows.append((path, note, str(part.shape), f"{count:,}"))
        elif part is layer or part in within:
            continue
        else:
            below, count = _rows(part, path, (*within, layer), first)
            rows += below
            children.append(part)
        total += count
    features = getattr(layer, "out_size", None)
    mine = (name, _short(layer, children), "" if features is None else str(features), f"{total:,}")
    return [mine, *rows], total


def _short(layer: Layer, children: list[Layer]) -> str:
    """`repr(layer)` with dots for the layers in it, which have rows of their own."""
    text = repr(layer)
    for child in sorted(map(repr, children), key=len, reverse=True):
        text = text.replace(child, "...")
    while "..., ..." in text:
        text = text.replace("..., ...", "...")
    return text
