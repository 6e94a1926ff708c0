"""What fresh probes read of the group from the features of each method of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from mien.audit.attributes import resolve_attribute
from mien.audit.leakage import ProbeSettings, leakage_inputs, leakage_probe
from mien.audit.leakage.results import EXPRESSION
from mien.audit.seeds.noise import interval_over_seeds
from mien.inference import Progress
from mien.mitigate.definition import BASELINE, ROWS, MitigationConfig, in_words
from mien.mitigate.run import Found, Outcome
from mien.mitigation import MITIGATIONS
from mien.stats.settings import Settings
from mien.studies.features import features_of, latents_of
from mien.studies.tables import table
from mien.wording import listed

_LATENT = "latent"


def probed(
    found: Found, settings: Settings, jobs: int = 1, progress: Progress = lambda done, total: None
) -> dict[str, dict[str, Any]]:
    """What fresh probes read of the group from the features of each method.

    Args:
        found: What the setting came to.
        settings: Their seed.
        jobs: Processes side by side, which share the processor's cores.
        progress: Called with methods done and in all.

    Returns:
        Method -> input and probe -> what was read of each seed, and the mean that was read of permuted groups. A method
        that is fitted after training has none: its features are those of the model that it was fitted to.
    """
    n = len(found.tried[BASELINE].best)  # runs, over which the permutations are shared out
    asked = ProbeSettings(
        n_perm=-(-50 // n), n_perm_mlp=-(-5 // n), max_n=3000, n_boot=200, min_n=found.config.min_n, seed=settings.seed
    )
    config = found.config
    trained = {n: t.best for n, t in found.tried.items() if config.methods.get(n, config.baseline).after is None}
    works = (delayed(_read)(runs, config.attribute, config.judged, asked) for runs in trained.values())
    out = {}
    for name, read in zip(trained, Parallel(n_jobs=jobs, return_as="generator")(works), strict=True):
        out[name] = read
        progress(len(out), len(trained))
    return out


def _read(runs: Sequence[Outcome], attribute: str, part: str, asked: ProbeSettings) -> dict[str, Any]:
    """What probes read of the runs of one method on the judged part, and of permuted groups."""
    read: dict[str, list[tuple[float, float]]] = {}
    for outcome in runs:
        said = outcome.judged
        inputs = leakage_inputs(said, features_of(outcome.cell, part, said.sample_id))
        latents = latents_of(outcome.cell, part, said.sample_id)
        inputs |= {} if latents is None else {_LATENT: latents}
        groups = resolve_attribute(said, attribute)
        with threadpool_limits(1):  # more threads add up in another order: figures would depend on ``jobs``
            told = leakage_probe(inputs, groups, said.cluster, labels=said.labels, names=said.sample_id, settings=asked)
        for probe in told.probes:
            pairs = read.setdefault(f"{probe.input}, {probe.probe}", [])
            pairs.append((probe.balanced_accuracy.value, probe.expected))
    return {
        key: {"read": [a for a, _ in pairs], "permuted": float(np.mean([b for _, b in pairs]))}
        for key, pairs in read.items()
    }


def against(config: MitigationConfig, probes: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """The method whose features a method's are held against; empty for the baseline."""
    if name == BASELINE:
        return ""
    other = config.methods[name].against if name in config.methods else BASELINE
    return other if probes.get(other) else BASELINE


def probe_change(told: Mapping[str, Any], base: Mapping[str, Any], level: float) -> tuple[float, float, float] | None:
    """How much more a probe reads than of the baseline, in pairs of seeds, with Student's interval.

    Args:
        told: What :func:`probed` has of a probe.
        base: The same of the baseline.
        level: Of the interval.

    Returns:
        Mean change and its ends; None of one seed, or where the seeds are not as many.
    """
    if len(told["read"]) != len(base["read"]) or len(base["read"]) < 2:
        return None
    change = np.subtract(told["read"], base["read"])
    low, high = interval_over_seeds(float(change.mean()), 0.0, float(change.var(ddof=1)), len(change), level)
    return float(change.mean()), low, high


def probe_table(
    config: MitigationConfig, probes: Mapping[str, Mapping[str, Any]], level: float, perceived: bool = False
) -> list[str]:
    """What fresh probes read of the group from the features of each method, and how much less than of the baseline.

    Args:
        config: The study.
        probes: What :func:`probed` read.
        level: Of the intervals.
        perceived: Whether groups are what an annotator takes faces for.
    """
    keys = list(dict.fromkeys(key for told in probes.values() for key in told))
    rows = [
        [
            config.label(name),
            *(
                # Classes are annotated: no method changes what they tell.
                _probe_cell(
                    told.get(key),
                    None
                    if name == BASELINE or key.startswith(EXPRESSION)
                    else probes[against(config, probes, name)].get(key),
                    level,
                )
                for key in keys
            ),
        ]
        for name, told in probes.items()
    ]
    latent = (
        "*latent* is the map between picture and classifier, by its means and deviations over places. "
        if any(key.startswith(_LATENT) for key in keys)
        else ""
    )
    others = {n: other for n in probes if (other := against(config, probes, n)) not in ("", BASELINE)}
    what = (
        "Balanced accuracy of a probe that is fitted anew to each run, mean over seeds; in brackets the same probe on "
        "groups permuted among faces of one class. Then its change against the baseline of the same seed, on the same "
        "faces in the same folds, with Student's interval over seeds, for these faces; bold where it lies wholly on "
        "one side of 0, as one in twenty does by chance. *expression* is what the annotated class alone tells, "
        "whatever the method. "
        + latent
        + ("Groups are as perceived, and nothing is corrected. " if perceived else "")
        + "".join(f"{config.label(n)} is held against {config.label(other)}. " for n, other in others.items())
        + "A method fitted after training has the features of the model that it was fitted to, and no row."
    )
    return [*table(["method", *keys], rows), "", what]


def _probe_cell(told: Mapping[str, Any] | None, base: Mapping[str, Any] | None, level: float) -> str:
    """What a probe reads of a method, and how much less than of the baseline, in pairs of seeds."""
    if told is None:
        return ""
    cell = f"{np.mean(told['read']):.3f} ({told['permuted']:.3f})"
    change = None if base is None else probe_change(told, base, level)
    if change is None:
        return cell
    return f"{cell}; {_change_in_words(*change)}"


def _change_in_words(value: float, low: float, high: float) -> str:
    """A change with its interval, bold where that lies wholly on one side of 0."""
    said = f"{value:+.3f} [{low:.3f}, {high:.3f}]"
    return f"**{said}**" if low > 0 or high < 0 else said


def hidden_table(
    founds: Sequence[Found], probes: Mapping[str, Mapping[str, Mapping[str, Any]]], level: float
) -> list[str]:
    """Whether fresh probes read less of the group from methods that are to hide it; empty where there are none.

    Args:
        founds: Settings of one study.
        probes: Setting -> what :func:`probed` read in it.
        level: Of the intervals.
    """
    rows: dict[tuple[str, str], list[str]] = {}
    fell: dict[tuple[str, str], list[str]] = {}
    for i, found in enumerate(founds):
        config, read = found.config, probes[found.setting]
        setting = in_words(found.setting)
        for name in filter(partial(_hides, found), read):
            base = read[against(config, read, name)]
            for key, told in read[name].items():
                change = None if key not in base else probe_change(told, base[key], level)
                if change is None or key.startswith(EXPRESSION):
                    continue
                rows.setdefault((config.label(name), key), ["-"] * len(founds))[i] = _change_in_words(*change)
                fell.setdefault((config.label(name), key), []).extend([setting] if change[2] < 0 else [])
    if not rows:
        return []
    header = ["method", "what is read, by which probe", *(in_words(f.setting) for f in founds), "falls?"]
    cells = [[*key, *row, f"for {listed(fell[key])}" if fell[key] else "not told"] for key, row in rows.items()]
    return [
        "Methods that are to hide the group: what a fresh probe reads of it (balanced accuracy), less what it reads of "
        "what they are held against, in pairs of seeds on the same faces. Bold: clear of 0.",
        "",
        *table(header, cells),
        "",
    ]


def _hides(found: Found, name: str) -> bool:
    """Whether a method is to hide the group from whoever reads its features."""
    tried = found.tried[name].best
    used = MITIGATIONS.get(tried[0].cell.config.mitigation.name) if name not in ROWS and tried else None
    return bool(getattr(used, "hides", False))
