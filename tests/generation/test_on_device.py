"""Ids that are drawn on a GPU, for which a strict device stands in, are those of the CPU, with few transfers."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.generation.on_device import STEPS
from tinygrad_rnn.testing import StrictDevice

V = 6


def model(device: Any) -> Any:
    rng = np.random.default_rng(0)
    made: Any = rnn.Sequential(rnn.OneHot(V), rnn.GRUCell(V, 8, rng=rng), rnn.Linear(8, V, rng=rng)).to(dtype="float64")
    made.layers[2].w.value *= 4
    return made.to(device)


@pytest.mark.parametrize("length", [0, 1, STEPS - 1, STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("stop", [(), (4,)])
@pytest.mark.parametrize("how", [{}, {"temperature": 0}, {"temperature": 0.7}, {"min_p": 0.2}, {"top_k": 2}])
def test_ids_and_generator_are_those_of_the_cpu(how: dict[str, Any], stop: tuple[int, ...], length: int) -> None:
    found: list[Any] = []
    for device in ("cpu", StrictDevice()):
        rng = np.random.default_rng(3)
        ids = list(rnn.generate(model(device), [0, 1], length=length, stop=stop, rng=rng, **how))
        samples = list(rnn.generate_samples(model(device), [0], samples=3, length=length, stop=stop, rng=rng, **how))
        log_probs = np.array([token.log_prob for token in samples]).round(10).tolist()
        found.append((ids, [token[:2] for token in samples], log_probs, rng.random()))
    assert found[0] == found[1]


def test_an_iterator_that_is_left_has_drawn_what_it_gave() -> None:
    for device in ("cpu", StrictDevice()):
        rng = np.random.default_rng(3)
        assert len(list(islice(rnn.generate(model(device), [0], length=40, rng=rng), 5))) == 5
        after = rng.random()
        same = np.random.default_rng(3)
        assert after == same.random(6)[5]


def test_a_gpu_is_read_twice_for_some_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    to_host = StrictDevice.to_host

    def counted(self: StrictDevice, array: Any) -> Any:
        reads.append(1)
        return to_host(self, array)

    monkeypatch.setattr(StrictDevice, "to_host", counted)
    assert len(list(rnn.generate(model(StrictDevice()), [0], length=3 * STEPS, rng=np.random.default_rng(0)))) == 48
    assert len(reads) == 6


def test_logits_that_are_not_finite_are_told_where_they_come() -> None:
    for device in ("cpu", StrictDevice()):
        broken = model(device)
        broken.layers[2].b.value = broken.device.asarray(np.full(V, np.inf))
        wrong = pytest.raises(ValueError, match=r"generate: at step 0 the logit of id 0 is (inf|nan)")
        with wrong, np.errstate(invalid="ignore"):  # as on a GPU, where nothing warns
            list(rnn.generate(broken, [0], length=20, rng=np.random.default_rng(0)))
