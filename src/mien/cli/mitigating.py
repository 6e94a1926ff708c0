"""The verb of mitigations: every method under one protocol."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mien.cli.app import Out, app
from mien.cli.taking import AS_WRITTEN, As, repeated
from mien.shown import tell

if TYPE_CHECKING:
    from mien.mitigate import MitigationConfig
    from mien.mitigate.phases import Places
    from mien.studies import Work


@app.command
def mitigate(
    file: Path,
    /,
    *,
    out: Out | None = None,
    page: Out | None = None,
    how: As = AS_WRITTEN,
    setting: Annotated[tuple[str, ...], Parameter(help="Only these settings of the study.")] = (),
    jobs: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    retry: Annotated[bool, Parameter(negative=())] = False,
    write: bool = True,
    since: Annotated[float | None, Parameter(show=False)] = None,
) -> int:
    """Train and judge every mitigation of a study under one protocol, and write the page that says which to use.

    The baseline is tuned first, every method has as many candidates, validation faces choose, and the judged part is
    asked once. The same command goes on after whatever ended it.

    Parameters
    ----------
    file
        The study; see studies/mitigate_*.yaml.
    out
        Folder of its runs; runs/NAME-SCALE by default.
    page
        Folder of the page; OUT/page by default.
    jobs
        Processes side by side; they share the processor's cores.
    threads
        Threads of one training.
    device
        Where faces are judged.
    retry
        Try failed runs again.
    write
        Write the page; without it only train.
    """
    import os

    from mien import terminal
    from mien.errors import MienError, UsageError
    from mien.mitigate import found_of, load_mitigation, told_of, write_matrix, write_page
    from mien.mitigate.checks import check_faces, check_methods, check_names
    from mien.mitigate.phases import Places
    from mien.registry import nearest
    from mien.studies import Work

    config = load_mitigation(file)
    for name in setting:
        if name not in config.settings:
            raise UsageError(f"--setting {name}", "is none of the study", "", nearest(name, list(config.settings)))
    places = Places(
        folder=file.parent,
        out=out or Path("runs") / f"{config.name}-{how.scale}",
        scale=how.scale,
        settings=how.settings,
        stores=how.stores,
        published=how.published,
    )
    began = since or time.time()
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    work = Work(device=device, threads=threads, retry=retry, features=config.probes, n_boot=100, since=began)
    asked = setting or tuple(config.settings)
    if since is None:  # else whoever began this process has looked
        check_names(config, asked, places)
    for name in asked:
        check_faces(config, name, places)
        if since is None:
            with terminal.waiting(f"{name}: trying what is to be trained"):
                check_methods(config, name, places, retry)
    if jobs > 1:
        words = [sys.executable, "-m", "mien.cli", "mitigate", str(file), "--out", str(places.out)]
        words += [*how.words(), *repeated([("--setting", setting)])]
        words += ["--threads", str(threads), "--device", device, "--since", repr(began), "--no-write"]
        done = _side_by_side([*words, "--retry"] if retry else words, jobs)
    else:
        states = [_train(config, name, places, work) for name in asked]  # one that fails stops no other
        done = all(states)
    if not done:
        tell(f"{places.out}: not all runs are done; cells/*/failure.txt says of what, --retry tries again", err=True)
    if not write:
        return 0 if done else 1
    target, founds, told = page or places.out / "page", [], {}
    for name in asked:
        try:
            found = found_of(config, name, places)
        except MienError as error:  # the others have their pages
            tell(str(error), err=True)
            done = False
            continue
        founds.append(found)
        with terminal.progress(f"{name}: reading the group from features", "methods") as progress:
            told[name] = told_of(found, jobs=jobs, progress=progress)
        place = target / name if len(config.settings) > 1 else target
        tell(f"page: {write_page(found, place, told=told[name])}")
    if len(config.settings) > 1 and founds and len(asked) == len(config.settings):  # of some it would be a poorer one
        tell(f"page: {write_matrix(founds, target, told=told)}")
    return 0 if done else 1


def _train(config: MitigationConfig, setting: str, places: Places, work: Work) -> bool:
    """Both phases of a setting; whether everything is done."""
    from mien import terminal
    from mien.errors import RunError
    from mien.mitigate import baseline_phase, methods_phase
    from mien.mitigate.run import chosen_baseline
    from mien.studies import run_study

    with terminal.stages() as stages:
        first = baseline_phase(config, setting, places)
        told = stages(f"{setting}: baseline")
        done = run_study(first.plan, work=work, say=terminal.say, progress=stages, told=told)
        try:  # a candidate that failed is none any more, and the others are chosen from
            chosen = chosen_baseline(config, setting, places)
        except RunError:
            return False
        second = methods_phase(config, setting, places, chosen)
        told = stages(f"{setting}: methods")
        return run_study(second.plan, work=work, say=terminal.say, progress=stages, told=told) and done


def _side_by_side(words: list[str], jobs: int) -> bool:
    """The same command in several processes; each takes what nobody has."""
    workers = [subprocess.Popen(words) for _ in range(jobs)]
    try:
        codes = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
    return all(code == 0 for code in codes)
