"""What fresh probes read of the group from the features of each method of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mien.audit.attributes import resolve_attribute
from mien.audit.leakage import ProbeSettings, leakage_inputs, leakage_probe
from mien.audit.leakage.results import EXPRESSION
from mien.audit.seeds.noise import interval_over_seeds
from mien.mitigate.definition import BASELINE, MitigationConfig
from mien.mitigate.run import Found
from mien.stats.settings import Settings
from mien.studies.features import features_of, latents_of
from mien.studies.tables import table

_LATENT = "latent"


def probed(found: Found, settings: Settings) -> dict[str, dict[str, Any]]:
    """Method -> what fresh probes read of the group from its features, means over seeds."""
    n, out = len(found.tried[BASELINE].best), {}  # runs, over which the permutations are shared out
    asked = ProbeSettings(
        n_perm=-(-50 // n), n_perm_mlp=-(-5 // n), max_n=3000, n_boot=200, min_n=found.config.min_n, seed=settings.seed
    )
    for name, tried in found.tried.items():
        if found.config.methods.get(name, found.config.baseline).after is not None:
            continue  # the features are those of the model that it was fitted to
        read: dict[str, list[tuple[float, float]]] = {}
        for outcome in tried.best:
            said = outcome.judged
            attribute = resolve_attribute(said, found.config.attribute)
            inputs = leakage_inputs(said, features_of(outcome.cell, found.config.judged, said.sample_id))
            latents = latents_of(outcome.cell, found.config.judged, said.sample_id)
            inputs |= {} if latents is None else {_LATENT: latents}
            result = leakage_probe(inputs, attribute, said.cluster, labels=said.labels, settings=asked)
            for probe in result.probes:
                told = read.setdefault(f"{probe.input}, {probe.probe}", [])
                told.append((probe.balanced_accuracy.value, probe.expected))
        out[name] = {
            key: {"read": [a for a, _ in told], "permuted": float(np.mean([b for _, b in told]))}
            for key, told in read.items()
        }
    return out


def probe_table(config: MitigationConfig, probes: Mapping[str, Mapping[str, Any]], level: float) -> list[str]:
    """What fresh probes read of the group from the features of each method, and how much less than of the baseline."""
    keys = list(dict.fromkeys(key for told in probes.values() for key in told))
    rows = [
        [
            config.label(name),
            *(
                # Classes are annotated: no method changes what they tell, and only the draw of folds differs.
                _probe_cell(
                    told.get(key),
                    None if name == BASELINE or key.startswith(EXPRESSION) else probes[BASELINE].get(key),
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
    what = (
        "Balanced accuracy of a probe that is fitted anew to each run, mean over seeds; in brackets the same probe on "
        "groups permuted among faces of one class. Then its change against the baseline of the same seed, with "
        "Student's interval over seeds, for these faces; bold where it lies wholly on one side of 0. *expression* is "
        "what the annotated class alone tells, whatever the method; it differs by the draw of folds. "
        + latent
        + "A method fitted after training has the features of the model that it was fitted to, and no row."
    )
    return [*table(["method", *keys], rows), "", what]


def _probe_cell(told: Mapping[str, Any] | None, base: Mapping[str, Any] | None, level: float) -> str:
    """What a probe reads of a method, and how much less than of the baseline, in pairs of seeds."""
    if told is None:
        return ""
    cell = f"{np.mean(told['read']):.3f} ({told['permuted']:.3f})"
    if base is None or len(told["read"]) != len(base["read"]) or len(base["read"]) < 2:
        return cell
    change = np.subtract(told["read"], base["read"])
    low, high = interval_over_seeds(float(change.mean()), 0.0, float(change.var(ddof=1)), len(change), level)
    said = f"{change.mean():+.3f} [{low:.3f}, {high:.3f}]"
    return f"{cell}; **{said}**" if low > 0 or high < 0 else f"{cell}; {said}"
