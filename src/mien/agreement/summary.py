"""All of a set of votes at once: alpha, kappa, annotators, outliers, and how many votes are enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mien.agreement.alpha import NOMINAL, AlphaResult, krippendorff_alpha
from mien.agreement.dawid_skene import DawidSkene, dawid_skene
from mien.agreement.kappa import KappaResult, fleiss_kappa
from mien.agreement.outliers import AGREEMENT, SPEED, UNKNOWN, OutlierResult, find_outliers
from mien.agreement.sufficiency import VoteSufficiency, vote_sufficiency
from mien.agreement.votes import Votes
from mien.audit.markdown import document, table
from mien.errors import MienError
from mien.stats.settings import Settings

EXPRESSION = "expression"
_POSTERIOR = "posterior"


@dataclass(frozen=True, kw_only=True)
class AgreementSummary:
    """What votes say of their annotators, and of how far they can be trusted.

    Attributes:
        source: Whose votes these are.
        question: What they answer: ``expression``, an attribute, ``intensity:happiness``, ...
        n: Faces.
        n_annotators: Named annotators; 0 where they are not known.
        alpha: Krippendorff's alpha, nominal or as the question's answers differ.
        kappa: Fleiss' kappa; None where annotators spread their votes.
        annotators: Dawid and Skene's model; None where annotators are not known.
        outliers: Annotators unlike the others; None where annotators are not known.
        sufficiency: How many votes are enough; None where no face has two.
        notes: Why a part is missing.
        others: Krippendorff's alpha of the other questions that were asked.
    """

    source: str
    question: str
    n: int
    n_annotators: int
    alpha: AlphaResult
    kappa: KappaResult | None
    annotators: DawidSkene | None
    outliers: OutlierResult | None
    sufficiency: VoteSufficiency | None
    notes: list[str] = field(default_factory=list)
    others: dict[str, AlphaResult] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Plain content for JSON; the posterior of each face, which is long, is left out."""
        plain = asdict(self)
        if self.annotators is not None:
            plain["annotators"].pop(_POSTERIOR)
            plain["annotators"].pop("faces")
        return plain


def summarise(
    votes: Votes,
    source: str,
    *,
    question: str = EXPRESSION,
    metric: str = NOMINAL,
    others: Mapping[str, tuple[Votes, str]] | None = None,
    settings: Settings = Settings(n_boot=1000),
) -> AgreementSummary:
    """Everything that a set of votes allows.

    Args:
        votes: The votes.
        source: Whose they are, for the text.
        question: What they answer.
        metric: How its answers differ, for Krippendorff's alpha.
        others: Other questions -> votes and metric, of which alpha alone is given.
        settings: Replicates, seed.
    """
    notes: list[str] = []

    def possible(name: str, work: Any, settings: Settings = settings) -> Any:
        try:
            return work(votes, settings=settings)
        except MienError as error:
            notes.append(f"{name}: {error}")
            return None

    named = votes.annotator is not None
    if not named:
        notes.append("Who cast which vote is not known: annotators cannot be told apart.")
    if metric != NOMINAL:
        notes.append("Kappa, accuracy, outliers and the number of votes take the answers for classes without an order.")
    return AgreementSummary(
        source=source,
        question=question,
        n=len(votes),
        n_annotators=len(votes.annotators),
        alpha=krippendorff_alpha(votes, metric, settings=settings),
        kappa=possible("Fleiss' kappa", fleiss_kappa),
        annotators=possible("Dawid and Skene", dawid_skene, replace(settings, n_boot=100)) if named else None,
        outliers=possible("Outliers", find_outliers) if named else None,
        sufficiency=possible("How many votes are enough", vote_sufficiency),
        notes=notes,
        others={q: krippendorff_alpha(v, m, settings=settings) for q, (v, m) in (others or {}).items()},
    )


def summary_text(found: AgreementSummary) -> str:
    """The summary as Markdown."""
    of = "" if found.question == EXPRESSION else f", {found.question}"
    lines = [f"# Agreement: {found.source}{of}", ""]
    who = f", {found.n_annotators} annotators" if found.n_annotators else ""
    lines += [f"{found.n:,} faces{who}. Intervals are 95 %, over faces.", ""]
    kappas = found.kappa.by_class if found.kappa else {}
    rows = [["all", str(found.alpha.alpha), str(found.kappa.kappa) if found.kappa else ""]]
    alphas = found.alpha.by_class
    rows += [[c, str(alphas.get(c, "")), str(kappas.get(c, ""))] for c in alphas or kappas]
    lines += table(["class", f"Krippendorff's alpha ({found.alpha.metric})", "Fleiss' kappa"], rows)
    if found.outliers is not None:
        lines += ["## Annotators", "", *_annotators(found.outliers)]
    if found.sufficiency is not None:
        lines += ["## How many votes are enough", "", *_sufficiency(found.sufficiency)]
    if found.others:
        lines += ["## Also asked", "", *_others(found.others)]
    notes = [*found.notes, *found.alpha.notes]
    for part in (found.kappa, found.annotators, found.outliers, found.sufficiency):
        notes += part.notes if part is not None else []
    lines += [f"- {note}" for note in dict.fromkeys(notes)]
    return document(lines).rstrip() + "\n"


def _annotators(found: OutlierResult) -> list[str]:
    rows = [
        [
            a.name,
            str(a.n),
            str(a.agreement),
            str(a.accuracy),
            str(a.unknown),
            ", ".join(a.flags) or ("too few shared faces" if a.too_few else "like the others"),
        ]
        for a in found.annotators
    ]
    header = ["annotator", "faces", "agreement with others", "accuracy (Dawid-Skene)", "unknown", "judged"]
    judged = (
        f"judged, where it is beyond chance: *{AGREEMENT}* agrees with others less than they do on the same faces, by "
        f"{found.margin:g} or more; *{UNKNOWN}* gives {found.margin:g} more of the votes to unknown or not-a-face; "
        f"*{SPEED}* takes {found.pace:.0%} of their time or less."
    )
    return [*table(header, rows), judged, ""]


def _others(others: dict[str, AlphaResult]) -> list[str]:
    rows = [[q, str(a.alpha), a.metric, str(a.n)] for q, a in others.items()]
    header = ["question", "Krippendorff's alpha", "differences", "faces with two answers"]
    return [*table(header, rows), "All of one of them: 'mien agreement DATABASE --of QUESTION'.", ""]


def _sufficiency(found: VoteSufficiency) -> list[str]:
    rows = [
        [str(p.t), str(p.agreement_all), str(p.agreement_others), str(p.agreement_next), str(p.kl_all)]
        for p in found.points
    ]
    header = [
        "votes",
        f"top class as of all {found.m}",
        f"top class as of {found.r} others",
        "next vote is for the top class",
        "KL from all votes",
    ]
    return table(header, rows)
