"""`Layer`, the base class of all layers: it holds parameters and child layers, and works on all of them at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from .arguments import float_dtype, is_generator
from .arrays import Array, Generator
from .constant import Constant
from .device import Device, as_device, at_first_gpu, device_of, has_used_gpu, on_own_gpu
from .parameter import Parameter
from .summary import Row, table
from .vector import pack

L = TypeVar("L", bound="Layer")

_COMPUTE = [
    *("forward", "backward", "__call__", "step", "take_step", "initial_state", "begin", "begin_backward"),
    *("encode", "alignments", "weights", "zero_grad"),
]
"""The methods that users call, in which a layer computes."""

_PLAIN = frozenset({int, float, bool, str, type(None)})
"""The types of most attributes. A walk skips them at once, because a training step makes a dozen walks."""

_LONGEST = 4000
"""How many characters of a description are shown: an error quotes layers, but a layer may hold thousands."""


class Layer:
    """Owns parameters and child layers: names them, moves them, counts them.

    Nothing is registered: each `Parameter` or `Layer` that is an attribute, or an item of a tuple or list that is an
    attribute, belongs to the layer under that name, such as `layers.1.w_h`. A call stores nothing on the layer.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A class with an abstract method cannot be instantiated, as with `abc.ABC`.

        The metaclass of `abc.ABC` makes `isinstance` eight times as slow, which slows down steps of small models.
        """
        super().__init_subclass__(**kwargs)
        names = {name for kind in cls.__mro__ for name, value in vars(kind).items() if is_abstract(value)}
        missing = frozenset(name for name in names if is_abstract(inspect.getattr_static(cls, name)))
        setattr(cls, "__abstractmethods__", missing)  # noqa: B010  # `object.__new__` reads it
        if has_used_gpu():
            _compute_on_own_gpu(cls)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Dotted name and `Parameter`, each parameter once, in the order of the attributes."""
        seen: set[int] = set()
        for name, parameter in places(self, lambda value: isinstance(value, Parameter)):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Parameter]:
        """All parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def generators(self) -> dict[str, Generator]:
        """The random streams by dotted name. They are the only state in a layer, and a checkpoint saves them."""
        return dict(places(self, is_generator))

    @property
    def device(self) -> Device:
        """The device of the parameters; the CPU if there are none."""
        like = self._like()
        return Device("cpu") if like is None else device_of(like)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters; float32 if there are none."""
        like = self._like()
        dtype: np.dtype[Any] = np.dtype(np.float32) if like is None else like.dtype
        return dtype

    def to(self: L, device: Device | str | None = None, dtype: Any = None) -> L:
        """Move the parameters, their gradients and constants to `device` and `dtype`, in place; returns the layer.

        An optimizer that was made before raises an error when it is used; make a new one.

        Raises:
            TypeError: `dtype` is neither float32 nor float64.
            ValueError: `device` is not the name of a device.
            RuntimeError: there is no such device.
        """
        there = None if device is None else as_device(device)
        kind = None if dtype is None else float_dtype(f"{self!r}.to", dtype)
        for parameter in self.parameters():
            place, old = device_of(parameter.value), parameter.value.dtype
            if (there or place, kind or old) != (place, old):
                parameter.to(there or place, kind or old)
        if there is not None:
            for _, constant in places(self, lambda value: isinstance(value, Constant)):
                constant.to(there)
        return self

    @property
    def flat_value(self) -> Array:
        """All parameters as one vector (P,), of which each parameter is a view; gaps of up to 60 bytes hold zeros.

        The first call packs the parameters, unless an optimizer has done so. The vector of a child is a slice of that
        of its parent.

        Raises:
            ValueError: there are no parameters, or some are already packed with other parameters of another model.
            TypeError: they differ in dtype or device.
        """
        vector, part = pack(self.parameters(), self)
        return vector.value[part]

    @property
    def flat_grad(self) -> Array:
        """All gradients as one vector (P,), laid out like `flat_value`."""
        vector, part = pack(self.parameters(), self)
        return vector.grad[part]

    def zero_grad(self) -> None:
        """Set all gradients to 0; fast if they lie in one vector."""
        parameters = self.parameters()
        vector = parameters[0].vector if parameters else None
        part = vector.span(parameters) if vector is not None else None
        if vector is not None and part is not None:
            if vector.has_grad:
                vector.grad[part].fill(0)
            return
        for parameter in parameters:
            parameter.zero_grad()

    def summary(self) -> str:
        """A table of the layer and of all layers and parameters in it, to be printed.

        The size is the number of output features of a layer, or the shape of a parameter. The number beside a layer
        counts all parameters in it, but a shared parameter only where it comes first. The last line gives the total,
        and the bytes of all values.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> table = Embedding(10, 4, rng=rng)
            >>> print(Sequential(table, RNNCell(4, 4, rng=rng), TiedLinear(table)).summary())
            name                  layer                     size  parameters
                                  Sequential(...)             10          86
            layers.0              Embedding(10, 4)             4          40
            layers.0.w                                   (10, 4)          40
            layers.1              RNNCell(4, 4)                4          36
            layers.1.w_x                                  (4, 4)          16
            layers.1.w_h                                  (4, 4)          16
            layers.1.b                                      (4,)           4
            layers.2              TiedLinear(...)             10          10
            layers.2.embedding    Embedding(10, 4)             4           0
            layers.2.embedding.w  is layers.0.w, shared  (10, 4)           0
            layers.2.b                                     (10,)          10
            86 parameters, 344 bytes
        """
        rows, _ = _summary_rows(self, "", (), {}, set())
        count, size = (sum(getattr(p.value, what) for p in self.parameters()) for what in ("size", "nbytes"))
        return table(rows, f"{count:,} parameters, {size:,} bytes")

    def _like(self, other: Any = None) -> Any:
        """An array with the dtype and device that inputs must have: of a parameter, or `other` if there is none."""
        first = _first_parameter(self)
        return other if first is None else first.value

    def config(self) -> dict[str, Any]:
        """The arguments that build such a layer again, without `rng`: attributes with the names of those of `__init__`.

        Raises:
            TypeError: an argument of `__init__` was not kept as an attribute of the same name.
        """
        arguments = {name: getattr(self, name, inspect.Parameter.empty) for name in _arguments(type(self))}
        missing = [name for name, value in arguments.items() if value is inspect.Parameter.empty]
        if missing:
            raise TypeError(
                f"{type(self).__name__} cannot be saved: __init__ takes {', '.join(missing)}, but no attribute "
                "of that name was set. Keep each argument under its own name"
            )
        return arguments

    def __repr__(self) -> str:
        return _description(self)


def _compute_on_own_gpu(cls: type[Layer]) -> None:
    """Let the methods of a class make the GPU of their arrays the current one: CuPy computes on no other."""
    for name in _COMPUTE:
        if inspect.isfunction(vars(cls).get(name)):
            setattr(cls, name, on_own_gpu(vars(cls)[name]))


def _all_compute_on_own_gpu() -> None:
    """From the first GPU on, all classes do; before, it would only take time."""
    classes: list[type[Layer]] = [Layer]
    for cls in classes:
        classes += [below for below in cls.__subclasses__() if below not in classes]
        _compute_on_own_gpu(cls)


at_first_gpu(_all_compute_on_own_gpu)


def runs(layer: Layer, *methods: Any) -> bool:
    """Whether `layer` runs these methods: its class overrides none of them, and none was replaced in the instance."""
    kind, own = type(layer), vars(layer)
    for method in methods:  # each step asks this, and `all` takes half as long again
        found = getattr(kind, method.__name__)
        if (found is not method and getattr(found, "inner", None) is not method) or method.__name__ in own:
            return False  # `inner`: as `on_own_gpu` leaves it
    return True


def is_abstract(member: object) -> bool:
    """Whether a member of a class is marked by `abc.abstractmethod`."""
    return bool(getattr(member, "__isabstractmethod__", False))


def _arguments(kind: type[Layer]) -> dict[str, inspect.Parameter]:
    """The arguments of `__init__` by name, without `self` and `rng`."""
    if kind.__init__ is object.__init__:
        return {}
    arguments = _parameters_of(kind.__init__)
    return {name: argument for name, argument in list(arguments.items())[1:] if name != "rng"}


@functools.lru_cache(maxsize=256)  # to look at a signature is most of the time of a `repr`, and each check makes some
def _parameters_of(function: Callable[..., None]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _first_parameter(layer: Layer, seen: set[int] | None = None) -> Parameter | None:
    """The first of `named_parameters`, in a quarter of the time: a training step looks for it several times."""
    for value in vars(layer).values():
        if type(value) in _PLAIN:
            continue
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if type(item) in _PLAIN:
                continue
            if isinstance(item, Parameter):
                return item
            if isinstance(item, Layer):
                seen = {id(layer)} if seen is None else seen
                if id(item) not in seen:
                    seen.add(id(item))
                    first = _first_parameter(item, seen)
                    if first is not None:
                        return first
    return None


def parts(layer: Layer) -> Iterator[tuple[str, Any]]:
    """What lies in `layer` itself, by name: its attributes, or the items of those that are tuples or lists."""
    for name, value in vars(layer).items():
        if type(value) in _PLAIN:
            continue
        if isinstance(value, (tuple, list)):
            for i, item in enumerate(value):
                yield f"{name}.{i}", item
        else:
            yield name, value


def places(
    layer: Layer, wanted: Callable[[object], bool], prefix: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """What `wanted` accepts in `layer` and in all layers in it, by dotted name.

    A layer that stands in several places is searched in the first: the ways to it may be too many to go.
    """
    seen = {id(layer)} if seen is None else seen
    for name, item in parts(layer):
        if wanted(item):
            yield f"{prefix}{name}", item
        if isinstance(item, Layer) and id(item) not in seen:
            seen.add(id(item))
            yield from places(item, wanted, f"{prefix}{name}.", seen)


def check_found(owner: str, layer: Layer) -> None:
    """All parameters in the attributes of `layer` must be among `layer.parameters()`.

    Raises:
        TypeError: one lies where it is not found, as in a dict, and so would be neither trained nor saved.
    """
    known = {id(parameter) for parameter in layer.parameters()}
    for name, part in (("", layer), *places(layer, lambda value: isinstance(value, Layer))):
        for attribute, value in vars(part).items():
            for inner in _inside(value):
                if any(id(p) not in known for p in (inner.parameters() if isinstance(inner, Layer) else [inner])):
                    where = f"{name}.{attribute}" if name else attribute
                    raise TypeError(
                        f"{owner}: {where} holds {inner!r}, which is not found there, and would be neither trained nor "
                        "saved. Keep layers and parameters as attributes, or in a tuple or list that is an attribute"
                    )


def _inside(value: Any) -> Iterator[Any]:
    """The parameters and layers in a collection, however deep."""
    if isinstance(value, (Parameter, Layer)):
        yield value
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) not in _PLAIN:
                yield from _inside(item)


def _summary_rows(
    layer: Layer, name: str, within: tuple[Layer, ...], first: dict[int, str], seen: set[int]
) -> tuple[list[Row], int]:
    """The rows of the layer and of all in it, and the number of parameters that they count.

    `first` has the first name of each parameter so far, by its `id`. Of a layer that was `seen` in another place, the
    rows of the layers in it are left out.
    """
    rows, total = list[Row](), 0
    again = id(layer) in seen
    seen.add(id(layer))
    for own, part in parts(layer):
        path = f"{name}.{own}" if name else own
        if isinstance(part, Parameter):
            origin = first.setdefault(id(part), path)
            count = part.size if origin == path else 0
            note = "" if origin == path else f"is {origin}, shared"
            rows.append(Row(path, note, str(part.shape), f"{count:,}"))
            total += count
        elif isinstance(part, Layer) and part is not layer and part not in within and not again:
            below, count = _summary_rows(part, path, (*within, layer), first, seen)
            rows += below
            total += count
    features = getattr(layer, "out_size", None)
    mine = Row(name, _description(layer, short=True), "" if features is None else str(features), f"{total:,}")
    return [mine, *rows], total


def _description(layer: Layer, *, short: bool = False, known: dict[int, str] | None = None) -> str:
    """The call that makes `layer`. If `short`, layers in it, which have rows of their own, are dots.

    The texts of layers are `known` by their `id`, for a layer may stand in more places than can be counted.
    """
    known = {id(layer): f"{type(layer).__name__}(...)"} if known is None else known  # within itself

    def text(value: Any) -> str:
        if isinstance(value, Layer) and short:
            return "..."
        if isinstance(value, Layer) and type(value).__repr__ is Layer.__repr__:
            if id(value) not in known:
                known[id(value)] = f"{type(value).__name__}(...)"
                known[id(value)] = _description(value, known=known)
            return known[id(value)]
        if type(value) is tuple and all(type(item) is float for item in value) and len(repr(value)) > 40:
            return f"({value[0]:.4g}, ..., {value[-1]:.4g})"
        if type(value) in (tuple, list) and any(isinstance(item, Layer) for item in value):
            inner = ", ".join(map(text, value))
            return f"[{inner}]" if type(value) is list else f"({inner},)" if len(value) == 1 else f"({inner})"
        return repr(value)

    shown = []
    for name, argument in _arguments(type(layer)).items():
        value = getattr(layer, name, "?")
        if argument.kind is argument.VAR_POSITIONAL:
            shown += [text(item) for item in value]
        elif argument.kind is not argument.KEYWORD_ONLY:
            shown.append(text(value))
        elif value != argument.default:
            shown.append(f"{name}={text(value)}")
    inside = ", ".join(shown)
    while short and "..., ..." in inside:
        inside = inside.replace("..., ...", "...")
    if len(inside) > _LONGEST:
        inside = f"{inside[: _LONGEST // 2]} ... {inside[-_LONGEST // 2 :]}"
    return f"{type(layer).__name__}({inside})"
