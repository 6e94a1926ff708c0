"""Verbs of perceived attributes: annotate, annotator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mien.cli.app import Force, Json, Out, app, names_of, options_of, pair_of, print_json
from mien.errors import ConfigError, UsageError
from mien.outputs import check_place
from mien.shown import tell

if TYPE_CHECKING:
    from mien.annotators.holdout import Holdout


@app.command
def annotate(
    store: Path,
    /,
    *,
    out: Out,
    by: str = "mien",
    option: tuple[str, ...] = (),
    least: tuple[str, ...] = (),
    holdout: str | None = None,
    ray: str | None = None,
    workers: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Add perceived race, gender and age to a store, with what the annotator gets wrong.

    The columns say what a model perceives in pictures, not who the persons are. An audit of predictions
    on the new store corrects its gaps with the annotator's known errors.

    Parameters
    ----------
    store
        The store.
    out
        Folder of the new store.
    by
        The annotator ('mien list annotators').
    option
        Options of the annotator, key=value.
    least
        Least confidence under which a group is left missing: race=0.6. See the printed table for its cost.
    holdout
        STORE:split of faces with annotated attributes, on which the annotator's errors are counted anew;
        the annotator in the box brings its own.
    ray
        Share the faces out among the cores of a Ray cluster whose machines all see the store: its address, or local
        for one on this machine.
    workers
        With --ray, at most so many; by default one a core.
    """
    from dataclasses import replace

    from mien import terminal
    from mien.annotators.annotate import annotate, check_least, measured
    from mien.annotators.loading import load_annotator
    from mien.annotators.mien import view_of
    from mien.data.images import STORE_FOLDER, Store
    from mien.data.labelled import parse_on

    check_place(out, STORE_FOLDER, "--out", [store], force=force)
    if workers is not None and (ray is None or workers < 1):
        raise UsageError("--workers", str(workers), "with --ray, at least 1")
    annotator = load_annotator(by, options_of(option))
    faces = Store.open(store)
    bars = check_least(_bars(least), annotator)
    if holdout is not None:
        path, split = parse_on(holdout)
        others = Store.open(path)
        with terminal.progress("counting errors", "faces") as progress:
            known: Holdout | None = measured(annotator, others, split, progress, terminal.say)
        seen, here = (view_of(store.images).replace("_", " ") + " px" for store in (others, faces))
        if known and seen != here:
            # In the source, so that tables and audits say it too.
            known = replace(known, source=f"{known.source}, {seen} where these are {here}")
            terminal.say(f"the hold-out pictures are of another kind ({seen}) than these ({here}): errors may differ")
    else:
        known = annotator.holdout(faces.images)
    looking = annotator
    if ray is not None:
        from mien.annotators.on_ray import RayAnnotator

        looking = RayAnnotator(annotator, by, options_of(option), store, address=ray, workers=workers)
    with terminal.progress("annotating", "faces") as progress:
        made = annotate(faces, out, looking, holdout=known, least=bars, force=force, progress=progress)
    if json:
        print_json(
            {
                "store": str(out),
                "attributes": made.attributes,
                "errors_counted_on": known.source if known else None,
                "uncorrectable": made.uncorrectable,
                "thresholds": [asdict(t) for t in made.thresholds],
            }
        )
        return
    tell(f"{out}: {len(made.store.table)} faces, {annotator.name} {annotator.version} ({annotator.source})")
    if made.n_undetected:
        tell(f"no face was found in {made.n_undetected} of them")
    _print_shares(made.store.table.frame, made.attributes)
    terminal.table(
        "What a least confidence (--least) would keep",
        ["attribute", "at least", "kept", "least kept class", "least kept group", "right on held-out faces"],
        [
            [t.attribute, f"{t.least:g}", str(t.kept), _worst(t.by_class), _worst(t.by_group), str(t.accuracy or "")]
            for t in made.thresholds
        ],
    )
    if known is None:
        tell("this annotator's errors are not known: no audit can correct with them (--holdout counts them)")
    else:
        tell(f"errors counted on {known.source}" + _use_of_errors(made.uncorrectable, known))
    for name, why in made.uncorrectable.items():
        tell(f"{name} cannot be corrected: {why}")
    tell("perceived, not known: what a model sees in a picture says nothing certain about the person in it")


def _bars(least: tuple[str, ...]) -> dict[str, float]:
    bars: dict[str, float] = {}
    for text in least:
        name, value = _bar(text)
        name = name.removeprefix("perceived_")
        if name in bars:
            raise ConfigError("--least", f"{name} stands twice", "one least confidence for each attribute")
        bars[name] = value
    return bars


def _use_of_errors(uncorrectable: Mapping[str, str], known: Holdout) -> str:
    if len(uncorrectable) == len(known.heads):
        return "; no audit can correct with them"
    return "; an audit corrects " + ("the other attributes" if uncorrectable else "with them")


def _bar(text: str) -> tuple[str, float]:
    name, value = pair_of("--least", text)
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError("--least", repr(text), "attribute=share, such as race=0.6") from None


def _print_shares(frame: object, attributes: list[str]) -> None:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    for name in attributes:
        shares = frame[name].value_counts(normalize=True, sort=False)
        tell(f"  {name}: " + ", ".join(f"{group} {share:.1%}" for group, share in shares.items()))


def _worst(shares: Mapping[str, object]) -> str:
    from mien.records import Estimate

    known = {k: v for k, v in shares.items() if isinstance(v, Estimate) and v.value == v.value}
    if not known:
        return ""
    name = min(known, key=lambda k: known[k].value)
    return f"{name} {known[name].value:.3f}"


@app.command
def annotator(
    run: Path,
    /,
    *,
    out: Out,
    version: Annotated[
        str | None, Parameter(help="Stands in every column that it fills; from the weights' checksum by default.")
    ] = None,
    force: Force = False,
) -> None:
    """Make an annotator of a run that learnt attributes: calibrated, half the size, its errors counted.

    Parameters
    ----------
    run
        A run with labels.attributes; see experiments/fairface_annotator.yaml.
    out
        Folder of the annotator; use it with: mien annotate STORE --option weights=FOLDER
    """
    from mien import terminal
    from mien.annotators.card import not_corrected
    from mien.annotators.mien import CARD_TEXT
    from mien.annotators.packing import ANNOTATOR_FOLDER, pack_annotator
    from mien.runs import Run

    check_place(out, ANNOTATOR_FOLDER, "--out", [run], force=force)
    with terminal.progress("looking at held-out faces", "faces") as progress:
        made = pack_annotator(Run.open(run), out, version=version, force=force, progress=progress)
    size = sum(p.stat().st_size for p in made.folder.iterdir()) / 1e6
    tell(f"{out}: {size:.1f} MB, perceives {', '.join(h.name for h in made.heads)}; its card: {out / CARD_TEXT}")
    for line in not_corrected(made):
        tell(line)


@app.command(name="compare-annotators")
def compare_annotators(
    one: Path, other: Path, /, *, by: str | None = None, labels: str = "majority", seed: int = 0, json: Json = False
) -> None:
    """Two annotators on the same faces: how often they agree, beyond chance, by confidence and by class.

    Parameters
    ----------
    one
        A store that one annotator annotated.
    other
        The same faces, annotated by another.
    by
        Attributes with commas; all that both have by default.
    labels
        The label scheme of the classes.
    seed
        Seed of the intervals.
    """
    from mien.annotators.comparison import compare_annotators
    from mien.annotators.comparison_text import comparison_text
    from mien.data.images import Store
    from mien.stats.settings import Settings

    tables = [Store.open(path).table for path in (one, other)]
    found = compare_annotators(
        *tables, attributes=names_of(by), labels=labels, settings=Settings(n_boot=1000, seed=seed)
    )
    if json:
        print_json(asdict(found))
    else:
        tell(*comparison_text(found).split("\n"))
