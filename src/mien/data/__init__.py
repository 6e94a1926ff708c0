"""Corpora, the packed image store, cleaning, splits and augmentation."""
