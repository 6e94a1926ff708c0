"""Two models on the same faces: what changed for each group, and whether a gap did.

Everything is paired. A face, with its copies or its person, is one unit that carries the
predictions of both models; units are drawn whole, so that what makes a face hard for both models
cancels in the difference.

The change of a gap is a difference of two extremes, which no simple interval covers well: observed
gaps are biased upwards, most where all groups are alike, and the two models need not be alike in
that. See :func:`mien.audit.compare.paired_statistics.change_of_extreme` for the interval and how it was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien import __version__
from mien.audit.attributes import candidate_attributes, resolve_attributes
from mien.audit.compare.paired_groups import attribute_change, group_changes, paired_rows
from mien.audit.compare.results import Comparison
from mien.audit.compare.shared_faces import shared_faces
from mien.audit.compare.text import judged, method_notes
from mien.audit.warned import of_models
from mien.records import Predictions
from mien.stats.settings import Settings


def compare(
    a: Predictions,
    b: Predictions,
    by: Sequence[str] = (),
    *,
    names: Sequence[str] = ("A", "B"),
    settings: Settings = Settings(),
) -> Comparison:
    """Compare a second model with a first on the faces that both predicted.

    For all faces and each group: both values of every metric, their difference with a paired
    interval, and McNemar's test. For each attribute and metric: both gaps, the gap's change with its
    interval and p-value, and whether it came from the group served best or from the one served worst.

    Args:
        a: The first model's predictions.
        b: The second model's; rows are matched by ``sample_id``, classes may stand in another order.
        by: Attributes, as in :func:`mien.audit.audit`; columns that only one table has serve both. With none,
            all faces are compared and no groups.
        names: What to call the models.
        settings: Coverage, replicates, least faces of a group, least faces of a class in a group, seed.

    Raises:
        UsageError: If an attribute does not exist, or a setting cannot work.
        DataError: If the classes or the annotations differ, or too few faces are shared.
    """
    return compare_many([a, b], names, by, settings=settings)[0]


def compare_many(
    predictions: Sequence[Predictions],
    names: Sequence[str],
    by: Sequence[str] = (),
    *,
    settings: Settings = Settings(),
) -> list[Comparison]:
    """Compare each model with the first, all on the faces that every model predicted.

    The arguments are those of :func:`compare`. p-values are adjusted over all comparisons together.

    Returns:
        One comparison fewer than there are models.
    """
    by = [by] if isinstance(by, str) else list(by)
    shared = shared_faces(predictions, names, by, settings.min_n)
    first = shared.runs[0]
    attributes = resolve_attributes(first, by) if by else []
    notes = [*shared.notes, *([] if by else [_no_groups(first)])]
    out = []
    for i, run in enumerate(shared.runs[1:], 1):
        everybody, stream = np.zeros(len(first), dtype=np.int64), settings.stream("", "compare")
        overall = group_changes(paired_rows(first, run, everybody, [""], stream, settings.n_boot), settings)
        out.append(
            Comparison(
                names=[str(names[0]), str(names[i])],
                sources=[first.source, run.source],
                classes=[str(c) for c in first.classes],
                n=len(first),
                n_clusters=overall[0].n_clusters,
                n_left_out=[shared.n_left_out[0], shared.n_left_out[i]],
                overall=overall[0],
                attributes=[attribute_change(first, run, attribute, settings) for attribute in attributes],
                verdict="",
                warnings=of_models({str(names[k]): shared.warnings[k] for k in (0, i)}),
                method_notes=[*notes, *method_notes(settings, first.cluster is not None, len(predictions))],
                level=settings.level,
                n_boot=settings.n_boot,
                min_n=settings.min_n,
                min_class_n=settings.min_class_n,
                seed=settings.seed,
                version=__version__,
            )
        )
    return judged(out)


def _no_groups(pred: Predictions) -> str:
    known = candidate_attributes(pred)
    could = f"attributes that could serve: {', '.join(known)}" if known else "the predictions have no attribute"
    return f"No groups were compared ({could}): who gained and who lost stays open."
