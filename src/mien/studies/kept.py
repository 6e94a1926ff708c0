"""Verdicts kept beside a study's page, for whoever has its page and no longer its runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mien.data.group_columns import group_column
from mien.data.images import Store
from mien.errors import DataError, UsageError
from mien.metrics.learnt import learnt_nothing, nothing_learnt_by
from mien.own_files import as_kind, read_json, sha256_of_content
from mien.records import Estimate, write_json
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan
from mien.studies.claims import Judged, Verdict, judge
from mien.studies.columns import MINUTES, Column
from mien.studies.definition import ClaimConfig
from mien.studies.estimates import at, predictions_of
from mien.studies.standing import done_of

KEPT, RECORDS = "claims.json", "records.json"  # verdicts; and what each row of the page is made of
_TEXTS = {"says", "where", "reason"}  # of a claim: no part of what is asked
_ANEW = "write the page anew from its runs"


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A verdict as a page keeps it: ``asked`` as :func:`_asked` has it, ``done`` runs behind it, and what was found."""

    asked: dict[str, Any]
    done: int
    verdict: Verdict
    ours: dict[str, Any] | None
    seeds: int
    wanted: int
    why: str


def keep_verdicts(plan: Plan, judged: Sequence[Judged], path: Path) -> None:
    """Write the verdicts with all that they rest on: the claim, its cells' keys, scale and evaluations.

    Args:
        plan: The study.
        judged: Its claims, judged.
        path: The file.
    """
    found = [
        _Kept(
            asked=_asked(plan, each.claim),
            done=len(done_of(_cells_of(plan, each.claim))),
            verdict=each.verdict,
            ours=None if each.ours is None else asdict(each.ours),
            seeds=each.seeds,
            wanted=each.wanted,
            why=each.why,
        )
        for each in judged
    ]
    runs = sorted({cell.key for cell in done_of(plan.cells)})
    content = {"study": plan.study.name, "scale": plan.called, "runs": runs, "claims": [asdict(e) for e in found]}
    write_json(path, content)


def check_no_poorer(plan: Plan, path: Path) -> None:
    """Refuse to write a page over one of another scale, of more runs, or of runs of this study that are not here.

    A page of all of it (full, nothing changed) may replace one of a smaller scale that has no more runs.

    Args:
        plan: The study.
        path: The page's :data:`KEPT`; there may be none.

    Raises:
        UsageError: If there are such runs. Another scale, or a setting too many, mostly has none at all.
        DataError: If the file is none of Mien's.
    """
    if not path.is_file():
        return
    content = _content(path)
    runs = set(as_kind(list[str], content.get("runs"), str(path), "runs", fix=_ANEW))
    scale = as_kind(str, content.get("scale"), str(path), "scale", fix=_ANEW)
    here = {cell.key for cell in done_of(plan.cells)}
    # Of some cells nobody knows what the others' keys would be.
    lost = len((runs if plan.taken else runs & {cell.key for cell in plan.cells}) - here)
    other = scale != plan.called and not plan.as_published
    if lost or other or len(here) < len(runs):
        found = f"of which {lost} are not in {plan.out}" if lost else f"and {plan.out} has {len(here)} ({plan.called})"
        raise UsageError(
            f"--page {path.parent}",
            f"rests on {len(runs)} runs ({scale}), {found}",
            "a page that is no poorer than the one that it replaces",
            "Look at --scale, --set and --out; run what is missing, or give the page another folder.",
        )


def judge_with(plan: Plan, path: Path | None, settings: Settings = Settings()) -> list[Judged]:
    """Each claim of a study by the runs that are here, or as its page kept it where the page had more of its runs.

    A kept verdict is of this claim only where everything that it rests on is the same: the keys of all cells (so the
    faces, labels and settings of every run), the scale, the faces that judge and their groups, and the claim itself
    but for its wording.

    Args:
        plan: The study.
        path: The page's :data:`KEPT`; there may be none, and None is none.
        settings: Coverage.

    Raises:
        DataError: If the file is none of Mien's.
    """
    kept = _read(path) if path is not None and path.is_file() else []
    recorded = _unlearnt(path.parent / RECORDS) if path is not None and kept else {}
    found = []
    for claim in plan.claims:
        asked = _asked(plan, claim)
        here = len(done_of(_cells_of(plan, claim)))
        more = [each for each in kept if each.asked == asked and each.done > here]
        found.append(_judged(plan, claim, more[0], recorded) if more else judge(plan, claim, settings))
    return found


def _cells_of(plan: Plan, claim: ClaimConfig) -> list[Cell]:
    cells: dict[str, Cell] = {}
    for name in claim.cells:
        rows = plan.study.cells_of_mean(name) if name in plan.study.means else (name,)
        cells.update({cell.id: cell for row in rows for cell in plan.of(row)})
    return list(cells.values())


def _asked(plan: Plan, claim: ClaimConfig) -> dict[str, Any]:
    asked = claim.model_dump(mode="json", exclude=_TEXTS, exclude_none=True)
    cells = _cells_of(plan, claim)
    judged_on = {part: told.fingerprint for cell in cells for part, told in cell.on.items()}
    return {
        "claim": asked,
        "cells": sorted(cell.key for cell in cells),
        "scale": plan.called,
        "evaluate": {part: judged_on.get(part, "") for part in plan.study.evaluate},
        "groups": _groups(plan, claim, cells),
    }


def _groups(plan: Plan, claim: ClaimConfig, cells: Sequence[Cell]) -> dict[str, str]:
    """Attribute -> checksum of whose faces are which, for claims about groups: who annotates anew changes no key."""
    found: dict[str, str] = {}
    columns = [at(plan, name) for name in filter(None, (claim.metric, claim.than_metric))]
    asked = {
        (column.evaluation, column.attribute, cell.place_of(column.evaluation).rpartition(":")[0]): column
        for column in columns
        if column.attribute and not column.annotated
        for cell in cells
        if column.evaluation in cell.on
    }
    for i, ((evaluation, attribute, store), column) in enumerate(asked.items()):
        key, table = f"{evaluation}: {attribute} ({i})", Store.open(store).table
        if {part.strip() for part in column.attribute.split("*")} <= set(table.frame):
            words = group_column(table, column.attribute).astype(str)
            groups = dict(zip(table.frame["sample_id"], words, strict=True))
            found[key] = sha256_of_content(groups) + _annotated_since(cells, column, groups)
    return found


def _annotated_since(cells: Sequence[Cell], column: Column, groups: Mapping[str, str]) -> str:
    """A mark where runs that are here were judged by other groups than the store has: their verdict is of no store."""
    whole = replace(column, attribute="", groups=(), over=None)
    for cell in done_of(cells):
        if column.evaluation not in cell.on:
            continue
        said = predictions_of(cell, whole)
        if column.attribute in said.groups:
            words = said.groups[column.attribute].astype(object).where(said.groups[column.attribute].notna(), None)
            if any(groups.get(str(face)) != str(w) for face, w in zip(said.sample_id, words, strict=True)):
                return ", annotated anew since"
    return ""


def _judged(plan: Plan, claim: ClaimConfig, kept: _Kept, recorded: Mapping[str, Collection[str]]) -> Judged:
    """The verdict as it was kept; nothing is told of rows of which a seed learnt next to nothing, as by :func:`judge`.

    Args:
        plan: The study.
        claim: The claim.
        kept: Its verdict.
        recorded: As :func:`_unlearnt` has it.
    """
    lost = _lost(plan, claim, recorded)
    return Judged(
        claim=claim,
        verdict="cannot be told" if lost else kept.verdict,
        ours=None if kept.ours is None else Estimate.from_json(kept.ours),
        seeds=kept.seeds,
        wanted=kept.wanted,
        scale=plan.called,
        why="; ".join(lost) or kept.why,
    )


def _lost(plan: Plan, claim: ClaimConfig, recorded: Mapping[str, Collection[str]]) -> list[str]:
    """Rows of a claim of which a seed that was compared learnt next to nothing; of a mean, any of its runs."""
    part = plan.study.evaluate[0].rpartition(":")[2]
    columns = [at(plan, metric) for metric in (claim.metric, claim.than_metric or claim.metric)]
    if claim.cells[0] in plan.study.means:
        keys = [cell.key for cell in _cells_of(plan, claim) if cell.key in recorded]
        n = 0 if all(c.metric == MINUTES for c in columns) else sum(part in recorded[key] for key in keys)
        return [nothing_learnt_by(n, f"{len(keys)} runs")] if n else []
    rows = [{cell.seed: cell.key for cell in plan.of(name) if cell.key in recorded} for name in claim.cells]
    seeds = set.intersection(*(set(row) for row in rows))
    found = []
    for name, row, column in zip(claim.cells, rows, columns, strict=False):
        if column.metric != MINUTES and (n := sum(part in recorded[row[seed]] for seed in seeds)):
            found.append(nothing_learnt_by(n, f"{len(seeds)} seeds of {name}"))
    return list(dict.fromkeys(found))


def _unlearnt(path: Path) -> dict[str, set[str]]:
    """Key of each run of a page -> the parts whose answers tell next to nothing of the labels."""
    if not path.is_file():
        return {}
    try:
        return {
            cell["key"]: {
                told["on"].rpartition(":")[2]
                for told in cell["estimates"].values()
                if learnt_nothing(*_margins(told["per_class"]))
            }
            for row in json.loads(path.read_text(encoding="utf-8"))
            for cell in row["cells"]
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(str(path), "cannot be read", "the records of a study's page", _ANEW) from error


def _margins(per_class: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[int], list[int]]:
    """Hits, annotated and predicted faces of each class, from a run's record."""
    hits = [each["n"] * each["recall"]["value"] if each["n"] else 0.0 for each in per_class]
    return hits, [each["n"] for each in per_class], [each["n_predicted"] for each in per_class]


def _read(path: Path) -> list[_Kept]:
    found: list[_Kept] = as_kind(list[_Kept], _content(path).get("claims"), str(path), "claims", fix=_ANEW)
    return found


def _content(path: Path) -> dict[str, Any]:
    return read_json(path, f"the {KEPT} of a study's page", fix=_ANEW)
