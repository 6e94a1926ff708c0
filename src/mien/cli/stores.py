"""Verbs that make stores of stores: merge, align, balance."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien.cli.app import Force, Json, Out, app, counts_of, names_of, options_of, pair_of, print_json
from mien.errors import ConfigError, UsageError
from mien.outputs import check_file, check_place
from mien.shown import tell


@app.command
def merge(
    *stores: Path,
    out: Out,
    classes: Annotated[
        tuple[str, ...], Parameter(name="--class", help="One class and the words that it joins: happy=happiness,joy.")
    ] = (),
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Join the faces of several stores in one: one vocabulary, one size and colour, copies across corpora found.

    The attribute 'corpus' says where each face is from.

    Parameters
    ----------
    stores
        Folders of the stores, two or more.
    out
        Folder of the new store.
    size
        Side in pixels; that of most faces by default.
    channels
        1 for grey, 3 for colour; as most faces by default.
    """
    from mien import terminal
    from mien.data.images import STORE_FOLDER
    from mien.merge import merge

    check_place(out, STORE_FOLDER, "--out", list(stores), force=force)
    joined: dict[str, tuple[str, ...]] = {}
    for name, words in (pair_of("--class", pair) for pair in classes):
        if name in joined:
            raise ConfigError("--class", f"{name!r} twice", "each class once, with all its words")
        joined[name] = names_of(words) or (name,)
    with terminal.progress("merging", "faces") as progress:
        store = merge(stores, out, classes=joined or None, size=size, channels=channels, force=force, progress=progress)
    if json:
        print_json(store.info)
        return
    tell(f"{store.info['n']} faces of {'x'.join(map(str, store.info['shape'][1:3]))} in {out}")
    for what, found in store.info["detail"].items():
        tell(f"  {what}: {counts_of(found)}")
    tell(f"  classes, by most votes: {counts_of(store.info['classes'])}")
    for terms in str(store.info["terms"]).split(" | "):
        tell(f"  terms of {terms}")


@app.command
def align(
    store: Path,
    /,
    *,
    out: Out,
    detector: str | None = None,
    option: tuple[str, ...] = (),
    force: Force = False,
    json: Json = False,
) -> None:
    """Turn, scale and move a store's faces so that their eyes stand level, by landmarks.

    Labels, groups, copies and splits stay as they are. A face whose eyes are not found stays as it is and is counted.

    Parameters
    ----------
    store
        The store.
    out
        Folder of the new store.
    detector
        What finds the landmarks ('mien list detectors'); those that the store has by default.
    option
        Options of the detector, key=value.
    """
    from mien import terminal
    from mien.align import align
    from mien.data.images import STORE_FOLDER, Store
    from mien.faces import DETECTORS

    check_place(out, STORE_FOLDER, "--out", [store], force=force)
    if option and detector is None:
        raise UsageError("--option", option[0], "with --detector")
    finds = None
    if detector is not None:
        factory, asked = DETECTORS.get(detector, "--detector"), options_of(option)
        if "threads" in signature(factory).parameters:  # faces are searched side by side, one thread each
            asked = {"threads": 1} | asked
        finds = factory(**DETECTORS.check_options(detector, asked, "--option"))
    faces = Store.open(store)
    with terminal.progress("aligning", "faces") as progress:
        made = align(faces, out, finds, force=force, progress=progress)
    if json:
        print_json(made.info)
        return
    tell(f"{made.info['n']} faces in {out}")
    for what, found in made.table.history[-1].detail.items():
        tell(f"  {what}: {counts_of(found)}")


@app.command
def balance(
    store: Path,
    /,
    *,
    out: Out,
    by: str = "class",
    n: int | None = None,
    labels: str = "majority",
    split: str | None = None,
    seed: int = 0,
    report: Out | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Choose faces so that each cell of class, groups and complexity has as many; says which cells are short.

    Parameters
    ----------
    store
        The store.
    out
        Folder of the new store.
    by
        What makes the cells, with commas: class, complexity (expressions with a vote), attributes of the store.
    n
        Faces of each cell at most; as many as the smallest that has any by default.
    labels
        Scheme that says the class ('mien list labels').
    split
        Balance this split and keep the others as they are; all faces together by default.
    seed
        Seed of the choice.
    report
        File (.csv) for the table of cells.
    """
    from mien import terminal
    from mien.balance import balance
    from mien.data.images import STORE_FOLDER
    from mien.outputs import whole
    from mien.spreadsheets import write_csv

    check_place(out, STORE_FOLDER, "--out", [store], force=force)
    if report is not None:
        check_file(report, "--report", [store], force=force)
    with terminal.progress("balancing", "faces") as progress:
        made, chosen = balance(
            store, out, names_of(by) or (), n=n, labels=labels, split=split, seed=seed, force=force, progress=progress
        )
    if report is not None:
        with whole(report) as partial:
            write_csv(chosen.cells, partial)
    if json:
        print_json({**made.info, "cells": chosen.cells.to_dict("records")})
        return
    tell(f"{made.info['n']} faces in {out}, {chosen.wanted} wanted of each of {len(chosen.cells)} cells")
    for reason, count in chosen.left_out.items():
        tell(f"  left out, {reason}: {count}")
    short = chosen.cells[chosen.cells["short"] > 0].sort_values("short", ascending=False, kind="stable")
    if short.empty:
        tell("  no cell is short")
        return
    shown = short.head(20)
    terminal.table(
        f"{len(short)} cells are short, {chosen.short} faces in all",
        list(shown.columns),
        [[str(v) for v in row] for row in shown.itertuples(index=False)],
    )
    if len(short) > len(shown):
        tell(f"  and {len(short) - len(shown)} more cells; --report writes all")
