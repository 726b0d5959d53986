"""The copy task, a test of memory."""

from __future__ import annotations

import math

import numpy as np

from ..core.arrays import Generator, Integer, Integers
from ..core.checks import check_rng, check_size


class CopySource:
    r"""The copy task: read symbols, wait, and then write them from memory.

    After `length` symbols come blanks, and `delay` steps after the last symbol a marker. Up to the marker the targets
    are blanks. After it blanks are read, and the targets are the symbols. So a sequence has :math:`T = L + D + L`
    steps:

    ======= ============== ================================ ==============
    steps   L              D                                L
    ======= ============== ================================ ==============
    xs      the symbols    blanks, the last one the marker  blanks
    targets blanks         blanks                           the symbols
    ======= ============== ================================ ==============

    A model that remembers all symbols predicts every target with certainty: the `entropy` is 0. A model that knows the
    task but remembers none of the S symbols has a loss of :math:`\ln S` nats for each, so :math:`L \ln S / T` per step:
    this is `chance`, the baseline to beat.

    Args:
        symbols: S, the number of different symbols; their ids are 0 to S - 1.
        length: L, how many symbols to copy.
        delay: D, the steps from the last symbol read to the first one written, at least 1.

    Attributes: the arguments; `blank` and `marker`, ids S and S + 1; `vocab_size`, S + 2 (no target is the marker, so
    S + 1 logits are enough); `steps`, T; `entropy` and `chance`, in nats per step.

    Raises:
        TypeError: an argument is not an integer.
        ValueError: `symbols` is below 2, `length` or `delay` below 1.

    References:
        Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; in this form, Arjovsky, Shah and Bengio, *Unitary
        Evolution Recurrent Neural Networks*, 2016.

    Example:
        >>> from tinygrad_rnn.datasets import CopySource
        >>> source = CopySource(8, length=3, delay=2)
        >>> xs, targets = source.sample(1, rng=np.random.default_rng(0))
        >>> xs.T.tolist(), targets.T.tolist()
        ([[6, 5, 4, 8, 9, 8, 8, 8]], [[8, 8, 8, 8, 8, 6, 5, 4]])
        >>> source.entropy, round(source.chance, 4)
        (0.0, 0.7798)
    """

    entropy = 0.0

    def __init__(self, symbols: int, *, length: int, delay: int) -> None:
        symbols = check_size("CopySource", "symbols", symbols, 2)
        length = check_size("CopySource", "length", length)
        delay = check_size("CopySource", "delay", delay)
        self.symbols, self.length, self.delay = symbols, length, delay
        self.blank, self.marker, self.vocab_size = symbols, symbols + 1, symbols + 2
        self.steps = length + delay + length
        self.chance = length * math.log(symbols) / self.steps

    def sample(self, batch: int, *, rng: Generator) -> tuple[Integer[Integers, "T B"], Integer[Integers, "T B"]]:
        """Sequences drawn independently: xs and targets, ids (T, B) of int64.

        Raises:
            TypeError: `batch` is not an integer, or `rng` is not a Generator.
            ValueError: `batch` is negative.
        """
        batch = check_size(repr(self), "batch", batch, 0)
        check_rng(repr(self), rng)
        symbols = rng.integers(self.symbols, size=(self.length, batch))
        xs = np.full((self.steps, batch), self.blank)
        targets = xs.copy()
        xs[: self.length], xs[-self.length - 1], targets[-self.length :] = symbols, self.marker, symbols
        return xs, targets

    def __repr__(self) -> str:
        return f"CopySource({self.symbols}, length={self.length}, delay={self.delay})"
