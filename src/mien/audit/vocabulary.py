"""The words of an audit: verdicts, directions and titles of its measures."""

from __future__ import annotations

DISPARITY = "disparity"
NOT_SHOWN = "no disparity shown"
TOO_FEW = "too few"
NOT_TESTABLE = "not testable"
BELOW, ABOVE = "below expectation", "above expectation"
LOWER_IS_BETTER = frozenset({"kl", "nll", "brier", "ece", "overconfidence", "risk", "detection_failure"})
_TITLES = {
    "top2": "top-2 accuracy",
    "tie_accuracy": "accuracy with ties",
    "kl": "KL divergence",
    "nll": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
    "risk": "errors among confident answers",
    "coverage": "share of confident answers",
    "detection_failure": "faces not found",
    "equal_odds_fairness": "equal-odds fairness F",
    "min_max_accuracy": "smallest over largest accuracy",
    "equalized_odds_difference": "equalised-odds difference",
    "equalized_odds_ratio": "equalised-odds ratio",
    "demographic_parity_difference": "demographic-parity difference",
    "demographic_parity_ratio": "demographic-parity ratio",
    "statistical_parity": "statistical-parity distance",
}


def metric_title(name: str, class_name: str = "") -> str:
    """A metric's name in words: ``macro_f1`` is ``macro F1``, ``recall`` of a class ``recall of fear``."""
    words = _TITLES.get(name, name.replace("_", " ").replace(" f1", " F1"))
    return f"{words} of {class_name}" if class_name else words
