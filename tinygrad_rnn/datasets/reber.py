"""The Reber grammar, plain and embedded."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ..core.arguments import check_bool
from ..data.char_tokenizer import CharTokenizer
from .strings import Branches, StringSource

# For each node, its outgoing symbols and the nodes that they lead to. 7 is the end.
_PLAIN: dict[Hashable, dict[str, Hashable]] = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
    7: {},
}


class ReberGrammar(StringSource):
    r"""The Reber grammar: strings such as BTSXXVPSE, made by a walk through a graph of a few nodes.

    Most nodes have two outgoing edges, each taken with probability 1/2. Which symbols may follow a symbol depends on
    the ones before: after BT come S or X, after PT come T or V. In the embedded grammar, a string is enclosed by a T or
    P and the same symbol again, as BTXSE is in BPBTXSEPE. To predict the last but one symbol, a model must keep one bit
    over the whole inner string: 8 symbols on average.

    A string has on average 8 symbols and 6 choices, and so :math:`6 \ln 2` nats per string; embedded 12 and 7.

    ======== ============================= ============================== ================================
    embedded nats per string               mean symbols per string        `entropy`, nats per predicted one
    ======== ============================= ============================== ================================
    False    :math:`6 \ln 2` = 4.1589      8                              :math:`6 \ln 2 / 7` = 0.5941
    True     :math:`7 \ln 2` = 4.8520      12                             :math:`7 \ln 2 / 11` = 0.4411
    ======== ============================= ============================== ================================

    Args:
        embedded: whether the string is embedded in another.

    Attributes: `vocab_size` is 7; `tokenizer` is a tokenizer of the symbols BTPSXVE, whose ids are 0 to 6; `entropy`,
    `string_entropy` and `mean_length` are as above.

    References:
        Reber, *Implicit Learning of Artificial Grammars*, 1967. Embedded: Hochreiter and Schmidhuber, *Long Short-Term
        Memory*, 1997.

    Example:
        >>> from tinygrad_rnn.datasets import ReberGrammar
        >>> grammar = ReberGrammar()
        >>> strings = grammar.sample(3, rng=np.random.default_rng(0))
        >>> [grammar.tokenizer.decode(ids) for ids in strings]
        ['BTSSXSE', 'BPVVE', 'BTXXVVE']
        >>> xs, lengths = pad([ids[:-1] for ids in strings])
        >>> targets, _ = pad([ids[1:] for ids in strings], fill=-1)
        >>> ["".join(symbol for symbol, p in zip("BTPSXVE", row) if p) for row in grammar.probabilities(strings[1])]
        ['TP', 'TV', 'PV', 'E', '']
    """

    def __init__(self, *, embedded: bool = False) -> None:
        self.embedded = check_bool("ReberGrammar", "embedded", embedded)
        self.tokenizer = CharTokenizer("BTPSXVE")
        self.vocab_size = len(self.tokenizer)
        graph = _embedded() if embedded else _PLAIN
        self._start = next(iter(graph))
        self._nodes: dict[Hashable, Branches] = {
            node: [(self.tokenizer.id_of(symbol), 1 / len(edges), to) for symbol, to in edges.items()]
            for node, edges in graph.items()
        }
        visits = _visits(graph)
        self.mean_length = sum(visits[node] for node, edges in graph.items() if edges)  # each gives one symbol
        self.string_entropy = sum(visits[node] * math.log(len(edges)) for node, edges in graph.items() if edges)
        self.entropy = self.string_entropy / (self.mean_length - 1)

    def _branches(self, state: Any) -> Branches:
        return self._nodes[state]

    def __repr__(self) -> str:
        return f"ReberGrammar(embedded={self.embedded})"


def _embedded() -> dict[Hashable, dict[str, Hashable]]:
    """The graph that contains the plain one twice: between two T, and between two P."""
    graph: dict[Hashable, dict[str, Hashable]] = {
        "first": {"B": "second"},
        "second": {"T": ("T", 0), "P": ("P", 0)},
        "last": {"E": "end"},
        "end": {},
    }
    for outer in "TP":
        for node, edges in _PLAIN.items():
            graph[outer, node] = {symbol: (outer, to) for symbol, to in edges.items()} or {outer: "last"}
    return graph


def _visits(graph: Mapping[Hashable, Mapping[str, Hashable]]) -> dict[Hashable, float]:
    """The mean number of visits to each node: v = e + v P, where e is 1 at the first node."""
    nodes = list(graph)
    step = np.zeros((len(nodes), len(nodes)))
    for row, edges in zip(step, graph.values(), strict=True):
        for to in edges.values():
            row[nodes.index(to)] += 1 / len(edges)
    start = np.arange(len(nodes)) == 0
    return dict(zip(nodes, np.linalg.solve(np.eye(len(nodes)) - step.T, start).tolist(), strict=True))
