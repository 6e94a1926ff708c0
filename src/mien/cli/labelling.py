"""Verbs of labels by people: label, labels, agreement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mien.cli.app import Force, Json, Out, app, names_of, print_json
from mien.errors import UsageError
from mien.outputs import Kind, check_file, check_folder, check_place, whole_folder, write_text
from mien.shown import tell

if TYPE_CHECKING:
    from mien.agreement.votes import Votes
    from mien.data.images import Store
    from mien.labelling.database import LabelDatabase
    from mien.labelling.task import LabelTask

Flag = Parameter(negative=())
_AGREEMENT = Kind(
    "a report of agreement", "agreement.json", "sufficiency", ("agreement.md", "sufficiency.png", "annotators.png")
)


@app.command
def label(
    store: Path,
    /,
    *,
    database: str | None = None,
    classes: str | None = None,
    votes: Literal[10, 1] | None = None,
    per_face: int | None = None,
    intensity: Annotated[bool, Flag] = False,
    ask: str | None = None,
    split: str | None = None,
    faces: int | None = None,
    predictions: Path | None = None,
    uncertain_first: Annotated[bool, Flag] = False,
    thin_cells_first: Annotated[bool, Flag] = False,
    below: float | None = None,
    show_suggestion: Annotated[bool, Flag] = False,
    title: str | None = None,
    purpose: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    invite: str | None = None,
    hosts: str | None = None,
) -> None:
    """Open a page on which people say what they see in a store's faces; stop with Ctrl+C, start again, nothing is lost.

    An existing database goes on with its own task: options about it may be left out, and must not
    differ once somebody has labelled.

    Parameters
    ----------
    store
        The faces.
    database
        A file, a folder, or a SQLAlchemy URL (postgresql://user@host/name for a team); labels/STORE.db by default.
    classes
        Expressions to choose from, with commas; those of the store by default, FER+'s eight if it has fewer than two.
    votes
        Votes that each person spreads over a face's expressions: 10 (default) or 1.
    per_face
        People who label each face, at most; 3 by default.
    intensity
        Also ask how strong each expression is, 0 to 5.
    ask
        Perceived attributes to ask for, with commas: gender, age, race.
    split
        Only this split.
    faces
        Only so many faces.
    predictions
        A model's predictions, for the order and for --below.
    uncertain_first
        Faces first on which the model was least sure.
    thin_cells_first
        Faces first whose class has few faces in their perceived or annotated group.
    below
        Only faces on which the model was less sure than this.
    show_suggestion
        Show what the model said; it draws people to the model's answer.
    title
        Heading of the page.
    purpose
        What the labels are for, as people read it before they consent.
    host
        Where to listen; other hosts than this machine's need an invitation, and plain HTTP crosses the network.
    port
        Port.
    invite
        What people must know to join.
    hosts
        Further names under which people reach the page, with commas, such as that of a proxy with TLS.
    """
    from mien.data.images import Store
    from mien.labelling.server import serve_labels
    from mien.labelling.task import asked_attributes

    given = {
        "classes": names_of(classes),
        "votes_per_face": votes,
        "labels_per_face": per_face,
        "intensity": intensity or None,
        "attributes": asked_attributes(names_of(ask) or ()) or None,
        "split": split,
        "n_faces": faces,
        "uncertain_first": uncertain_first or None,
        "thin_cells_first": thin_cells_first or None,
        "below": below,
        "show_suggestion": show_suggestion or None,
        "title": title,
        "purpose": purpose,
    }
    opened = Store.open(store)
    where = database or str(Path("labels") / f"{store.resolve().name}.db")
    if "://" not in where:
        (check_folder if os.path.isdir(where) else check_file)(where, "--database")
    _refuse_inside(opened, where)
    chosen = {k: v for k, v in given.items() if v is not None}
    task = _task(opened, where, chosen, predictions)
    names = names_of(hosts) or ()
    serve_labels(opened, where, task, predictions=predictions, host=host, port=port, invite=invite, hosts=names)


def _refuse_inside(store: Store, where: str) -> None:
    """Refuse a new database in the folder of a store: 'mien prepare --force' would delete it with the store."""
    from mien.labelling.connecting import database_file

    file = database_file(where)
    if file is not None and not file.exists() and file.resolve().is_relative_to(store.path.resolve()):
        found = "lies in the store, which another 'mien prepare' may replace with all that is in it"
        raise UsageError(f"--database {where}", found, "a place outside of the store")


def _task(store: Store, where: str, chosen: dict[str, Any], predictions: Path | None) -> LabelTask | None:
    """The task of a new database, or of one without labels; None goes on with that of the database."""
    from dataclasses import replace

    from mien.errors import DataError
    from mien.labelling.database import LabelDatabase
    from mien.labelling.task import LabelTask

    try:
        held = LabelDatabase.open(where)
    except DataError:  # there is none, or whoever makes it is told why not
        task = LabelTask(**{"classes": chosen.get("classes") or _classes(store), **chosen})
    else:
        try:
            _refuse_idle(("--predictions", predictions, "the task's options", chosen))
            task = replace(held.task, **chosen)
            same = held.check(task, store)
        finally:
            held.close()
        if same and predictions is None:
            return None
    uses = task.uncertain_first or task.thin_cells_first or task.below is not None or task.show_suggestion
    needed = "--uncertain-first, --thin-cells-first, --below or --show-suggestion"
    _refuse_idle(
        ("--show-suggestion", task.show_suggestion, "--predictions", predictions),
        ("--predictions", predictions, needed, uses),
    )
    return task


def _classes(store: Store) -> tuple[str, ...]:
    """The store's expressions; FERPlus's where one cannot choose among them, which is said."""
    from mien.labelling.task import classes_of
    from mien.labels import FERPLUS_CLASSES

    own = classes_of(store.table)
    if len(own) > 1:
        return own
    has = f"only the class {own[0]!r}" if own else "no expressions"
    tell(f"The store has {has}: people choose from {', '.join(FERPLUS_CLASSES)} (--classes changes them)")
    return FERPLUS_CLASSES


@app.command
def labels(
    database: str,
    store: Path,
    /,
    *,
    ferplus: Out | None = None,
    ten_votes: Annotated[bool, Flag] = False,
    manifest: Out | None = None,
    pictures: Annotated[bool, Flag] = False,
    raw: Out | None = None,
    names: Annotated[bool, Flag] = False,
    out: Out | None = None,
    unlabelled: Literal["drop", "keep"] | None = None,
    person: str | None = None,
    export: Out | None = None,
    delete: Annotated[bool, Flag] = False,
    force: Force = False,
) -> None:
    """Take labels by people out of their database: files, a labelled store, or one person's own data.

    Parameters
    ----------
    database
        As given to 'mien label'.
    store
        The store that was labelled.
    ferplus
        Write votes as FERPlus's fer2013new.csv.
    ten_votes
        Bring every face to ten votes there.
    manifest
        Write a CSV that 'mien prepare' reads.
    pictures
        Write the pictures beside the votes or the manifest.
    raw
        Write every label ever submitted, those taken back included.
    names
        Annotators by the names they gave there, not by pseudonym.
    out
        Write a store with the labels.
    unlabelled
        Whether that store keeps faces without a label; drop by default.
    person
        An annotator, by name or pseudonym.
    export
        Write everything stored about that person.
    delete
        Delete that person and all of their labels.
    """
    from mien.data.images import Store
    from mien.labelling import exports, results
    from mien.labelling.database import LabelDatabase

    files = [f for f in (ferplus, manifest, raw, out) if f is not None]
    replaced = "--ferplus, --manifest, --raw, --out or --export"
    _refuse_idle(
        ("--ten-votes", ten_votes, "--ferplus", ferplus),
        ("--pictures", pictures, "--ferplus or --manifest", ferplus or manifest),
        ("--names", names, "--raw", raw),
        ("--unlabelled", unlabelled, "--out", out),
        ("--force", force, replaced, files or export),
        ("--export", export, "--person", person),
        ("--delete", delete, "--person", person),
    )
    if person is not None and files:
        raise UsageError(f"--person {person}", "files of all people beside it", "one after the other, in two commands")
    _refuse_existing(force, *(f for f in (ferplus, manifest, raw, export) if f is not None))
    held = LabelDatabase.open(database)
    try:
        opened = Store.open(store)
        held.check_store(opened)
        held.forget()  # somebody whose deletion could not be finished, for somebody read the database
        if person is not None:
            _person(held, person, export, delete)
            return
        if pictures and ferplus is not None:
            exports.check_ferplus_pictures(opened)
        if pictures:
            _refuse_pictures(force, exports.picture_folders(ferplus, manifest))
        if out is not None:
            results.refuse_out(opened, out, force)
        written = []
        if ferplus is not None:
            written.append(exports.export_ferplus(opened, held, ferplus, ten_votes=ten_votes, pictures=pictures))
        if manifest is not None:
            written.append(exports.export_manifest(opened, held, manifest, pictures=pictures))
        if raw is not None:
            written.append(exports.export_raw(held, raw, names=names))
        for file in written:
            tell(f"{file.path}: {file.n_rows} rows", *(f"  {note}" for note in file.notes))
        if out is not None:
            made = results.write_labelled_store(opened, held, out, force=force, unlabelled=unlabelled or "drop")
            tell(f"{out}: {len(made.table)} faces", *(f"  {note}" for note in results.label_notes(made.table)))
        if not files:
            frame = results.label_frame(held)
            tell(f"{frame['face'].nunique()} of {len(held.faces)} faces labelled, {len(frame)} labels in all")
            tell("take them out with --ferplus, --manifest, --raw or --out; how well people agree: mien agreement")
    finally:
        held.close()


def _refuse_idle(*options: tuple[str, object, str, object]) -> None:
    """Refuse options that would do nothing: each with whether it is given, what it needs, and whether that is."""
    for option, given, needed, there in options:
        if given and not there:
            raise UsageError(option, "does nothing alone", f"{needed} beside it")


def _refuse_existing(force: bool, *files: Path) -> None:
    """Refuse files that are there, unless they may be replaced, and one file for two options."""
    for i, file in enumerate(files):
        check_file(file)
        if file.exists() and not force:
            raise UsageError(str(file), "exists already", "a new file", "Pass --force to replace it.")
        if file.resolve() in [f.resolve() for f in files[:i]]:
            raise UsageError(str(file), "is named by two options", "a file of its own for each")


def _refuse_pictures(force: bool, folders: list[Path]) -> None:
    for folder in folders:
        if folder.exists() and not force:
            fix = "Pass --force to replace pictures of the same names."
            raise UsageError(f"--pictures: {folder}", "exists already", "a new folder", fix)


def _person(held: LabelDatabase, person: str, export: Path | None, delete: bool) -> None:
    from mien.labelling.accounts import delete_annotator, find_annotator
    from mien.labelling.connecting import in_words
    from mien.labelling.exports import export_person

    account = find_annotator(held, person)
    if export is None and not delete:
        raise UsageError(f"--person {person}", "nothing is asked", "--export FILE or --delete")
    if export is not None:
        export_person(held, account.id, export)
        tell(f"{export}: everything stored about {account.name}")
    if delete:
        with in_words(held.where):
            n = delete_annotator(held, account.id)
        tell(f"{account.name} and {n} labels are deleted; files exported before still hold them")
        if held.traces:
            tell(
                f"The log beside {held.where} still holds traces of them, for somebody reads the database. "
                "They are overwritten by the next 'mien label' or 'mien labels' once nobody does."
            )


@app.command
def agreement(
    what: str,
    /,
    *,
    store: Path | None = None,
    of: str | None = None,
    out: Out | None = None,
    n_boot: int = 1000,
    seed: int = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """How well people agree on their labels, who judges unlike the others, and how many votes are enough.

    Parameters
    ----------
    what
        A store with votes, whose annotators are then not known; a database of 'mien label'; or a table of
        ratings (CSV, Parquet): one row a rating (item, rater, label), one column a rater, or votes_<class>.
    store
        Of a database: the store that was labelled, so that copies of a picture count once.
    of
        Of a database: another question than the expression, such as gender or intensity:happiness.
    out
        Folder for agreement.json, agreement.md and pictures.
    n_boot
        Bootstrap replicates.
    seed
        Seed of everything drawn.
    """
    from dataclasses import replace

    from mien.agreement.summary import summarise, summary_text
    from mien.stats.settings import Settings

    if out is not None:
        check_place(out, _AGREEMENT, "--out", [what], force=force)
    votes, asked, said = _answers(what, store, of)
    found = summarise(votes, what, settings=Settings(n_boot=n_boot, seed=seed), **asked)
    found = replace(found, notes=[*said, *found.notes])
    if json:
        print_json(found.content())
    if out is not None:
        from mien.records import write_json
        from mien.report.agreement_plots import outlier_plot, sufficiency_plot
        from mien.report.figures import save_png

        with whole_folder(out, _AGREEMENT, force=force) as folder:
            write_json(folder / "agreement.json", found.content())
            write_text(folder / "agreement.md", summary_text(found))
            if found.sufficiency is not None:
                save_png(sufficiency_plot(found.sufficiency), folder / "sufficiency.png")
            if found.outliers is not None:
                save_png(outlier_plot(found.outliers), folder / "annotators.png")
    if not json:
        tell(*summary_text(found).split("\n"))


def _is_table(path: Path) -> bool:
    """Whether something is called as tables are, or is a file and no database of SQLite."""
    if {".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet"} & {s.lower() for s in path.suffixes}:
        return True
    if not path.is_file() or path.suffix == ".db":
        return False
    with open(path, "rb") as file:
        return not file.read(16).startswith(b"SQLite format 3")


def _answers(what: str, store: Path | None, of: str | None) -> tuple[Votes, dict[str, Any], list[str]]:
    """The votes of a store, a table or a database, what a summary must know of the questions, and notes."""
    from mien.agreement.ratings import read_ratings
    from mien.agreement.summary import EXPRESSION
    from mien.agreement.votes import Votes
    from mien.data.images import Store
    from mien.data.splits import split_units

    if (Path(what) / "store.json").is_file():
        for option, given in (("--store", store), ("--of", of)):
            if given is not None:
                raise UsageError(f"{option} {given}", f"does nothing: {what} is a store", "a database of 'mien label'")
        faces = Store.open(what).table
        return Votes.from_table(faces, what, cluster=split_units(faces)), {}, []
    if _is_table(Path(what)):
        for option, given in (("--store", store), ("--of", of)):
            if given is not None:
                raise UsageError(f"{option} {given}", f"does nothing: {what} is a table", "a database of 'mien label'")
        votes, said = read_ratings(Path(what))
        return votes, {}, said
    from mien.labelling.database import LabelDatabase
    from mien.labelling.results import agreement_votes, asked_questions, question_votes

    held = LabelDatabase.open(what)
    try:
        table = None
        if store is not None:
            opened = Store.open(store)
            held.check_store(opened)
            table = opened.table
        metrics = asked_questions(held)
        if of is None or of == EXPRESSION:
            others = {q: (question_votes(held, q, table), metric) for q, metric in metrics.items() if of is None}
            return agreement_votes(held, table), {"others": others}, []
        return question_votes(held, of, table), {"question": of, "metric": metrics[of]}, []
    finally:
        held.close()
