"""The simple recurrent network as one object that trains itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..cells.base import KernelCache
from ..cells.rnn import RNNCell
from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace
from ..core.blas import with_one_blas_thread
from ..core.checks import check_device, check_features, check_ids, check_number, check_rng, check_size
from ..core.device import Device, device_of
from ..core.layer import Layer
from ..core.one_hot import Input
from ..core.rows import WHOLE
from ..generation.tokens import generate
from ..kernels.caches import RNNCache
from ..kernels.rnn import TANH
from ..layers.linear import Linear
from ..layers.one_hot import OneHot
from ..layers.softmax import Softmax
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from ..models.sequential import Sequential
from ..optim.clip import ClipValue
from ..optim.sgd import SGD


def _view(layer: str, name: str, what: str) -> property:
    """A property that views a parameter, a bias (H,) as one row (1, H). Assigned values are written in place."""

    def read(self: VanillaRNN) -> Array:
        value: Array = getattr(getattr(self, layer), name).value
        return value if value.ndim == 2 else value[None]

    def write(self: VanillaRNN, new: Array) -> None:
        view = read(self)
        if getattr(new, "shape", None) != view.shape:
            raise ValueError(f"{self!r}: {what} was assigned {getattr(new, 'shape', new)}")
        view[...] = new

    return property(read, write, doc=f"{what}: the parameter `{layer}.{name}`, a view of it.")


class VanillaRNN(Layer):
    r"""A simple recurrent network that classifies every step, with its own training and prediction.

    It is a complete small model for first experiments, made of an `RNNCell`, `cell`, a `Linear`, `linear`,
    `SoftmaxCrossEntropy` and `SGD` with `ClipValue`. Build larger models from these parts. The initial state is 0.

    .. math::
        h_t &= \tanh(x_t W_{xh} + h_{t-1} W_{hh} + b_h), \qquad y_t = \operatorname{softmax}(h_t W_{hy} + b_y) \\
        L &= -\frac{1}{N} \sum_t \sum_v Y_{tv} \log y_{tv}

    The sum and N are over the steps that count: a target that is all 0 is padding, with neither loss nor gradient.

    Args:
        n_x: features of x.
        n_h: hidden units.
        n_y: classes.
        lr: learning rate for the gradient of L; an attribute, which may be changed at any time.
        rng: draws the weights.
        clip: each entry of the gradient is clipped to between -clip and clip; `math.inf` clips nothing.

    Parameters `Wxh` (n_x, n_h), `Whh` (n_h, n_h) and `Why` (n_h, n_y), normal with standard deviation 0.01; `bh`
    (1, n_h) and `by` (1, n_y), 0. These are views of `cell.w_x`, `cell.w_h`, `linear.w`, `cell.b` and `linear.b`.

    A call stores nothing on the model. It is not a `Recurrent`, since `backward` also takes a step of the optimizer and
    `forward` takes no state; `Sequential(OneHot(n_x), rnn.cell, rnn.linear)` is one, with the same parameters.

    Raises:
        ValueError: a size is below 1, or `lr` or `clip` is negative or NaN.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Elman, *Finding Structure in Time*, 1990.

    Example:
        >>> rnn = VanillaRNN(5, 8, 5, lr=1.0, rng=np.random.default_rng(0))
        >>> X = np.eye(5, dtype=np.float32)  # one-hot rows of h, e, l, o and a space
        >>> Y = np.roll(X, -1, axis=0)
        >>> for epoch in range(300):
        ...     hs, ys = rnn.forward(X)
        ...     rnn.backward(X, Y, hs, ys)
        >>> ys.argmax(axis=1), bool(rnn.compute_loss(Y, ys) < 0.1)
        (array([1, 2, 3, 4, 0]), True)
    """

    Wxh = _view("cell", "w_x", "Wxh (n_x, n_h)")
    Whh = _view("cell", "w_h", "Whh (n_h, n_h)")
    Why = _view("linear", "w", "Why (n_h, n_y)")
    bh = _view("cell", "b", "bh (1, n_h)")
    by = _view("linear", "b", "by (1, n_y)")

    def __init__(self, n_x: int, n_h: int, n_y: int, lr: float = 0.01, *, rng: Generator, clip: float = 5.0) -> None:
        n_x, n_h, n_y = (
            check_size("VanillaRNN", name, size) for name, size in (("n_x", n_x), ("n_h", n_h), ("n_y", n_y))
        )
        check_rng("VanillaRNN", rng)
        lr = check_number("VanillaRNN", "lr", lr, least=0)
        clip = check_number("VanillaRNN", "clip", clip, least=0)
        self.n_x, self.n_h, self.n_y, self.lr, self.clip = n_x, n_h, n_y, lr, clip
        self.cell, self.linear = RNNCell(n_x, n_h, rng=rng), Linear(n_h, n_y, rng=rng)
        for parameter in (self.cell.w_x, self.cell.w_h, self.linear.w):
            parameter.value = initializers.normal(parameter.shape, rng=rng)
        self.criterion = SoftmaxCrossEntropy()

    def forward(self, X: Shaped[Input, "T *B D"]) -> tuple[Float[Array, "T *B H"], Float[Array, "T *B V"]]:
        """Hidden states hs (T, n_h) and probabilities ys (T, n_y) of a sequence X (T, n_x), one-hot or any other rows.

        For B sequences side by side, (T, B, n_x), they have the axis B too.

        Raises:
            ValueError: X has another shape.
            TypeError: the dtype or device of X differs from the parameters'.
        """
        hs, _ = self.cell(self._sequences(X))
        ys = Softmax()(self.linear(hs))
        return (hs, ys) if X.ndim == 3 else (hs[:, 0], ys[:, 0])

    @with_one_blas_thread
    def backward(
        self,
        X: Shaped[Input, "T *B D"],
        Y: Shaped[Array, "T *B V"],
        hs: Float[Array, "T *B H"],
        ys: Float[Array, "T *B V"],
    ) -> None:
        """Backpropagation through time, then a step of gradient descent; the clipped gradient stays in each `grad`.

        `hs` and `ys` are what `forward` gave for `X` with the current parameters. The targets `Y` have the shape of
        `ys`: one-hot rows, or all 0 where the step does not count.

        Raises:
            ValueError: a shape does not fit, or a row of Y is neither one-hot nor all 0.
            TypeError: a dtype or device differs from the parameters'.
            FloatingPointError: the gradient is not finite. The parameters stay as they are; on a GPU there is no error,
                because it would need a wait.
        """
        xs = self._sequences(X)
        check_features(self, "hs", hs, self.n_h, self.cell.b.value)
        _, loss_cache = self._loss(Y, ys)
        if not X.shape[:-1] == hs.shape[:-1] == ys.shape[:-1]:
            came = f"X, hs and ys have shapes {X.shape}, {hs.shape} and {ys.shape}"
            raise ValueError(f"{self!r}: {came}; only the last axis differs if forward gave hs and ys for this X")
        self.zero_grad()
        dhs: Any = self.linear.backward(self.criterion.backward(loss_cache), hs)
        hs, dhs = (array.reshape(*xs.shape[:2], self.n_h) for array in (hs, dhs))
        before = namespace(hs).zeros_like(hs)
        before[1:] = hs[:-1]
        steps = KernelCache(TANH, RNNCache(xs, before, hs), WHOLE)
        self.cell.unroll_backward(dhs, self.cell.initial_state(xs.shape[1]), steps)
        SGD(self, self.lr, clip=ClipValue(self.clip)).step()  # without momentum it has no state to keep

    def compute_loss(self, Y: Shaped[Array, "*lead V"], ys: Float[Array, "*lead V"]) -> Float[Array, ""]:
        """The loss of probabilities ys (..., n_y) in nats, the mean over the steps that count; 0 if none does.

        A probability that was rounded to 0 counts as the smallest normal number. Y and errors are as in `backward`.
        """
        loss: Array = self._loss(Y, ys)[0]
        return loss

    def prepare_sequences(self, words: Sequence[str], char_to_idx: Mapping[str, int]) -> tuple[list[Any], list[Any]]:
        """X_train and Y_train: one-hot rows of each word without its last character, and without its first.

        A word of n characters, n at least 2, gives (n - 1, n_x) and (n - 1, n_y), on the model's device. `char_to_idx`
        maps each character to an id, 0 to n_x - 1. For a model that learns where words end, end all words with the same
        extra character.

        Raises:
            ValueError: a character is not in `char_to_idx`, an id is outside, a word is too short, or n_x is not n_y.
            TypeError: `words` is a str.
        """
        if isinstance(words, str):
            raise TypeError(f"{self!r}: words is the str {words!r:.40}; give a list of words")
        device = device_of(self.cell.b.value)
        rows = device.asarray(device.xp.eye(self.n_x), self.dtype)
        one_hot = []
        for i, word in enumerate(words):
            if len(word) < 2:
                cure = "Leave it out, or end all words with the same extra character"
                raise ValueError(f"{self!r}: words[{i}] is {word!r}, in which no character follows another. {cure}")
            one_hot.append(rows.take(device.asarray(self._ids(word, char_to_idx)), axis=0))
        return [X[:-1] for X in one_hot], [Y[1:] for Y in one_hot]

    def train(
        self, X_train: Sequence[Any], Y_train: Sequence[Any], epochs: int = 100, print_interval: int | None = 10
    ) -> list[float]:
        """Train on one sequence (T, n_x), or batch (T, B, n_x), after the other, with one optimizer step for each.

        They come in the given order, `epochs` times. The loss is printed every `print_interval` epochs (None: never).

        Returns:
            The loss of each epoch, the mean over all steps that count, each computed before its update.

        Raises:
            ValueError: there are no sequences, or fewer or more targets; or as in `backward`, before any change.
            TypeError: as in `backward`.
            FloatingPointError: the loss or a gradient is not finite.
        """
        epochs = check_size("VanillaRNN.train", "epochs", epochs)
        if print_interval is not None:
            print_interval = check_size("VanillaRNN.train", "print_interval", print_interval)
        if not len(X_train) == len(Y_train) > 0:
            raise ValueError(f"{self!r}: train takes as many X as Y, not {len(X_train)} and {len(Y_train)}")
        device, counts = device_of(self.cell.b.value), []
        for X, Y in zip(X_train, Y_train, strict=True):
            targets = self._targets(Y, (*self._sequences(X).shape[: X.ndim - 1], self.n_y))
            counts.append(int(device.to_host((targets >= 0).sum())))
        losses: list[float] = []
        for epoch in range(1, epochs + 1):
            total: Any = 0.0
            for X, Y, count in zip(X_train, Y_train, counts, strict=True):
                hs, ys = self.forward(X)
                loss = self.compute_loss(Y, ys)
                total = total + count * loss
                try:
                    self.backward(X, Y, hs, ys)
                except FloatingPointError:
                    if math.isfinite(loss):
                        raise
                    break  # what follows says the same of the loss
            losses.append(float(device.to_host(total)) / max(sum(counts), 1))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(f"{self!r}: the loss of epoch {epoch} is {losses[-1]}: restart with lower lr")
            if print_interval is not None and epoch % print_interval == 0:
                print(f"epoch {epoch}: loss {losses[-1]:.4f} nats a step")
        return losses

    def train_words(
        self, words: Sequence[str], char_to_idx: Mapping[str, int], epochs: int = 100, print_interval: int | None = 10
    ) -> list[float]:
        """`train` on what `prepare_sequences` makes of `words`; raises the errors of both."""
        return self.train(*self.prepare_sequences(words, char_to_idx), epochs, print_interval)

    def predict(
        self, seed_text: str, char_to_idx: Mapping[str, int], idx_to_char: Mapping[int, str], length: int
    ) -> str:
        """`seed_text`, of at least one character, and `length` more characters, each time the likeliest.

        Raises:
            ValueError: a character is not in `char_to_idx`, an id not in `idx_to_char`, `seed_text` is empty, `length`
                is negative, n_x is not n_y, or the parameters are not finite.
        """
        missing = [i for i in range(self.n_y) if i not in idx_to_char]
        if missing:
            raise ValueError(f"{self!r}: idx_to_char has no character for {missing[0]}; it needs 0 to {self.n_y - 1}")
        model = Sequential(OneHot(self.n_x), self.cell, self.linear)
        rng = Device("cpu").xp.random.default_rng(0)  # the greedy choice draws nothing
        ids = generate(model, self._ids(seed_text, char_to_idx), length=length, temperature=0, rng=rng)
        return seed_text + "".join(idx_to_char[i] for i in ids)

    def _sequences(self, X: Any) -> Any:
        """`X` as (T, B, n_x)."""
        check_features(self, "X", X, self.n_x, self.cell.b.value)
        if X.ndim not in (2, 3):
            raise ValueError(f"{self!r}: X has shape {X.shape}, expected (T, {self.n_x}) or (T, B, {self.n_x})")
        return X if X.ndim == 3 else X[:, None]

    def _loss(self, Y: Any, ys: Any) -> tuple[Any, Any]:
        """`(loss, cache)` of the criterion, which takes the logarithms of the probabilities as logits."""
        check_features(self, "ys", ys, self.n_y, self.cell.b.value)
        xp = namespace(ys)
        scores = xp.log(xp.maximum(ys, float(xp.finfo(ys.dtype).tiny)))
        return self.criterion.forward(scores, self._targets(Y, ys.shape))

    def _targets(self, Y: Any, shape: tuple[int, ...]) -> Any:
        """The ids of one-hot rows, -1 where a row is all 0."""
        came = getattr(Y, "shape", f"a {type(Y).__name__}")
        if came != shape:
            raise ValueError(f"{self!r}: Y is {came}, expected an array {shape}, one one-hot row per step")
        check_device(self, "Y", Y, self.cell.b.value)
        xp, any_target = namespace(Y), Y.any(axis=-1)
        # On a GPU, values are not checked: this would wait for all work in flight.
        if device_of(Y) == Device("cpu") and not (((Y == 0) | (Y == 1)).all() and (Y.sum(axis=-1) == any_target).all()):
            raise ValueError(f"{self!r}: a row of Y is neither one-hot nor all 0, which stands for padding")
        return xp.where(any_target, Y.argmax(axis=-1), -1)

    def _ids(self, text: str, char_to_idx: Mapping[str, int]) -> Any:
        """The ids of a text, on the host."""
        if self.n_x != self.n_y:
            raise ValueError(f"{self!r}: outputs are the next inputs, so n_x must be n_y to learn or predict texts")
        for position, character in enumerate(text):
            if character not in char_to_idx:
                raise ValueError(
                    f"{self!r}: {character!r} (U+{ord(character):04X}) at position {position} of {text!r:.40} is not "
                    f"one of the {len(char_to_idx)} characters of char_to_idx. Drop it, or train with it from the start"
                )
        ids = Device("cpu").asarray([char_to_idx[character] for character in text])
        check_ids(self, ids, self.n_x)
        return ids
