"""Two or more models on the same faces: paired differences of groups and of gaps."""

from mien.audit.compare.models import compare, compare_many
from mien.audit.compare.results import AttributeChange, Change, Comparison, GapChange, GroupChange

__all__ = ["AttributeChange", "Change", "Comparison", "GapChange", "GroupChange", "compare", "compare_many"]
