"""Classification and regression of sequences, in the way of scikit-learn: `fit`, `predict` and `score`.

This needs scikit-learn: `pip install 'tinygrad-rnn[sklearn]'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise ImportError(
        "tinygrad_rnn.training.estimators: scikit-learn is missing: pip install 'tinygrad-rnn[sklearn]'"
    ) from error

from ..cells.gru import GRUCell
from ..cells.lstm import LSTMCell
from ..cells.rnn import RNNCell
from ..core.arguments import check_bool, check_choice, check_size
from ..core.arrays import NDArray
from ..data.sequence_batches import SequenceBatches
from ..layers.dropout import Dropout
from ..layers.linear import Linear
from ..layers.standardize import Standardize
from ..losses.mean_squared_error import MeanSquaredError
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from ..models.bidirectional import Bidirectional
from ..models.many_to_one import ManyToOne
from ..models.sequential import Sequential
from ..optim.adam import Adam
from ..optim.clip import ClipNorm
from .fit import fit

CELLS: dict[str, Any] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the classifier and the regressor share: they train a `ManyToOne` on sequences.

    A sequence is an array (T_i, D) of numbers, and X is a list of N of them, of any lengths. X may also be an array
    (N, T, D); or (N, D), where each row is a sequence of one step.

    Args:
        cell: "rnn", "lstm" or "gru".
        hidden_size: the units of each layer of cells.
        layers: how many layers of cells.
        bidirectional: whether each layer reads in both directions.
        pool: how the steps of a row become one vector: "last", "mean" or "max".
        dropout: the rate before the output.
        lr: the learning rate of Adam.
        clip: the largest norm of the gradient.
        batch: sequences in a batch.
        epochs: how many epochs to train.
        gaps: what NaN in X means: "refuse", "zero" or "mark", as in `Standardize`.
        random_state: an int, a `RandomState` or None, as everywhere in scikit-learn.
        progress: whether a bar is shown; None: in a terminal or a notebook.

    Attributes after `fit`: `model_`, the trained `ManyToOne`, for `save` or step-by-step prediction; `history_`; and
    `n_features_in_`, D.
    """

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 32,
        layers: int = 1,
        bidirectional: bool = False,
        pool: str = "last",
        dropout: float = 0.0,
        lr: float = 0.01,
        clip: float = 1.0,
        batch: int = 32,
        epochs: int = 30,
        gaps: str = "refuse",
        random_state: Any = None,
        progress: bool | None = None,
    ) -> None:
        self.cell, self.hidden_size, self.layers, self.bidirectional = cell, hidden_size, layers, bidirectional
        self.pool, self.dropout, self.lr, self.clip, self.batch = pool, dropout, lr, clip, batch
        self.epochs, self.gaps, self.random_state, self.progress = epochs, gaps, random_state, progress

    def _train(self, sequences: list[NDArray[Any]], targets: NDArray[Any], outputs: int, criterion: Any) -> Any:
        """Make the model and train it; `targets` is (N,) of classes or (N, K) of numbers."""
        name = type(self).__name__
        check_choice(name, "cell", self.cell, *CELLS)
        check_bool(name, "bidirectional", self.bidirectional)
        check_size(name, "layers", self.layers)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        scale = Standardize.fit(sequences, gaps=self.gaps)
        parts: list[Any] = [scale]
        width = scale.out_size
        for _ in range(self.layers):
            cells = [CELLS[self.cell](width, self.hidden_size, rng=rng) for _ in range(1 + self.bidirectional)]
            parts.append(Bidirectional(*cells) if self.bidirectional else cells[0])
            width = self.hidden_size * (1 + self.bidirectional)
        dropout = (Dropout(self.dropout, rng=rng),) if self.dropout else ()
        self.model_ = ManyToOne(Sequential(*parts), *dropout, Linear(width, outputs, rng=rng), pool=self.pool)
        batches = SequenceBatches(sequences, targets, batch=self.batch, rng=rng)
        optimizer = Adam(self.model_, self.lr, clip=ClipNorm(self.clip))
        self.history_ = fit(self.model_, criterion, optimizer, batches, epochs=self.epochs, progress=self.progress)
        return self

    def _sequences(self, X: Any, *, reset: bool = False) -> list[NDArray[np.float32]]:
        """X as a list of arrays (T_i, D) of float32, with D as in `fit`."""
        name, gaps = type(self).__name__, "allow-nan" if self.gaps != "refuse" else True
        if not _holds_sequences(X):
            rows = validate_data(self, X, reset=reset, dtype=np.float32, ensure_all_finite=gaps)
            return [row[None] for row in rows]
        sequences = [_as_sequence(name, i, x, gaps) for i, x in enumerate(X)]
        if reset:
            self.n_features_in_ = sequences[0].shape[1]
        for i, x in enumerate(sequences):
            if x.shape[1] != self.n_features_in_:
                raise ValueError(f"{name}: X[{i}] has {x.shape[1]} features, expected {self.n_features_in_}")
        return sequences

    def _outputs(self, X: Any) -> NDArray[Any]:
        """The outputs (N, K) of the model at inference."""
        check_is_fitted(self)
        sequences = self._sequences(X)
        batches = SequenceBatches(sequences, None, batch=self.batch)
        outputs: NDArray[Any] = np.concatenate([self.model_(b.xs, lengths=b.lengths)[0] for b in batches])
        return outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = isinstance(self, RegressorMixin)
        tags.input_tags.allow_nan = self.gaps != "refuse"
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """Classifies sequences: a recurrent network with softmax cross-entropy.

    Attributes after `fit`: `classes_`, and those of `SequenceEstimator`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = [rng.standard_normal((rng.integers(5, 9), 2)).cumsum(0) for _ in range(40)]
        >>> y = ["up" if x[-1, 0] > 0 else "down" for x in X]
        >>> SequenceClassifier(epochs=20, random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    def fit(self, X: Any, y: Any) -> SequenceClassifier:
        """Train on sequences X and their classes y (N,), which are of any type that can be sorted."""
        sequences = self._sequences(X, reset=True)
        labels = _targets(y, len(sequences))
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            only = str(self.classes_[0])
            raise ValueError(f"SequenceClassifier: y has one class, {only!r}; it needs 2 classes or more")
        self._train(sequences, targets.astype(np.int64), len(self.classes_), SoftmaxCrossEntropy())
        return self

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class, (N, K), in the order of `classes_`."""
        logits = self._outputs(X).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each sequence, (N,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        classes: NDArray[Any] = self.classes_[chosen]
        return classes


class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """Predicts numbers from sequences: a recurrent network with squared error, trained on standardized targets."""

    def fit(self, X: Any, y: Any) -> SequenceRegressor:
        """Train on sequences X and numbers y, (N,) or (N, K)."""
        sequences = self._sequences(X, reset=True)
        numbers = _targets(y, len(sequences), numeric=True)
        self._single = numbers.ndim == 1
        columns = numbers.reshape(len(numbers), -1)
        self._targets = Standardize.fit([columns])
        targets = self._targets(columns).astype(np.float32)
        self._train(sequences, targets, targets.shape[1], MeanSquaredError())
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """A number for each sequence, (N,) or (N, K) as y was."""
        outputs = self._outputs(X).astype(np.float64)
        numbers: NDArray[Any] = self._targets.inverse(outputs)
        return numbers[:, 0] if self._single else numbers


def _holds_sequences(X: Any) -> bool:
    """Whether X holds sequences (T_i, D), rather than rows of numbers."""
    listed = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and (X.dtype.kind == "O" or X.ndim == 3))
    return listed and len(X) > 0 and all(np.ndim(x) == 2 for x in X)


def _as_sequence(name: str, index: int, x: Any, gaps: Any) -> NDArray[np.float32]:
    try:
        sequence: NDArray[np.float32] = check_array(
            x, dtype=np.float32, ensure_all_finite=gaps, ensure_min_samples=0, input_name=f"X[{index}]"
        )
    except ValueError as error:
        raise ValueError(f"{name}: X[{index}]: {error}") from error
    return sequence


def _targets(y: Any, count: int, *, numeric: bool = False) -> NDArray[Any]:
    """An array (N,) or (N, K) with a target for each sequence."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    targets: NDArray[Any]
    if numeric:
        targets = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    else:
        from sklearn.utils.validation import column_or_1d

        targets = column_or_1d(y, warn=True)
        if targets.dtype.kind == "f" and not np.isfinite(targets).all():
            raise ValueError("Input y contains NaN or infinity")
    if len(targets) != count:
        raise ValueError(f"X has {count} sequences, but y {len(targets)} targets")
    return targets


__all__: Sequence[str] = ("SequenceClassifier", "SequenceRegressor")
