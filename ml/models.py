"""The model families Citywell compares, each as one scikit-learn pipeline from a feature frame.

Every pipeline takes the frame of a question's features (numbers as float with NaN where missing, categories
as str or None) and gives probabilities. Families that add up their inputs (logistic, SVM, network) get
imputed, log-compressed and standardised numbers with a flag for what was missing; trees take missing numbers
as they are, and both kinds of boosting split categories as sets. No class weights anywhere: weights would buy recall at
the price of probabilities that mean nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from jobs.errors import CitywellError
from ml.question import Question
from ml.recalibration import recalibrated, taken_apart

RARE_SHARE = 0.005
RARE_COUNT = 20
MOST_CATEGORIES = 200
CALIBRATION_FOLDS = 3
THREADS = 1
"""Threads of a fit. On a machine that also runs an engine and a scheduler, waiting threads cost more than a
second one saves: boosting 1,000 rows took 1 s with one thread and 25 s with two while the cores were busy."""

BOOSTING = ("hist_gradient_boosting", "lightgbm")

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """Values of one parameter that tuning may try, both ends included; is_log: evenly by their logarithm."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of model, the simpler ones first in FAMILIES.

    settings: parameter sets worth trying, the first for large data; keys are parameter names of the last
    step. Logistic regression on a hundred readmissions of a simulated city reached a test AUROC of 0.68, 0.72 and
    0.73 with C of 0.1, 0.01 and 0.003; still smaller ones rank as well, but their probabilities say too little.
    space: where ``ml.tuning`` looks for better ones: every parameter that a setting names.
    """

    name: str
    title: str
    settings: tuple[Setting, ...]
    space: Mapping[str, Range] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "logistic",
            "logistic regression",
            ({"C": 0.1}, {"C": 0.01}, {"C": 0.003}),
            {"C": Range(1e-4, 10.0, is_log=True)},
        ),
        Family(
            "decision_tree",
            "decision tree",
            ({"min_samples_leaf": 0.01}, {"min_samples_leaf": 0.05}),
            {"min_samples_leaf": Range(0.002, 0.1, is_log=True)},
        ),
        Family(
            "linear_svm",
            "linear support vector machine, calibrated",
            ({"estimator__C": 0.001},),
            {"estimator__C": Range(1e-5, 0.1, is_log=True)},
        ),
        Family(
            "neural_network",
            "neural network (multi-layer perceptron)",
            ({"alpha": 100.0},),
            {"alpha": Range(1.0, 1000.0, is_log=True)},
        ),
        Family(
            "hist_gradient_boosting",
            "histogram gradient boosting",
            (
                {
                    "learning_rate": 0.04,
                    "max_iter": 250,
                    "max_leaf_nodes": 12,
                    "min_samples_leaf": 60,
                    "l2_regularization": 5.0,
                },
                {
                    "learning_rate": 0.04,
                    "max_iter": 120,
                    "max_leaf_nodes": 4,
                    "min_samples_leaf": 20,
                    "l2_regularization": 5.0,
                },
            ),
            {
                "learning_rate": Range(0.01, 0.2, is_log=True),
                "max_iter": Range(50, 400, is_whole=True),
                "max_leaf_nodes": Range(3, 24, is_whole=True),
                "min_samples_leaf": Range(10, 200, is_log=True, is_whole=True),
                "l2_regularization": Range(0.1, 50.0, is_log=True),
            },
        ),
        Family(
            "lightgbm",
            "gradient boosting, LightGBM",
            (
                {
                    "learning_rate": 0.03,
                    "n_estimators": 400,
                    "num_leaves": 16,
                    "min_child_samples": 60,
                    "reg_lambda": 10.0,
                    "colsample_bytree": 0.4,
                },
                {
                    "learning_rate": 0.03,
                    "n_estimators": 150,
                    "num_leaves": 4,
                    "min_child_samples": 20,
                    "reg_lambda": 10.0,
                    "colsample_bytree": 0.4,
                },
            ),
            {
                "learning_rate": Range(0.01, 0.1, is_log=True),
                "n_estimators": Range(50, 600, is_whole=True),
                "num_leaves": Range(3, 32, is_whole=True),
                "min_child_samples": Range(10, 200, is_log=True, is_whole=True),
                "reg_lambda": Range(0.1, 50.0, is_log=True),
                "colsample_bytree": Range(0.2, 1.0),
            },
        ),
    )
}


def family(name: str) -> Family:
    """The family called ``name``. Raises CitywellError for a name nobody declared."""
    if name not in FAMILIES:
        raise CitywellError(
            f"There is no model family {name!r}.",
            where="candidates",
            do=f"choose from {', '.join(FAMILIES)}",
        )
    return FAMILIES[name]


def build(name: str, question: Question, setting: Setting, seed: int = 0) -> Pipeline:
    """An unfitted pipeline of family ``name`` for the features of ``question``."""
    setting = {**family(name).settings[0], **setting}
    classifier = _classifier(name, question, seed).set_params(**setting)
    return Pipeline([("prepare", _preparation(name, question)), ("classify", classifier)])


def fit(pipeline: Pipeline, x: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Pipeline:
    """A fitted copy of ``pipeline``.

    x: one row per case. y: 0 or 1. groups: the person of each case; a calibrated family keeps each person
    on one side of its inner folds. The network stops after a set number of steps, which is meant and not warned of;
    nor is that a feature of which nothing is known tells the histograms nothing.
    The map of a recalibrated pipeline stays as it is.
    """
    plain, mapping = taken_apart(pipeline)
    if mapping is not None:
        return recalibrated(fit(plain, x, y, groups), mapping)
    fitted = clone(pipeline)
    with threadpool_limits(THREADS), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn.feature_selection")
        if isinstance(fitted[-1], CalibratedClassifierCV):
            with config_context(enable_metadata_routing=True):
                return fitted.fit(x, y, groups=groups)
        if isinstance(fitted[-1], LGBMClassifier):
            _, _, categories = fitted[0].transformers[0]
            return fitted.fit(x, y, classify__categorical_feature=list(range(len(categories))))
        return fitted.fit(x, y)


def predict(pipeline: Pipeline, x: pd.DataFrame) -> np.ndarray:
    """Probability of the event for each row of ``x``."""
    with threadpool_limits(THREADS):
        return pipeline.predict_proba(x)[:, 1]


def _classifier(name: str, question: Question, seed: int) -> Any:
    if name == "logistic":
        return LogisticRegression(max_iter=2000)
    if name == "decision_tree":
        return DecisionTreeClassifier(criterion="log_loss", max_depth=7, random_state=seed)
    if name == "linear_svm":
        return CalibratedClassifierCV(
            LinearSVC(dual=False, random_state=seed),
            method="sigmoid",
            cv=StratifiedGroupKFold(CALIBRATION_FOLDS, shuffle=True, random_state=seed),
        )
    if name == "neural_network":
        return MLPClassifier(hidden_layer_sizes=(16,), solver="lbfgs", max_iter=150, random_state=seed)
    if name == "lightgbm":
        return LGBMClassifier(
            subsample=0.8,
            subsample_freq=1,
            cat_smooth=50.0,
            cat_l2=50.0,
            deterministic=True,
            force_row_wise=True,
            n_jobs=THREADS,
            random_state=seed,
            verbose=-1,
        )
    return HistGradientBoostingClassifier(
        early_stopping=False,
        categorical_features=list(range(len(question.of_kind("category")))) or None,
        random_state=seed,
    )


def _preparation(name: str, question: Question) -> ColumnTransformer:
    """From the feature frame to the numbers family ``name`` takes; categories come first."""
    if name in BOOSTING:
        category = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            min_frequency=RARE_COUNT,
            max_categories=MOST_CATEGORIES,
        )
    else:
        category = OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=RARE_SHARE, sparse_output=False
        )
    numbers: list[tuple[str, Any, list[str]]]
    if name in (*BOOSTING, "decision_tree"):
        known = VarianceThreshold() if name == "hist_gradient_boosting" else "passthrough"
        numbers = [("number", known, question.of_kind("number", "count", "flag"))]
    else:
        spread = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
        )
        compress = FunctionTransformer(np.log1p, feature_names_out="one-to-one")
        numbers = [
            ("number", spread, question.of_kind("number")),
            ("count", make_pipeline(compress, StandardScaler()), question.of_kind("count")),
            ("flag", StandardScaler(), question.of_kind("flag")),
        ]
    return ColumnTransformer(
        [("category", category, question.of_kind("category")), *numbers], sparse_threshold=0
    )
