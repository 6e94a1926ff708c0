"""Where the faces of a picture are: one file a detector, and the cut from a face to what a network is given."""

from mien.registry import Registry

DETECTORS = Registry("detector", "mien.faces")
#: Found by benchmarks/detectors.py and benchmarks/chain.py; see docs/predict.md.
DEFAULT = "mtcnn"
