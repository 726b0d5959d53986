"""The estimators by the rules of scikit-learn, on rows of unlike lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from tinygrad_rnn.training.estimators import SequenceClassifier, SequenceRegressor

pytestmark = pytest.mark.messages  # scikit-learn compares texts of errors; and shape checks would double the time

RNG = np.random.default_rng(0)
WALKS = [RNG.standard_normal((int(RNG.integers(1, 9)), 2)).cumsum(0) for _ in range(60)]
UP = np.array(["up" if walk[-1, 0] > 0 else "down" for walk in WALKS])
LAST = np.array([walk[-1].sum() for walk in WALKS])


def classifier(**how: Any) -> SequenceClassifier:
    return SequenceClassifier(**{"epochs": 15, "hidden_size": 8, "random_state": 0, **how})


def test_a_classifier_learns_and_its_probabilities_are_those_of_its_classes() -> None:
    fitted = classifier().fit(WALKS, UP)
    assert fitted.score(WALKS, UP) > 0.9
    probabilities = fitted.predict_proba(WALKS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (fitted.classes_[probabilities.argmax(axis=1)] == fitted.predict(WALKS)).all()
    assert list(fitted.classes_) == ["down", "up"]
    assert len(fitted.history_) == 15


def test_predictions_do_not_depend_on_the_other_sequences() -> None:
    fitted = classifier(batch=7).fit(WALKS, UP)
    alone = np.concatenate([fitted.predict_proba([walk]) for walk in WALKS])
    np.testing.assert_allclose(fitted.predict_proba(WALKS), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_regressor_predicts_in_the_units_and_the_shape_of_its_targets(columns: int) -> None:
    y = 1000 + 50 * (LAST if columns == 1 else np.stack([LAST, -LAST], axis=1))
    fitted = SequenceRegressor(epochs=30, random_state=0, batch=8).fit(WALKS, y)
    assert fitted.predict(WALKS).shape == y.shape
    assert fitted.score(WALKS, y) > 0.9


def test_searches_cross_validation_and_pipelines_work_on_ragged_rows() -> None:
    search = GridSearchCV(classifier(), {"cell": ["rnn", "gru"], "pool": ["last", "max"]}, cv=3).fit(WALKS, UP)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.7
    scores = cross_val_score(SequenceRegressor(epochs=15, random_state=0), WALKS, LAST, cv=3)
    assert scores.min() > 0.5
    first = make_pipeline(FunctionTransformer(_first_feature), classifier()).fit(WALKS, UP)
    assert first.score(WALKS, UP) > 0.9


def _first_feature(walks: list[Any]) -> list[Any]:
    return [walk[:, :1] for walk in walks]


def test_the_random_state_decides_and_a_clone_is_equal() -> None:
    first, again, other = (
        estimator.fit(WALKS, UP).predict_proba(WALKS)
        for estimator in (classifier(), clone(classifier()), classifier(random_state=1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_gaps_are_refused_unless_they_are_asked_for() -> None:
    gappy = [np.where(RNG.random(walk.shape) < 0.1, np.nan, walk) for walk in WALKS]
    with pytest.raises(ValueError, match=r"^SequenceClassifier: X\[\d+\]: .*NaN"):
        classifier().fit(gappy, UP)
    assert classifier(gaps="mark").fit(gappy, UP).score(gappy, UP) > 0.8


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_the_rules_of_scikit_learn(kind: Any, pytestconfig: pytest.Config) -> None:
    how = {"epochs": 20} if pytestconfig.getoption("--long") else {"epochs": 6, "lr": 0.03}
    check_estimator(kind(**how, random_state=0), on_skip=None)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: classifier(cell="conv").fit(WALKS, UP), 'SequenceClassifier: cell must be "rnn", "lstm" or "gru"'),
        (lambda: classifier().fit(WALKS, ["a"] * 60), "SequenceClassifier: y has one class, 'a'"),
        (lambda: classifier().fit(WALKS, UP[:5]), "X has 60 sequences, but y 5 targets"),
        (lambda: classifier().fit([*WALKS[:59], np.ones((3, 3))], UP), r"SequenceClassifier: X\[59\] has 3 features"),
        (lambda: classifier().fit(WALKS, UP).predict([np.ones((4, 3))]), r"SequenceClassifier: X\[0\] has 3 features"),
        (lambda: SequenceRegressor().fit(WALKS, [np.nan] * 60), "Input y contains NaN"),
    ],
)
def test_mistakes(mistake: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        mistake()


def test_it_must_be_fitted_first() -> None:
    with pytest.raises(NotFittedError):
        SequenceRegressor().predict(WALKS)
