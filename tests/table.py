"""The table of checks: a new layer is one line here, and is then fully tested (tests/test_table.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import naive
from tinygrad_rnn import (
    AdditiveAttention,
    AttentionDecoder,
    AttentionPool,
    Bidirectional,
    BinaryCrossEntropy,
    Bridge,
    DotAttention,
    DropConnect,
    Dropout,
    Embedding,
    EncoderDecoder,
    GaussianNLL,
    GeneralAttention,
    GRUCell,
    Huber,
    IndRNNCell,
    InputFeedingDecoder,
    Layer,
    LayerNorm,
    LayerNormLSTMCell,
    Linear,
    LockedDropout,
    LRUCell,
    LSTMCell,
    ManyToOne,
    MeanAbsoluteError,
    MeanSquaredError,
    MinGRUCell,
    MinLSTMCell,
    OneHot,
    Quantile,
    ReLU,
    Residual,
    RNNCell,
    Sequential,
    Sigmoid,
    SLSTMCell,
    Softmax,
    SoftmaxCrossEntropy,
    SRUCell,
    Standardize,
    Tanh,
    TiedLinear,
    Zoneout,
)
from tinygrad_rnn.core.states import State
from tinygrad_rnn.kernels import products
from tinygrad_rnn.layers.pooling.plain import LastPool, MaxPool, MeanPool


class Stepped:
    """A cell without its kernel, which a class with a step of its own does not run."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        step: tuple[Any, State, Any] = super().step_forward(x, state, training=training)  # type: ignore[misc]
        return step


class SteppedRNN(Stepped, RNNCell):
    """Step by step."""


class SteppedLSTM(Stepped, LSTMCell):
    """Step by step."""


class SteppedGRU(Stepped, GRUCell):
    """Step by step."""


class SteppedMinGRU(Stepped, MinGRUCell):
    """Step by step."""


class SteppedMinLSTM(Stepped, MinLSTMCell):
    """Step by step."""


class SteppedLRU(Stepped, LRUCell):
    """Step by step."""


class SteppedIndRNN(Stepped, IndRNNCell):
    """Step by step."""


class SteppedSRU(Stepped, SRUCell):
    """Step by step."""


STEPPED = (
    SteppedRNN,
    SteppedLSTM,
    SteppedGRU,
    SteppedMinGRU,
    SteppedMinLSTM,
    SteppedLRU,
    SteppedIndRNN,
    SteppedSRU,
)


def language_model(rng: np.random.Generator) -> Sequential:
    """One table, at the input and at the output."""
    table = Embedding(6, 3, rng=rng)
    return Sequential(table, RNNCell(3, 3, rng=rng), TiedLinear(table))


def both_ways(rng: np.random.Generator, width: int, merge: str) -> Bidirectional:
    """Two cells, the second of that width."""
    return Bidirectional(RNNCell(3, 4, rng=rng), RNNCell(3, width, rng=rng), merge=merge)


class Case(NamedTuple):
    make: Callable[[np.random.Generator], Layer]
    naive: Callable[..., Any]
    """An independent forward: `(layer, *inputs)` to the outputs."""


OF_CLASS = (1.0, 0.0, 2.0, 0.5, 3.0)


CASES = {
    "OneHot": Case(lambda rng: OneHot(4), naive.one_hot),
    "Embedding": Case(lambda rng: Embedding(7, 4, rng=rng), naive.embedding),
    "Linear": Case(lambda rng: Linear(3, 4, rng=rng), naive.linear),
    "TiedLinear": Case(lambda rng: TiedLinear(Embedding(7, 4, rng=rng)), naive.tied_linear),
    "Tanh": Case(lambda rng: Tanh(), naive.tanh),
    "Sigmoid": Case(lambda rng: Sigmoid(), naive.sigmoid),
    "ReLU": Case(lambda rng: ReLU(), naive.relu),
    "Softmax": Case(lambda rng: Softmax(), naive.softmax),
    "Dropout": Case(lambda rng: Dropout(0.4, rng=rng), naive.identity),
    "Dropout of nothing": Case(lambda rng: Dropout(0.0, rng=rng), naive.identity),
    "LockedDropout": Case(lambda rng: LockedDropout(0.4, rng=rng), naive.locked_identity),
    "LockedDropout of nothing": Case(lambda rng: LockedDropout(0.0, rng=rng), naive.locked_identity),
    "LayerNorm": Case(lambda rng: LayerNorm(4), naive.layer_norm),
    "LayerNorm without bias": Case(lambda rng: LayerNorm(4, eps=0.1, bias=False), naive.layer_norm),
    "Standardize": Case(lambda rng: Standardize((1.5, -0.5, 0.0), (0.5, 2.0, 3.0)), naive.standardize),
    "Standardize gaps": Case(lambda rng: Standardize((1.5, -0.5), (0.5, 2.0), gaps="zero"), naive.standardize),
    "Standardize marked gaps": Case(lambda rng: Standardize((1.5, -0.5), (0.5, 2.0), gaps="mark"), naive.standardize),
    "RNNCell": Case(lambda rng: RNNCell(3, 4, rng=rng), naive.rnn),
    "RNNCell relu": Case(lambda rng: RNNCell(3, 4, rng=rng, nonlinearity="relu"), naive.rnn),
    "RNNCell identity": Case(
        lambda rng: RNNCell(3, 4, rng=rng, nonlinearity="relu", recurrent_initializer="identity"), naive.rnn
    ),
    "RNNCell by steps": Case(lambda rng: SteppedRNN(3, 4, rng=rng), naive.rnn),
    "RNNCell without bias": Case(lambda rng: RNNCell(3, 4, rng=rng, bias=False), naive.rnn),
    "LSTMCell": Case(lambda rng: LSTMCell(3, 4, rng=rng), naive.lstm),
    "LSTMCell by steps": Case(lambda rng: SteppedLSTM(3, 4, rng=rng), naive.lstm),
    "LSTMCell with peepholes": Case(lambda rng: LSTMCell(3, 4, rng=rng, peepholes=True), naive.lstm),
    "LSTMCell with peepholes by steps": Case(lambda rng: SteppedLSTM(3, 4, rng=rng, peepholes=True), naive.lstm),
    "LSTMCell coupled": Case(lambda rng: LSTMCell(3, 4, rng=rng, coupled=True), naive.lstm),
    "LSTMCell coupled, with peepholes": Case(
        lambda rng: LSTMCell(3, 4, rng=rng, peepholes=True, coupled=True, bias=False), naive.lstm
    ),
    "LSTMCell coupled, with peepholes, by steps": Case(
        lambda rng: SteppedLSTM(3, 4, rng=rng, peepholes=True, coupled=True, bias=False), naive.lstm
    ),
    "GRUCell": Case(lambda rng: GRUCell(3, 4, rng=rng), naive.gru),
    "GRUCell reset before": Case(lambda rng: GRUCell(3, 4, rng=rng, reset="before"), naive.gru),
    "GRUCell without biases": Case(lambda rng: GRUCell(3, 4, rng=rng, bias=False), naive.gru),
    "GRUCell without biases by steps": Case(lambda rng: SteppedGRU(3, 4, rng=rng, bias=False), naive.gru),
    "GRUCell by steps": Case(lambda rng: SteppedGRU(3, 4, rng=rng), naive.gru),
    "LayerNormLSTMCell": Case(lambda rng: LayerNormLSTMCell(3, 4, rng=rng, eps=1e-3), naive.layer_norm_lstm),
    "SLSTMCell": Case(lambda rng: SLSTMCell(3, 4, rng=rng), naive.slstm),
    "MinGRUCell": Case(lambda rng: MinGRUCell(3, 4, rng=rng), naive.min_gru),
    "MinGRUCell tanh": Case(lambda rng: MinGRUCell(3, 4, rng=rng, candidate="tanh"), naive.min_gru),
    "MinGRUCell positive": Case(lambda rng: MinGRUCell(3, 4, rng=rng, candidate="positive"), naive.min_gru),
    "MinGRUCell by steps": Case(lambda rng: SteppedMinGRU(3, 4, rng=rng), naive.min_gru),
    "MinLSTMCell": Case(lambda rng: MinLSTMCell(3, 4, rng=rng), naive.min_lstm),
    "MinLSTMCell positive": Case(lambda rng: MinLSTMCell(3, 4, rng=rng, candidate="positive"), naive.min_lstm),
    "MinLSTMCell by steps": Case(lambda rng: SteppedMinLSTM(3, 4, rng=rng), naive.min_lstm),
    "LRUCell": Case(lambda rng: LRUCell(3, 4, units=5, rng=rng), naive.lru),
    "LRUCell by steps": Case(lambda rng: SteppedLRU(3, 4, units=2, rng=rng), naive.lru),
    "IndRNNCell": Case(lambda rng: IndRNNCell(3, 4, rng=rng), naive.ind_rnn),
    "IndRNNCell tanh": Case(lambda rng: IndRNNCell(3, 4, rng=rng, nonlinearity="tanh"), naive.ind_rnn),
    "IndRNNCell by steps": Case(lambda rng: SteppedIndRNN(3, 4, rng=rng), naive.ind_rnn),
    "SRUCell": Case(lambda rng: SRUCell(3, 4, rng=rng), naive.sru),
    "SRUCell by steps": Case(lambda rng: SteppedSRU(3, 4, rng=rng), naive.sru),
    "Zoneout": Case(lambda rng: Zoneout(RNNCell(3, 4, rng=rng), 0.4, rng=rng), naive.zoneout(naive.rnn)),
    "Zoneout of LayerNormLSTMCell": Case(
        lambda rng: Zoneout(LayerNormLSTMCell(3, 4, rng=rng), (0.3, 0.5), rng=rng),
        naive.zoneout(naive.layer_norm_lstm),
    ),
    "Zoneout of c alone": Case(
        lambda rng: Zoneout(LayerNormLSTMCell(3, 4, rng=rng), (0.0, 0.5), rng=rng),
        naive.zoneout(naive.layer_norm_lstm),
    ),
    "DropConnect": Case(lambda rng: DropConnect(RNNCell(3, 4, rng=rng), 0.4, rng=rng), naive.drop_connect(naive.rnn)),
    "DropConnect by steps": Case(
        lambda rng: DropConnect(SteppedRNN(3, 4, rng=rng), 0.4, rng=rng), naive.drop_connect(naive.rnn)
    ),
    "DropConnect of nothing": Case(
        lambda rng: DropConnect(RNNCell(3, 4, rng=rng), 0.0, rng=rng), naive.drop_connect(naive.rnn)
    ),
    "Sequential of ids": Case(
        lambda rng: Sequential(OneHot(5), RNNCell(5, 4, rng=rng), Linear(4, 3, rng=rng)), naive.one_hot_rnn_linear
    ),
    "Sequential with a GRUCell": Case(
        lambda rng: Sequential(OneHot(5), GRUCell(5, 4, rng=rng), Linear(4, 3, rng=rng)), naive.one_hot_gru_linear
    ),
    "Sequential of vectors": Case(
        lambda rng: Sequential(Linear(3, 4, rng=rng), RNNCell(4, 4, rng=rng), RNNCell(4, 2, rng=rng), Tanh()),
        naive.linear_rnn_rnn_tanh,
    ),
    "Sequential of unequal widths": Case(
        lambda rng: Sequential(RNNCell(3, 5, rng=rng), RNNCell(5, 2, rng=rng)), naive.rnn_rnn
    ),
    "Sequential with tied ends": Case(language_model, naive.embedding_rnn_tied),
    "Residual": Case(lambda rng: Residual(RNNCell(4, 4, rng=rng)), naive.residual_rnn),
    "Residual without state": Case(lambda rng: Residual(Linear(3, 3, rng=rng), Tanh()), naive.residual_linear_tanh),
    "Bidirectional concat": Case(lambda rng: both_ways(rng, 2, "concat"), naive.bidirectional_rnn),
    "Bidirectional sum": Case(lambda rng: both_ways(rng, 4, "sum"), naive.bidirectional_rnn),
    "Bidirectional mul": Case(lambda rng: both_ways(rng, 4, "mul"), naive.bidirectional_rnn),
    "Bidirectional mean": Case(lambda rng: both_ways(rng, 4, "mean"), naive.bidirectional_rnn),
    "Bidirectional of ids": Case(
        lambda rng: Bidirectional(
            *(Sequential(Embedding(5, width, rng=rng), RNNCell(width, 3, rng=rng)) for width in (2, 4))
        ),
        naive.bidirectional(naive.embedding_rnn, naive.embedding_rnn),
    ),
    "Bidirectional of one-hot rows": Case(
        lambda rng: Sequential(OneHot(5), Bidirectional(RNNCell(5, 3, rng=rng), RNNCell(5, 2, rng=rng))),
        naive.one_hot_bidirectional,
    ),
    "Bidirectional of models": Case(
        lambda rng: Bidirectional(
            Sequential(Linear(3, 4, rng=rng), RNNCell(4, 2, rng=rng)),
            Sequential(RNNCell(3, 4, rng=rng), Linear(4, 2, rng=rng)),
            merge="sum",
        ),
        naive.bidirectional(naive.linear_rnn, naive.rnn_linear),
    ),
    "Bidirectional in a model": Case(
        lambda rng: Sequential(
            Linear(3, 4, rng=rng),
            Bidirectional(RNNCell(4, 3, rng=rng), RNNCell(4, 2, rng=rng)),
            Linear(5, 2, rng=rng),
        ),
        naive.linear_bidirectional_linear,
    ),
    "Sequential of two LSTMs": Case(
        lambda rng: Sequential(OneHot(5), LSTMCell(5, 4, rng=rng), LSTMCell(4, 2, rng=rng), Linear(2, 3, rng=rng)),
        naive.one_hot_lstm_lstm_linear,
    ),
    "Sequential that drops": Case(
        lambda rng: Sequential(
            Linear(3, 4, rng=rng),
            LockedDropout(0.4, rng=rng),
            RNNCell(4, 4, rng=rng),
            Dropout(0.4, rng=rng),
            RNNCell(4, 2, rng=rng),
            Tanh(),
        ),
        naive.sequential_that_drops,
    ),
    "DotAttention": Case(lambda rng: DotAttention(), naive.dot_attention),
    "GeneralAttention": Case(lambda rng: GeneralAttention(2, 7, rng=rng), naive.general_attention),
    "AdditiveAttention": Case(lambda rng: AdditiveAttention(2, 7, 8, rng=rng), naive.additive_attention),
    "Bridge": Case(lambda rng: Bridge(5, (4,), rng=rng), naive.bridge),
    "Bridge to two arrays": Case(lambda rng: Bridge(3, (2, 4), rng=rng), naive.bridge),
    "AttentionDecoder of vectors": Case(
        lambda rng: AttentionDecoder(
            RNNCell(3, 4, rng=rng),
            GeneralAttention(4, 5, rng=rng),
            Linear(9, 3, rng=rng),
            Tanh(),
            Linear(3, 2, rng=rng),
        ),
        naive.attention_decoder(naive.rnn, naive.general_attention),
    ),
    "AttentionDecoder of ids": Case(
        lambda rng: AttentionDecoder(
            Sequential(Embedding(6, 3, rng=rng), RNNCell(3, 4, rng=rng)), AdditiveAttention(4, 2, 3, rng=rng)
        ),
        naive.attention_decoder(naive.embedding_rnn, naive.additive_attention),
    ),
    "AttentionDecoder in a model": Case(
        lambda rng: Sequential(AttentionDecoder(RNNCell(3, 4, rng=rng), DotAttention()), Linear(8, 2, rng=rng)),
        naive.attending_linear,
    ),
    "InputFeedingDecoder of ids": Case(
        lambda rng: InputFeedingDecoder(
            Embedding(6, 2, rng=rng),
            LSTMCell(2 + 3, 4, rng=rng),
            GeneralAttention(4, 5, rng=rng),
            Linear(4 + 5, 3, rng=rng),
            Dropout(0.4, rng=rng),
            Linear(3, 6, rng=rng),
        ),
        naive.input_feeding_decoder(naive.embedding, naive.lstm, naive.general_attention),
    ),
    "InputFeedingDecoder of vectors": Case(
        lambda rng: InputFeedingDecoder(
            Tanh(),
            Sequential(Linear(2 + 3, 4, rng=rng), RNNCell(4, 4, rng=rng)),
            AdditiveAttention(4, 5, 3, rng=rng),
            Linear(4 + 5, 3, rng=rng),
        ),
        naive.input_feeding_decoder(naive.tanh, naive.linear_rnn, naive.additive_attention),
    ),
    "EncoderDecoder": Case(
        lambda rng: EncoderDecoder(
            Sequential(Embedding(5, 2, rng=rng), LSTMCell(2, 3, rng=rng)),
            Sequential(Embedding(6, 2, rng=rng), LSTMCell(2, 3, rng=rng), Linear(3, 6, rng=rng)),
        ),
        naive.encoder_decoder(
            naive.embedding_lstm, naive.embedding_lstm_linear, lambda arrays, *_: ((), tuple(arrays), ())
        ),
    ),
    "EncoderDecoder with AttentionDecoder": Case(
        lambda rng: EncoderDecoder(
            Sequential(Embedding(5, 2, rng=rng), Bidirectional(LSTMCell(2, 3, rng=rng), LSTMCell(2, 2, rng=rng))),
            AttentionDecoder(
                Sequential(Embedding(6, 2, rng=rng), LSTMCell(2, 4, rng=rng)),
                AdditiveAttention(4, 5, 3, rng=rng),
                Linear(4 + 5, 6, rng=rng),
            ),
            bridge=Bridge(3 + 3 + 2 + 2, (4, 4), rng=rng),
        ),
        naive.encoder_decoder(
            naive.embedding_bidirectional,
            naive.attention_decoder(naive.embedding_lstm, naive.additive_attention),
            lambda arrays, *source: (((), tuple(arrays)), *source),
        ),
    ),
    "EncoderDecoder of vectors with InputFeedingDecoder": Case(
        lambda rng: EncoderDecoder(
            RNNCell(3, 4, rng=rng),
            InputFeedingDecoder(
                Linear(3, 2, rng=rng),
                RNNCell(2 + 3, 4, rng=rng),
                GeneralAttention(4, 4, rng=rng),
                Linear(4 + 4, 3, rng=rng),
                Linear(3, 2, rng=rng),
            ),
        ),
        naive.encoder_decoder(
            naive.rnn,
            naive.input_feeding_decoder(naive.linear, naive.rnn, naive.general_attention),
            lambda arrays, *source: (tuple(arrays), np.zeros((len(arrays[0]), 3)), *source),
        ),
    ),
    "LastPool": Case(lambda rng: LastPool(), naive.last_pool),
    "LastPool of both directions": Case(lambda rng: LastPool(2), naive.last_pool),
    "MeanPool": Case(lambda rng: MeanPool(), naive.mean_pool),
    "MaxPool": Case(lambda rng: MaxPool(), naive.max_pool),
    "AttentionPool": Case(lambda rng: AttentionPool(4, rng=rng), naive.attention_pool),
    "ManyToOne": Case(
        lambda rng: ManyToOne(
            Sequential(Embedding(5, 3, rng=rng), LSTMCell(3, 4, rng=rng)), Linear(4, 2, rng=rng), Tanh()
        ),
        naive.many_to_one(naive.embedding_lstm),
    ),
    "ManyToOne of both directions": Case(
        lambda rng: ManyToOne(
            Sequential(Linear(3, 4, rng=rng), Bidirectional(RNNCell(4, 3, rng=rng), RNNCell(4, 2, rng=rng))),
            Linear(5, 2, rng=rng),
        ),
        naive.many_to_one(naive.linear_bidirectional),
    ),
    "ManyToOne mean": Case(
        lambda rng: ManyToOne(both_ways(rng, 4, "sum"), Linear(4, 2, rng=rng), pool="mean"),
        naive.many_to_one(naive.bidirectional_rnn),
    ),
    "ManyToOne max": Case(
        lambda rng: ManyToOne(RNNCell(3, 4, rng=rng), Dropout(0.4, rng=rng), pool="max"),
        naive.many_to_one(naive.rnn),
    ),
    "ManyToOne with AttentionPool": Case(
        lambda rng: ManyToOne(SteppedRNN(3, 4, rng=rng), Linear(4, 2, rng=rng), pool=AttentionPool(4, rng=rng)),
        naive.many_to_one(naive.rnn),
    ),
    "SoftmaxCrossEntropy": Case(lambda rng: SoftmaxCrossEntropy(), naive.softmax_cross_entropy),
    "SoftmaxCrossEntropy sum": Case(lambda rng: SoftmaxCrossEntropy(reduction="sum"), naive.softmax_cross_entropy),
    "SoftmaxCrossEntropy smoothed": Case(
        lambda rng: SoftmaxCrossEntropy(reduction="none", label_smoothing=0.1), naive.softmax_cross_entropy
    ),
    "SoftmaxCrossEntropy with class weights": Case(
        lambda rng: SoftmaxCrossEntropy(class_weights=OF_CLASS), naive.softmax_cross_entropy
    ),
    "SoftmaxCrossEntropy sum with class weights": Case(
        lambda rng: SoftmaxCrossEntropy(reduction="sum", class_weights=OF_CLASS), naive.softmax_cross_entropy
    ),
    "SoftmaxCrossEntropy smoothed with class weights": Case(
        lambda rng: SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=OF_CLASS), naive.softmax_cross_entropy
    ),
    "MeanSquaredError": Case(lambda rng: MeanSquaredError(), naive.mean_squared_error),
    "MeanSquaredError sum": Case(lambda rng: MeanSquaredError(reduction="sum"), naive.mean_squared_error),
    "MeanSquaredError none": Case(lambda rng: MeanSquaredError(reduction="none"), naive.mean_squared_error),
    "BinaryCrossEntropy": Case(lambda rng: BinaryCrossEntropy(), naive.binary_cross_entropy),
    "BinaryCrossEntropy sum": Case(lambda rng: BinaryCrossEntropy(reduction="sum"), naive.binary_cross_entropy),
    "BinaryCrossEntropy none": Case(lambda rng: BinaryCrossEntropy(reduction="none"), naive.binary_cross_entropy),
    "BinaryCrossEntropy with pos_weight": Case(
        lambda rng: BinaryCrossEntropy(pos_weight=(3.0, 0.0, 0.5, 1.0, 9.0)), naive.binary_cross_entropy
    ),
    "BinaryCrossEntropy with one pos_weight": Case(
        lambda rng: BinaryCrossEntropy(pos_weight=2.5, missing="nan"), naive.binary_cross_entropy
    ),
    "MeanSquaredError with gaps": Case(
        lambda rng: MeanSquaredError(reduction="none", missing="nan"), naive.mean_squared_error
    ),
    "MeanAbsoluteError": Case(lambda rng: MeanAbsoluteError(), naive.mean_absolute_error),
    "MeanAbsoluteError none": Case(lambda rng: MeanAbsoluteError(reduction="none"), naive.mean_absolute_error),
    "Huber": Case(lambda rng: Huber(), naive.huber),
    "Huber sum": Case(lambda rng: Huber(0.4, reduction="sum", missing="nan"), naive.huber),
    "Quantile": Case(lambda rng: Quantile(), naive.quantile),
    "Quantile of two, none": Case(lambda rng: Quantile((0.2, 0.7), reduction="none"), naive.quantile),
    "Quantile with gaps": Case(lambda rng: Quantile((0.4,), missing="nan"), naive.quantile),
    "GaussianNLL": Case(lambda rng: GaussianNLL(), naive.gaussian_nll),
    "GaussianNLL none": Case(lambda rng: GaussianNLL(least_variance=0.5, reduction="none"), naive.gaussian_nll),
    "GaussianNLL with gaps": Case(lambda rng: GaussianNLL(missing="nan"), naive.gaussian_nll),
}

products.ROWS, products.NUMBERS = 8, 1  # so that the few steps of the checks are several blocks

LENGTHS = np.array([3, 0, 5, 4])
"""A whole row, an empty one, and rows that end at different times."""
STARTS = np.zeros((5, 4), np.bool)
"""Where documents begin in these rows: at the first step or not, at steps in a row, past a row's end."""
STARTS[[0, 2, 4, 1, 2, 3, 4], [0, 0, 0, 1, 2, 2, 3]] = True
