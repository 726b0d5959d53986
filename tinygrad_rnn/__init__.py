"""Recurrent networks whose every gradient is written out, proved and fast. NumPy on a CPU, CuPy on a GPU.

What a model is made of is imported at once. What works on one is imported when it is first used, which leaves out a
third of the time of the import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from .kernels.backends import set_compiled
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
from .layers.pooling.attention import AttentionPool
from .layers.pooling.base import Pool
from .layers.softmax import Softmax
from .layers.standardize import Standardize
from .layers.tied_linear import TiedLinear
from .losses.binary_cross_entropy import BinaryCrossEntropy
from .losses.gaussian_nll import GaussianNLL
from .losses.huber import Huber
from .losses.mean_absolute_error import MeanAbsoluteError
from .losses.mean_squared_error import MeanSquaredError
from .losses.quantile import Quantile
from .losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .models.attention_decoder import AttentionDecoder
from .models.bidirectional import Bidirectional
from .models.bridge import Bridge
from .models.encoder_decoder import EncoderDecoder
from .models.input_feeding_decoder import InputFeedingDecoder
from .models.many_to_one import ManyToOne
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

if TYPE_CHECKING:  # the names of `_WHEN_USED`, for editors and type checkers
    from . import datasets as datasets
    from . import testing as testing
    from . import training as training
    from .data.batch import Batch as Batch
    from .data.batches import length_batches as length_batches
    from .data.batches import pad as pad
    from .data.byte_tokenizer import ByteTokenizer as ByteTokenizer
    from .data.char_tokenizer import CharTokenizer as CharTokenizer
    from .data.documents import split_documents as split_documents
    from .data.files import encode_file as encode_file
    from .data.sequence_batches import SequenceBatches as SequenceBatches
    from .data.split import split as split
    from .data.streams import TokenStream as TokenStream
    from .data.windows import windows as windows
    from .data.word_tokenizer import WordTokenizer as WordTokenizer
    from .generation.forecast import forecast as forecast
    from .generation.greedy import greedy_search as greedy_search
    from .generation.search import Hypothesis as Hypothesis
    from .generation.search import beam_search as beam_search
    from .generation.text import generate_text as generate_text
    from .generation.tokens import Token as Token
    from .generation.tokens import generate as generate
    from .generation.tokens import generate_samples as generate_samples
    from .inspection.credit import credit_map as credit_map
    from .inspection.recording import LayerRecord as LayerRecord
    from .inspection.recording import Recording as Recording
    from .inspection.recording import record as record
    from .kernels.threads import set_threads as set_threads
    from .saving.checkpoint import Checkpoint as Checkpoint
    from .saving.checkpoint import load as load
    from .saving.checkpoint import save as save
    from .saving.parameters import load_parameters as load_parameters
    from .training.callbacks import BestCheckpoint as BestCheckpoint
    from .training.callbacks import EarlyStopping as EarlyStopping
    from .training.callbacks import JSONLines as JSONLines
    from .training.callbacks import Sample as Sample
    from .training.evaluation import evaluate as evaluate
    from .training.fit import Report as Report
    from .training.fit import fit as fit
    from .training.gradients import gradients as gradients
    from .training.history import History as History
    from .training.measuring import measure as measure

__version__ = "0.1.0"

_WHEN_USED = {
    "data.batch": ("Batch",),
    "data.batches": ("length_batches", "pad"),
    "data.byte_tokenizer": ("ByteTokenizer",),
    "data.char_tokenizer": ("CharTokenizer",),
    "data.documents": ("split_documents",),
    "data.files": ("encode_file",),
    "data.sequence_batches": ("SequenceBatches",),
    "data.split": ("split",),
    "data.streams": ("TokenStream",),
    "data.windows": ("windows",),
    "data.word_tokenizer": ("WordTokenizer",),
    "generation.forecast": ("forecast",),
    "generation.greedy": ("greedy_search",),
    "generation.search": ("Hypothesis", "beam_search"),
    "generation.text": ("generate_text",),
    "generation.tokens": ("Token", "generate", "generate_samples"),
    "inspection.credit": ("credit_map",),
    "inspection.recording": ("LayerRecord", "Recording", "record"),
    "kernels.threads": ("set_threads",),
    "saving.checkpoint": ("Checkpoint", "load", "save"),
    "saving.parameters": ("load_parameters",),
    "training.callbacks": ("BestCheckpoint", "EarlyStopping", "JSONLines", "Sample"),
    "training.evaluation": ("evaluate",),
    "training.fit": ("Report", "fit"),
    "training.gradients": ("gradients",),
    "training.history": ("History",),
    "training.measuring": ("measure",),
}
"""The names that are imported when they are first used, by module."""
_ROOMS = ("datasets", "testing", "training")
"""The same, of whole modules that need no other package."""

__all__ = [
    # Roles, for layers of one's own
    "Layer",
    "Feedforward",
    "Recurrent",
    "Cell",
    "Attention",
    "Pool",
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
    "Standardize",
    "Dropout",
    "LockedDropout",
    "DotAttention",
    "GeneralAttention",
    "AdditiveAttention",
    "AttentionPool",
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
    "ManyToOne",
    "EncoderDecoder",
    "Bridge",
    "AttentionDecoder",
    "InputFeedingDecoder",
    "VanillaRNN",
    # Losses
    "SoftmaxCrossEntropy",
    "BinaryCrossEntropy",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "Huber",
    "Quantile",
    "GaussianNLL",
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
    "Batch",
    "TokenStream",
    "split_documents",
    "encode_file",
    "SequenceBatches",
    "windows",
    "split",
    "pad",
    "length_batches",
    # Training, generation, inspection
    "gradients",
    "fit",
    "EarlyStopping",
    "BestCheckpoint",
    "JSONLines",
    "Sample",
    "measure",
    "evaluate",
    "generate",
    "generate_samples",
    "generate_text",
    "greedy_search",
    "beam_search",
    "forecast",
    "record",
    "credit_map",
    # Files and machines
    "save",
    "load",
    "load_parameters",
    "Device",
    "set_threads",
    "set_compiled",
]

if not TYPE_CHECKING:  # to a type checker, any name that is not above is an error

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        for module, names in _WHEN_USED.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *_ROOMS, *(name for names in _WHEN_USED.values() for name in names)})
