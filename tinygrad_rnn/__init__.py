"""Recurrent networks in which every gradient is written out, checked, and fast. NumPy on a CPU, CuPy on a GPU.

Each name is imported when it is first used, so that `import tinygrad_rnn` itself takes next to no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names of `_NAMES` and `_MODULES`, for editors and type checkers
    from . import datasets as datasets
    from . import distributed as distributed
    from . import inspection as inspection
    from . import interop as interop
    from . import testing as testing
    from . import through_time as through_time
    from . import training as training
    from .cells.base import Cell as Cell
    from .cells.drop_connect import DropConnect as DropConnect
    from .cells.gru import GRUCell as GRUCell
    from .cells.ind_rnn import IndRNNCell as IndRNNCell
    from .cells.layer_norm_lstm import LayerNormLSTMCell as LayerNormLSTMCell
    from .cells.lru import LRUCell as LRUCell
    from .cells.lstm import LSTMCell as LSTMCell
    from .cells.min_gru import MinGRUCell as MinGRUCell
    from .cells.min_lstm import MinLSTMCell as MinLSTMCell
    from .cells.rnn import RNNCell as RNNCell
    from .cells.slstm import SLSTMCell as SLSTMCell
    from .cells.sru import SRUCell as SRUCell
    from .cells.zoneout import Zoneout as Zoneout
    from .classic.vanilla_rnn import VanillaRNN as VanillaRNN
    from .core import checks as checks
    from .core import initializers as initializers
    from .core.arrays import namespace as namespace
    from .core.arrays import sigmoid as sigmoid
    from .core.device import Device as Device
    from .core.layer import Layer as Layer
    from .core.one_hot import OneHotRows as OneHotRows
    from .core.parameter import Parameter as Parameter
    from .core.roles import Feedforward as Feedforward
    from .core.roles import Loss as Loss
    from .core.roles import Recurrent as Recurrent
    from .core.rows import Rows as Rows
    from .core.states import Leaf as Leaf
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
    from .kernels.backends import set_compiled as set_compiled
    from .kernels.gpu import gpu_kernels as gpu_kernels
    from .kernels.gpu import set_gpu_kernels as set_gpu_kernels
    from .kernels.threads import set_threads as set_threads
    from .layers.activation import ReLU as ReLU
    from .layers.activation import Sigmoid as Sigmoid
    from .layers.activation import Tanh as Tanh
    from .layers.attention.additive import AdditiveAttention as AdditiveAttention
    from .layers.attention.base import Attention as Attention
    from .layers.attention.dot import DotAttention as DotAttention
    from .layers.attention.general import GeneralAttention as GeneralAttention
    from .layers.dropout import Dropout as Dropout
    from .layers.embedding import Embedding as Embedding
    from .layers.layer_norm import LayerNorm as LayerNorm
    from .layers.linear import Linear as Linear
    from .layers.locked_dropout import LockedDropout as LockedDropout
    from .layers.masks import part_of_batch as part_of_batch
    from .layers.one_hot import OneHot as OneHot
    from .layers.pooling.attention import AttentionPool as AttentionPool
    from .layers.pooling.base import Pool as Pool
    from .layers.softmax import Softmax as Softmax
    from .layers.standardize import Standardize as Standardize
    from .layers.tied_linear import TiedLinear as TiedLinear
    from .losses.binary_cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
    from .losses.gaussian_nll import GaussianNLL as GaussianNLL
    from .losses.huber import Huber as Huber
    from .losses.mean_absolute_error import MeanAbsoluteError as MeanAbsoluteError
    from .losses.mean_squared_error import MeanSquaredError as MeanSquaredError
    from .losses.quantile import Quantile as Quantile
    from .losses.softmax_cross_entropy import SoftmaxCrossEntropy as SoftmaxCrossEntropy
    from .models.attention_decoder import AttentionDecoder as AttentionDecoder
    from .models.bidirectional import Bidirectional as Bidirectional
    from .models.bridge import Bridge as Bridge
    from .models.encoder_decoder import EncoderDecoder as EncoderDecoder
    from .models.input_feeding_decoder import InputFeedingDecoder as InputFeedingDecoder
    from .models.many_to_one import ManyToOne as ManyToOne
    from .models.residual import Residual as Residual
    from .models.sequential import Sequential as Sequential
    from .optim import schedules as schedules
    from .optim.adagrad import Adagrad as Adagrad
    from .optim.adam import Adam as Adam
    from .optim.adamw import AdamW as AdamW
    from .optim.clip import ClipNorm as ClipNorm
    from .optim.clip import ClipValue as ClipValue
    from .optim.moving_average import MovingAverage as MovingAverage
    from .optim.plateau import ReduceOnPlateau as ReduceOnPlateau
    from .optim.rmsprop import RMSprop as RMSprop
    from .optim.sgd import SGD as SGD
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

_NAMES = {
    "cells.base": "Cell",
    "cells.drop_connect": "DropConnect",
    "cells.gru": "GRUCell",
    "cells.ind_rnn": "IndRNNCell",
    "cells.layer_norm_lstm": "LayerNormLSTMCell",
    "cells.lru": "LRUCell",
    "cells.lstm": "LSTMCell",
    "cells.min_gru": "MinGRUCell",
    "cells.min_lstm": "MinLSTMCell",
    "cells.rnn": "RNNCell",
    "cells.slstm": "SLSTMCell",
    "cells.sru": "SRUCell",
    "cells.zoneout": "Zoneout",
    "classic.vanilla_rnn": "VanillaRNN",
    "core.arrays": "namespace sigmoid",
    "core.device": "Device",
    "core.layer": "Layer",
    "core.one_hot": "OneHotRows",
    "core.parameter": "Parameter",
    "core.roles": "Feedforward Loss Recurrent",
    "core.rows": "Rows",
    "core.states": "Leaf",
    "data.batch": "Batch",
    "data.batches": "length_batches pad",
    "data.byte_tokenizer": "ByteTokenizer",
    "data.char_tokenizer": "CharTokenizer",
    "data.documents": "split_documents",
    "data.files": "encode_file",
    "data.sequence_batches": "SequenceBatches",
    "data.split": "split",
    "data.streams": "TokenStream",
    "data.windows": "windows",
    "data.word_tokenizer": "WordTokenizer",
    "generation.forecast": "forecast",
    "generation.greedy": "greedy_search",
    "generation.search": "Hypothesis beam_search",
    "generation.text": "generate_text",
    "generation.tokens": "Token generate generate_samples",
    "inspection.credit": "credit_map",
    "inspection.recording": "LayerRecord Recording record",
    "kernels.backends": "set_compiled",
    "kernels.gpu": "gpu_kernels set_gpu_kernels",
    "kernels.threads": "set_threads",
    "layers.activation": "ReLU Sigmoid Tanh",
    "layers.attention.additive": "AdditiveAttention",
    "layers.attention.base": "Attention",
    "layers.attention.dot": "DotAttention",
    "layers.attention.general": "GeneralAttention",
    "layers.dropout": "Dropout",
    "layers.embedding": "Embedding",
    "layers.layer_norm": "LayerNorm",
    "layers.linear": "Linear",
    "layers.locked_dropout": "LockedDropout",
    "layers.masks": "part_of_batch",
    "layers.one_hot": "OneHot",
    "layers.pooling.attention": "AttentionPool",
    "layers.pooling.base": "Pool",
    "layers.softmax": "Softmax",
    "layers.standardize": "Standardize",
    "layers.tied_linear": "TiedLinear",
    "losses.binary_cross_entropy": "BinaryCrossEntropy",
    "losses.gaussian_nll": "GaussianNLL",
    "losses.huber": "Huber",
    "losses.mean_absolute_error": "MeanAbsoluteError",
    "losses.mean_squared_error": "MeanSquaredError",
    "losses.quantile": "Quantile",
    "losses.softmax_cross_entropy": "SoftmaxCrossEntropy",
    "models.attention_decoder": "AttentionDecoder",
    "models.bidirectional": "Bidirectional",
    "models.bridge": "Bridge",
    "models.encoder_decoder": "EncoderDecoder",
    "models.input_feeding_decoder": "InputFeedingDecoder",
    "models.many_to_one": "ManyToOne",
    "models.residual": "Residual",
    "models.sequential": "Sequential",
    "optim.adagrad": "Adagrad",
    "optim.adam": "Adam",
    "optim.adamw": "AdamW",
    "optim.clip": "ClipNorm ClipValue",
    "optim.moving_average": "MovingAverage",
    "optim.plateau": "ReduceOnPlateau",
    "optim.rmsprop": "RMSprop",
    "optim.sgd": "SGD",
    "saving.checkpoint": "Checkpoint load save",
    "saving.parameters": "load_parameters",
    "training.callbacks": "BestCheckpoint EarlyStopping JSONLines Sample",
    "training.evaluation": "evaluate",
    "training.fit": "Report fit",
    "training.gradients": "gradients",
    "training.history": "History",
    "training.measuring": "measure",
}
"""The public names of each module."""
_MODULES = {
    "checks": "core.checks",
    "datasets": "datasets",
    "distributed": "distributed",
    "initializers": "core.initializers",
    "inspection": "inspection",
    "interop": "interop",
    "schedules": "optim.schedules",
    "testing": "testing",
    "through_time": "through_time",
    "training": "training",
}
"""Modules that are public as a whole."""

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
    "part_of_batch",
    "DotAttention",
    "GeneralAttention",
    "AdditiveAttention",
    "AttentionPool",
    # Cells
    "RNNCell",
    "LSTMCell",
    "GRUCell",
    "LayerNormLSTMCell",
    "SLSTMCell",
    "MinGRUCell",
    "MinLSTMCell",
    "LRUCell",
    "IndRNNCell",
    "SRUCell",
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
    "set_gpu_kernels",
    "gpu_kernels",
]

if not TYPE_CHECKING:  # to a type checker, any name that is not above is an error

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value = import_module(f"{__name__}.{_MODULES[name]}")
        else:
            module = next((module for module, names in _NAMES.items() if name in names.split()), None)
            if module is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES, *" ".join(_NAMES.values()).split()})
