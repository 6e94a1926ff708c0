"""What the stored answers of the teachers are worth: studies/teachers/README.md.

    python benchmarks/teachers.py STORE     # a store of FERPlus, prepared as experiments/ferplus_mienet.yaml says

The answers are what five seeds of each of two networks said, averaged over the seeds and over each face and its
mirror image. The head of experiments/ferplus_teacher.yaml says how such networks are trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mien.data.images import Store
from mien.labels import label_scheme
from mien.stats.intervals import wilson_estimate

FOLDER = Path(__file__).parent.parent / "studies" / "teachers"
HEAD = """# What the teachers said

Mean probabilities of five seeds of each of two networks (columns `a_...` and `b_...`), each over a face and its
mirror image, as `experiments/fairface_teacher.yaml` and `experiments/ferplus_teacher.yaml` train them:
`ferplus.parquet` for the faces of FERPlus that have a label (training and PublicTest), `fairface.parquet` for 40,000
of FairFace (grey, 64 px, pseudo-labels), by `sample_id` as `mien prepare` names them. For distillation; research use
only, as FER2013.

They were trained on an NVIDIA H100 by commit 11bc00c427b3 with the graphics card's path of the commit after it, in
12 minutes all together, ten side by side. Network b (5.8 M parameters, 64 px) answered after 23 of its 30 epochs, for
the card's time ran out before the answers of all 30 were written; network a (8.1 M, 96 px) after 30. Training faces
were seen in training: what is said of them is no test. FairFace was encoded as lossy WebP (quality 60) on the way.

Written by `python benchmarks/teachers.py STORE`: accuracy on PublicTest against the taggers' majority, with
Wilson's 95 % interval over faces; it does not cover what other seeds would change.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    args = parser.parse_args()
    table = Store.open(args.store).table
    scheme = label_scheme("ferplus_majority", table.vocabulary)
    targets = scheme.targets(table.votes, table.vocabulary)
    faces = pd.DataFrame({"label": targets.probs.argmax(1)}, index=table.frame["sample_id"])
    faces = faces[targets.keep & (table.frame["split"] == "PublicTest").to_numpy()]
    answers = pd.read_parquet(FOLDER / "ferplus.parquet").set_index("sample_id").astype(np.float64)
    faces = faces[faces.index.isin(answers.index)]
    said = {n: answers.loc[faces.index, [f"{n}_{c}" for c in scheme.classes]].to_numpy() for n in "ab"}
    lines = [HEAD, "| answers | faces | accuracy |", "| --- | --- | --- |"]
    for name, probs in {**said, "a and b": (said["a"] + said["b"]) / 2}.items():
        right = probs.argmax(1) == faces["label"].to_numpy()
        lines.append(f"| {name} | {len(right):,} | {wilson_estimate(right.sum(), len(right))} |")
    (FOLDER / "README.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[1:]))


if __name__ == "__main__":
    main()
