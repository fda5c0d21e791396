"""The model card: what a model is for, what it was made from, how good it is and where it must not be used.

After M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. Holds aggregates only; groups with fewer than
ten events are left out, and the others' counts are rounded, so that nothing can be told by subtraction. So are those
of the cohort, where counts below five are withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from jobs.writeback.disclosure import SMALLEST_SHOWN, shown
from ml import models
from ml.decision import Point
from ml.metrics import Baseline, Evaluation, Result
from ml.nested import Nested
from ml.question import Cases
from ml.training import LONGEST_LATER_DAYS, Candidate, Trained, is_tested_later

METRIC_TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "accuracy",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "brier": "Brier score",
    "calibration_error": "expected calibration error",
    "calibration_in_the_large": "mean predicted minus observed",
}
LINE_TITLES = {"calibration_intercept": "calibration intercept", "calibration_slope": "calibration slope"}
CANDIDATES_SHOWN = 12
CURVE_ROWS = 8
"""Points of the decision curve that the card shows; the picture has all."""


def model_card(
    trained: Trained,
    *,
    as_of: datetime,
    data_versions: Mapping[str, int],
    definition: str = "",
    cohort: Mapping[str, int] | None = None,
) -> str:
    """The card as Markdown. definition: of the question, in Markdown. cohort: rows kept and left out, by reason."""
    question, evaluation, lines = trained.question, trained.evaluation, trained.lines
    family = models.family(trained.chosen.family)
    sections = [
        f"# {question.name}",
        f"{question.title}. A {family.title}, trained on data as of {as_of:%Y-%m-%d %H:%M} UTC.",
        "## Intended use",
        f"To draw a care team's attention to people at high risk within {question.horizon_days} days, so that help is "
        "offered. A person decides. Not for refusing care, for billing, for judging staff or hospitals, nor for people "
        "outside the population below.",
        "## Data",
        _table(
            ("part", "cases", "people", "events", "share"),
            [
                _part("training", trained.train),
                _part("test", trained.test),
            ],
        ),
        f"No person is in both parts. {_times_of_parts(trained)} Who is tested on goes by the patient, so that no "
        "linkage turns what was learnt from into a test. Table versions: "
        + ", ".join(f"{table} {version}" for table, version in sorted(data_versions.items()))
        + ".",
        _table(("cohort", "rows, to the nearest five"), _cohort(cohort)) if cohort else "",
        "## Choice of the model",
        _chosen_how(trained),
        _table(
            ("family", "setting", "AUROC", "log loss", "calibration error", "seconds"),
            [_candidate(c, trained.chosen) for c in _shown_candidates(trained)],
        ),
        _recalibrated_how(trained),
        _nested(trained.nested) if trained.nested else "",
        "## Results on the test part",
        f"Alerts are cases with a probability of at least {lines.high:.3f}: {_line_how(trained)}. Of the test cases "
        f"{evaluation.alert_share:.1%} lie above it. `medium` begins at {lines.medium:.3f}. In brackets: 95 % "
        "intervals, bootstrapped over people.",
        _metrics([evaluation.overall]),
        f"A perfectly calibrated model would have a calibration error of up to {evaluation.ece_by_chance:.3f} on as "
        "many cases by chance (95th percentile). It has no interval: resampling only adds to it.",
        _calibration_line(evaluation.overall),
        "### What acting on it is worth",
        "Net benefit per case (Vickers and Elkin 2006) for somebody who acts from a risk on: true alerts, minus false "
        "ones weighed by the odds of that risk. Alerting nobody is worth 0.",
        _curve(evaluation),
        _baselines(evaluation.baselines),
        "### By group",
        "Cases and events to the nearest five.",
        _metrics(evaluation.groups, count=shown),
        "## Limits",
        "A probability is about people like those in the training part, in these hospitals, under the care they "
        "got then. It says nothing about causes: reasons are what the model went by, not what to treat. What other "
        "hospitals know of a person is not seen until records are linked. Intervals in small groups are wide; "
        "groups with fewer than ten events, or than ten cases without, are left out: nothing can be said of them.",
    ]
    if definition:
        sections += ["## Definition", definition.strip()]
    return "\n\n".join(section for section in sections if section) + "\n"


def _times_of_parts(trained: Trained) -> str:
    begins = str(trained.cut)[:10]
    if is_tested_later(trained.question):
        return f"The test part begins at {begins}; every training label was known before."
    return (
        f"Both parts are of the same time, from {begins} on: a horizon of {trained.question.horizon_days} days is too "
        f"long (over {LONGEST_LATER_DAYS}) for a test part later than every training label. The results thus say how "
        "good it is for other people of that time, not for a later one."
    )


def _chosen_how(trained: Trained) -> str:
    if trained.is_refit:
        return (
            "Family and setting are those that an earlier comparison or tuning chose; what follows is their "
            "cross-validation on this training part, five folds, no person in two folds."
        )
    told = (
        "Cross-validation on the training part, five folds, no person in two folds; the simplest family whose AUROC is "
        "within one standard error of the best. The test part was used once, for the model chosen."
    )
    more = len(trained.candidates) - CANDIDATES_SHOWN
    if more <= 0:
        return told
    return f"{told} Shown are the chosen and the best by AUROC; {more} more were tried, each a nested run in MLflow."


def _shown_candidates(trained: Trained) -> Sequence[Candidate]:
    if len(trained.candidates) <= CANDIDATES_SHOWN:
        return trained.candidates
    others = [candidate for candidate in trained.candidates if candidate is not trained.chosen]
    best = sorted(others, key=lambda candidate: -candidate.auroc)[: CANDIDATES_SHOWN - 1]
    return [trained.chosen, *best]


def _recalibrated_how(trained: Trained) -> str:
    found = trained.recalibration
    losses = ", ".join(f"{name} {value:.4f}" for name, value in found.log_loss.items())
    what = f"are put right by a map ({found.method})" if found.method else "stay as they are"
    return f"Its probabilities {what}. Log loss of out-of-fold probabilities, cross-fitted: {losses}."


def _nested(found: Nested) -> str:
    rows = [
        (
            i,
            models.family(fold.family).title,
            fold.recalibration or "none",
            *map(_three, (fold.auroc, fold.log_loss)),
        )
        for i, fold in enumerate(found.folds, 1)
    ]
    return (
        "Nested cross-validation: the whole procedure anew for each of five outer folds, judged on the fold that had "
        f"no part in any choice. AUROC {found.auroc:.3f} (standard error {found.standard_error:.3f}), expected "
        f"calibration error {found.calibration_error:.3f}.\n\n"
        + _table(("outer fold", "chosen", "recalibration", "AUROC", "log loss"), rows)
    )


def _line_how(trained: Trained) -> str:
    budget = f"the line above which lay {trained.question.alert_budget:.0%} of the training cases"
    ratio = getattr(trained.question, "cost_ratio", None)
    if ratio is None:
        return budget
    return (
        f"the risk from which on an alert is worth it where a false alarm costs {ratio:g} of a missed event, or "
        f"{budget}, whichever is higher"
    )


def _calibration_line(overall: Result) -> str:
    told = [f"{title} {overall.metrics[n]}" for n, title in LINE_TITLES.items() if n in overall.metrics]
    if not told:
        return ""
    return f"On the logit scale (Cox 1958; 0 and 1 where all is well): {', '.join(told)}."


def _curve(evaluation: Evaluation) -> str:
    points = evaluation.decision_curve
    kept = [points[i] for i in range(len(points) // CURVE_ROWS - 1, len(points), len(points) // CURVE_ROWS)]
    return _table(
        ("risk from which on", "model", "alerting everybody"),
        [
            *map(_point, kept),
            (f"{_three(evaluation.at_line.threshold)} (alert line)", *_point(evaluation.at_line)[1:]),
        ],
    )


def _point(point: Point) -> tuple[str, ...]:
    return _three(point.threshold), f"{point.model:.4f}", f"{point.everybody:.4f}"


def _baselines(found: Sequence[Baseline]) -> str:
    if not found:
        return ""
    rows = [(b.name, shown(b.cases), str(b.auroc), str(b.difference)) for b in found]
    return "### Against published scores\n\n" + _table(
        (
            "score",
            "test cases, to the nearest five",
            "AUROC of the score",
            "AUROC of the model minus the score's",
        ),
        rows,
    )


def _three(value: float) -> str:
    return f"{value:.3f}"


def _cohort(counts: Mapping[str, int]) -> list[tuple[object, ...]]:
    told = {name: shown(count) for name, count in sorted(counts.items())}
    return [(name, f"<{SMALLEST_SHOWN}" if count is None else count) for name, count in told.items()]


def _part(name: str, cases: Cases) -> tuple[object, ...]:
    events = int(cases.y.sum())
    return name, len(cases), len(set(cases.person.tolist())), events, f"{events / len(cases):.1%}"


def _candidate(candidate: Candidate, chosen: Candidate) -> tuple[object, ...]:
    name = models.family(candidate.family).title
    setting = ", ".join(
        f"{key.removeprefix('estimator__')} {value}" for key, value in candidate.setting.items()
    )
    return (
        f"**{name}**" if candidate is chosen else name,
        setting,
        f"{candidate.auroc:.3f}",
        f"{candidate.log_loss:.3f}",
        f"{candidate.calibration_error:.3f}",
        f"{candidate.seconds:.1f}",
    )


def _metrics(results: Sequence[Result], count: Callable[[int], int | None] = int) -> str:
    rows = [
        (
            result.group,
            count(result.cases),
            count(result.events),
            *(str(result.metrics[name]) if name in result.metrics else "" for name in METRIC_TITLES),
        )
        for result in results
    ]
    return _table(("group", "cases", "events", *METRIC_TITLES.values()), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
