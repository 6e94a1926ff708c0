"""Faces, targets and splits of a run: what is learnt, on which faces, and whose faces they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.config import Component, ExperimentConfig
from mien.data.class_notes import class_notes, present_classes
from mien.data.group_columns import all_perceived, group_column, memberships_of
from mien.data.images import Store
from mien.data.splits import SPLITS, TRAIN, VALIDATION
from mien.data.splits.aside import set_aside
from mien.demographics import HEADS, PREFIX
from mien.errors import ConfigError, DataError, LabelError
from mien.labels import SCHEMES, LabelScheme, label_scheme
from mien.losses.numbers import NumberHead
from mien.mitigation.faces import Faces, blocks
from mien.models.conditioned import CONDITIONED
from mien.registry import nearest
from mien.runs import COPY_COLUMN
from mien.samples import SampleTable
from mien.spellings import attribute_name
from mien.train.numbers import check_known, number_heads, numbers_of
from mien.values import shown

EXPRESSION = "expression"  # the head of a model of expressions


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a fit needs to know of its faces.

    Attributes:
        store: The images.
        table: Faces with their split in this run.
        train: The training faces, with the groups that the mitigation asks for.
        validation: The validation faces, with the groups of ``train.watch``.
        dropped: Faces without a target: part -> reason -> faces.
        mean: Mean of the training pixels, 0 to 1.
        std: Their standard deviation.
        notes: What must be known before training: classes without faces, or with few, in a part.
        numbers: Numbers that are learnt beside the heads.
        prior: What the label scheme learnt of the training votes, such as a prior: expression -> number; mostly none.
    """

    store: Store
    table: SampleTable
    train: Faces
    validation: Faces
    dropped: dict[str, dict[str, int]]
    mean: float
    std: float
    notes: tuple[str, ...] = ()
    numbers: tuple[NumberHead, ...] = ()
    prior: Mapping[str, float] = field(default_factory=dict)

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]:
        """What the model tells: ``expression`` -> classes of the scheme of evaluation, or each attribute -> groups."""
        return self.train.classes


def load_training_data(config: ExperimentConfig, *, look: bool = True) -> TrainingData:
    """Open the store, split it, and encode its votes.

    Args:
        config: The experiment.
        look: Whether to read the pictures, for their sum and their mean; without it only tables are checked.

    Raises:
        DataError, LabelError, ConfigError: Where store, labels or split do not fit each other.
    """
    store = Store.open(config.data.store)
    _check_attributes(config, store.table)
    _check_soft(config, store.table)
    (heads, encode, _), table = _split(config, store.table)
    numbers = number_heads(config, table, heads.get(EXPRESSION, ()))
    asked = {TRAIN: mitigated(config), VALIDATION: config.train.watch}
    parts, dropped, prior = {}, {}, {}
    for part, attributes in asked.items():
        faces = table.in_split(part)
        encoded = encode(faces, part)
        keep, dropped[part], prior[part] = encoded.keep, encoded.dropped, encoded.learnt
        if not keep.any():
            raise DataError(f"split {part!r}", "no face has a label", "faces with what is to be learnt")
        groups = {spec: _groups(table, spec) for spec in attributes}
        parts[part] = Faces(
            rows=faces.frame["image"].to_numpy(np.int64)[keep],
            targets=encoded.targets[keep],
            classes=heads,
            groups=memberships_of(faces.frame[keep], groups, soft=part == TRAIN and config.mitigation.soft),
            attributes=groups,
            numbers=numbers_of(faces.where(keep, "labelled"), numbers),
        )
    notes: tuple[str, ...] = ()
    if not _told(config):  # a network with heads of its own keeps those that nobody teaches, and says so
        parts[TRAIN], notes = _with_present_groups(parts[TRAIN])
    check_known(parts[TRAIN].numbers, numbers)
    _check_monitor(config, parts[VALIDATION])
    _check_mitigated(parts[TRAIN])
    notes += _class_notes(heads, parts[TRAIN].targets, parts[VALIDATION].targets)
    mean, std = 0.0, 1.0
    if look:
        store.verify()  # the record vouches for these pictures and votes; last, for it reads every picture
        mean, std = _pixel_statistics(store.images, parts[TRAIN].rows)
    return TrainingData(
        store=store,
        table=table,
        train=parts[TRAIN],
        validation=parts[VALIDATION],
        dropped=dropped,
        mean=mean,
        std=std,
        notes=notes,
        numbers=numbers,
        prior=prior[TRAIN],
    )


def split_table(config: ExperimentConfig) -> SampleTable:
    """The faces with the split that a run will give them, without a look at the pictures.

    Raises:
        DataError, LabelError, ConfigError: Where store, labels or split do not fit each other.
    """
    return _split(config, Store.open(config.data.store).table)[1]


def _split(config: ExperimentConfig, table: SampleTable) -> tuple[Learnt, SampleTable]:
    """What is learnt, and the faces with their split."""
    learnt = (_attribute_targets if config.labels.attributes else _expression_targets)(config, table)
    strata = learnt[2]
    classes = pd.Series(strata, index=table.frame["sample_id"].to_numpy())
    options = {"seed": config.seed, **config.split.options}
    table = SPLITS.get(config.split.name)(table, strata, **options)
    return learnt, set_aside(table, classes, config.split.fit, options["seed"])


def mitigated(config: ExperimentConfig) -> tuple[str, ...]:
    """Attributes whose groups the mitigation asks for."""
    by = config.mitigation.options.get("by", ())
    return (by,) if isinstance(by, str) else tuple(by)


@dataclass(frozen=True)
class _Encoded:
    """``(n, K)`` targets, ``(n,)`` whether there is one, why not (reason -> faces), and what was learnt for it."""

    targets: NDArray[np.float32]
    keep: NDArray[np.bool_]
    dropped: dict[str, int]
    learnt: Mapping[str, float] = field(default_factory=dict)


Encode = Callable[[SampleTable, str], _Encoded]  # of the faces of a part
Learnt = tuple[dict[str, tuple[str, ...]], Encode, NDArray[np.int64]]


def _schemes(config: ExperimentConfig, table: SampleTable) -> tuple[LabelScheme, LabelScheme]:
    """The scheme that is learnt and the one that judges.

    Ties that a scheme breaks by lot are drawn by the run's seed where they are learnt, and by the scheme's
    own where they judge: several seeds of one experiment are judged by the same labels.
    """

    def scheme(component: Component, **seed: int) -> LabelScheme:
        takes = inspect.signature(SCHEMES.get(component.name)).parameters
        asked = {k: v for k, v in seed.items() if k in takes}
        try:
            return label_scheme(component.name, table.vocabulary, {**asked, **component.options})
        except LabelError as error:
            where = f"{'labels.train' if seed else 'labels.evaluate'}: {error.where}"
            raise LabelError(where, error.found, error.expected, error.fix) from None

    learn, judge = scheme(config.labels.train, seed=config.seed), scheme(config.labels.judged)
    if judge.fit is not None:
        fix = "Name the labels that judge, such as labels.evaluate=majority; it may also be given what it would learn."
        raise LabelError("labels.evaluate", f"{judge.name!r} learns from training votes", "a scheme that judges", fix)
    return learn, judge


def _expression_targets(config: ExperimentConfig, table: SampleTable) -> Learnt:
    """Expressions: the scheme of training for its part, that of evaluation for validation."""
    if not table.vocabulary:
        raise LabelError(
            f"store of {table.name}",
            "has no expressions",
            "votes or labels",
            "Or learn its attributes: labels.attributes.",
        )
    learn, judge = _schemes(config, table)
    if learn.classes != judge.classes:
        found = f"learns {', '.join(learn.classes)}, and labels.evaluate judges {', '.join(judge.classes)}"
        fix = "Leave labels.evaluate out, or give it the same classes."
        raise LabelError("labels.train", found, "the same classes in the same order", fix)
    if len(learn.classes) < 2:
        only = ", ".join(learn.classes)
        fix = "Prepare a corpus with other expressions too, or learn its attributes: labels.attributes."
        raise LabelError("labels", f"all faces are {only}", "two or more classes to tell apart", fix)
    judged = judge.targets(table.votes, table.vocabulary, table.faces)
    strata = np.where(judged.keep, judged.probs.argmax(1), len(judge.classes))

    def encode(faces: SampleTable, part: str) -> _Encoded:
        # A scheme that learns from votes does so from those of the training part alone.
        scheme = learn.fitted(faces.votes, faces.vocabulary) if part == TRAIN else judge
        targets = scheme.targets(faces.votes, faces.vocabulary, faces.faces)
        return _Encoded(targets.probs, targets.keep, targets.dropped, scheme.learnt)

    return {EXPRESSION: judge.classes}, encode, strata


def _class_notes(
    heads: Mapping[str, tuple[str, ...]], train: NDArray[np.float32], validation: NDArray[np.float32]
) -> tuple[str, ...]:
    """What must be known of classes in training and validation; refuses training faces of one class only."""
    notes = []
    for head, block in blocks(heads).items():
        shares = dict(zip(heads[head], train[:, block].sum(0), strict=True))
        there = [c for c, share in shares.items() if share > 0]
        of = "" if head == EXPRESSION else f"{head}: "
        if len(there) == 1:
            fix = "Split in another way, or choose other labels."
            raise DataError(
                "split", f"{of}all {len(train):,} training faces are {there[0]}", "two or more classes to learn", fix
            )
        # A class may be no face's first and yet have a share of many: it is learnt, and not named.
        counts = {c: n for c, n in present_classes(train[:, block], heads[head]).items() if n or not shares[c]}
        told = class_notes(counts, "training face", "the model cannot learn to give that answer")
        judged = present_classes(validation[:, block], heads[head])
        told += class_notes(judged, "validation face", "how well it is found has no part in choosing the weights")
        notes += [of + note for note in told]
    return tuple(notes)


def _attribute_targets(config: ExperimentConfig, table: SampleTable) -> Learnt:
    """Attributes: one-hot rows side by side; groups in the vocabulary's order where it knows the attribute."""
    heads = {}
    for name in config.labels.attributes:
        if name not in table.attributes:
            raise ConfigError(
                "labels.attributes", f"the store has no attribute {name!r}", "", nearest(name, list(table.attributes))
            )
        _check_annotated(name, table)
        heads[name] = _groups(table, name)

    def encode(faces: SampleTable, part: str) -> _Encoded:
        targets = memberships_of(faces.frame, heads)
        keep = np.all([targets[:, block].sum(1) == 1 for block in blocks(heads).values()], axis=0)
        return _Encoded(targets, keep, {"an attribute is missing": int((~keep).sum())})

    first = next(iter(heads))
    strata = pd.Categorical(group_column(table, first), categories=list(heads[first])).codes.astype(np.int64) + 1
    return heads, encode, strata


def _check_annotated(name: str, table: SampleTable) -> None:
    """A network that learns what another perceived learns its mistakes, and its own errors would look small."""
    if name.startswith(PREFIX) or table.is_perceived(name):
        raise ConfigError(
            "labels.attributes",
            f"{name!r} is what a model or an onlooker perceived",
            "",
            "Learn from an annotated attribute.",
        )


def _groups(table: SampleTable, spec: str) -> tuple[str, ...]:
    """Groups of an attribute in a store, in the vocabulary's order where it knows the attribute."""
    found = {str(g) for g in group_column(table, spec).dropna()}
    known = HEADS[spec].groups if spec in HEADS and found <= set(HEADS[spec].groups) else tuple(sorted(found))
    if len(known) < 2:
        raise DataError(f"attribute {spec!r}", f"has the groups {sorted(found)}", "two or more")
    return known


def _with_present_groups(faces: Faces) -> tuple[Faces, tuple[str, ...]]:
    """The faces with those groups alone that some of them have, and what to tell of the others.

    A method that made all groups of the store alike, or averaged heads over them, would chase one of test faces alone.
    """
    absent = {spec: groups_without_faces(faces, spec) for spec in faces.attributes}
    keep = np.concatenate([
        np.zeros(0, dtype=bool),
        *(~np.isin(np.array(groups, dtype=object), absent[spec]) for spec, groups in faces.attributes.items()),
    ])  # fmt: skip
    attributes = {spec: tuple(g for g in told if g not in absent[spec]) for spec, told in faces.attributes.items()}
    notes = tuple(
        f"no training face is {' or '.join(groups)} ({spec}), so that the mitigation knows no such group"
        for spec, groups in absent.items()
        if groups
    )
    return replace(faces, groups=np.ascontiguousarray(faces.groups[:, keep]), attributes=attributes), notes


def groups_without_faces(faces: Faces, spec: str) -> list[str]:
    """Groups of an attribute of the store that none of these faces has."""
    counts = faces.groups[:, faces.blocks[spec]].sum(0)
    return [group for group, n in zip(faces.attributes[spec], counts, strict=True) if not n]


def _check_soft(config: ExperimentConfig, table: SampleTable) -> None:
    """Refuse a setting that would do nothing."""
    if config.mitigation.soft and not any(all_perceived(table.frame, spec) for spec in mitigated(config)):
        found = "no attribute of mitigation.options.by is perceived"
        raise ConfigError("mitigation.soft", found, "perceived attributes, whose probabilities a store has")


def _told(config: ExperimentConfig) -> Mapping[str, object]:
    """Attributes that a network with heads of its own is to tell, and how many groups; mostly none."""
    told = config.model.options.get("attributes") if config.model.name == CONDITIONED else None
    return told if isinstance(told, Mapping) else {}


def _check_attributes(config: ExperimentConfig, table: SampleTable) -> None:
    """An hour of training should not end in a misspelt attribute of the audit."""
    known = [*table.attributes, COPY_COLUMN]
    asked = {
        # A numeric column cut into parts, such as brightness:3, is no attribute of the store's but of the audit's.
        "audit.by": ([s for s in config.audit.by if ":" not in s], known),
        "train.watch": (config.train.watch, list(table.attributes)),
        "mitigation.options.by": (mitigated(config), list(table.attributes)),
        "model.options.attributes": (tuple(_told(config)), list(table.attributes)),
    }
    for key, (specs, there) in asked.items():
        for name in (part.strip() for spec in specs for part in spec.split("*")):
            if name not in there:
                raise ConfigError(key, f"the store has no attribute {name!r}", "", nearest(name, there))
    for spec, n in _told(config).items():
        groups = _groups(table, spec)
        if len(groups) != n:
            has = f"{len(groups)}, for the store has {', '.join(groups)}"
            raise ConfigError(f"model.options.attributes.{attribute_name(spec)}", shown(n), has)


def _check_monitor(config: ExperimentConfig, validation: Faces) -> None:
    """Refuse to choose weights by the worst of classes, or of groups, none of which has enough validation faces."""
    monitor = config.train.monitor
    least, counts = {
        "val_worst_class": (config.audit.min_class_n, validation.first_classes()),
        "val_worst_group": (config.audit.min_n, validation.groups.sum(0)),
    }.get(monitor, (0, np.ones(1)))
    if not (counts >= least).any():
        what = monitor.removeprefix("val_worst_")
        most = f"{counts.max():,.0f} faces in the largest {what} of the validation part"
        fix = f"Hold out more faces, or lower audit.min_{'class_' if what == 'class' else ''}n."
        raise DataError("train.monitor", f"{monitor} with {most}", f"{least} or more in one", fix)


def _check_mitigated(faces: Faces) -> None:
    """A method that is to tell groups apart needs two of them among the training faces."""
    for spec, block in faces.blocks.items():
        known = [g for g, n in zip(faces.attributes[spec], faces.groups[:, block].sum(0), strict=True) if n]
        if len(known) < 2:
            found = f"all faces of known {spec!r} are {known[0]}" if known else f"no face has a known {spec!r}"
            raise DataError("mitigation.options.by", found, "two groups or more among the training faces")


def _pixel_statistics(images: NDArray[np.uint8], rows: NDArray[np.int64], most: int = 4000) -> tuple[float, float]:
    """Mean and deviation of the pixels (0 to 1), from at most ``most`` faces evenly picked."""
    picked = images[np.sort(rows[:: -(-len(rows) // most)])]
    pixels = picked.astype(np.float32) / 255
    return float(pixels.mean(dtype=np.float64)), max(float(pixels.std(dtype=np.float64)), 1e-3)


def class_names(heads: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names of all logits: the classes of the one head of expressions, ``attribute=group`` of attributes."""
    if list(heads) == [EXPRESSION]:
        return tuple(heads[EXPRESSION])
    return tuple(f"{name}={group}" for name, groups in heads.items() for group in groups)
