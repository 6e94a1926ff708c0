"""Agreement between the people who label: alpha, kappa, Dawid and Skene, outliers, how many votes are enough."""

from mien.agreement.alpha import AlphaResult, krippendorff_alpha
from mien.agreement.dawid_skene import AnnotatorConfusion, DawidSkene, dawid_skene
from mien.agreement.exchange import exchange_p
from mien.agreement.kappa import KappaResult, cohen_kappa, fleiss_kappa
from mien.agreement.outliers import AnnotatorCheck, OutlierResult, find_outliers
from mien.agreement.sufficiency import SufficiencyPoint, VoteSufficiency, vote_sufficiency
from mien.agreement.votes import Votes

__all__ = [
    "AlphaResult",
    "AnnotatorCheck",
    "AnnotatorConfusion",
    "DawidSkene",
    "KappaResult",
    "OutlierResult",
    "SufficiencyPoint",
    "VoteSufficiency",
    "Votes",
    "cohen_kappa",
    "dawid_skene",
    "exchange_p",
    "find_outliers",
    "fleiss_kappa",
    "krippendorff_alpha",
    "vote_sufficiency",
]
