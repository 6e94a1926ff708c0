"""Other people's packages and files, opened with a message that helps where it fails."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field

from mien.errors import MissingTool, WeightsError, reason

#: Threads of one computation, as an option; 0: as many as the tool likes.
Threads = Annotated[int, Field(ge=0, le=1024)]


def import_tool(module: str, what: str, install: str) -> ModuleType:
    """Import a tool's module.

    Args:
        module: The module to import.
        what: What needs it, for the message: ``adapter 'fer'``.
        install: What to give to ``pip install``.

    Raises:
        MissingTool: If it, or something that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingTool(
            what, f"cannot import {module!r} ({error})", "", f"Install it: pip install {install}"
        ) from error


def versioned(package: str) -> str:
    """``deepface 0.0.103``; the bare name where the version is not known."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def onnx_session(source: Path | bytes, what: str, threads: int = 0) -> Any:
    """An ONNX file, ready to be run on the processor.

    Args:
        source: The file, or what stands in one.
        what: What needs it, for the message.
        threads: Threads of one computation; 0: as many as the runtime likes.

    Raises:
        MissingTool: If onnxruntime is not installed.
        WeightsError: If the file cannot be read.
    """
    runtime = import_tool("onnxruntime", what, "onnxruntime")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3  # of what it thinks of other people's files, only errors
    try:
        given = source if isinstance(source, bytes) else str(source)
        return runtime.InferenceSession(given, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors share no other base class
        where = what if isinstance(source, bytes) else str(source)
        raise WeightsError(where, f"cannot be read ({reason(error)})", "an ONNX model") from error
