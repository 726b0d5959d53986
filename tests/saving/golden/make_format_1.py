"""Writes `format_1.safetensors`, as it was written once: a file of format 1 that must always load."""

from pathlib import Path

import numpy as np

from tinygrad_rnn import Adagrad, CharTokenizer, Linear, OneHot, RNNCell, Sequential, SoftmaxCrossEntropy, save

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    tokenizer = CharTokenizer("abß😀", special=("<end>",), unknown="<end>")
    model = Sequential(OneHot(5), RNNCell(5, 4, rng=rng), Linear(4, 5, rng=rng))
    optimizer, criterion = Adagrad(model, lr=0.1), SoftmaxCrossEntropy()
    logits, state, cache = model.forward(np.array([[1, 2], [3, 4], [0, 1]]))
    loss, loss_cache = criterion.forward(logits, np.array([[3, 4], [0, 1], [2, 2]]))
    model.backward(criterion.backward(loss_cache), None, cache)
    optimizer.step()
    path = Path(__file__).with_name("format_1.safetensors")
    save(path, model, tokenizer=tokenizer, metadata={"made": "2026"}, optimizer=optimizer, state=state)
    print(model(np.array([[1], [2]]))[0].tolist())
