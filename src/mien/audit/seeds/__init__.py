"""One model trained with several seeds: which gaps are the training's, and which the seed's."""

from mien.audit.seeds.results import SeedAttribute, SeedAudit, SeedGap, SeedGroup, SeedValue
from mien.audit.seeds.runs import seed_audit

__all__ = ["SeedAttribute", "SeedAudit", "SeedGap", "SeedGroup", "SeedValue", "seed_audit"]
