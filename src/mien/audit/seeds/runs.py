"""The audit of one model trained with several seeds; see :mod:`mien.audit.seeds.noise` for its noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien import __version__
from mien.audit.attributes import Attribute, resolve_attributes
from mien.audit.compare.shared_faces import shared_faces
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.seeds.noise import Spread, seed_gap_of, seed_value, spreads_of
from mien.audit.seeds.results import (
    SeedAttribute,
    SeedAudit,
    SeedGroup,
)
from mien.audit.seeds.text import judged, lead, method_notes, twins
from mien.audit.vocabulary import TOO_FEW
from mien.audit.warned import of_models, said_first
from mien.errors import DataError, UsageError
from mien.records import Predictions
from mien.stats.cells import Ints, Rows
from mien.stats.settings import Settings


def seed_audit(
    runs: Sequence[Predictions],
    by: Sequence[str] = (),
    *,
    names: Sequence[str] | None = None,
    settings: Settings = Settings(),
) -> SeedAudit:
    """Audit one model trained with several seeds, on the same faces.

    Args:
        runs: The predictions of each run, two or more; matched by ``sample_id``.
        by: Attributes, as in :func:`mien.audit.audit`.
        names: What to call the runs; ``run 1``, ``run 2``, ... by default.
        settings: Coverage, replicates, least faces of a group, least faces of a class in a group, seed.

    Raises:
        UsageError: If there are fewer than two runs, no attribute is given or one does not exist.
        DataError: If the classes or the annotations differ, or too few faces are shared.
    """
    if len(runs) < 2:
        raise UsageError("seed audit", f"has {len(runs)} run", "two or more of the same model with different seeds")
    by = [by] if isinstance(by, str) else list(by)
    names = [f"run {i}" for i in range(1, len(runs) + 1)] if names is None else [str(name) for name in names]
    shared = shared_faces(runs, names, by, settings.min_n)
    first = shared.runs[0]
    attributes = [_attribute(shared.runs, a, settings) for a in resolve_attributes(first, by)]
    everybody = _rows(shared.runs, np.zeros(len(first), dtype=np.int64), 1)
    overall = _groups(everybody, spreads_of(everybody), [""], first.classes, settings)[0]
    attributes = judged(attributes, len(runs))
    warnings = of_models(dict(zip(names, shared.warnings, strict=True)))
    return SeedAudit(
        names=list(names),
        sources=[run.source for run in shared.runs],
        classes=[str(c) for c in first.classes],
        n=len(first),
        n_clusters=overall.n_clusters,
        n_left_out=shared.n_left_out,
        overall=overall,
        attributes=attributes,
        verdict=said_first(warnings, " ".join(lead(a) for a in attributes)),
        warnings=warnings,
        method_notes=[*shared.notes, *twins(shared.runs, names), *method_notes(settings, len(runs))],
        level=settings.level,
        n_boot=settings.n_boot,
        min_n=settings.min_n,
        min_class_n=settings.min_class_n,
        seed=settings.seed,
        version=__version__,
    )


def _rows(runs: Sequence[Predictions], codes: Ints, n_groups: int) -> list[Rows]:
    known = np.flatnonzero(codes >= 0)
    cluster = runs[0].cluster
    unit = None if cluster is None else cluster[known]
    label, k = runs[0].labels[known], len(runs[0].classes)
    return [Rows(codes[known], label, run.predicted[known], unit, n_groups, k) for run in runs]


def _groups(
    rows: Sequence[Rows],
    spreads: dict[tuple[str, int], Spread],
    names: Sequence[str],
    classes: Sequence[str],
    settings: Settings,
) -> list[SeedGroup]:
    annotated = rows[0].tables().sum(-1)
    units, class_units = rows[0].units_per_group(), rows[0].units_per_class()
    enough = settings.enough(annotated.sum(-1), units)
    out = []
    for g, name in enumerate(names):
        n = int(annotated[g].sum())
        metrics = {
            m: seed_value(spreads[m, 0], g, n, int(units[g]), "" if n else "no faces", settings)
            for m in HEADLINE_METRICS
        }
        recall = {}
        for c, class_name in enumerate(classes):
            n_class = int(annotated[g, c])
            few = class_units[g, c] < settings.min_class_n
            note = "nobody annotated with it" if not n_class else TOO_FEW if few else ""
            spread = spreads["recall", c]
            recall[str(class_name)] = seed_value(spread, g, n_class, int(class_units[g, c]), note, settings)
        verdict = "" if enough[g] else TOO_FEW
        out.append(SeedGroup(name, n, int(units[g]), metrics, recall, verdict))
    return out


def _attribute(runs: Sequence[Predictions], attribute: Attribute, settings: Settings) -> SeedAttribute:
    rows = _rows(runs, attribute.codes, len(attribute.groups))
    if not len(rows[0]):
        raise DataError(
            f"attribute {attribute.name!r}", "no shared face has a known value in every part", "some that do"
        )
    spreads, classes = spreads_of(rows), [str(c) for c in runs[0].classes]
    annotated = rows[0].tables().sum(-1)
    units, class_units = rows[0].units_per_group(), rows[0].units_per_class()
    gaps = []
    for (metric, c), spread in spreads.items():
        of_class = metric == "recall"
        enough = settings.enough(annotated.sum(-1), units)
        if of_class:
            enough &= class_units[:, c] >= max(settings.min_class_n, 1)
        part = np.flatnonzero(enough & ~np.isnan(spread.values).any(0)).tolist()
        n = int((annotated[part, c] if of_class else annotated[part].sum(-1)).sum())
        m = int((class_units[part, c] if of_class else units[part]).sum())
        name = classes[c] if of_class else ""
        gaps.append(seed_gap_of(metric, name, spread, part, (n, m), attribute, settings))
    groups = _groups(rows, spreads, attribute.groups, classes, settings)
    unknown = len(runs[0]) - len(rows[0])
    return SeedAttribute(
        name=attribute.name,
        label=attribute.label,
        source=attribute.source,
        n=len(rows[0]),
        n_unknown=unknown,
        groups=groups,
        gaps=gaps,
    )
