"""Texts to train on: one that every Python has, one to download, and one's own files."""

from .texts import paragraphs, pydoc_topics, read_text, tiny_shakespeare

__all__ = ["paragraphs", "pydoc_topics", "read_text", "tiny_shakespeare"]
