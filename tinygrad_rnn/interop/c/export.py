"""`to_c`: the call that writes the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.arguments import check_choice
from ...core.arrays import Array
from ...core.device import on_host
from ...core.roles import Recurrent
from ..quantized.arithmetic import NARROW
from ..quantized.model import Quantized, quantized
from ..quantized.weights import round_weights
from ..steps import Operation, plan
from .files import Port, Text, header, source, write
from .float_steps import FloatStep
from .int8_steps import IntegerStep, input_function
from .source import check_name

GOLDEN = 16
"""Steps of the self-test."""


class CFiles(NamedTuple):
    """What `to_c` has written."""

    header: Path
    source: Path
    ram: int
    """Bytes of a state, which holds everything that a step changes."""
    flash: int
    """Bytes of the constants, without the code."""


def to_c(model: Any, folder: Any, *, name: str = "model", dtype: str = "float32", calibration: Any = None) -> CFiles:
    """Write a model as C99: one header and one source file, for a machine without Python.

    The source has `name_init(state)`, `name_step(state, x, y)`, and the weights as constants. It needs no library,
    except `libm` for floating-point numbers; it allocates no memory and does not recurse. Everything that changes is in
    a `name_state`, so any number of streams may run side by side. `x` is an id for a model of ids, else an array. The
    header says how much memory it takes. Compiled with `-DNAME_SELF_TEST`, the source is a program which compares 16
    steps with those of the model in Python.

    The model is any causal stack of the layers of this package: `Sequential` and `Residual` of `RNNCell`, `LSTMCell`,
    `GRUCell`, `LayerNormLSTMCell`, `OneHot`, `Embedding`, `Linear`, `TiedLinear`, `LayerNorm`, `Standardize` (first),
    `Tanh`, `Sigmoid`, `ReLU` and `Softmax`, on any device and of any dtype. Dropout and `DropConnect` do nothing at
    inference. A subclass that changes only the initial state is taken too. For probabilities in place of logits, give
    `Sequential(model, Softmax())`.

    Args:
        model: the model to write.
        folder: an existing folder. Files there that `to_c` wrote before are replaced, others never, and each file is
            written completely or not at all.
        name: the name of the files, and the beginning of all names in C.
        dtype: `"float32"`; or `"int8_weights"`, where the matrices have 8 bits with a scale for each output, and need a
            quarter of the flash: `round_weights` gives the model that this computes. Or `"int8"`, where the activations
            have 8 bits too, and a step computes only with integers: `quantize` gives that model.
        calibration: only for `"int8"`: inputs like those that the model will read, as `quantize` takes them.

    Raises:
        TypeError: `model` is not a layer, `folder` no path, `name` no str, or `calibration` not an array of what the
            model takes.
        ValueError: layers cannot be written or hold a weight that is not finite (the message names all of them, with
            the reason and a way out); there are more than 2^31 bytes of weights; sums do not fit 32 bits; `name` is no
            identifier of C; `dtype` is none of these; or `calibration` is missing, or given without need.
        FileExistsError: a file of that name was not written by `to_c`.
        OSError: there is no such folder, or it cannot be written.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = interop.to_c(model, folder, name="letters")
        ...     print(files.header.name, files.source.name, files.ram, files.flash)
        letters.h letters.c 160 1556
    """
    call = "to_c"
    check_choice(call, "dtype", dtype, "float32", "int8_weights", "int8")
    name = check_name(call, name)
    operations = plan(call, model)
    if (calibration is not None) != (dtype == "int8"):
        needs = (
            "needs calibration, ids or numbers that the model reads in use"
            if dtype == "int8"
            else "takes no calibration"
        )
        raise ValueError(f'{call}: dtype="{dtype}" {needs}')
    extra = ""
    if dtype == "int8":
        text, extra = _integer_text(quantized(call, model, calibration), operations[0], name)
    else:
        text = _float_text(model, operations, name, dtype)
    paths = write(call, folder, {f"{name}.h": header(text), f"{name}.c": source(text, extra)})
    return CFiles(paths[0], paths[1], text.source.ram(), text.source.flash)


def _float_text(model: Any, operations: tuple[Operation, ...], name: str, dtype: str) -> Text:
    step = FloatStep(name, operations, weights="float32" if dtype == "float32" else "int8")
    if dtype == "int8_weights":
        model = round_weights(model)
    xs = _inputs(operations[0])
    ys = _outputs(model, xs)
    last = step.in_size - 1
    return Text(
        source=step.source,
        model=repr(model),
        dtype="float32" if dtype == "float32" else "float32, with weights of 8 bits",
        x=Port(step.x_type, step.in_size, x_in_words(operations[0]), not step.takes_ids),
        y=Port("float", step.out_size, f"{step.out_size} numbers"),
        checks=step.checks,
        refusals=f"x is no id of 0 to {last}" if step.takes_ids else "a number of x is NaN" if step.checks else "",
        macros={},
        golden=(xs, ys),
        tolerance=f"{1e-5 * max(1.0, float(np.abs(ys).max())):.3g}",
        needs_math=any(word in step.source.functions() for word in ("tanhf", "expf", "sqrtf")),
    )


def _integer_text(model: Quantized, first: Operation, name: str) -> tuple[Text, str]:
    step, whole = IntegerStep(name, model), model.steps.input
    rng, last = np.random.default_rng(0), step.in_size - 1
    macros = {"Y_SCALE": f"{np.float32(model.scale)!s}f"}
    words, declarations, extra = x_in_words(first), "", ""
    if whole is None:
        xs = rng.integers(0, step.in_size, GOLDEN).astype("int32")
    else:
        xs = rng.integers(-NARROW, NARROW, (GOLDEN, step.in_size), endpoint=True).astype("int8")
        words = f"{step.in_size} whole numbers, -127 to 127, as {name}_quantize makes them of {words}"
        declaration, extra = input_function(name, whole)
        refused = "; or -1 where one of x is NaN" if whole.gaps == "refuse" else ""
        declarations = f"""
/* Makes the x of a step, q, of {whole.mean.size} numbers x as they are measured. Returns 0{refused}.
   Compiled where {name.upper()}_WITH_FLOAT is defined. */
{declaration};
"""
    ys, state = [], model.initial_state(1)
    for x in xs:
        y, state = model.integers(x[None], state)
        ys.append(y[0])
    text = Text(
        source=step.source,
        model=repr(model),
        dtype="whole numbers: weights and activations of 8 bits, sums of 32",
        x=Port("int32_t" if step.takes_ids else "int8_t", step.in_size, words, not step.takes_ids),
        y=Port(step.y_type, step.out_size, f"{step.out_size} whole numbers; one is {name.upper()}_Y_SCALE"),
        checks=step.checks,
        refusals=f"x is no id of 0 to {last}" if step.takes_ids else "",
        macros=macros,
        golden=(xs, np.array(ys).astype(step.y_type.removesuffix("_t"))),
        tolerance="0",
        needs_math=False,
        declarations=declarations,
    )
    return text, extra


def x_in_words(first: Operation) -> str:
    """What comes in."""
    if first.kind in ("one_hot", "embedding"):
        return f"one id, 0 to {first.in_size - 1}"
    gaps = ", NaN where there is a gap" if first.kind == "standardize" and first.layer.gaps != "refuse" else ""
    return f"{first.in_size} numbers{gaps}"


def _inputs(first: Operation) -> Array:
    """A few inputs (T,) or (T, D), such as the first layer is made for."""
    rng = np.random.default_rng(0)
    if first.kind in ("one_hot", "embedding"):
        return rng.integers(0, first.in_size, GOLDEN).astype("int32")
    xs = rng.normal(size=(GOLDEN, first.in_size)).astype("float32")
    return xs * first.weights["scale"] + first.weights["mean"] if first.kind == "standardize" else xs


def _outputs(model: Any, xs: Array) -> Array:
    """What the model in Python gives for `xs`, one sequence: (T, H) float32 on the host."""
    like = model._like()
    if xs.dtype.kind == "f" and like is not None:
        xs = xs.astype(like.dtype)
    on_device = model.device.asarray(xs[:, None])
    ys = model(on_device)[0] if isinstance(model, Recurrent) else model(on_device)
    return np.asarray(on_host(ys)[:, 0], "float32")
