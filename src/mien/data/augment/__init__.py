"""Augmentation of training pictures, whole batches at a time (torch): begin with augmentation.py.

What is drawn comes from torch's generator, which every step seeds anew from (seed, epoch, step): a run that goes on
repeats an unbroken one. What sources augmented with stands in :mod:`mien.data.augment_presets`, which needs no torch.
"""

from mien.data.augment.augmentation import Augmentation, greyed, small_grey
from mien.data.augment.rand_augment import RandAugment

__all__ = ["Augmentation", "RandAugment", "greyed", "small_grey"]
