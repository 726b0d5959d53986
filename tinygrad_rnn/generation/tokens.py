"""Ids from a model, one at a time: greedy, or sampled from its whole or filtered distribution."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

from ..core.arrays import Array, Generator, Integers
from ..core.checks import check_rng, check_size
from ..core.device import on_own_gpu
from ..core.roles import Recurrent
from ..core.states import State, tree_map
from .on_device import run_on_device
from .prompts import check_finite, check_stop, one_prompt, run_prompt
from .sampling import check_filters, draw, log_probabilities, token_probabilities
from .steering import Steering, check_some_left, steering


def generate(
    model: Recurrent,
    ids: Integers | Sequence[int],
    *,
    length: int,
    state: State | None = None,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    min_p: float | int | None = None,
    banned: Collection[SupportsIndex | Sequence[SupportsIndex]] = (),
    bias: Mapping[int, float] | Array | None = None,
    repetition_penalty: float | int = 1.0,
    stop: Collection[SupportsIndex] = (),
    min_length: int = 0,
    rng: Generator,
) -> Iterator[int]:
    """Ids that continue a prompt, each sampled from the model's distribution given all ids before it.

    The call checks its arguments and runs the prompt; the iterator takes one step of the model per id. Nothing is
    stored on the model, and each step uses its current parameters. On a GPU the ids are drawn there, 16 steps before
    they are read, with the same generator; with `top_k`, `top_p` or anything that changes the logits, each is drawn on
    the host.

    Args:
        model: a causal model that maps ids (T, B) to logits (T, B, V).
        ids: the prompt (N,), N >= 1, on the host; it is not echoed.
        length: how many ids to give at most.
        state: the state before the prompt, for a batch of one; None is the initial state.
        temperature: divides the logits. Below 1 the likely ids become likelier; 0 is greedy, the lowest id on ties.
        top_k: draw from the k likeliest ids only, the lowest on ties.
        top_p: after `top_k`, draw from the smallest set of likeliest ids whose probabilities add up to `top_p`.
        min_p: of these, draw from the ids whose probability is at least `min_p` times the largest.
        banned: ids that are never drawn; of a sequence of ids, such as `(3, 1)`, the last one is not drawn after the
            others, which may be the end of the prompt.
        bias: what is added to the logits before the temperature: a mapping from ids to numbers, or an array (V,).
        repetition_penalty: above 1, the ids that occur in the prompt or the text so far become less likely: before the
            bias, their logits are divided by it if positive, multiplied if negative.
        stop: ids that end the text; they are not given.
        min_length: no stop id is drawn before there are so many ids.
        rng: gives one uniform number per sampled id, whatever the distribution; none with greedy.

    Returns:
        An iterator of up to `length` ints.

    Raises:
        ValueError: the prompt is empty, not one row, or holds an id outside the vocabulary; `length` or `temperature`
            is negative, `top_k` below 1, `top_p` outside (0, 1], or `min_p` outside [0, 1]; an id of `banned` or `bias`
            is outside the vocabulary, a bias not finite, `repetition_penalty` not above 0, or `min_length` negative;
            the state does not have one row; the model has no `step`. From the iterator: a logit is not finite, or every
            id is banned.
        TypeError: ids are not integers, `model` is not a `Recurrent`, `rng` is not a generator, or another argument is
            of another kind.

    References:
        Nucleus sampling, `top_p`: Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2020.
        `min_p`: Nguyen et al., *Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs*, 2024.
        `repetition_penalty`: Keskar et al., *CTRL: A Conditional Transformer Language Model for Controllable
        Generation*, 2019, section 4.1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> text = list(generate(model, [0, 1], length=20, temperature=0.5, stop=(4,), rng=rng))
        >>> len(text) <= 20, 4 in text
        (True, False)
    """
    filters = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    wishes = {"banned": banned, "bias": bias, "repetition_penalty": repetition_penalty, "min_length": min_length}
    return draw_ids(
        "generate", model, ids, length=length, state=state, filters=filters, wishes=wishes, stop=stop, rng=rng
    )


def draw_ids(
    owner: str,
    model: Any,
    ids: Any,
    *,
    length: Any,
    state: Any,
    filters: dict[str, Any],
    wishes: dict[str, Any],
    stop: Any,
    rng: Any,
) -> Iterator[int]:
    """`generate`; errors begin with `owner`, the function that the user called."""
    ends = check_stop(owner, stop)
    y, state = _begin(owner, model, ids, state, length, filters, rng)
    steer = steering(owner, y.shape[-1], ends=ends, **wishes)
    return (chosen for _, chosen, _ in _run(owner, model, ids, y, state, [rng], length, ends, filters, steer))


class Token(NamedTuple):
    """What `generate_samples` gives: one id of one of the samples."""

    sample: int
    """The number of the sample, 0 to `samples` - 1."""
    id: int
    """The id that continues the sample."""
    log_prob: float
    """The logarithm, in nats, of its probability in the model's own distribution, at temperature 1 and unfiltered."""


@on_own_gpu
def generate_samples(
    model: Recurrent,
    ids: Integers | Sequence[int],
    *,
    samples: int,
    length: int,
    state: State | None = None,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    min_p: float | int | None = None,
    banned: Collection[SupportsIndex | Sequence[SupportsIndex]] = (),
    bias: Mapping[int, float] | Array | None = None,
    repetition_penalty: float | int = 1.0,
    stop: Collection[SupportsIndex] = (),
    min_length: int = 0,
    rng: Generator,
) -> Iterator[Token]:
    """Several texts that continue one prompt, side by side as the rows of a batch, with log-probabilities.

    The prompt runs once. Sample b draws from `rng.spawn(samples)[b]`, and so does not depend on the others. It is what
    `generate` gives with that stream, except for the last digit of the logits (a product of another size may round
    differently). `log_prob` does not depend on `temperature`, filters, bans, bias and penalty: its sum over a sample is
    the log-likelihood of the sample under the model, whose negative mean is what `SoftmaxCrossEntropy` computes.

    Args:
        model: as in `generate`.
        ids: as in `generate`.
        samples: how many, B >= 1.
        length: how many ids to give for each sample at most.
        state: as in `generate`, for a batch of one.
        temperature: as in `generate`.
        top_k: as in `generate`.
        top_p: as in `generate`.
        min_p: as in `generate`.
        banned: as in `generate`.
        bias: as in `generate`.
        repetition_penalty: as in `generate`, for each sample by its own ids.
        stop: ids that end the sample that draws them; the others continue.
        min_length: as in `generate`, for each sample.
        rng: streams are spawned from it at each call, so the next call draws other samples; it is not advanced itself.

    Returns:
        An iterator of tokens, step by step, and by sample within a step; a sample that has ended gives no more.

    Raises:
        ValueError: `samples` is below 1, and as in `generate`.
        TypeError: `samples` is not an integer, and as in `generate`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> texts = [[], []]
        >>> for token in generate_samples(model, [0, 1], samples=2, length=20, rng=rng):
        ...     texts[token.sample].append(token.id)
        >>> [len(text) for text in texts]
        [20, 20]
    """
    samples = check_size("generate_samples", "samples", samples)
    filters = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    ends = check_stop("generate_samples", stop)
    y, state = _begin("generate_samples", model, ids, state, length, filters, rng)
    wishes = {"banned": banned, "bias": bias, "repetition_penalty": repetition_penalty, "min_length": min_length}
    steer = steering("generate_samples", y.shape[-1], ends=ends, **wishes)
    y, state = tree_map(lambda array: array.repeat(samples, axis=0), (y, state))
    steps = _run("generate_samples", model, ids, y, state, rng.spawn(samples), length, ends, filters, steer)
    return (Token(b, chosen, float(log_probabilities(logits)[chosen])) for b, chosen, logits in steps)


def _begin(
    owner: str, model: Any, ids: Any, state: Any, length: Any, filters: dict[str, Any], rng: Any
) -> tuple[Any, State]:
    """Check the arguments, and give the logits (1, V) after the prompt, and the state."""
    length = check_size(owner, "length", length, least=0)
    check_filters(owner, **filters)
    check_rng(owner, rng)
    return run_prompt(owner, model, one_prompt(owner, ids), state)


def _run(
    owner: str,
    model: Recurrent,
    ids: Any,
    y: Any,
    state: State,
    rngs: list[Any],
    length: int,
    ends: Any,
    filters: dict[str, Any],
    steer: Steering | None,
) -> Iterator[tuple[int, int, Any]]:
    """`(row, id, the model's logits (V,) for it)`, from the logits (B, V) and the state of B rows after the prompt.

    A row that has ended stays in the batch: without it, the products of the others might round differently.
    """
    device, like = model.device, model._like()
    if device.name != "cpu" and steer is None and filters["top_k"] is filters["top_p"] is None:
        temperature, min_p = float(filters["temperature"]), filters["min_p"]
        yield from run_on_device(owner, model, y, state, rngs, length, ends, temperature, min_p)
        return
    chosen, running = [0] * len(rngs), list(range(len(rngs)))
    texts = [] if steer is None else [list(map(int, ids)) for _ in rngs]
    for t in range(length):
        logits = device.to_host(y)
        for b in running:
            scores = logits[b]
            check_finite(owner, scores, t)
            if steer is not None:
                scores = steer.scores(scores, texts[b], t)
                check_some_left(owner, scores, t)
            if filters["temperature"] == 0:
                chosen[b] = int(scores.argmax())
            else:
                chosen[b] = draw(token_probabilities(scores, **filters), rngs[b])
            if steer is not None:
                texts[b].append(chosen[b])
        running = [b for b in running if chosen[b] not in ends]
        if not running:
            return
        for b in running:
            yield b, chosen[b], logits[b]
        if t + 1 < length:
            # The checks of `step` are not needed again, unless the caller has moved the model in between.
            step = model.take_step if model._like() is like else model.step
            y, state = step(device.asarray(chosen), state)
