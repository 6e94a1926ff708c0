"""Every model says in ONNX what it says in torch, for any number of faces."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import torch

from mien.models import MODELS

pytest.importorskip("onnx")


@pytest.mark.parametrize("name", MODELS.names())
# torch's older exporter, which needs nothing further, announces its successor and says that it traces.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning")
def test_onnx_says_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS.get(name)(3, 1, **MODELS.tiny(name))
    with torch.no_grad():
        model.train()(torch.rand(4, 1, 32, 32))  # batch statistics that are not 0 and 1
    model.eval()
    file = io.BytesIO()
    axes = {"pictures": {0: "faces"}, "logits": {0: "faces"}}
    torch.onnx.export(
        model, (torch.rand(2, 1, 32, 32),), file, dynamo=False, dynamic_axes=axes,
        input_names=["pictures"], output_names=["logits"],
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for faces in (1, 5):
        x = torch.rand(faces, 1, 32, 32)
        with torch.no_grad():
            expected = model(x).numpy()
        (found,) = session.run(None, {"pictures": x.numpy()})
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
