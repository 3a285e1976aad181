"""Metrics of multi-label and regression tasks, computed by scikit-learn and SciPy, and those of any task.

Those of multi-label tasks lie between 0 and 1; those of regression have units and bounds of their own.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from ulmfit.classifier.metrics import score
from ulmfit.classifier.multi_label import MultiLabelPredictions
from ulmfit.classifier.predictions import Predictions
from ulmfit.classifier.regression import RegressionPredictions
from ulmfit.classifier.task_predictions import TaskPredictions
from ulmfit.datasets.stages import METRICS_OF_TASK
from ulmfit.pipeline.errors import InputError


def scores(predictions: TaskPredictions, positive_label: str | None = None) -> dict[str, float]:
    """Return every metric that predictions of their kind have, headline metrics of the task among them.

    `positive_label` is for single-label tasks alone. Raises InputError without rows.
    """
    if isinstance(predictions, Predictions):
        return score(predictions.gold, predictions.predicted, predictions.labels, positive_label)
    if positive_label is not None:
        raise InputError(
            f"metrics: positive label {positive_label!r} in a {predictions.task} task: leave it out"
        )
    if isinstance(predictions, MultiLabelPredictions):
        return multi_label_scores(predictions)
    return regression_scores(predictions)


def main_score_of(metric: str, predictions: TaskPredictions, positive_label: str | None = None) -> float:
    """Return the one metric that a data set is ranked by; InputError when it does not fit the task."""
    found = scores(predictions, positive_label)
    fitting = [name for name in METRICS_OF_TASK[predictions.task] if name in found]
    if metric not in fitting:
        raise InputError(
            f"metric {metric!r} cannot be computed of {predictions.task} predictions: expected one of "
            f"{', '.join(fitting)}"
        )
    return found[metric]


def multi_label_scores(predictions: MultiLabelPredictions) -> dict[str, float]:
    """Return macro, micro and samples F1, subset accuracy, Hamming loss and macro average precision.

    A label that no text has counts as 0 in the macro averages. In samples F1 a text without labels for which
    none is predicted counts as 1. Average precision does not depend on the thresholds.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score, hamming_loss

    if not predictions.ids:
        raise InputError("metrics: there are no rows to score; expected at least one")
    gold, predicted = predictions.gold_indicators, predictions.predicted_indicators
    with warnings.catch_warnings():
        # A label without texts is warned of.
        warnings.simplefilter("ignore")
        precisions = [
            float(average_precision_score(gold[:, label], predictions.probabilities[:, label]))
            for label in range(len(predictions.labels))
        ]
    return {
        "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
        "micro_f1": float(f1_score(gold, predicted, average="micro", zero_division=0)),
        "samples_f1": float(f1_score(gold, predicted, average="samples", zero_division=1)),
        "subset_accuracy": float(accuracy_score(gold, predicted)),
        "hamming_loss": float(hamming_loss(gold, predicted)),
        "average_precision": float(np.mean(precisions)),
    }


def regression_scores(predictions: RegressionPredictions) -> dict[str, float]:
    """Return MAE and RMSE (in the units of the labels), R2, and the correlations of Pearson and Spearman.

    A correlation with predictions that are all the same is 0. Raises InputError for fewer than two rows and
    for gold numbers that are all the same, of which nothing but MAE and RMSE is defined.
    """
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    gold, predicted = np.array(predictions.gold), np.array(predictions.predicted)
    if len(set(predictions.gold)) < 2:
        raise InputError(
            f"metrics: {len(gold)} rows with {len(set(predictions.gold))} different gold numbers; expected "
            "at least two, without which no correlation is defined"
        )
    with warnings.catch_warnings():
        # Constant predictions are warned of.
        warnings.simplefilter("ignore")
        pearson, spearman = float(pearsonr(gold, predicted)[0]), float(spearmanr(gold, predicted)[0])
    return {
        "mae": float(mean_absolute_error(gold, predicted)),
        "rmse": math.sqrt(mean_squared_error(gold, predicted)),
        "r2": float(r2_score(gold, predicted)),
        "pearson": 0.0 if math.isnan(pearson) else pearson,
        "spearman": 0.0 if math.isnan(spearman) else spearman,
    }
