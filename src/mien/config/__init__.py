"""The configuration of an experiment: sections, reading, writing."""

from mien.config.augment import AdaptiveConfig, AugmentConfig, CopiesConfig
from mien.config.experiment import (
    AuditConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    audit_settings,
    load_config,
    overrides_of,
    parse_config,
    parse_value,
    place_of,
)
from mien.config.section import Component
from mien.config.written import config_key, dump_config, explain_config

__all__ = [
    "AdaptiveConfig",
    "AuditConfig",
    "AugmentConfig",
    "Component",
    "CopiesConfig",
    "ExperimentConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "audit_settings",
    "config_key",
    "dump_config",
    "explain_config",
    "load_config",
    "overrides_of",
    "parse_config",
    "parse_value",
    "place_of",
]
