"""Files import only from lower rows; entries of one row never import each other. See docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "mien"

ROWS = [
    ["__init__", "errors"],
    [
        "missing",
        "clusters",
        "shown",
        "spellings",
        "spreadsheets",
        "inputs",
        "outputs",
        "values",
        "web",
        "wording",
        "docstrings",
    ],
    ["registry", "units", "own_files", "yaml_files", "pictures", "foreign"],
    ["prediction_tables", "inference", "faces"],
    ["labels", "samples", "records", "demographics"],
    ["stats"],
    ["models", "losses", "metrics"],
    ["data", "mitigation", "postprocessing"],
    ["audit", "confidence", "domain"],
    ["composition", "agreement"],
    ["config"],
    ["runs"],
    ["adapters"],
    ["prepare", "train", "evaluate", "terminal"],
    ["annotators", "labelling", "merge", "align", "balance", "export"],
    ["predict"],
    ["report"],
    ["judging"],
    ["done"],
    ["experiment"],
    ["demo", "studies", "serve"],
    ["tune", "mitigate"],
    ["cli"],
]
LEVEL = {entry: level for level, row in enumerate(ROWS) for entry in row}
NEED_NO_TORCH = [e for row in ROWS[:11] for e in row if e not in ("__init__", "models", "losses", "mitigation")]
WITHOUT_TORCH = [*NEED_NO_TORCH, "report", "judging"]


def entry_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{a.name}" for a in node.names} if node.module == "mien" else {node.module}
    entries = {name.split(".")[1] for name in found if name.startswith("mien.")}
    return {"__init__" if e == "__version__" else e for e in entries}


def test_every_entry_has_a_row() -> None:
    entries = {entry_of(p) for p in SOURCE.rglob("*.py")}
    assert entries == set(LEVEL)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    entry = entry_of(path)
    wrong = {e for e in imports_of(path) if e != entry and LEVEL[e] >= LEVEL[entry]}
    assert not wrong, f"{entry} (row {LEVEL[entry]}) imports {wrong}"


def test_an_upward_import_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("from mien.cli import main\nfrom mien import __version__\nimport mien.audit.cells\n")
    assert imports_of(file) == {"cli", "__init__", "audit"}


def test_the_audit_side_needs_no_torch() -> None:
    code = f"import sys\nfor m in {WITHOUT_TORCH}: __import__('mien.' + m)\n"
    code += "import mien.cli, mien.prepare, mien.pictures.decode, mien.pictures.quality\n"
    code += "import mien.adapters.loading, mien.adapters.predictions, mien.models.card\n"
    code += "import mien.annotators.annotate, mien.annotators.packing\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
