"""What is fitted after training, on judged faces that training never saw: one file a method. Needs no torch."""

from mien.registry import Registry

POSTPROCESSORS = Registry("post-processing", "mien.postprocessing")
