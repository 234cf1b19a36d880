"""The settings of a training run: two runs of one configuration on one machine give the same weights."""

from facegpt.training.config.sections import HELD_OUT, LossWeights
from facegpt.training.config.train_config import TrainConfig

__all__ = ["HELD_OUT", "LossWeights", "TrainConfig"]
