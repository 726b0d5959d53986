"""Whatever an optimizer, clipper or schedule is given: it takes it, or says in its own name what it wants."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tinygrad_rnn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    ClipValue,
    Linear,
    MovingAverage,
    ReduceOnPlateau,
    RMSprop,
    schedules,
)
from tinygrad_rnn.testing import StrictDevice

pytestmark = pytest.mark.messages

METHODS: dict[str, Any] = {"SGD": SGD, "Adagrad": Adagrad, "RMSprop": RMSprop, "Adam": Adam, "AdamW": AdamW}
CLIPPERS: dict[str, Any] = {"ClipNorm": ClipNorm, "ClipValue": ClipValue}
SCHEDULES: dict[str, Any] = {
    "constant": (schedules.constant, {}),
    "step_decay": (schedules.step_decay, {"every": 2, "factor": 0.5}),
    "piecewise": (schedules.piecewise, {"then": {2: 0.05, 4: 0.5}}),
    "exponential": (schedules.exponential, {"rate": 0.5}),
    "linear": (schedules.linear, {"steps": 9, "warmup": 3, "final": 0.1}),
    "polynomial": (schedules.polynomial, {"steps": 9, "power": 2.0, "warmup": 3, "final": 0.1}),
    "warm_restarts": (schedules.warm_restarts, {"steps": 4, "growth": 2, "final": 0.1}),
    "one_cycle": (schedules.one_cycle, {"steps": 9, "rise": 0.4, "start": 0.01, "final": 0.001}),
    "cosine": (schedules.cosine, {"steps": 9, "warmup": 3, "final": 0.1}),
}
LEGAL: list[Any] = [
    *(("one_cycle", "start", None), ("one_cycle", "final", None)),
    *(("piecewise", "then", {}), ("piecewise", "then", {1: 2, 3: 4, 5: 6})),
]


def linear() -> Linear:
    return Linear(3, 2, rng=np.random.default_rng(0))


def sgd() -> SGD:
    return SGD(linear(), 0.1)


class Scheduler:
    """Of another library: an object with a `step`, which is no function."""

    def step(self) -> None: ...


OBJECTS: list[Any] = [
    *(None, "", "x", b"x", True, False, 1j, (), [], {}, {1}, ..., object(), int, math, Scheduler(), (0.5, None), [0.5]),
    *(np.True_, np.array(3), np.array(0.5), np.array([1, 2]), np.zeros(0), np.array([None]), np.ones(3, complex)),
    *(np.ones(3, np.float16), np.ma.masked_less(np.arange(3.0), 1), np.broadcast_to(1.0, 3), np.ones((2, 2))),
    *(StrictDevice().asarray(np.ones(3)), StrictDevice().asarray(0.5), linear(), Linear, linear().w, SGD, sgd()),
    *(
        linear().parameters(),
        iter(linear().parameters()),
        schedules.cosine,
        ClipNorm,
        [ClipNorm(1.0), 5.0],
        lambda: 0.1,
    ),
    *({"best": "x", "waited": 0, "lr": 0.1}, {"best": None, "waited": -1, "lr": 0.1}, {1: 2, 3: 4, 5: 6}),
]
NUMBERS: list[Any] = [-1, -0.5, math.nan, math.inf, -math.inf, 10**400, -(10**400), 10**5000]
FUNCTIONS: list[Any] = [lambda *_: value for value in (None, "x", math.nan, -1, True, np.ones(3), 1j)]  # noqa: B023

CASES = getattr(settings.default, "max_examples", 25)
few = settings(max_examples=CASES // 2)  # of which each tries a dozen calls
junk = st.sampled_from([*OBJECTS, *NUMBERS]) | st.integers(max_value=-1) | st.floats(max_value=-1e-9) | st.text()


def trained(optimizer: Any) -> None:
    optimizer.model.flat_grad.fill(0.5)
    for _ in range(2):
        optimizer.step()


def named(name: str, call: Any, *arguments: Any, **options: Any) -> None:
    """The call raises an error that begins with `name`."""
    with pytest.raises((TypeError, ValueError)) as error:
        call(*arguments, **options)
    assert str(error.value).startswith(name), str(error.value)
    assert len(str(error.value)) < 500


def is_none(value: object) -> bool:
    return value is None or (isinstance(value, (tuple, list)) and not value)


@few
@given(junk)
@pytest.mark.parametrize("name", METHODS)
def test_optimizers_name_themselves(name: str, value: Any) -> None:
    make, model = METHODS[name], linear()
    if not isinstance(value, Linear):
        named(name, lambda: make(value, 0.1))
    named(name, lambda: make(model, value))
    named(name, lambda: make(model, 0.1, nonfinite=value))
    if value is not None:
        named(name, lambda: make(model, 0.1, decays=value))
        if not (isinstance(value, dict) and not value):
            named(name, lambda: make(model, 0.1, rates=value))
            named(name, lambda: setattr(make(model, 0.1), "rates", value))
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0 or value == math.inf:
        named(name, lambda: make(model, 0.1, rates={"w": value}))
    named(f"{name}.restore", lambda: make(model, 0.1).restore(value))
    for option in {"momentum", "eps", "decay", "rho", "betas"} & {*vars(make), *vars(make.__mro__[1])}:
        named(name, make, linear(), 0.1, **{option: value})
        named(name, setattr, make(model, 0.1), option, value)
    named(name, lambda: setattr(make(model, 0.1), "lr", value))
    if not is_none(value):
        named(name, lambda: make(model, 0.1, clip=value))
        named(name, lambda: make(model, 0.1, clip=(value,)))
        named(name, lambda: setattr(make(model, 0.1), "clip", value))
    assert not model.flat_grad.any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("field", ["kind", "steps", "arrays", "skipped", "missed"])
@few
@given(value=junk)
def test_the_memory_of_an_optimizer_is_looked_at(name: str, field: str, value: Any) -> None:
    assume(not (field in ("steps", "skipped") and isinstance(value, np.ndarray)))  # of one integer, it is one
    optimizer = METHODS[name](linear(), 0.1)
    is_empty = isinstance(value, dict) and not value
    if not (is_empty and (field == "missed" or (field, name) == ("arrays", "SGD"))):
        named(f"{name}.restore", lambda: optimizer.restore(optimizer.memory()._replace(**{field: value})))
    if name != "SGD":
        key = optimizer.keeps[0]
        for arrays in ({key: value}, {key: {"w": value, "b": value}}):
            named(f"{name}.restore", optimizer.restore, optimizer.memory()._replace(arrays=arrays))


@pytest.mark.parametrize("value", [None, "x", math.nan, math.inf, -1, True, 1j, np.ones(3), np.array(0.5), 10**400])
def test_what_a_function_returns_is_looked_at(value: Any) -> None:
    for name, make in METHODS.items():
        optimizer = make(linear(), lambda step: value)
        before = optimizer.model.flat_value.copy()
        named(f"{name}: what lr returns at step 0 must be", trained, optimizer)
        np.testing.assert_array_equal(optimizer.model.flat_value, before)
        assert optimizer.steps == 0
    if value is None or isinstance(value, (str, bool, complex)) or np.ndim(value):
        named("SGD: the clipper", lambda: trained(METHODS["SGD"](linear(), 0.1, clip=lambda grad: value)))
        if not isinstance(value, bool):
            named(f"{name}: decays must", lambda: make(linear(), 0.1, decays=lambda name, parameter: value))
        named(f"{name}: decays must", lambda: make(linear(), 0.1, decays=lambda name: True))
    named("SGD: clip must", lambda: METHODS["SGD"](linear(), 0.1, clip=lambda: 1.0))
    named("SGD: nesterov must", lambda: METHODS["SGD"](linear(), 0.1, momentum=0.5, nesterov=1))


@few
@given(junk)
@pytest.mark.parametrize("name", CLIPPERS)
def test_clippers_name_themselves(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        named(name, lambda: CLIPPERS[name](value))
    clipper = CLIPPERS[name](1.0)
    if getattr(value, "shape", None) != (3,) or isinstance(value, np.ma.MaskedArray) or value.dtype.kind == "c":
        named(f"{name}(1.0)", lambda: clipper(value))


@few
@given(junk)
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_name_themselves(name: str, value: Any) -> None:
    # An array of one integer is a count.
    assume(not (isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iu"))
    make, options = SCHEDULES[name]
    named(name, lambda: make(value, **options))
    for option in options:
        if (name, option, value if isinstance(value, (dict, type(None))) else 0) not in LEGAL:
            named(name, make, 0.1, **{**options, option: value})
    lr = make(0.1, **options)
    named(name, lambda: lr(value))
    named(name, lambda: lr(1.0))


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_can_be_pickled_and_copied(name: str, twice: Any) -> None:
    make, options = SCHEDULES[name]
    lr = make(0.1, **options)
    optimizer = twice(Adam(linear(), lr, clip=ClipNorm(1.0)))
    for step in (0, 1, 4, 100):
        assert twice(lr)(step) == optimizer.lr(step) == lr(step)
        assert type(lr(np.int64(step))) is float
    trained(optimizer)


@few
@given(junk)
@example(True)
def test_a_plateau_names_itself(value: Any) -> None:
    name = "ReduceOnPlateau"
    if not isinstance(value, SGD):
        named(name, lambda: ReduceOnPlateau(value))
    for option in ("factor", "patience", "threshold", "min_lr", "mode", "cooldown"):
        named(name, ReduceOnPlateau, sgd(), **{option: value})
    plateau = ReduceOnPlateau(sgd())
    before = plateau.memory()
    named(f"{name}.restore", lambda: plateau.restore(value))
    for key in ("waited", "lr", "best", "cooling"):
        if key != "best" or not (value is None or (isinstance(value, (int, float)) and abs(value) < math.inf)):
            named(f"{name}.restore", plateau.restore, {**plateau.memory(), key: value})
    is_loss = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_loss and not (isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "fi"):
        named(f"{name}.update", lambda: plateau.update(value))
    assert plateau.memory() == before


@few
@given(junk)
def test_a_moving_average_names_itself(value: Any) -> None:
    if not isinstance(value, Linear):
        named("MovingAverage", lambda: MovingAverage(value))
        if value is not None:
            named("MovingAverage", lambda: MovingAverage(linear(), average=value))
    named("MovingAverage", lambda: MovingAverage(linear(), decay=value))
    named("MovingAverage", lambda: setattr(MovingAverage(linear()), "decay", value))


@pytest.mark.parametrize("half", [0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), Fraction(1, 2)])
def test_any_real_number_is_kept_as_a_float_of_python(half: Any) -> None:
    """One of NumPy's float64 would make float64 of float32 arrays."""
    owners: list[Any] = [
        SGD(linear(), half, momentum=half, decay=half),
        Adagrad(linear(), half, eps=half, decay=half),
        RMSprop(linear(), half, eps=half, rho=half, decay=half),
        AdamW(linear(), half, betas=(half, half), eps=half, decay=half),
        ClipNorm(half),
        ClipValue(half),
        MovingAverage(linear(), decay=half),
        ReduceOnPlateau(sgd(), factor=half, threshold=half, min_lr=half),
    ]
    for owner in owners:
        for name, value in vars(owner).items():
            if name in (
                "momentum",
                "eps",
                "decay",
                "rho",
                "_betas",
                "limit",
                "max_norm",
                "factor",
                "threshold",
                "min_lr",
            ):
                assert value in (0.5, (0.5, 0.5))
                assert {type(each) for each in (value if isinstance(value, tuple) else (value,))} == {float}
    for owner in owners[:4]:
        trained(owner)
    assert schedules.constant(half)(3) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: METHODS["Adam"](linear().parameters(), 0.1),
            r"Adam: model must be a layer, not a list\. Give the model itself",
        ),
        (
            lambda: METHODS["SGD"](linear(), 0.1, clip=3.0),
            r"SGD: clip must be a clipper, such as ClipValue\(3\.0\) or ClipNorm\(3",
        ),
        (lambda: METHODS["SGD"](linear(), 0.1, clip=ClipNorm), r"SGD: clip must be .* not <class '.*ClipNorm'>$"),
        (
            lambda: METHODS["SGD"](linear(), None),
            r"SGD: lr must be a number or a function of the step number, such as .* not None\.",
        ),
        (
            lambda: METHODS["SGD"](linear(), Scheduler()),
            r"SGD: lr must be .*Scheduler.*another library.*lr=lambda step: \.\.\.",
        ),
        (
            lambda: METHODS["SGD"](linear(), 0.1).restore(None),
            r"SGD\.restore: memory must be the `optimizer` of a Checkpoint .* not a NoneType",
        ),
        (lambda: ClipNorm(1.0)(np.ma.ones(3)), r"ClipNorm\(1\.0\): grad is a numpy\.ma\.MaskedArray, not an array"),
        (lambda: ClipNorm(1.0)(np.ones((2, 2))), r"ClipNorm\(1\.0\): grad has shape \(2, 2\), but must be a vector"),
        (lambda: ClipNorm(1.0)(np.broadcast_to(1.0, 3)), r"ClipNorm\(1\.0\): grad is read-only"),
        (
            lambda: METHODS["Adam"](linear(), 0.1, betas=0.9),
            r"Adam: betas must be two numbers, such as \(0\.9, 0\.999\), not 0\.9",
        ),
        (
            lambda: METHODS["SGD"](linear(), 0.1, clip=lambda g: g.clip(-1, 1)).step(),
            "SGD: the clipper .*array of shape",
        ),
    ],
)
def test_errors_of_habit_are_told_the_cure(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call()
