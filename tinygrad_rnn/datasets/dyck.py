"""Balanced brackets."""

from __future__ import annotations

import math
from typing import Any

from ..core.checks import check_size
from .strings import Branches, StringSource


class DyckSource(StringSource):
    r"""Balanced brackets of several kinds: the Dyck language, which needs a stack as memory.

    With probability :math:`p` a token opens a bracket, of one of :math:`k` kinds, all equally likely. Otherwise it
    closes the bracket opened last, or ends the string if none is open. At the maximal depth :math:`m` it always closes.

    The start and the end of a string act like one more bracket around all the others. Each bracket is opened and closed
    once, so :math:`p\,n_d = (1 - p)\,n_{d+1}` for the mean number :math:`n_d` of tokens drawn at depth :math:`d`
    (:math:`p\,n_{m-1} = n_m` at the maximal depth), and :math:`(1 - p)\,n_0 = 1`. Each token not drawn at depth
    :math:`m` has the entropy

    .. math::
        h = -p \ln \frac{p}{k} - (1 - p) \ln (1 - p),

    so the entropy per predicted token is :math:`h` times the fraction of tokens that are not drawn at depth :math:`m`.

    Token 0 begins a string and ends it; 1 to k open a bracket, k + 1 to 2k close one, in the same order of kinds.

    Args:
        kinds: k, the number of kinds of brackets.
        opening: p, above 0 and below 1; without `max_depth` below 1/2, because the mean length must be finite.
        max_depth: m, how many brackets may be open at once. None: any number.

    Attributes: the arguments; `vocab_size` is 2k + 1; `entropy`, in nats per predicted token; `string_entropy`, in nats
    per string; `mean_length`, the mean number of tokens, including both 0.

    Raises:
        TypeError: `kinds` or `max_depth` is not an integer, or `opening` is not a number.
        ValueError: an argument is out of its range, or the mean length is too large for a float.

    References:
        Hewitt, Hahn, Ganguli, Liang and Manning, *RNNs Can Generate Bounded Hierarchical Languages with Optimal
        Memory*, 2020, which calls it Dyck-(k, m).

    Example:
        >>> from tinygrad_rnn.datasets import DyckSource
        >>> source = DyckSource(2, opening=0.5, max_depth=3)
        >>> ["".join("|([)]"[i] for i in ids) for ids in source.sample(3, rng=np.random.default_rng(0))]
        ['|[(())]|', '||', '|()()()|']
        >>> source.mean_length, round(source.entropy, 4)
        (8.0, 0.8912)
    """

    _start = ()

    def __init__(self, kinds: int, *, opening: float | int, max_depth: int | None = None) -> None:
        kinds = check_size("DyckSource", "kinds", kinds)
        if max_depth is not None:
            max_depth = check_size("DyckSource", "max_depth", max_depth)
        if not hasattr(opening, "__float__"):
            raise TypeError(f"DyckSource: opening must be a number, not {opening!r}")
        if not 0 < opening < (0.5 if max_depth is None else 1):
            below = "1/2, unless there is a max_depth" if max_depth is None else "1"
            raise ValueError(f"DyckSource: opening must be above 0 and below {below}, not {opening}")
        self.kinds, self.opening, self.max_depth = kinds, opening, max_depth
        self.vocab_size = 2 * kinds + 1

        p, q = opening, 1 - opening
        if max_depth is None:
            free, forced = 1 / (q - p), 0.0  # tokens below the maximal depth and at it: the geometric series
        else:
            free, forced, visits = 0.0, 0.0, 1 / q
            for _ in range(max_depth):
                free, forced, visits = free + visits, p * visits, visits * p / q
        self.mean_length = 1 + free + forced
        if self.mean_length == math.inf:
            raise ValueError(
                f"DyckSource: with opening {opening} and max_depth {max_depth} the mean length is too large for a "
                "float; make one of them smaller"
            )
        self.string_entropy = -free * (p * math.log(p / kinds) + q * math.log(q))
        self.entropy = self.string_entropy / (free + forced)

    def _branches(self, state: Any) -> Branches:
        # The state holds the tokens that close the open brackets; 0 closes the string as a whole, and None is the
        # state after that.
        if not state:
            return [] if state is None else [(0, 1.0, (0,))]
        closing, outer = state[-1], state[:-1] or None
        if self.max_depth is not None and len(state) > self.max_depth:
            return [(closing, 1.0, outer)]
        k, p = self.kinds, self.opening
        return [*((i, p / k, (*state, k + i)) for i in range(1, k + 1)), (closing, 1 - p, outer)]

    def __repr__(self) -> str:
        return f"DyckSource({self.kinds}, opening={self.opening}, max_depth={self.max_depth})"
