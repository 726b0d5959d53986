"""Small trainings of every kind, by name, whose files must not depend on how many workers there were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as rnn
from tinygrad_rnn.distributed import Workers


class Training(NamedTuple):
    """What a training needs."""

    model: Any
    criterion: Any
    optimizer: Any
    batches: Any


V, H = 7, 6


def stream(batch: int = 5) -> rnn.TokenStream:
    """Documents, one of one token; the last batch has fewer steps, and some of its rows end before."""
    ids = np.random.default_rng(0).integers(0, V, 331)
    return rnn.TokenStream([ids[:100], ids[100:101], ids[101:257], ids[257:]], batch=batch, steps=9)


def language(
    cell: Callable[[Any], Any],
    *layers: Callable[[Any], Any],
    optimizer: Callable[[Any], Any] | None = None,
    dtype: str = "float32",
    batch: int = 5,
    **loss: Any,
) -> Training:
    rng = np.random.default_rng(1)
    parts = [rnn.Embedding(V, H, rng=rng), cell(rng), *(layer(rng) for layer in layers), rnn.Linear(H, V, rng=rng)]
    model = rnn.Sequential(*parts).to(dtype=dtype)
    of = optimizer or (lambda model: rnn.Adam(model, 0.02, clip=rnn.ClipNorm(0.7)))
    return Training(model, rnn.SoftmaxCrossEntropy(**loss), of(model), stream(batch))


def series(kind: str) -> Training:
    """Sequences of unlike lengths, some of none, in batches of 11, and of 4 at the end."""
    rng = np.random.default_rng(2)
    lengths = [0, 0, *rng.integers(0, 9, 24)]
    xs = [rng.standard_normal((n, 3)).astype(np.float32) for n in lengths]
    shuffled: Any = {"batch": 11, "rng": rng}
    if kind == "classes":
        weights = rng.uniform(0, 2, 26).astype(np.float32)
        source = rnn.SequenceBatches(xs, rng.integers(0, 4, 26), weights=weights, **shuffled)
        cells = rnn.GRUCell(3, H, rng=rng), rnn.GRUCell(3, H, rng=rng)
        both = rnn.Bidirectional(*cells)
        model: Any = rnn.ManyToOne(both, rnn.Linear(2 * H, 4, rng=rng), pool=rnn.AttentionPool(2 * H, rng=rng))
        criterion: Any = rnn.SoftmaxCrossEntropy(label_smoothing=0.1)
    else:
        ys = [rng.standard_normal((len(x), 2)).astype(np.float32) for x in xs]
        source = rnn.SequenceBatches(xs, ys, weights=[(y[:, 0] > 0).astype(np.float32) for y in ys], **shuffled)
        model = rnn.Sequential(rnn.LSTMCell(3, H, rng=rng), rnn.Linear(H, 2, rng=rng))
        criterion = rnn.Huber()
    return Training(model, criterion, rnn.Adam(model, 0.02, clip=rnn.ClipValue(0.05)), source)


def gru(rng: Any) -> Any:
    return rnn.GRUCell(H, H, rng=rng)


def lstm(rng: Any) -> Any:
    return rnn.LSTMCell(H, H, rng=rng)


def dropout(rng: Any) -> Any:
    return rnn.Dropout(0.3, rng=rng)


TRAININGS: dict[str, Callable[[], Training]] = {
    "RNN, dropout, SGD": lambda: language(
        lambda rng: rnn.RNNCell(H, H, rng=rng), dropout, optimizer=lambda model: rnn.SGD(model, 0.3, momentum=0.9)
    ),
    "LSTM, locked dropout, Adagrad": lambda: language(
        lstm,
        lambda rng: rnn.LockedDropout(0.3, rng=rng),
        optimizer=lambda model: rnn.Adagrad(model, 0.05, clip=rnn.ClipValue(0.01)),
    ),
    "GRU, RMSprop": lambda: language(gru, optimizer=lambda model: rnn.RMSprop(model, 0.01, rates={"layers.0": 0.5})),
    "GRU with the reset before, AdamW": lambda: language(
        lambda rng: rnn.GRUCell(H, H, rng=rng, reset="before"),
        optimizer=lambda model: rnn.AdamW(model, lambda step: 0.02 / (1 + step), clip=rnn.ClipNorm(0.1)),
    ),
    "LayerNormLSTM, Adam": lambda: language(lambda rng: rnn.LayerNormLSTMCell(H, H, rng=rng), batch=16),
    "Zoneout": lambda: language(lambda rng: rnn.Zoneout(lstm(rng), 0.2, rng=rng), dropout),
    "DropConnect, two rows": lambda: language(lambda rng: rnn.DropConnect(gru(rng), 0.3, rng=rng), batch=2),
    "float64, a sum": lambda: language(
        lstm, dropout, dtype="float64", reduction="sum", optimizer=lambda model: rnn.SGD(model, 0.001)
    ),
    "class weights, Residual": lambda: language(
        lambda rng: rnn.Residual(gru(rng)), class_weights=[0.5, 1, 2, 1, 0, 1, 1]
    ),
    "classes of series": lambda: series("classes"),
    "targets at each step": lambda: series("steps"),
}


def batch_of(source: Any, k: int) -> Any:
    """Batch `k` of a training, epoch after epoch."""
    epoch = source.epoch(k // len(source)) if hasattr(source, "epoch") else source
    return epoch[k % len(source)]


def run(name: str, steps: int, path: Path, communicator: Any = None, resume: Path | None = None) -> list[float]:
    """Train until so many steps are taken, and save; gives the losses."""
    model, criterion, optimizer, batches = TRAININGS[name]()
    state, losses = None, []
    if resume is not None:
        saved = rnn.load(resume)
        model, state = saved.model, saved.state
        optimizer = type(optimizer)(model, optimizer.lr, **settings_of(optimizer))
        optimizer.restore(saved.optimizer)
    workers = Workers(communicator, compare=5)
    source = workers.batches(batches)
    while optimizer.steps < steps:
        shards = batch_of(source, optimizer.steps)
        model.zero_grad()
        loss, after = workers.gradients(model, criterion, shards, state)
        state = after if shards.batch.starts is not None else None
        optimizer.step()
        workers.check(optimizer)
        losses.append(loss)
    workers.save(path, model, optimizer=optimizer, state=state)
    return losses


def settings_of(optimizer: Any) -> dict[str, Any]:
    found = {"clip": optimizer.clip, "rates": optimizer.rates}
    return found | {"momentum": optimizer.momentum} if isinstance(optimizer, rnn.SGD) else found
