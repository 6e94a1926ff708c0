"""FERPlus as an annotator perceives it, and the first audit of it with the annotator's errors carried along.

    mien prepare FERPLUS --out stores/ferplus
    mien annotate stores/ferplus --out stores/ferplus_perceived
    mien train experiments/ferplus_mienet.yaml --out runs/ferplus_mienet
    mien evaluate runs/ferplus_mienet --on stores/ferplus_perceived:PublicTest
    mien annotator runs/fairface_annotator --version 1 --out annotators/first
    mien annotate stores/ferplus --out stores/ferplus_first --option weights=annotators/first
    python benchmarks/perceived.py runs/ferplus_mienet stores/ferplus_perceived --other stores/ferplus_first

Every figure of the page is counted here, from the store, the run's predictions and the annotator's
held-out faces; only the shares that Olate (2025) published for deepface are quoted.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.annotators.annotate import THRESHOLDS
from mien.annotators.comparison import compare_annotators
from mien.audit import AnnotatorError, Audit, audit, infer_gaps, render_text
from mien.audit.inferred.shares import corrected_shares
from mien.audit.markdown import table
from mien.data.images import Store
from mien.data.splits import split_units
from mien.demographics import PREFIX
from mien.errors import DataError
from mien.records import Estimate, Predictions
from mien.report import overview_plot, save_png
from mien.report.figures import BLUE, GREEN, ORANGE, new_figure, styled
from mien.runs import Run, code_versions
from mien.stats.intervals import clustered_share
from mien.stats.settings import Settings

BY = ("gender", "age_group", "race4", "race", "age", "gender*age_group", "gender*race4")
# Olate 2025, deepface on FER2013, per cent.
DEEPFACE: dict[str, dict[str, float]] = {
    "gender": {"Male": 63.7, "Female": 36.3},
    "race6": {
        "White": 64.4,
        "Black": 6.9,
        "Latino_Hispanic": 5.8,
        "Asian": 15.3,
        "Indian": 1.5,
        "Middle Eastern": 6.1,
    },
    "age": {
        "0-2": 0,
        "3-9": 0,
        "10-19": 1.3,
        "20-29": 39.3,
        "30-39": 48.3,
        "40-49": 9.2,
        "50-59": 1.7,
        "60-69": 0.3,
        "70+": 0,
    },
}
HEAD = """# FERPlus as it is perceived, and an audit that knows how wrong that is

Written by `python benchmarks/perceived.py`; its first lines say how to repeat it. Groups are what a small network
perceives in 48-pixel grey pictures, after annotators who described pictures of strangers: they are not who the
persons are. Intervals are 95 %, over pictures with their copies as one unit.
"""


def percent(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "undefined"
    if np.isnan(estimate.low):
        return f"{100 * estimate.value:.1f} (no interval: {estimate.note})"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def shares_of(store: Store, head: str, seed: int) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Shares of all pictures, as perceived and corrected."""
    faces = store.table
    column = faces.frame[PREFIX + head]
    codes = column.cat.codes.to_numpy(np.int64)
    units = split_units(faces)
    groups = list(column.cat.categories)
    known = codes >= 0
    raw = {g: clustered_share((codes == k)[known], units[known]) for k, g in enumerate(groups)}
    try:
        error = AnnotatorError.from_content(faces.annotator_errors[PREFIX + head], head).matched(groups)
        corrected = corrected_shares(codes, error, units, settings=Settings(seed=seed))
    except DataError as refused:
        print(f"{head}: {refused}")
        corrected = {}
    return raw, corrected


def distributions(store: Store, seed: int, out: Path) -> list[str]:
    lines = ["## Who is perceived in FER2013's pictures", ""]
    lines += [
        f"{len(store.table):,} pictures ({' and '.join(store.table.splits)}; copies count once in the intervals). "
        "*Corrected*: the annotator's confusion on held-out FairFace faces, seen grey and 48 px small, inverted; its "
        "interval also holds the confusion's own sampling error. The last column is what Olate (2025) reports for "
        "deepface.",
        "",
    ]
    found = {head: shares_of(store, head, seed) for head in DEEPFACE}
    for head, (raw, corrected) in found.items():
        rows = [
            [g, percent(e), percent(corrected[g]) if g in corrected else "not possible", f"{DEEPFACE[head][g]:.1f}"]
            for g, e in raw.items()
        ]
        lines += [
            f"### Perceived {head}",
            "",
            *table(["group", "perceived, %", "corrected, %", "deepface, %"], rows),
        ]
    save_png(shares_plot(found), out / "shares.png", dpi=96)
    lines += ["![Shares as perceived, corrected, and by deepface](shares.png)", ""]
    return [*lines, *differences({head: raw for head, (raw, _) in found.items()}, found), ""]


def differences(raw: dict[str, dict[str, Estimate]], found: dict[str, Any]) -> list[str]:
    """What differs from deepface's shares, and why that may be."""
    young = 100 * sum(raw["age"][g].value for g in ("0-2", "3-9", "10-19"))
    theirs = sum(DEEPFACE["age"][g] for g in ("0-2", "3-9", "10-19"))
    middle = 100 * sum(raw["age"][g].value for g in ("20-29", "30-39"))
    their_middle = DEEPFACE["age"]["20-29"] + DEEPFACE["age"]["30-39"]
    lost = [head for head, (_, corrected) in found.items() if any(np.isnan(e.low) for e in corrected.values())]
    lost += [head for head, (_, corrected) in found.items() if not corrected]
    lines = [
        "### What differs, and why",
        "",
        f"- **Men and women.** Here {100 * raw['gender']['Male'].value:.1f} % are perceived as men, by deepface "
        f"{DEEPFACE['gender']['Male']:.1f} %. deepface's networks learnt from sharp colour pictures and saw these ones "
        "enlarged from 48 grey pixels; the annotator here learnt from such pictures too. On RAF-DB, too, "
        "deepface finds "
        "more men and fewer children than the people who annotated it (Olate 2025 beside Rizvi et al. 2024).",
        f"- **Age.** {young:.1f} % are perceived as under 20 here, {theirs:.1f} % by deepface, which finds "
        f"nobody under "
        f"10; {middle:.1f} % against {their_middle:.1f} % as 20 to 39. deepface gives one expected age, which is drawn "
        "to the middle; bins keep the ends.",
        "- **Race.** The annotator itself often takes Latino_Hispanic, Middle Eastern, Indian and White faces for one "
        "another (its card counts how often): differences between the two tools in these groups mean little.",
    ]
    if lost:
        lines.append(
            f"- **No correction for {', '.join(lost)}.** Either no mix of groups would be perceived as these "
            f"pictures are, "
            "or groups are confused too often for any correction. FER2013 was collected by searching the web for words "
            "of emotions; its pictures are posed, lit and cropped otherwise than FairFace's, and the annotator "
            "then errs "
            "otherwise too. Only people who look at these very pictures could tell."
        )
    return lines


@styled
def shares_plot(found: dict[str, Any]) -> Any:
    sizes = [len(DEEPFACE[head]) for head in found]
    figure = new_figure(9.5, 0.42 * sum(sizes) + 1.6, "Shares of perceived groups, three ways")
    axes = figure.subplots(len(found), 1, gridspec_kw={"height_ratios": sizes})
    for axis, (head, (raw, corrected)) in zip(axes, found.items(), strict=True):
        places = np.arange(len(raw))
        for offset, colour, marker, label, values in (
            (-0.22, BLUE, "o", "perceived", raw),
            (0.0, GREEN, "s", "corrected", corrected),
        ):
            for place, group in zip(places, raw, strict=True):
                if group not in values:
                    continue
                e = values[group]
                if np.isnan(e.low):
                    continue
                y = place + offset
                axis.plot([100 * e.low, 100 * e.high], [y, y], color=colour, lw=2)
                axis.plot(100 * e.value, y, marker, color=colour, ms=5, label=label if place == 0 else None)
        published = [DEEPFACE[head][g] for g in raw]
        axis.plot(published, places + 0.22, "D", color=ORANGE, ms=5, label="deepface, as published by Olate (2025)")
        axis.set_yticks(places, list(raw))
        axis.invert_yaxis()
        axis.set_xlim(-1, 100)
        axis.set_title(f"perceived {head}")
        axis.grid(axis="x")
    axes[0].legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.75))
    axes[-1].set_xlabel("share of the pictures, %")
    return figure


def thresholds(store: Store) -> list[str]:
    """What a least confidence would keep, by perceived group and by majority class."""
    faces = store.table
    classes = [c for c in faces.vocabulary if c not in ("unknown", "nf")]
    votes = faces.votes
    majority = np.where(votes.sum(1) > 0, votes.argmax(1), -1)
    lines = ["## What a least confidence would keep", ""]
    lines += [
        "Leaving faces out because the annotator is unsure is itself a bias where classes and groups are kept "
        "unequally. Shares in %.",
        "",
    ]
    rows = []
    for head in ("gender", "age_group", "race4"):
        sure = faces.frame[f"{PREFIX}{head}_confidence"].to_numpy()
        column = faces.frame[PREFIX + head]
        for bar in THRESHOLDS[1::2]:
            kept = sure >= bar
            by_class = {c: float(kept[majority == faces.vocabulary.index(c)].mean()) for c in classes}
            by_group = {
                g: float(kept[(column == g).to_numpy()].mean()) for g in column.cat.categories if (column == g).any()
            }
            rows.append([head, f"{bar:g}", f"{100 * kept.mean():.1f}", _ends(by_class), _ends(by_group)])
    header = ["perceived", "at least", "kept", "least and most kept class", "least and most kept group"]
    return [*lines, *table(header, rows)]


def _ends(shares: dict[str, float]) -> str:
    low, high = min(shares, key=lambda k: shares[k]), max(shares, key=lambda k: shares[k])
    return f"{low} {100 * shares[low]:.1f}, {high} {100 * shares[high]:.1f}"


def gaps(found: Audit) -> list[str]:
    rows = []
    for result in found.attributes:
        inferred = result.inferred
        gap = next(g for g in result.gaps if g.metric == "accuracy")
        cells = [result.label, str(gap.value), f"{gap.expected:.3f}", f"{gap.p_adjusted:.3f}"]
        for name in ("weighted", "corrected"):
            method = next((m for m in inferred.methods if m.name == name), None) if inferred else None
            cells.append(str(method.gap("accuracy").value) if method else "not possible")
        rows.append(cells)
    return table(["attribute", "gap as perceived", "by chance alone", "adjusted p", "weighted", "corrected"], rows)


def group_rows(found: Audit, names: tuple[str, ...]) -> list[str]:
    lines = []
    for result in found.attributes:
        if result.name.removeprefix(PREFIX) not in names:
            continue
        inferred = result.inferred
        method = next((m for m in inferred.methods if m.name == "corrected"), None) if inferred else None
        rows = []
        for group in result.groups:
            true = next((g for g in method.groups if g.name == group.name), None) if method else None
            corrected = (
                [f"{true.n:.0f}", str(true.metrics["accuracy"]), str(true.metrics["macro_f1"])] if true else [""] * 3
            )
            rows.append(
                [group.name, str(group.n), str(group.metrics["accuracy"]), str(group.metrics["macro_f1"]), *corrected]
            )
        header = [
            "group",
            "faces",
            "accuracy",
            "macro F1",
            "faces, corrected",
            "accuracy, corrected",
            "macro F1, corrected",
        ]
        lines += [f"### {result.label}", "", *table(header, rows)]
    return lines


def other_errors(predictions: Predictions, seed: int) -> list[str]:
    """Corrected accuracy gaps if the annotator erred here as it does within one kind of FairFace's faces."""
    rows = []
    for head in ("gender", "age_group", "race4"):
        content = predictions.annotator_errors[PREFIX + head]
        for other, within in content["within"].items():
            for group, known in within.items():
                try:
                    error = AnnotatorError.from_content({"groups": content["groups"], **known}, f"{other} {group}")
                    found = infer_gaps(predictions, PREFIX + head, error, settings=Settings(seed=seed), curves=False)
                    value = str(found.method("corrected").gap("accuracy").value)
                except DataError as refused:
                    value = f"not possible: {refused.found}"
                rows.append([f"perceived {head}", f"{other.removeprefix(PREFIX)} {group}", value])
    lines = ["## If the annotator erred as it does on some of FairFace's faces only", ""]
    lines += [
        "A correction takes the annotator to err here as it erred there. Each line takes the confusion counted within "
        "one kind of held-out faces for that of all faces here: how far the corrected gap moves shows how much hangs "
        "on it.",
        "",
    ]
    return [*lines, *table(["attribute", "confusion counted on", "accuracy gap, corrected"], rows)]


def another(found: Audit, store: Store, other: Store, predictions: Predictions, seed: int) -> list[str]:
    """The same audit with the groups that another annotator perceives, and how often the two agree."""
    again = audit(perceived_by(other, predictions), [a.name for a in found.attributes], settings=Settings(seed=seed))
    audited = store.table.where(store.table.frame["sample_id"].isin(predictions.sample_id).to_numpy(), "audited")
    agreement = {a.name: a for a in compare_annotators(audited, other.table, settings=Settings(seed=seed)).attributes}
    name = other.info["annotator"]
    rows = []
    for first, second in zip(found.attributes, again.attributes, strict=True):
        gaps_of = [next(g for g in r.gaps if g.metric == "accuracy") for r in (first, second)]
        known = agreement.get(first.name.removeprefix(PREFIX))
        rows.append(
            [
                first.label,
                str(known.agreement) if known else "",
                *(f"{g.value}, p {g.p_adjusted:.3f}" for g in gaps_of),
                "yes" if gaps_of[0].verdict == gaps_of[1].verdict else "no",
            ]
        )
    return [
        "## With another annotator",
        "",
        f"{name['name']} {name['version']} on the same faces: the same network after its first stage, "
        "nearly as good on FairFace's held-out faces ([all attempts](../annotator/ladder.md)). A finding that hangs on "
        "which of the two looks is none. Gaps of accuracy as perceived, with adjusted p.",
        "",
        *table(["attribute", "the two agree", "gap here", "gap there", "same verdict"], rows),
        f"There: {again.verdict}",
        "",
    ]


def perceived_by(store: Store, predictions: Predictions) -> Predictions:
    """The predictions with the attributes that a store's annotator perceives."""
    table = store.table
    rows = table.frame.set_index("sample_id").loc[predictions.sample_id, table.attribute_columns]
    return replace(predictions, groups=rows.reset_index(drop=True), annotator_errors=table.annotator_errors)


def limits(found: Audit) -> list[str]:
    """What the audit can say and what it cannot."""
    shown = [
        f"{r.label}: {g.metric.replace('_', ' ')}{' of ' + g.class_name if g.class_name else ''} "
        f"{g.value} between {g.worst} and {g.best} (adjusted p = {g.p_adjusted:.3f})"
        for r in found.attributes
        for g in r.gaps
        if g.family == "headline" and g.verdict == "disparity"
    ]
    hidden = {
        r.label: next(g.detectable for g in r.gaps if g.metric == "accuracy")
        for r in found.attributes
        if r.name.count("*") == 0
    }
    sizes = ", ".join(f"{100 * v:.0f} points for {k}" for k, v in hidden.items() if v == v)
    lines = ["## What this can say, and what it cannot", ""]
    lines += [f"- Shown beyond chance: {line}." for line in shown] or [
        "- Shown beyond chance: no gap between perceived groups in accuracy, balanced accuracy, F1 or recall of "
        "a class."
    ]
    return [
        *lines,
        f"- What could have stayed hidden: accuracy gaps smaller than about {sizes} would have been missed more often "
        "than one time in five.",
        "- The corrected gaps assume that the annotator errs on these faces as on FairFace's, and on faces that the "
        "model gets wrong as on those that it gets right. The first is contradicted where no mix of groups explains "
        "what is perceived; the second is untested, for nobody annotated both.",
        "- Groups of few faces, and classes of few faces (disgust, fear, contempt), are too few for any verdict.",
        "- One model, one seed, one corpus of web pictures from before 2013: nothing follows for other models, and "
        "nothing for people whom such pictures do not show.",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--other", type=Path, help="the same store, annotated by another annotator")
    parser.add_argument("--on", default="PublicTest", help="name of the run's predictions")
    parser.add_argument("--out", type=Path, default=Path("docs/results/perceived"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    store, run = Store.open(args.store), Run.open(args.run)
    predictions = replace(Predictions.load(run.predictions[args.on]), source=f"{run.path.name} on {args.on}")
    by = ["*".join(PREFIX + part for part in name.split("*")) for name in BY]
    found = audit(predictions, by, settings=Settings(seed=args.seed))
    (args.out / "audit.md").write_text(render_text(found))
    save_png(overview_plot(found), args.out / "audit.png", dpi=96)
    annotator = store.info["annotator"]
    versions = code_versions("numpy", "torch")
    lines = [
        HEAD,
        f"Annotator: {annotator['name']} {annotator['version']} ({annotator['source']}; {annotator['terms']}). Errors "
        f"counted on {annotator['errors_counted_on']}. Seed {args.seed}, commit {versions.get('commit', 'unknown')}.",
        "",
        *distributions(store, args.seed, args.out),
        *thresholds(store),
        f"## The audit: {run.path.name} on {args.on}",
        "",
        f"{len(predictions):,} faces, {len(predictions.classes)} classes. {found.verdict}",
        "",
        "Largest minus smallest accuracy between groups. *Weighted* puts each face into every group by its probability "
        "and says nothing of errors that are sure of themselves; *corrected* inverts the counted confusion.",
        "",
        *gaps(found),
        "![Gaps and what chance alone would show](audit.png)",
        "",
        *group_rows(found, ("gender", "age_group", "race4")),
        *other_errors(predictions, args.seed),
        *(another(found, store, Store.open(args.other), predictions, args.seed) if args.other else []),
        *limits(found),
        "The whole audit, with every class, notes and method: [audit.md](audit.md).",
    ]
    (args.out / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
