"""The classes that a file may name: every layer and tokenizer of the package."""

from __future__ import annotations

from ..cells.drop_connect import DropConnect
from ..cells.gru import GRUCell
from ..cells.ind_rnn import IndRNNCell
from ..cells.layer_norm_lstm import LayerNormLSTMCell
from ..cells.lru import LRUCell
from ..cells.lstm import LSTMCell
from ..cells.min_gru import MinGRUCell
from ..cells.min_lstm import MinLSTMCell
from ..cells.rnn import RNNCell
from ..cells.slstm import SLSTMCell
from ..cells.sru import SRUCell
from ..cells.zoneout import Zoneout
from ..classic.vanilla_rnn import VanillaRNN
from ..data.byte_tokenizer import ByteTokenizer
from ..data.char_tokenizer import CharTokenizer
from ..data.word_tokenizer import WordTokenizer
from ..layers.activation import ReLU, Sigmoid, Tanh
from ..layers.attention.additive import AdditiveAttention
from ..layers.attention.dot import DotAttention
from ..layers.attention.general import GeneralAttention
from ..layers.dropout import Dropout
from ..layers.embedding import Embedding
from ..layers.layer_norm import LayerNorm
from ..layers.linear import Linear
from ..layers.locked_dropout import LockedDropout
from ..layers.one_hot import OneHot
from ..layers.pooling.attention import AttentionPool
from ..layers.pooling.plain import LastPool, MaxPool, MeanPool
from ..layers.softmax import Softmax
from ..layers.standardize import Standardize
from ..layers.tied_linear import TiedLinear
from ..losses.binary_cross_entropy import BinaryCrossEntropy
from ..losses.gaussian_nll import GaussianNLL
from ..losses.huber import Huber
from ..losses.mean_absolute_error import MeanAbsoluteError
from ..losses.mean_squared_error import MeanSquaredError
from ..losses.quantile import Quantile
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from ..models.attention_decoder import AttentionDecoder
from ..models.bidirectional import Bidirectional
from ..models.bridge import Bridge
from ..models.encoder_decoder import EncoderDecoder
from ..models.input_feeding_decoder import InputFeedingDecoder
from ..models.many_to_one import ManyToOne
from ..models.residual import Residual
from ..models.sequential import Sequential

CLASSES: tuple[type, ...] = (
    AdditiveAttention,
    AttentionPool,
    DotAttention,
    Dropout,
    Embedding,
    GeneralAttention,
    LastPool,
    LayerNorm,
    Linear,
    LockedDropout,
    MaxPool,
    MeanPool,
    OneHot,
    ReLU,
    Sigmoid,
    Softmax,
    Standardize,
    Tanh,
    TiedLinear,
    DropConnect,
    GRUCell,
    IndRNNCell,
    LRUCell,
    LSTMCell,
    LayerNormLSTMCell,
    MinGRUCell,
    MinLSTMCell,
    RNNCell,
    SLSTMCell,
    SRUCell,
    Zoneout,
    AttentionDecoder,
    Bidirectional,
    Bridge,
    EncoderDecoder,
    InputFeedingDecoder,
    ManyToOne,
    Residual,
    Sequential,
    VanillaRNN,
    BinaryCrossEntropy,
    GaussianNLL,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    Quantile,
    SoftmaxCrossEntropy,
    ByteTokenizer,
    CharTokenizer,
    WordTokenizer,
)
