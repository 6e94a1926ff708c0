"""The three networks of MTCNN, as the package ``facenet-pytorch`` carries them, made ONNX files for the detector.

    pip install --no-deps facenet-pytorch
    python benchmarks/mtcnn_onnx.py src/mien/faces/networks

Printed: the largest difference of any output on random pictures, which must stay under 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

_LARGEST = 1e-4


class Ordered(nn.Module):
    """One of the networks with its answers in the order score, box, points.

    Args:
        network: As it comes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``(n, 3, H, W)`` -> scores of a face, boxes, and of the last network points."""
        boxes, *points, scores = self.network(x)
        return (scores[:, 1], boxes, *points)


def main() -> int:
    """Convert, compare, write."""
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for name, kind, side in (("proposal", PNet, 40), ("refinement", RNet, 24), ("output", ONet, 48)):
        network, path = Ordered(kind()).eval(), args.out / f"{name}.onnx"
        free = {0: "pictures", 2: "height", 3: "width"} if name == "proposal" else {0: "pictures"}
        outputs = ["scores", "boxes", *(["points"] if name == "output" else [])]
        axes = {"pictures": free, **dict.fromkeys(outputs, {0: "pictures"})}
        if name == "proposal":
            axes |= {"scores": {0: "pictures", 1: "rows", 2: "columns"}, "boxes": free}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (torch.zeros(1, 3, side, side),),
                path,
                input_names=["pictures"],
                output_names=outputs,
                dynamic_axes=axes,
                dynamo=False,
                opset_version=17,
            )
        model = onnx.load(path)
        source = "MTCNN (Zhang et al. 2016), MIT; weights as of the package facenet-pytorch, MIT"
        onnx.helper.set_model_props(model, {"source": source})
        model.producer_name, model.producer_version = "mien", ""
        onnx.save(model, path)
        x = np.random.default_rng(0).uniform(-1, 1, (4, 3, side, side)).astype(np.float32)
        ours = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"pictures": x})
        with torch.no_grad():
            theirs = [part.numpy() for part in network(torch.from_numpy(x))]
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)))
        print(f"{path}: {path.stat().st_size:,} bytes")
    print(f"largest difference {worst:.2g}")
    return worst > _LARGEST


if __name__ == "__main__":
    sys.exit(main())
