from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SGD, Linear, schedules


def test_constant_is_the_same_at_every_step() -> None:
    assert {schedules.constant(0.3)(step) for step in (0, 1, 10**9)} == {0.3}


def test_step_decay_falls_after_every_so_many_steps() -> None:
    lr = schedules.step_decay(0.8, every=3, factor=0.5)
    assert [lr(step) for step in range(8)] == [0.8] * 3 + [0.4] * 3 + [0.2] * 2


def test_exponential_falls_at_every_step() -> None:
    lr = schedules.exponential(0.8, rate=0.5)
    assert [lr(step) for step in range(4)] == [0.8, 0.4, 0.2, 0.1]
    assert schedules.exponential(0.8, rate=0.999)(1000) == pytest.approx(0.8 * math.exp(1000 * math.log(0.999)))
    assert schedules.exponential(0.8, rate=0.5)(10**6) == 0


def test_cosine_at_its_corners() -> None:
    lr = schedules.cosine(0.3, steps=12, warmup=4, final=0.1)
    assert [lr(step) for step in range(4)] == pytest.approx([0.075, 0.15, 0.225, 0.3], rel=1e-15)
    assert lr(3) == lr(4) == 0.3  # to the bit
    assert lr(8) == pytest.approx(0.2, rel=1e-15)  # half way
    assert lr(6) == pytest.approx(0.1 + 0.2 * (1 + math.sqrt(0.5)) / 2, rel=1e-15)
    assert lr(12) == lr(13) == lr(10**9) == 0.1


def test_cosine_falls_all_the_way() -> None:
    for warmup in (0, 1, 7, 99):
        lr = schedules.cosine(1.0, steps=100, warmup=warmup, final=0.25)
        values = [lr(step) for step in range(102)]
        assert values[warmup] == 1.0
        assert values[:warmup] == sorted(values[:warmup])
        assert values[warmup:] == sorted(values[warmup:], reverse=True)
        assert len(set(values[warmup:101])) == 101 - warmup
        assert values[100] == values[101] == 0.25


def test_cosine_without_options_goes_from_lr_to_zero() -> None:
    lr = schedules.cosine(0.7, steps=2)
    assert [lr(step) for step in range(4)] == [0.7, pytest.approx(0.35, rel=1e-15), 0.0, 0.0]


def test_piecewise_is_what_was_given() -> None:
    lr = schedules.piecewise(0.3, then={2: 0.1, 5: 0.2, 6: 0.0})
    assert [lr(step) for step in range(8)] == [0.3, 0.3, 0.1, 0.1, 0.1, 0.2, 0.0, 0.0]
    assert schedules.piecewise(0.3, then={})(9) == 0.3


def test_linear_is_a_line_after_the_warmup() -> None:
    lr = schedules.linear(0.4, steps=6, warmup=2, final=0.1)
    assert [lr(step) for step in range(8)] == pytest.approx([0.2, 0.4, 0.4, 0.325, 0.25, 0.175, 0.1, 0.1], rel=1e-15)
    assert lr(6) == lr(10**9) == 0.1
    up = schedules.linear(0.1, steps=4, final=0.3)
    assert [up(step) for step in range(6)] == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3, 0.3], rel=1e-15)


def test_polynomial_falls_by_a_power() -> None:
    lr = schedules.polynomial(0.4, steps=4, power=2.0)
    assert [lr(step) for step in range(6)] == pytest.approx([0.4, 0.225, 0.1, 0.025, 0, 0], rel=1e-15)
    lr = schedules.polynomial(0.4, steps=6, power=0.5, warmup=2, final=0.1)
    expected = [0.2, 0.4, *(0.1 + 0.3 * math.sqrt(left / 4) for left in (4, 3, 2, 1, 0))]
    assert [lr(step) for step in range(7)] == pytest.approx(expected, rel=1e-15)


def test_warm_restarts_begin_anew() -> None:
    lr = schedules.warm_restarts(0.3, steps=2, growth=3, final=0.1)
    whole = schedules.cosine(0.3, steps=6, final=0.1)
    assert [lr(step) for step in (0, 1, 2, 8)] == [0.3, pytest.approx(0.2, rel=1e-15), 0.3, 0.3]
    assert [lr(step) for step in range(2, 8)] == [whole(step) for step in range(6)]
    assert [lr(step) for step in range(8, 26, 3)] == [whole(step) for step in range(6)]
    assert [schedules.warm_restarts(0.3, steps=1)(step) for step in range(3)] == [0.3] * 3
    same = schedules.warm_restarts(0.3, steps=3)
    assert [same(step) for step in range(3)] == [schedules.cosine(0.3, steps=3)(step) for step in range(3)]
    assert [same(step) for step in range(3)] == [same(step) for step in range(3 * 10**9, 3 * 10**9 + 3)]
    assert same(0) == 0.3


def test_one_cycle_rises_and_falls() -> None:
    lr = schedules.one_cycle(1.0, steps=11, rise=6 / 11, start=0.1, final=0.0)
    values = [lr(step) for step in range(13)]
    assert values[0] == pytest.approx(0.1, rel=1e-15)
    assert values[5] == 1.0
    assert values[10:] == [0.0, 0.0, 0.0]
    halves = [(1 - math.cos(math.pi * step / 5)) / 2 for step in range(6)]
    assert values[:6] == pytest.approx([0.1 + 0.9 * half for half in halves], rel=1e-14)
    assert values[5:11] == pytest.approx([1 - half for half in halves], rel=1e-14, abs=1e-15)
    early = schedules.one_cycle(1.0, steps=11, rise=4 / 11, final=0.0)(5)  # two of the seven steps down
    assert early == pytest.approx((1 + math.cos(math.pi * 2 / 7)) / 2, rel=1e-14)
    assert values[:6] == sorted(values[:6])
    assert values[5:] == sorted(values[5:], reverse=True)
    assert [schedules.one_cycle(1.0, steps=1)(step) for step in (0, 1)] == [4e-6, 4e-6]
    assert schedules.one_cycle(1.0, steps=4)(0) == pytest.approx(0.04, rel=1e-15)
    for steps in range(1, 12):
        for rise in (0.01, 0.25, 0.5, 0.99):
            lr = schedules.one_cycle(1.0, steps=steps, rise=rise)
            assert all(0 < lr(step) <= 1 for step in range(steps + 2))


def test_a_schedule_serves_an_optimizer() -> None:
    model = Linear(1, 1, rng=np.random.default_rng(0)).to(dtype="float64")
    optimizer = SGD(model, schedules.step_decay(1.0, every=2, factor=0.5))
    model.b.grad.fill(1)
    for expected in (-1.0, -2.0, -2.5, -3.0, -3.25):
        optimizer.step()
        assert model.b.value == expected


@pytest.mark.messages
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.constant(-0.1), ValueError, r"constant: lr must be at least 0, not -0\.1"),
        (lambda: schedules.constant(math.nan), ValueError, "constant: lr must be at least 0, not nan"),
        (
            lambda: schedules.step_decay(-1, every=1, factor=0.5),
            ValueError,
            "step_decay: lr must be at least 0, not -1",
        ),
        (
            lambda: schedules.step_decay(1, every=0, factor=0.5),
            ValueError,
            "step_decay: every must be at least 1, not 0",
        ),
        (
            lambda: schedules.step_decay(1, every=2.0, factor=0.5),  # type: ignore[arg-type]
            TypeError,
            r"step_decay: every must be an integer, not 2\.0",
        ),
        (
            lambda: schedules.step_decay(1, every=2, factor=1.5),
            ValueError,
            r"step_decay: factor must be above 0 to 1, not 1\.5",
        ),
        (lambda: schedules.exponential(math.nan, rate=1), ValueError, "exponential: lr must be at least 0, not nan"),
        (lambda: schedules.exponential(1, rate=0), ValueError, "exponential: rate must be above 0 to 1, not 0"),
        (
            lambda: schedules.exponential(1, rate=math.nan),
            ValueError,
            "exponential: rate must be above 0 to 1, not nan",
        ),
        (lambda: schedules.piecewise(-1, then={}), ValueError, "piecewise: lr must be at least 0, not -1"),
        (
            lambda: schedules.piecewise(1, then={3: 0.1, 2: 0.2}),
            ValueError,
            "piecewise: the steps of then must rise, but 2 follows 3",
        ),
        (
            lambda: schedules.piecewise(1, then={0: 1}),
            ValueError,
            "piecewise: a step of then must be at least 1, not 0",
        ),
        (
            lambda: schedules.piecewise(1, then={3: math.inf}),
            ValueError,
            r"piecewise: then\[3\] must be finite, not inf",
        ),
        (
            lambda: schedules.piecewise(1, then=[(3, 0.1)]),  # type: ignore[arg-type]
            TypeError,
            r"piecewise: then must be a dict of learning rates by step, not \[\(3, 0\.1\)\]",
        ),
        (lambda: schedules.linear(1, steps=5, warmup=5), ValueError, "linear: warmup must be below steps, 5, not 5"),
        (
            lambda: schedules.polynomial(1, steps=5, power=0),
            ValueError,
            "polynomial: power must be above 0, not 0",
        ),
        (
            lambda: schedules.warm_restarts(1, steps=5, growth=0),
            ValueError,
            "warm_restarts: growth must be at least 1, not 0",
        ),
        (
            lambda: schedules.one_cycle(1, steps=5, rise=1),
            ValueError,
            "one_cycle: rise must be above 0 to below 1, not 1",
        ),
        (lambda: schedules.one_cycle(1, steps=0), ValueError, "one_cycle: steps must be at least 1, not 0"),
        (lambda: schedules.one_cycle(1, steps=5, start=-1), ValueError, "one_cycle: start must be at least 0, not -1"),
        (lambda: schedules.cosine(-1, steps=5), ValueError, "cosine: lr must be at least 0, not -1"),
        (lambda: schedules.cosine(1, steps=0), ValueError, "cosine: steps must be at least 1, not 0"),
        (lambda: schedules.cosine(1, steps=5, warmup=-1), ValueError, "cosine: warmup must be at least 0, not -1"),
        (lambda: schedules.cosine(1, steps=5, warmup=5), ValueError, "cosine: warmup must be below steps, 5, not 5"),
        (lambda: schedules.cosine(1, steps=5, final=-0.1), ValueError, r"cosine: final must be at least 0, not -0\.1"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        make()
