"""Studies: a published table made again, cell by cell, and set beside the published values with intervals."""

from mien.studies.cells import Cell, Plan
from mien.studies.definition import SCALES, StudyConfig, load_study
from mien.studies.execute import Work, is_open, run_study, worker_command
from mien.studies.planning import plan_study
from mien.studies.standing import Standing, epochs_of, standing_of

__all__ = [
    "SCALES",
    "Cell",
    "Plan",
    "Standing",
    "StudyConfig",
    "Work",
    "epochs_of",
    "is_open",
    "load_study",
    "plan_study",
    "run_study",
    "standing_of",
    "worker_command",
]
