"""The page of a study: table, claims, figures and what they are made of, in one folder of Markdown and PNG."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from mien.outputs import whole, write_text
from mien.records import RunRecord, plain, write_json
from mien.report.figures import save_png
from mien.runs import code_versions
from mien.stats.settings import Settings
from mien.studies.cells import Plan
from mien.studies.claims import judge
from mien.studies.figures import FIGURES, draw, epochs_of
from mien.studies.kept import KEPT, RECORDS, check_no_poorer, keep_verdicts
from mien.studies.results import Row, rows_of
from mien.studies.standing import done_of, evaluations_of
from mien.studies.tables import claims_of, csv_of, latex_of, markdown_of, table
from mien.train.start import PRETRAINED
from mien.wording import listed, plural

PAGE, TABLE, HISTORIES = "README.md", "table.csv", "histories.csv"
_OF_STORE = ("prepare", "align")  # steps of a store's history that say which faces it lacks, or has otherwise
_FIGURE = re.compile(rf"\d+_({'|'.join(FIGURES)})\.png")
_HARDLY = 0.01  # recall of a class that no run has learnt


def write_page(plan: Plan, out: Path, settings: Settings = Settings()) -> Path:
    """Write a study's page, its figures, and the records behind it: no faces, no weights, no paths.

    Args:
        plan: The study at a scale.
        out: The folder.
        settings: Coverage.

    Returns:
        The page.

    Raises:
        UsageError: If a page lies there that rests on runs of this study that are not here.
    """
    check_no_poorer(plan, out / KEPT)
    study, rows = plan.study, rows_of(plan, settings)
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"# {study.title or study.name}" + (f": {listed([row.label for row in rows])}" if plan.taken else ""), ""]
    lines += [f"{study.source}", ""] if study.source else []
    stores = [f"--store {name}=STORE" for name in plan.stores]
    changed = [f"--set {shlex.quote(each)}" for each in plan.changed]
    files = [f"--weights {name}=FILE" for name in plan.files]
    taken = [f"--cell {each}" for each in plan.taken]
    words = " ".join([f"studies/{study.name}.yaml", *stores, *files, f"--scale {plan.scale}", *changed, *taken])
    lines += [f"Written by `mien study table {words} --page FOLDER` from the records of `mien study run {words}`.", ""]
    lines += [markdown_of(plan, rows), ""]
    lines += _notes(rows)
    lines += _hardly_found(plan)
    judged = [judge(plan, claim, settings) for claim in plan.claims]
    if judged:
        lines += ["## What was claimed", "", claims_of(judged), ""]
    drawn, before = set[str](), (out / KEPT).is_file()
    for i, figure in enumerate(study.figures):
        told = epochs_of(plan, rows, figure) if figure.kind == "epochs" else []
        if told:
            several = any(row.seeds > 1 for row in rows if row.name in figure.cells)
            about = f"{figure.title or 'Epochs'}{' (ours: means over seeds)' if several else ''}"
            lines += [f"{about}:", "", *table(told[0], told[1:]), ""]
        picture = draw(plan, rows, figure)
        if picture is not None:
            name = f"{i + 1}_{figure.kind}.png"
            save_png(picture, out / name, dpi=110)
            drawn.add(name)
            about = figure.title or (figure.kind if figure.kind == "confusion" else figure.metric)
            lines += [f"![{about}]({name})", ""]
    lines += ["## What differs from the source", "", study.about.strip(), ""] if study.about else []
    lines += [_made_of(plan), ""]
    write_text(out / PAGE, "\n".join(lines))
    if before:  # figures of the page that stood here, which nothing names any more
        for path in out.iterdir():
            if _FIGURE.fullmatch(path.name) and path.name not in drawn:
                path.unlink()
    write_text(out / TABLE, csv_of(plan, rows))
    write_text(out / "table.tex", latex_of(plan, rows))
    write_json(out / RECORDS, plain([_record(plan, row) for row in rows]))
    keep_verdicts(plan, judged, out / KEPT)
    _histories(plan, rows, out / HISTORIES)
    return out / PAGE


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [f"- {row.label}: {row.note}" for row in rows if row.note]
    failed = [f"- {row.label}: {row.states['failed']} failed." for row in rows if "failed" in row.states]
    return [*notes, *failed, ""] if notes or failed else []


def _hardly_found(plan: Plan) -> list[str]:
    """Which classes no run has learnt, on the first part that is judged: nothing on the page is about them."""
    part = plan.study.evaluate[0]
    best: dict[str, float] = {}
    for cell in done_of(plan.cells):
        judged = cell.run.record.estimates.get(evaluations_of(cell).get(part, part), {})
        for each in judged.get("per_class", []):
            if each["n"]:
                best[each["name"]] = max(best.get(each["name"], 0.0), each["recall"]["value"])
    lost = [name for name, recall in best.items() if recall <= _HARDLY]
    if not lost:
        return []
    return [f"No run has learnt {listed(lost)}: of faces annotated so it finds at most one in a hundred, and no figure "
            "here says what would help to find them.", ""]  # fmt: skip


def _made_of(plan: Plan) -> str:
    """Faces, machine, commit and seeds of the runs behind the page."""
    done = list({cell.id: cell for cell in done_of(plan.cells)}.values())
    if not done:
        return "Nothing of it has been run."
    records = [cell.run.record for cell in done]
    data = sorted({f"{r.data['training_faces']:,} training and {r.data['validation_faces']:,} validation faces of "
                   f"{_store_of(r)}" for r in records})  # fmt: skip
    devices = sorted({_device_of(r) for r in records})
    commits = sorted({r.versions.get("commit", "unknown") for r in records})
    hours = sum(r.seconds for r in records) / 3600
    return (
        f"{len(done)} runs, {hours:.1f} hours of training in all; {'; '.join(data)}; {'; '.join(devices)}; "
        f"commit {', '.join(commits)}, page by {code_versions().get('commit', 'unknown')}. {_begun_with(records)}"
        f"What it is made of: [{RECORDS}]({RECORDS}), [{TABLE}]({TABLE}), every epoch in [{HISTORIES}]({HISTORIES})."
    )


def _device_of(record: RunRecord) -> str:
    """Processor or card, and how it reckoned: another precision, or other threads, make other digits."""
    device = record.device
    if card := device.get("accelerator"):
        return f"{card}, {device['precision']}"
    threads = f" and {plural(int(device['threads']), 'thread')}" if "threads" in device else ""
    return f"{device['cores']} cores, {device['processor']}, {device['precision']}{threads}"


def _store_of(record: RunRecord) -> str:
    """Whose faces, how many of them the store has, and what its making counted, but for which faces that were."""
    told = [str(record.data["corpus"])]
    for step in record.data["history"]:
        if step["step"] == "prepare":
            told.append(f"{step['after']:,} pictures in the store")
        if step["step"] in _OF_STORE:
            counted = {what: n for what, n in step.items() if what not in ("step", "before", "after") and n}
            told += [f"{what}: {str(n).partition(' (')[0]}" for what, n in counted.items()]
    return told[0] + (f" ({'; '.join(told[1:])})" if told[1:] else "")


def _begun_with(records: Sequence[RunRecord]) -> str:
    """Weights of others that runs go back to, and on which terms: these bind what the runs learnt."""
    begun = [record.data.get("started_from", {}).get(PRETRAINED) for record in records]
    told = sorted({f"{Path(b['file']).name} ({b['terms']}; sha256 {b['sha256'][:12]})" for b in begun if b})
    return f"Weights of others that they begin with: {'; '.join(told)}. " if told else ""


def _record(plan: Plan, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = asdict(row)
    found["scale"] = plan.called
    found["cells"] = []
    for cell in done_of(plan.of(row.name)):
        record = cell.run.record
        config = dict(record.config)
        config["data"] = {"store": Path(config["data"]["store"]).name}
        if config["model"].get("weights"):
            config["model"] = config["model"] | {"weights": Path(config["model"]["weights"]).name}
        data = {k: v for k, v in record.data.items() if k not in ("store", "started_from")}
        begun = record.data.get("started_from", {})
        data["started_from"] = {k: begun[k] for k in ("sha256", PRETRAINED) if k in begun}
        estimates = {name: {**e, "on": Path(str(e["on"])).name} for name, e in record.estimates.items()}
        found["cells"].append({
            "key": cell.key, "seed": record.seed, "config": config, "versions": record.versions,
            "device": record.device, "data": data, "best": record.best, "model": record.model,
            "seconds": record.seconds, "estimates": estimates,
        })  # fmt: skip
    return found


def _histories(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    parts = [
        cell.run.history.assign(row=row.name, seed=cell.seed).drop(columns=["seconds", "images_per_s"], errors="ignore")
        for row in rows
        for cell in done_of(plan.of(row.name))
    ]
    if parts:
        with whole(path) as partial:
            pd.concat(parts).to_csv(partial, index=False, float_format="%.5g")
