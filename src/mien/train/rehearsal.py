"""Everything of a training but the training: what could not be made is told before an hour is spent on others."""

from __future__ import annotations

from mien.config import ExperimentConfig
from mien.train.build import build, make_fabric
from mien.train.targets import load_training_data


def rehearse(config: ExperimentConfig) -> None:
    """Encode the labels, make the network and its mitigation, and forget them.

    Pictures are not read, and weights that the network is to begin with are not asked for: another run may make them.

    Raises:
        DataError, LabelError, ConfigError: As the training would.
    """
    build(config, load_training_data(config, look=False), make_fabric(config), "", resumed=True)
