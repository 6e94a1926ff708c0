"""The record of a run on its page: what it is, how its table of faces came to be, its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mien.records import RunRecord
from mien.report import words
from mien.report.blocks import Block, Code, Folded, Section, Text, facts_table, history_table


def record_section(record: RunRecord) -> Section:
    """The record of a run as tables.

    Args:
        record: The record.
    """
    steps = _history(record)
    history: Block = history_table(steps) if steps else Text("No steps are recorded.")
    config = Folded("The whole configuration, as YAML", [Code(words.as_yaml(record.config))])
    came = Section("How the table of faces came to be", "", [history])
    return Section("Run record", "record", [facts_table("Run record", _rows(record)), came, config])


def _rows(record: RunRecord) -> list[tuple[str, str]]:
    """The run record as a table of names and values."""
    data, model = record.data, record.model
    best = record.best.get("epoch")
    used = {k: data[f"{k}_faces"] for k in ("training", "validation") if f"{k}_faces" in data}
    kept = {k: words.number(v) for k, v in record.best.items() if k != "epoch"}
    rows: Sequence[tuple[str, Any]] = [
        ("Run", record.name),
        ("Status", record.status),
        ("Started", words.moment(record.started)),
        ("Training time", words.duration(record.seconds)),
        ("Resumed", _resumed(record)),
        ("Seed", record.seed),
        ("Model", model_words(model)),
        ("Weights kept", "" if best is None else f"epoch {best + 1}; {words.details(kept)}"),
        ("Device", words.details(record.device)),
        ("Versions", ", ".join(f"{k} {v}" for k, v in record.versions.items())),
        ("Corpus", data.get("corpus", "")),
        ("Store", data.get("store", "")),
        ("Data fingerprint", data.get("fingerprint", "")),
        ("Faces of each split", words.details(data.get("splits", {}))),
        ("Faces used", words.details(used)),
        ("Faces without a label", _dropped(data.get("dropped_by_labels", {}))),
        ("Training faces of each class", words.details(data.get("training_classes", {}))),
        *_prior(data.get("label_prior") or {}),
        ("Terms of the data", data.get("terms") or "not stated"),
    ]
    return [(name, str(value) if str(value) else "not recorded") for name, value in rows]


def _resumed(record: RunRecord) -> str:
    if not record.resumed:
        return "never"
    times = ((words.moment(str(r.get("at", ""))), r.get("after_epoch", "?")) for r in record.resumed)
    return "; ".join(f"{at} after epoch {epoch}" for at, epoch in times)


def model_words(model: dict[str, Any]) -> str:
    """Its name, size and input; empty where nothing is recorded."""
    if not model:
        return ""
    size = " x ".join(str(v) for v in model.get("input", []))
    parameters = model.get("parameters")
    counted = f"{parameters:,} parameters" if isinstance(parameters, int) else ""
    return ", ".join(filter(None, [str(model.get("name", "")), counted, f"input {size}" if size else ""]))


def _dropped(dropped: dict[str, Any]) -> str:
    parts = ((split, words.details(v) if isinstance(v, dict) else v) for split, v in dropped.items())
    return "; ".join(f"{split}: {text}" for split, text in parts) or "none"


def _prior(prior: dict[str, Any]) -> list[tuple[str, str]]:
    """The prior that the label scheme fitted to the training votes, in one line; none where it fitted none."""
    votes = prior.get("concentrations", [])
    parts = [f"{c} {v:.3g}" for c, v in zip(prior.get("classes", []), votes, strict=False)]
    said = f"{', '.join(parts)}; {sum(votes):.3g} votes in all"
    return [("Prior of the labels, fitted to the training votes", said)] if parts else []


def _history(record: RunRecord) -> list[tuple[str, int | None, int | None, str]]:
    """Each step that made the table of faces: name, rows before, rows after, details."""
    steps = []
    for step in record.data.get("history", []):
        rest = {k: v for k, v in step.items() if k not in ("step", "before", "after") and v not in ({}, [], None)}
        steps.append((str(step.get("step", "")), step.get("before"), step.get("after"), words.details(rest)))
    return steps
