"""What leakage probes found: frozen records that go to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field

from mien.audit.lookup import pick
from mien.records import Estimate

LEAKAGE, NO_LEAKAGE, TOO_FEW = "leakage", "no leakage shown", "too few"
FEATURES, PROBABILITIES, EXPRESSION = "features", "probabilities", "expression"
LINEAR, MLP, FREQUENCIES = "linear", "mlp", "frequencies"


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How well one probe reads the groups from one input.

    Attributes:
        input: ``features``, ``probabilities``, ``expression`` (the annotated classes), or as named.
        probe: ``linear``, ``mlp``, or for the annotated classes ``frequencies``.
        balanced_accuracy: Mean recall over the groups, out of fold.
        recall: Group -> share of its faces that the probe puts there.
        expected: Mean balanced accuracy of the probe refitted to permuted groups.
        expected_high: Its 95th percentile.
        p: Permutation p-value.
        p_adjusted: The same after Bonferroni, over the probes on this input.
        n_perm: Permutations, each with all folds refitted.
        given_expression: Whether groups were permuted among faces annotated alike: then ``p`` asks
            whether the input tells more of the group than the annotated class does.
        beyond_expression: Balanced accuracy less that of the annotated expression alone, on the same
            faces; None without annotated classes.
    """

    input: str
    probe: str
    balanced_accuracy: Estimate
    recall: dict[str, Estimate]
    expected: float
    expected_high: float
    p: float
    p_adjusted: float
    n_perm: int
    given_expression: bool
    beyond_expression: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class LeakageResult:
    """What can be read of one attribute.

    Attributes:
        name: The attribute: ``gender``.
        label: For people: ``perceived gender``.
        source: ``annotated``, ``perceived`` or ``not stated``.
        n: Faces probed.
        n_clusters: Independent units among them.
        n_available: Faces of the groups probed; more than ``n`` where they were thinned for speed.
        n_per_group: Group -> faces probed.
        left_out: Group -> why it takes no part.
        chance: Balanced accuracy of guessing, 1 / groups; NaN with fewer than two groups.
        probes: One result an input and probe.
        verdict: ``leakage``, ``no leakage shown`` or ``too few``, for the first input.
        sentence: The finding in a sentence.
        notes: How it was found and what to mind.
        n_folds: Folds.
        n_boot: Bootstrap replicates.
        level: Coverage that the intervals aim at.
        seed: Seed of everything drawn.
    """

    name: str
    label: str
    source: str
    n: int
    n_clusters: int
    n_available: int
    n_per_group: dict[str, int]
    left_out: dict[str, str]
    chance: float
    probes: list[ProbeResult]
    verdict: str
    sentence: str
    notes: list[str] = field(default_factory=list)
    n_folds: int = 5
    n_boot: int = 2000
    level: float = 0.95
    seed: int = 0

    def probe(self, input: str, probe: str) -> ProbeResult:
        """The result of a probe on an input.

        Raises:
            UsageError: If there is none; the message says which there are.
        """
        return pick("probe", f"{probe} on {input}", {f"{p.probe} on {p.input}": p for p in self.probes})
