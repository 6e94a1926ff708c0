"""How far FERPlus's annotators agree, how many votes are enough, and what the measures can do.

    python benchmarks/agreement.py VOTES [--out docs/results/agreement]

VOTES is FERPlus's `fer2013new.csv` or a store that `mien prepare` made of it (only a store knows
which pictures are copies). The measures run on all faces and on those that at most three annotators
called unknown or not-a-face (Clean1). Then samples are drawn from the real votes, or from annotators of
known confusion: do intervals hold the truth, does the model of Dawid and Skene find the classes, are
outliers found and honest annotators left alone. `--quick` runs few simulations.
Writes `README.md`, `agreement.json`, `sufficiency.png`, `outliers.png` and `annotator.png` into `--out`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from agreement_simulations import (
    FULL,
    MEASURES,
    N_ANNOTATORS,
    N_EXPRESSIONS,
    PER_FACE,
    alarms,
    annotators,
    coverage,
    deal,
    named,
    team,
)
from mien.agreement import (
    AlphaResult,
    DawidSkene,
    KappaResult,
    Votes,
    VoteSufficiency,
    dawid_skene,
    find_outliers,
    fleiss_kappa,
    krippendorff_alpha,
    vote_sufficiency,
)
from mien.audit.markdown import table
from mien.audit.plain_results import from_plain
from mien.data.datasets.ferplus import read_votes
from mien.data.images import Store
from mien.labels import FERPLUS_VOCABULARY
from mien.records import Estimate, write_json
from mien.runs import code_versions
from mien.stats.settings import Settings

CLEAN1 = 3  # most votes for unknown and not-a-face together


# The real votes


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """``(n, 10)`` counts of votes, and the copies' clusters where they are known."""
    if path.is_dir():
        table = Store.open(path).table
        return table.votes, table.frame["cluster"].to_numpy()
    return read_votes(path)[[f"votes_{v}" for v in FERPLUS_VOCABULARY]].to_numpy(dtype=np.float64), None


def measured(counts: np.ndarray, cluster: np.ndarray | None, seed: int) -> dict[str, Any]:
    """All measures that need no names, by set of faces and reading of unknown."""
    out: dict[str, Any] = {}
    clean = counts[:, N_EXPRESSIONS:].sum(1) <= CLEAN1
    for name, use in (("all faces", np.ones(len(counts), dtype=bool)), ("Clean1", clean)):
        votes = Votes.from_counts(counts[use], FERPLUS_VOCABULARY, cluster=None if cluster is None else cluster[use])
        for unknown in ("missing", "class"):
            out[f"{name}, {unknown}"] = {
                "alpha": krippendorff_alpha(votes, unknown=unknown, settings=Settings(seed=seed)),
                "kappa": fleiss_kappa(votes, unknown=unknown, settings=Settings(seed=seed)),
                "sufficiency": vote_sufficiency(votes, unknown=unknown, settings=Settings(seed=seed)),
            }
    return out


def speeds(counts: np.ndarray, seed: int) -> dict[str, float]:
    """Processor seconds of each measure at full size."""
    rng = np.random.default_rng(seed)
    votes = Votes.from_counts(counts, FERPLUS_VOCABULARY)
    ten = counts[counts.sum(1) == FULL]
    team_of_20 = named(*deal(ten, FULL, N_ANNOTATORS, rng), FERPLUS_VOCABULARY, rng.lognormal(1, 0.5, (len(ten), FULL)))
    jobs: dict[str, Callable[[], object]] = {
        "alpha, 1,000 replicates": lambda: krippendorff_alpha(votes),
        "kappa, 1,000 replicates": lambda: fleiss_kappa(votes),
        "sufficiency, 1,000 replicates": lambda: vote_sufficiency(votes, unknown="class"),
        "alpha, 20 named annotators": lambda: krippendorff_alpha(team_of_20),
        "Dawid and Skene, one fit": lambda: dawid_skene(team_of_20, settings=Settings(n_boot=1)),
        "Dawid and Skene, 100 replicates": lambda: dawid_skene(team_of_20),
        "outliers, 1,000 replicates and 100 fits": lambda: find_outliers(team_of_20),
    }
    out = {}
    for name, job in jobs.items():
        start = time.process_time()
        job()
        out[name] = time.process_time() - start
    return out


# The page


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def agreement_section(real: dict[str, Any]) -> Iterator[str]:
    yield from ("## How far they agree", "")
    rows = [["faces", "unknown and not-a-face", "n", "alpha", "kappa", "two annotators agree", "by chance"]]
    for name, found in real.items():
        kappa, (faces, unknown) = found["kappa"], name.split(", ")
        cells = [found["alpha"].alpha, kappa.kappa, kappa.agreement, kappa.chance]
        rows.append([faces, unknown, f"{kappa.n:,}", *map(str, cells)])
    yield from table(rows[0], rows[1:])
    yield (
        "`missing`: such votes are no judgement of the expression; `class`: they are two more classes. Alpha weighs "
        "each judgement alike, kappa each face; they differ where faces have unequal numbers of votes."
    )
    yield from ("", "Alpha of each class against the others together:", "")
    classes = list(real["all faces, class"]["alpha"].by_class)
    rows = [["class", *real]]
    for c in classes:
        rows.append([c, *(str(e) if (e := f["alpha"].by_class.get(c)) else "" for f in real.values())])
    yield from table(rows[0], rows[1:])
    by_class = real["Clean1, missing"]["alpha"].by_class
    order = sorted(by_class, key=lambda c: by_class[c].value)
    yield f"Annotators agree least on {order[0]} and {order[1]}, most on {order[-1]} (Clean1, `missing`)."
    yield ""


def sufficiency_section(real: dict[str, Any]) -> Iterator[str]:
    yield from ("## How many votes are enough", "", "![Curves](sufficiency.png)", "")
    for name in ("Clean1, class", "Clean1, missing"):
        s = real[name]["sufficiency"]
        yield from (f"**{name}**: {s.n:,} faces with exactly {s.m} votes, {s.n_left_out:,} others left out.", "")
        head = ["votes", f"all {s.m}", f"{s.r} others", "one more", "tied", f"KL to all {s.m}", "distance to all"]
        rows = [[*head, f"distance to {s.r} others", "squared error"]]
        for p in s.points:
            cells = (p.agreement_all, p.agreement_others, p.agreement_next, p.tied, p.kl_all, p.distance_all)
            rows.append([str(p.t), *(short(e) for e in (*cells, p.distance_others, p.squared_error))])
        yield from table(rows[0], rows[1:])
    s = real["Clean1, class"]["sufficiency"]
    at, everybody = s.points[s.r - 1], real["all faces, class"]["sufficiency"].points[s.r - 1]
    yield (
        "*All*, *others*, *one more*: chance that the top class of so many votes (ties by lot) is a top class of all "
        "votes, of others, of one other. KL in nats; distance is total variation; squared error is the expected "
        "squared distance from the distribution of all annotators one could ask, V / t. Two votes are worth no more "
        "than one for a top class: they agree, or tie."
    )
    yield from ("", s.notes[0], "")
    yield (
        f"So {at.t} votes have the top class of all {s.m} in {percent(at.agreement_all.value)} of the faces, but that "
        f"of {s.r} other votes in {percent(at.agreement_others.value)} only (Clean1, `class`; with all faces "
        f"{percent(everybody.agreement_all.value)} and {percent(everybody.agreement_others.value)}). With `missing`, "
        "the faces left out are those where somebody saw no expression: what remains is easier."
    )
    yield from ("", "### An eleventh vote", "")
    now, then = s.points[-1].squared_error.value, s.points[-1].squared_error.value - s.next_gain.value
    yield (
        f"If votes are exchangeable draws, it would lower the squared error of {now:.4f} by {s.next_gain.value:.4f} "
        f"[{s.next_gain.low:.4f}, {s.next_gain.high:.4f}], to {then:.4f} (Clean1, `class`): the root falls from "
        f"{np.sqrt(now):.3f} to {np.sqrt(then):.3f}. What it would do for the top class cannot be known from ten "
        "votes; the eighth and ninth together raise the agreement with one further vote by "
        f"{100 * s.last_gain.value:.2f} [{100 * s.last_gain.low:.2f}, {100 * s.last_gain.high:.2f}] points."
    )
    yield ""


def short(e: Estimate) -> str:
    if e.value != e.value:
        return "–"
    return f"{e.value:.3f}" if e.low != e.low else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


def simulation_section(content: dict[str, Any]) -> Iterator[str]:
    n, n_alarms, n_fits = content["sims"], content["alarm_sims"], content["fit_sims"]
    yield from ("## Do the intervals hold the truth", "")
    yield (
        f"{n} samples of each size from the Clean1 faces, {content['n_boot']} replicates; the truth is the value of "
        f"all of them. One standard error of a share near 0.95 is {100 * np.sqrt(0.95 * 0.05 / n):.1f} points."
    )
    yield ""
    rows = [["faces", *MEASURES]]
    rows += [[f"{r['faces']:,}", *(f"{r[m]:.3f}" for m in MEASURES)] for r in content["coverage"]]
    yield from table(rows[0], rows[1:])
    yield from ("## Dawid and Skene where the truth is known", "", "![One adversary's votes](annotator.png)", "")
    yield (
        f"Simulated annotators, {n_fits} samples a row: 12 of them, five a face, classes as frequent and mistakes "
        "spread as in FERPlus. Faces given their class by the model's posterior and by majority (ties by lot); mean "
        "absolute error of the annotators' accuracies; how often their 95 % intervals hold the truth: too seldom where "
        "votes are few for what the model asks of them."
    )
    yield ""
    rows = [["team", "faces", "right, model", "right, majority", "error of accuracy", "interval holds it"]]
    for r in content["annotators"]:
        shares = [percent(r["by the model"]), percent(r["by majority"])]
        rows.append(
            [r["team"], f"{r['faces']:,}", *shares, f"{r['error of accuracy']:.3f}", f"{r['interval holds it']:.3f}"]
        )
    yield from table(rows[0], rows[1:])
    yield from ("## Outlying annotators", "", "![A team with one odd annotator](outliers.png)", "")
    yield (
        f"Teams of {N_ANNOTATORS}, {PER_FACE} a face, dealt the real votes of Clean1 faces, so that all are alike; "
        f"{content['null_sims']} samples a row where nobody is odd, {n_alarms} in the others. *False alarm*: any "
        "honest annotator is flagged (aimed at: 5 % at most). *Found*: the odd one is flagged, for the right reason. A "
        "flag asks for a difference of 0.05, or half the time, too; not so in the rows *any difference*. Where honest "
        "annotators slip, the one who slips most does differ, and many faces show it."
    )
    yield ""
    rows = [["team", "faces", "faces each", "false alarm", "found", "its difference in agreement"]]
    for r in content["alarms"]:
        difference = "" if r["difference"] is None else f"{r['difference']:.3f}"
        cells = [f"{r['faces']:,}", f"{r['each']:,}", percent(r["false alarm"]), percent(r["found"]), difference]
        rows.append([r["team"], *cells])
    yield from table(rows[0], rows[1:])


def page(content: dict[str, Any], real: dict[str, Any]) -> str:
    """The whole README."""
    made = ", ".join(f"{k} {v}" for k, v in content["versions"].items())
    known = "Copies of a picture are one unit." if content["clusters"] else (
        "The file does not say which pictures are copies of each other: each row is a unit, so intervals are a little "
        "too narrow. A store knows."
    )  # fmt: skip
    lines = [
        "# How far FERPlus's annotators agree, and how many votes are enough",
        "",
        f"Made by `{content['command']}`, seed {content['seed']}; {made}.",
        "",
        f"{content['n']:,} faces, ten votes each over eight expressions, unknown and not-a-face; Clean1: the "
        f"{content['n_clean1']:,} with at most {CLEAN1} votes for the last two. Intervals are 95 %, by bootstrap over "
        f"faces (BCa). {known} These are votes on what a face shows others, and say nothing about what anybody felt.",
        "",
        *agreement_section(real),
        *sufficiency_section(real),
        *simulation_section(content),
        "## What this cannot say",
        "",
        "FERPlus does not tell who cast a vote, so its own annotators cannot be judged: the last two sections are "
        "simulations. Nor can it be seen whether ten votes came from ten people who looked independently; where they "
        "did not, all agreement here is too high and V / t too low.",
        "",
        "## Processor time",
        "",
        f"All {content['n']:,} faces, one core; the named annotators are simulated, ten a face.",
        "",
        *table(["measure", "seconds"], [[k, f"{v:.1f}"] for k, v in content["speeds"].items()]),
    ]
    return "\n".join(lines)


def figures(real: dict[str, Any], example: DawidSkene, counts: np.ndarray, seed: int, out: Path) -> None:
    """The pictures of the page."""
    from mien.report.agreement_plots import annotator_confusion_plot, outlier_plot, sufficiency_plot
    from mien.report.figures import save_png

    save_png(sufficiency_plot(real["Clean1, class"]["sufficiency"]), out / "sufficiency.png")
    save_png(annotator_confusion_plot(example, "00"), out / "annotator.png")
    votes = team(counts, 800, "clicks at random half the time", np.random.default_rng(seed), 0.1)
    save_png(outlier_plot(find_outliers(votes, settings=Settings(seed=seed))), out / "outliers.png")


def restored(plain: dict[str, Any]) -> dict[str, Any]:
    """The measures as they were saved."""
    kinds = {"alpha": AlphaResult, "kappa": KappaResult, "sufficiency": VoteSufficiency}
    return {name: {k: from_plain(kinds[k], v) for k, v in found.items()} for name, found in plain.items()}


def main() -> None:
    """Measure, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("votes", type=Path, help="fer2013new.csv, or a store of FERPlus")
    parser.add_argument("--out", type=Path, default=Path("docs/results/agreement"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 samples a simulation")
    parser.add_argument("--again", action="store_true", help="the page from agreement.json as it is")
    options = parser.parse_args()
    if options.again:
        content = json.loads((options.out / "agreement.json").read_text())
        (options.out / "README.md").write_text(page(content, restored(content.pop("real"))))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    sims, null_sims, alarm_sims, fit_sims = (3, 3, 3, 3) if options.quick else (300, 300, 60, 30)
    counts, cluster = read(options.votes)
    real = measured(counts, cluster, options.seed)
    clean = counts[(counts[:, N_EXPRESSIONS:].sum(1) <= CLEAN1) & (counts.sum(1) == FULL)]
    rows, example = annotators(clean, fit_sims, 60, options.seed)
    content = {
        "command": f"python benchmarks/agreement.py {options.votes.name}" + (" --quick" if options.quick else ""),
        "seed": options.seed,
        "versions": code_versions("numpy", "scipy"),
        "n": len(counts),
        "n_clean1": int((counts[:, N_EXPRESSIONS:].sum(1) <= CLEAN1).sum()),
        "clusters": cluster is not None,
        "sims": sims,
        "null_sims": null_sims,
        "alarm_sims": alarm_sims,
        "fit_sims": fit_sims,
        "n_boot": 500,
        "coverage": coverage(clean, sims, 500, options.seed),
        "annotators": rows,
        "alarms": alarms(clean, null_sims, alarm_sims, options.seed),
        "speeds": speeds(counts, options.seed),
    }
    figures(real, example, clean, options.seed, options.out)
    plain = {name: {k: asdict(v) for k, v in found.items()} for name, found in real.items()}
    write_json(options.out / "agreement.json", content | {"real": plain})
    (options.out / "README.md").write_text(page(content, real))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
