"""The audit of predictions for disparities between groups; never needs torch."""

from mien.audit.attributes import candidate_attributes
from mien.audit.audit import audit
from mien.audit.brief import render_brief
from mien.audit.classes import class_results
from mien.audit.compare import Comparison, compare, compare_many
from mien.audit.confounders import ConfounderResult, candidate_confounders, confounder_analysis
from mien.audit.disagreement import DisagreementResult, disagreement_analysis
from mien.audit.gate import FAILED, PASSED, UNDECIDED, GateResult, check_gate, check_gates, junit_xml, parse_gate
from mien.audit.inferred import AnnotatorError, InferredResult, infer_gaps
from mien.audit.leakage import LeakageResult, ProbeSettings, leakage_inputs, leakage_probe, load_features
from mien.audit.overall import summary_estimates
from mien.audit.results import AttributeResult, Audit, ClassResult, GapResult, GroupResult
from mien.audit.seeds import SeedAudit, seed_audit
from mien.audit.text import render_text
from mien.audit.vocabulary import DISPARITY, NOT_SHOWN, NOT_TESTABLE, TOO_FEW
from mien.stats.intervals import wilson
from mien.stats.multiplicity import adjust_bh
from mien.stats.settings import Settings

__all__ = [
    "DISPARITY",
    "FAILED",
    "NOT_SHOWN",
    "NOT_TESTABLE",
    "PASSED",
    "TOO_FEW",
    "UNDECIDED",
    "AnnotatorError",
    "AttributeResult",
    "Audit",
    "ClassResult",
    "Comparison",
    "ConfounderResult",
    "DisagreementResult",
    "GapResult",
    "GateResult",
    "GroupResult",
    "InferredResult",
    "LeakageResult",
    "ProbeSettings",
    "SeedAudit",
    "Settings",
    "adjust_bh",
    "audit",
    "candidate_attributes",
    "candidate_confounders",
    "check_gate",
    "check_gates",
    "class_results",
    "compare",
    "compare_many",
    "confounder_analysis",
    "disagreement_analysis",
    "infer_gaps",
    "junit_xml",
    "leakage_inputs",
    "leakage_probe",
    "load_features",
    "parse_gate",
    "render_brief",
    "render_text",
    "seed_audit",
    "summary_estimates",
    "wilson",
]
