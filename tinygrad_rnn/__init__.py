"""Recurrent networks whose every gradient is written out, proved and fast. NumPy on a CPU, CuPy on a GPU."""

from .cells.base import Cell
from .cells.drop_connect import DropConnect
from .cells.gru import GRUCell
from .cells.layer_norm_lstm import LayerNormLSTMCell
from .cells.lstm import LSTMCell
from .cells.rnn import RNNCell
from .cells.zoneout import Zoneout
from .classic.vanilla_rnn import VanillaRNN
from .core import checks, initializers
from .core.arrays import namespace, sigmoid
from .core.device import Device
from .core.layer import Layer
from .core.one_hot import OneHotRows
from .core.parameter import Parameter
from .core.roles import Feedforward, Loss, Recurrent
from .core.rows import Rows
from .core.states import Leaf
from .data.batches import length_batches, pad
from .data.byte_tokenizer import ByteTokenizer
from .data.char_tokenizer import CharTokenizer
from .data.documents import split_documents
from .data.files import encode_file
from .data.streams import TokenStream
from .data.word_tokenizer import WordTokenizer
from .generation.search import Hypothesis as Hypothesis
from .generation.search import beam_search, greedy_search
from .generation.text import generate_text
from .generation.tokens import Token as Token
from .generation.tokens import generate, generate_samples
from .inspection.credit import credit_map
from .inspection.recording import LayerRecord as LayerRecord
from .inspection.recording import Recording as Recording
from .inspection.recording import record
from .kernels.backends import set_compiled
from .kernels.threads import set_threads
from .layers.activation import ReLU, Sigmoid, Tanh
from .layers.attention.additive import AdditiveAttention
from .layers.attention.base import Attention
from .layers.attention.dot import DotAttention
from .layers.attention.general import GeneralAttention
from .layers.dropout import Dropout
from .layers.embedding import Embedding
from .layers.layer_norm import LayerNorm
from .layers.linear import Linear
from .layers.locked_dropout import LockedDropout
from .layers.one_hot import OneHot
from .layers.softmax import Softmax
from .layers.tied_linear import TiedLinear
from .losses.binary_cross_entropy import BinaryCrossEntropy
from .losses.mean_squared_error import MeanSquaredError
from .losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .models.attention_decoder import AttentionDecoder
from .models.bidirectional import Bidirectional
from .models.bridge import Bridge
from .models.encoder_decoder import EncoderDecoder
from .models.input_feeding_decoder import InputFeedingDecoder
from .models.residual import Residual
from .models.sequential import Sequential
from .optim import schedules
from .optim.adagrad import Adagrad
from .optim.adam import Adam
from .optim.adamw import AdamW
from .optim.clip import ClipNorm, ClipValue
from .optim.moving_average import MovingAverage
from .optim.plateau import ReduceOnPlateau
from .optim.rmsprop import RMSprop
from .optim.sgd import SGD
from .saving.checkpoint import Checkpoint as Checkpoint
from .saving.checkpoint import load, save
from .training.evaluation import evaluate

__version__ = "0.1.0"

__all__ = [
    # Roles, for layers of one's own
    "Layer",
    "Feedforward",
    "Recurrent",
    "Cell",
    "Attention",
    "Loss",
    "Parameter",
    "Leaf",
    "Rows",
    "OneHotRows",
    "namespace",
    "sigmoid",
    "checks",
    "initializers",
    # Layers
    "OneHot",
    "Embedding",
    "Linear",
    "TiedLinear",
    "Tanh",
    "Sigmoid",
    "ReLU",
    "Softmax",
    "LayerNorm",
    "Dropout",
    "LockedDropout",
    "DotAttention",
    "GeneralAttention",
    "AdditiveAttention",
    # Cells
    "RNNCell",
    "LSTMCell",
    "GRUCell",
    "LayerNormLSTMCell",
    "Zoneout",
    "DropConnect",
    # Models
    "Sequential",
    "Residual",
    "Bidirectional",
    "EncoderDecoder",
    "Bridge",
    "AttentionDecoder",
    "InputFeedingDecoder",
    "VanillaRNN",
    # Losses
    "SoftmaxCrossEntropy",
    "MeanSquaredError",
    "BinaryCrossEntropy",
    # Optimizers
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adam",
    "AdamW",
    "ClipValue",
    "ClipNorm",
    "ReduceOnPlateau",
    "MovingAverage",
    "schedules",
    # Data
    "CharTokenizer",
    "ByteTokenizer",
    "WordTokenizer",
    "TokenStream",
    "split_documents",
    "encode_file",
    "pad",
    "length_batches",
    # Training, generation, inspection
    "evaluate",
    "generate",
    "generate_samples",
    "generate_text",
    "greedy_search",
    "beam_search",
    "record",
    "credit_map",
    # Files and machines
    "save",
    "load",
    "Device",
    "set_threads",
    "set_compiled",
]
