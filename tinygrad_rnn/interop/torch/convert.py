"""Weights from PyTorch, and back, without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.arguments import check_choice, check_eps, check_str
from ...core.arrays import Array
from ...core.layer import Layer
from ...core.roles import Feedforward, Recurrent
from ...models.sequential import Sequential
from ...saving.safe_file import shortened
from ..filling import check_floats, fill, refuse_all
from .files import HALVES, modules, read_arrays
from .model import fill_model, units_of
from .modules import NONLINEARITIES, build, to_arrays, to_weights
from .order import in_order, known_forms


def from_torch(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    layers: Sequence[str | Feedforward | Recurrent] | None = None,
    nonlinearity: str | None = None,
    embeddings: Sequence[str] | None = None,
    eps: float | None = None,
    model: Layer | None = None,
) -> Any:
    """A model with the weights of a `state_dict` of PyTorch, which need not be installed.

    It reads RNN, LSTM and GRU with any number of layers, in one or both directions, their cells, Embedding, Linear and
    LayerNorm. Each module is one layer of a `Sequential`, in their order; an LSTM of several layers is a `Sequential`
    within it. The two biases of a recurrent layer become one, their sum; without them, the cells have `bias=False`. A
    missing bias of a Linear becomes zeros, and so do all biases that a `model` to fill has, but not the arrays.

    Names and shapes do not say everything. If something is missing, an error names the argument that says it:

    Args:
        source: the path of a `.safetensors` file, or a dict of arrays by name, such as `state_dict()` itself.
        layers: the names of the modules in the order in which they are applied, and between them layers without
            weights, such as `Tanh()`, of which a `state_dict` knows nothing. A file holds names in no order; a dict is
            taken to be in this order.
        nonlinearity: that of modules of class RNN, `"tanh"` or `"relu"`.
        embeddings: which of the modules with only a matrix are an Embedding; the others are a Linear without a bias.
        eps: of the LayerNorms, 1e-5 in PyTorch unless another was given. It also says that they are not norms over
            groups or batches, whose arrays look the same.
        model: a model of this package to fill instead, of any structure. `layers` are then the names of the modules
            for those of its layers that have weights, in the order of `named_parameters()`; needed where they differ
            from the names that `to_torch(model)` gives and a file, not a dict, is read.

    Returns:
        A `Sequential` in the dtype of the arrays; or `model`, which keeps its dtype and device.

    Raises:
        TypeError: an argument is of the wrong class.
        FileNotFoundError, IsADirectoryError, PermissionError: there is no file to be read.
        ValueError: the file is a pickle (the message has the line that converts it), damaged, or of another kind; or
            modules have no counterpart, do not fit, or are ambiguous: the message lists all of them. Nothing is
            changed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> arrays = interop.to_torch(Sequential(Embedding(9, 4, rng=rng), LSTMCell(4, 5, rng=rng)))
        >>> interop.from_torch(arrays)
        Sequential(Embedding(9, 4), LSTMCell(4, 5))
    """
    eps = None if eps is None else check_eps("from_torch", "eps", eps)
    if nonlinearity is not None:
        check_choice("from_torch", "nonlinearity", nonlinearity, *NONLINEARITIES)
    given = None if layers is None else _check_layers(layers)
    matrices = None if embeddings is None else _check_names("embeddings", embeddings)
    if model is not None and not isinstance(model, Layer):
        raise TypeError(f"from_torch: model is a {type(model).__name__}, where a layer was expected")
    call, arrays, ordered = read_arrays(source, "from_torch")
    if not arrays:
        raise ValueError(f"{call}: there are no arrays; give a state_dict() with weights")
    refuse_all(call, check_floats(arrays, HALVES), "these arrays cannot be read:")
    found = modules(arrays)
    if given is not None:
        _check_match(call, [item for item in given if isinstance(item, str)], found)
    if model is not None:
        fill_model(call, model, found, given, ordered)
        return model
    known, problems = known_forms(found, nonlinearity, matrices, eps)
    refuse_all(call, problems, "these modules cannot be read:")
    chain = in_order(call, known, given, ordered)
    made = [
        build(item[1], found[item[0]], nonlinearity=nonlinearity or "", eps=eps or 0.0)
        if isinstance(item, tuple)
        else item
        for item in chain
    ]
    weights = [
        w
        for item, layer in zip(chain, made, strict=True)
        if isinstance(item, tuple)
        for w in to_weights(layer, found[item[0]])
    ]
    try:
        result = made[0] if len(made) == 1 and type(made[0]) is Sequential else Sequential(*made)
    except ValueError as error:
        raise ValueError(
            f"{call}: the modules do not fit in this order. {error}. Give another order by layers="
        ) from error
    result.to(dtype=next(iter(arrays.values())).dtype)
    fill(weights)
    return result


def to_torch(model: Layer, *, names: Sequence[str] | str | None = None, cell_names: bool = False) -> dict[str, Array]:
    """The weights of a model by PyTorch's names, for `load_state_dict`; PyTorch need not be installed.

    A cell, a `Bidirectional` that concatenates two cells of one kind, and a `Sequential` of such layers become one RNN,
    LSTM or GRU each; `Embedding`, `Linear`, `LayerNorm` and `TiedLinear` are what they are called there. Their names
    are those of the layers here, such as `layers.1.weight_ih_l0`; a model that is a single module has no such prefix,
    as in PyTorch. The one bias becomes `bias_ih`, and `bias_hh` is zeros, except for `b_h` of a GRU. So `from_torch`
    gives the same numbers back, to the bit.

    Args:
        model: any layer.
        names: the names of the modules in PyTorch, one for each layer with weights, in the order of
            `named_parameters()`; or a str, where there is one.
        cell_names: names of LSTMCell and the like, `weight_ih`, rather than of LSTM, `weight_ih_l0`.

    Returns:
        New arrays on the host, contiguous, so `safetensors.numpy.save_file` takes them.

    Raises:
        TypeError: an argument is of the wrong class.
        ValueError: layers have no counterpart in PyTorch (the message lists them, and why), or `names` are not as many.

    Example:
        >>> cell = GRUCell(3, 4, rng=np.random.default_rng(0))
        >>> {name: array.shape for name, array in interop.to_torch(cell, names="rnn").items()}
        {'rnn.weight_ih_l0': (12, 3), 'rnn.weight_hh_l0': (12, 4), 'rnn.bias_ih_l0': (12,), 'rnn.bias_hh_l0': (12,)}
    """
    if not isinstance(model, Layer):
        raise TypeError(f"to_torch: model is a {type(model).__name__}, where a layer was expected")
    if not isinstance(cell_names, bool):
        raise TypeError(f"to_torch: cell_names must be True or False, not {cell_names!r:.80}")
    call = f"to_torch({shortened(model, 200)})"
    units, problems = units_of(model)
    chosen = list(units)
    if names is not None:
        chosen = [names] if isinstance(names, str) else _check_names("names", names, "to_torch")
        if len(chosen) != len(units):
            raise ValueError(
                f"{call}: names has {len(chosen)} entries, but {len(units)} layers have weights: "
                f"{shortened('; '.join(f'{path} {layer!r}' for path, layer in units.items()))}"
            )
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"{call}: names has an entry twice: {shortened(', '.join(chosen))}")
    found: dict[str, Array] = {}
    for name, (path, layer) in zip(chosen, units.items(), strict=True):
        try:
            arrays = to_arrays(layer, cell_names=cell_names)
        except ValueError as error:
            problems.append(f"{path or 'the model'}, {shortened(layer, 100)}: {error}")
            continue
        found |= {f"{name}.{own}" if name else own: np.array(array, order="C") for own, array in arrays.items()}
    refuse_all(call, problems, "these layers cannot be written:")
    return found


def _check_layers(layers: Any) -> list[Any]:
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(
            f"from_torch: layers must be a list of names of modules, and of layers, not {shortened(repr(layers), 80)}"
        )
    for item in layers:
        if not isinstance(item, (str, Feedforward, Recurrent)):
            raise TypeError(
                f"from_torch: layers holds {shortened(repr(item), 80)}, where a name or a layer was expected"
            )
    return list(layers)


def _check_names(argument: str, names: Any, function: str = "from_torch") -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{function}: {argument} must be a list of names of modules, not {shortened(repr(names), 80)}")
    for i, name in enumerate(names):
        check_str(function, f"{argument}[{i}]", name)
    return list(names)


def _check_match(call: str, names: list[str], found: Mapping[str, Any]) -> None:
    """`layers` must name all modules, each once."""
    wrong = [f"{name!r} is named, but there is no such module" for name in names if name not in found]
    wrong += [f"{name!r} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    wrong += [
        f"{name!r} is not named; leave it out of the arrays if it is not wanted" for name in found if name not in names
    ]
    refuse_all(call, wrong, "layers does not name the modules:")
