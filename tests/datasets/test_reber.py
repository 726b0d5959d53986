from __future__ import annotations

import math
import re
from itertools import product

import numpy as np
import pytest

from tinygrad_rnn.datasets import ReberGrammar

# The graph written as a regular expression, from the node behind T or P, and from the one behind an X or P on.
REST = "(?:XT*VP)*(?:S|XT*VV)"
PLAIN = f"B(?:TS*X{REST}|PT*V(?:V|P{REST}))E"
EMBEDDED = "|".join(f"B{outer}{PLAIN}{outer}E" for outer in "TP")


def test_the_legal_strings_are_those_of_the_expression() -> None:
    grammar, legal = ReberGrammar(), 0
    for length in range(6):
        for symbols in product("TPSXV", repeat=length):
            string = f"B{''.join(symbols)}E"
            p = math.exp(grammar.log_probability(grammar.tokenizer.encode(string)))
            if re.fullmatch(PLAIN, string):
                legal += 1
                assert p == pytest.approx(0.5 ** (len(string) - 2))  # a choice each, but for B and E
            else:
                assert p == 0, string
    assert legal == 9


@pytest.mark.parametrize("embedded", [False, True])
def test_strings_as_they_are_drawn(embedded: bool) -> None:
    grammar = ReberGrammar(embedded=embedded)
    for ids in grammar.sample(500, rng=np.random.default_rng(0)):
        string = grammar.tokenizer.decode(ids)
        assert re.fullmatch(EMBEDDED if embedded else PLAIN, string)
        choices = len(string) - (5 if embedded else 2)  # forced are B, E, and of the outer symbols the second
        assert grammar.log_probability(ids) == pytest.approx(-choices * math.log(2))


def test_published_strings() -> None:
    grammar = ReberGrammar()
    for string in ("BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE"):
        assert grammar.log_probability(grammar.tokenizer.encode(string)) > -math.inf
    for string in ("BTSSPXSE", "BPTVVB", "BTXXVVSE", "BPVSPSE", "BTSSSE"):
        assert grammar.log_probability(grammar.tokenizer.encode(string)) == -math.inf


def test_the_entropy_is_that_of_the_choices() -> None:
    # With c of a node the mean number of choices from it on: c2 = 1 + c2/2 + c4/2, c3 = 1 + c3/2 + c5/2,
    # c4 = 1 + c3/2, c5 = 1 + c4/2, hence c3 = 14/3, c2 = 16/3, c1 = 1 + (c2 + c3)/2 = 6.
    plain, embedded = ReberGrammar(), ReberGrammar(embedded=True)
    assert plain.string_entropy == pytest.approx(6 * math.log(2), rel=1e-12)
    assert plain.mean_length == pytest.approx(8, rel=1e-12)
    assert plain.entropy == pytest.approx(6 * math.log(2) / 7, rel=1e-12)
    assert embedded.string_entropy == pytest.approx(7 * math.log(2), rel=1e-12)
    assert embedded.mean_length == pytest.approx(12, rel=1e-12)
    assert embedded.entropy == pytest.approx(7 * math.log(2) / 11, rel=1e-12)


def test_the_entropy_against_all_strings_up_to_a_length() -> None:
    # A string of N symbols has the probability 2^(2 - N).
    grammar = ReberGrammar()
    begun, total, entropy, length = ["B"], 0.0, 0.0, 0.0
    for N in range(2, 17):
        longer = [
            string + symbol
            for string in begun
            for symbol, p in zip("BTPSXVE", grammar.probabilities(grammar.tokenizer.encode(string))[-1], strict=True)
            if p
        ]
        whole = [string for string in longer if string.endswith("E")]
        assert all(re.fullmatch(PLAIN, string) for string in whole)
        begun = [string for string in longer if not string.endswith("E")]
        p = 0.5 ** (N - 2)
        total, entropy, length = (
            total + len(whole) * p,
            entropy + len(whole) * p * (N - 2) * math.log(2),
            length + len(whole) * p * N,
        )
    rest = 1 - total
    assert 0 < rest < 0.05
    # Whoever is on the way has made N - 2 choices and has at most 6 before him in the mean.
    assert entropy + rest * (N - 2) * math.log(2) < grammar.string_entropy < entropy + rest * (N + 4) * math.log(2)
    assert length + rest * N < grammar.mean_length < length + rest * (N + 7)


def test_the_last_but_one_symbol_needs_the_second() -> None:
    grammar = ReberGrammar(embedded=True)
    for outer in "TP":
        row = grammar.probabilities(grammar.tokenizer.encode(f"B{outer}BPVVE"))[-1]
        assert row.tolist() == [float(symbol == outer) for symbol in "BTPSXVE"]
