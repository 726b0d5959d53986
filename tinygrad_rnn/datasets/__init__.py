"""Texts to train on, and sources of tokens with known entropy, which is the loss of the best possible model."""

from .copy_task import CopySource
from .dyck import DyckSource
from .markov import MarkovSource
from .reber import ReberGrammar
from .texts import paragraphs, pydoc_topics, read_text, tiny_shakespeare

__all__ = [
    "CopySource",
    "DyckSource",
    "MarkovSource",
    "ReberGrammar",
    "paragraphs",
    "pydoc_topics",
    "read_text",
    "tiny_shakespeare",
]
