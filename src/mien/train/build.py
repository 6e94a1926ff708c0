"""From a configuration and its faces to everything that a fit works on; nothing is trained or written here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from mien.config import AugmentConfig, ExperimentConfig
from mien.data.augment import Augmentation, RandAugment
from mien.errors import ConfigError
from mien.losses.bound import RowLoss
from mien.mitigation import MITIGATIONS
from mien.mitigation.attribute_aware import AttributeAware
from mien.mitigation.attribute_heads import AttributeHeads
from mien.mitigation.base import Mitigation, Stage
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.models.conditioned import ATTRIBUTES, ConditionedModel
from mien.models.shapes import without_memory
from mien.models.weights import WeightCard, bf16_is_fast
from mien.pictures.preprocessing import OF_OWN_RANGE
from mien.registry import options_of, unfit_options
from mien.spellings import attribute_name
from mien.train.freezing import Freezing, freezing_of
from mien.train.maps import check_maps
from mien.train.memory import check_memory, memory_of, reckon
from mien.train.mixing import Mixing
from mien.train.network import Head, Pictures, TrainedNetwork
from mien.train.numbers import check_mitigation, check_outputs
from mien.train.start import PRETRAINED, begin_with, beside_of
from mien.train.targets import TrainingData, class_names, groups_without_faces, mitigated
from mien.train.validation import Judge
from mien.train.variants import Variants, variants_of
from mien.wording import listed


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a fit works on.

    Attributes:
        config: The experiment.
        data: Its faces.
        fabric: Devices, precision, processes.
        network: What is trained.
        mitigation: Its mitigation.
        judge: What validation asks.
        card: The card of the weights.
        stages: The fits that make the run.
        parameters: How many the plain network has.
        base: The plain network, as it was before the mitigation adapted it.
        freezing: Which of its parts stand still, and until when.
        notes: What to tell of the network before it is trained.
        variants: Copies of the training faces that are learnt beside them; None for none.
    """

    config: ExperimentConfig
    data: TrainingData
    fabric: Fabric
    network: TrainedNetwork
    mitigation: Mitigation
    judge: Judge
    card: WeightCard
    stages: tuple[Stage, ...]
    parameters: int
    base: ExpressionModel
    freezing: Freezing
    notes: tuple[str, ...] = ()
    variants: Variants | None = None

    def epochs(self, stage: int) -> int:
        """Epochs of a stage."""
        return self.stages[stage].epochs or self.config.train.epochs

    @property
    def all_epochs(self) -> int:
        """Epochs of the run."""
        return sum(self.epochs(stage) for stage in range(len(self.stages)))


def build(
    config: ExperimentConfig,
    data: TrainingData,
    fabric: Fabric,
    terms: str,
    resumed: bool = False,
    begun: Mapping[str, Any] | None = None,
) -> Built:
    """Make network, losses, mitigation and card.

    Args:
        config: The experiment.
        data: Its faces.
        fabric: Devices, precision, processes.
        terms: Terms that bind the weights.
        resumed: A checkpoint holds everything: the weights to begin with are not needed any more.
        begun: What the record says of these; see :func:`mien.train.start.started_from`.

    Raises:
        ConfigError: If the model cannot be built with these values, has not the parts that are to stand still, its
            training does not fit into memory, or the batch cannot be shared by the processes.
        WeightsError: If ``model.weights`` are not of this model.
    """
    if config.train.batch_size % fabric.world_size:
        expected = f"a multiple of {fabric.world_size}, the number of processes"
        raise ConfigError("train.batch_size", f"is {config.train.batch_size}", expected)
    classes = class_names(data.heads)
    channels = data.store.images.shape[3]
    torch.manual_seed(config.seed)  # for networks that a mitigation makes
    mitigation: Mitigation = MITIGATIONS.get(config.mitigation.name)(data.train, **config.mitigation.options)
    stages = mitigation.stages()
    _check_fits(config, data, fabric, stages)
    needed = not resumed or any(stage.begins == "start" for stage in stages)
    if data.numbers:
        check_mitigation(mitigation, config.mitigation.name)
    numbers: dict[str, str] = {column: head.scale for head in data.numbers for column in head.columns}
    model = build_model(config, len(classes) + len(numbers), channels, load=False)
    note = begin_with(model, config, (*classes, *numbers)) if needed else ""
    freezing = freezing_of(model, config.model.freeze, config.model.unfreeze_every, "model.freeze")
    begun = begun or {}
    taught = _taught(model, mitigation, freezing, stages[0].epochs or config.train.epochs)
    parameters = sum(p.numel() for p in model.parameters())
    height, width = data.store.images.shape[1:3]
    size = _input_size(model, config.model.size, height)
    own_range = bool(set(config.preprocess) & set(OF_OWN_RANGE))
    card = WeightCard(
        model=config.model.name,
        options=config.model.options,
        classes=classes,
        size=size,
        in_channels=channels,
        # One for all channels: then grey pictures, whose channels are equal, need no numbers of their own. What others
        # learnt is shown pictures as it was then.
        mean=(0.0,) * channels if own_range else tuple(begun.get("mean", (data.mean,) * channels)),
        std=(1.0,) * channels if own_range else tuple(begun.get("std", (data.std,) * channels)),
        store_size=height if height == width else 0,
        preprocess=config.preprocess,
        alignment=str(data.store.info.get("alignment", "")),
        labels="" if config.labels.attributes else config.labels.train.name,
        data=_card_data(config, data, taught) | {k: begun[k] for k in (PRETRAINED,) if k in begun},
        terms=terms,
        heads={name: list(groups) for name, groups in data.heads.items()} if config.labels.attributes else {},
        numbers=numbers,
    )
    heads = _heads(config, data, model.feature_dim)
    pictures = Pictures(
        card,
        _augmentation(config.augment),
        torch.bfloat16 if precision_of(config) == "bf16" else None,
        Mixing(mixup=config.augment.mixup, cutmix=config.augment.cutmix) if config.augment.enabled else Mixing(),
    )
    mitigation.pictures_are(card)
    network = TrainedNetwork(mitigation.adapt(model), heads, mitigation, pictures, config.labels.draw, data.numbers)
    _check_told(mitigation, taught)
    _check_adapted(network, card, config)
    judge = Judge(
        heads=heads,
        faces=data.validation,
        pictures=pictures,
        min_n=config.audit.min_n,
        min_class_n=config.audit.min_class_n,
        numbers=data.numbers,
    )
    return Built(
        config=config,
        data=data,
        fabric=fabric,
        network=network,
        mitigation=mitigation,
        judge=judge,
        card=card,
        stages=stages,
        parameters=parameters,
        base=model,
        freezing=freezing,
        notes=tuple(filter(None, (note, _untaught(model, taught), *_without_faces(mitigation)))),
        variants=variants_of(config.augment, data, config.seed),
    )


def _taught(
    model: ExpressionModel, mitigation: Mitigation, freezing: Freezing, epochs: int
) -> dict[str, tuple[str, ...]]:
    """Attributes that the network's own heads are taught, by its names, and their groups in order; mostly none.

    Heads of no weight, or that stand still as long as they would be taught, learn nothing.
    """
    if not isinstance(model, ConditionedModel) or not isinstance(mitigation, AttributeHeads):
        return {}
    if not any(mitigation.teaches_in(e, epochs) and ATTRIBUTES not in freezing.at(e) for e in range(epochs)):
        return {}
    asked = {attribute_name(name): groups for name, groups in mitigation.faces.attributes.items()}
    return {name: groups for name, groups in asked.items() if name in model.attributes}


def _check_told(mitigation: Mitigation, taught: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a network that is to be told groups where it is used and has not learnt which they are.

    Raises:
        ConfigError: If its heads stand still.
    """
    if isinstance(mitigation, AttributeAware):
        for name in mitigation.by:
            if attribute_name(name) not in taught:
                found = f"nothing teaches the network what {name!r} is"
                expected = f"the model conditioned that knows it, whose part {ATTRIBUTES!r} is not frozen all the time"
                raise ConfigError("mitigation.name", found, expected)


def _untaught(model: ExpressionModel, taught: Mapping[str, tuple[str, ...]]) -> str:
    """What to tell of a network with heads of attributes that nothing teaches; mostly empty."""
    free = [name for name in model.attributes if name not in taught] if isinstance(model, ConditionedModel) else []
    if not free:
        return ""
    teacher = (
        f"the mitigation attribute_heads with by: [{', '.join(free)}] does, unless its weight is 0 or the network's"
    )
    what = f"nothing teaches the network what {' and '.join(free)} is, so that these are free numbers"
    return f"{what}: {teacher} part {ATTRIBUTES!r} stands still"


def _without_faces(mitigation: Mitigation) -> list[str]:
    """What to tell of groups that heads are to learn, and no training face has: others of the store may."""
    if not isinstance(mitigation, AttributeHeads):
        return []
    found = {name: groups_without_faces(mitigation.faces, name) for name in mitigation.by}
    return [
        f"no training face is {' or '.join(groups)} ({name}), so that no head can learn what that is"
        for name, groups in found.items()
        if groups
    ]


def _augmentation(config: AugmentConfig) -> Augmentation | None:
    """What changes training pictures one by one; None for nothing. Copies and mixing are no part of it."""
    if not config.enabled:
        return None
    own = {field.name for field in fields(Augmentation)} - {"rand_augment"}
    drawn = config.rand_augment
    return Augmentation(
        **config.model_dump(include=own),
        rand_augment=None if drawn is None else RandAugment(drawn.operations, drawn.magnitude),
    )


def build_model(config: ExperimentConfig, num_classes: int, in_channels: int, load: bool = True) -> ExpressionModel:
    """The configured model with weights drawn from the run's seed, or its body from ``model.weights``.

    Args:
        config: The experiment.
        num_classes: K.
        in_channels: 1 or 3.
        load: Whether to begin with ``model.weights``.

    Raises:
        ConfigError: If the model cannot be built with these values.
        WeightsError: If ``model.weights`` are not of this model.
    """
    torch.manual_seed(config.seed)
    name, options = config.model.name, config.model.options
    entry = MODELS.get(name)
    try:
        model: ExpressionModel = entry(num_classes, in_channels, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise unfit_options(entry, options, error, repr(name), "model.options") from error
    if load:
        begin_with(model, config)
    return model


def _check_adapted(network: TrainedNetwork, card: WeightCard, config: ExperimentConfig) -> None:
    """What losses and numbers want of the network that learns, which a mitigation may have changed."""
    faces = torch.zeros(2, card.in_channels, card.size, card.size)
    if network.asks_maps:
        check_maps(network.model, faces, config.loss.name, config.model.name)
    if card.numbers:
        check_outputs(network.model, faces, card.outputs, config.mitigation.name)


def _check_fits(config: ExperimentConfig, data: TrainingData, fabric: Fabric, stages: tuple[Stage, ...]) -> None:
    """Refuse a training that does not fit into the memory of its device, before a weight is made.

    Raises:
        ConfigError: With the figure, and the way out.
    """
    n_classes, channels = len(class_names(data.heads)), data.store.images.shape[3]
    model = without_memory(config.model.name, n_classes, channels, config.model.options, lambda _: None)
    if model is None:
        return  # what is wrong with it is told when it is built
    world, local = processes()
    size = _input_size(model, config.model.size, data.store.images.shape[1])
    batch = max(1, min(config.train.batch_size, len(data.train)) // world)
    kept = (len(stages) > 1) + any(stage.begins == "start" for stage in stages)
    memory = reckon(model, (batch, channels, size, size), config.train, bf16=precision_of(config) == "bf16", kept=kept)
    shared = local if fabric.device.type == "cpu" else 1  # each process has a card, and all have one machine
    own = {option.name for option in options_of(MODELS.get(config.model.name), MODELS.given)}
    check_memory(
        memory,
        sum(p.numel() for p in model.parameters()),
        memory_of(fabric.device) / shared,
        config.train,
        tuple(name for name in ("fc_width", "width", "widths", "base", "hidden") if name in own),
    )


def make_fabric(config: ExperimentConfig) -> Fabric:
    """One process on the best device there is; under ``torchrun``, all of its processes."""
    world, local = processes()
    method = MITIGATIONS.get(config.mitigation.name)
    in_turns = getattr(method, "stages", None) is not Mitigation.stages or config.model.unfreeze_every is not None
    # Heads of attributes may be silent for a share of the epochs, or have nobody who teaches them.
    taught = isinstance(method, type) and issubclass(method, AttributeHeads)
    untaught = config.model.name == "conditioned" and not taught
    silent = config.mitigation.options.get("epochs_share", 1) != 1 or untaught
    return Fabric(
        accelerator="auto",
        devices=local,
        num_nodes=world // local,
        # What a turn does not move has no gradient in it, nor has a silent head; to look for such takes time.
        strategy=DDPStrategy(find_unused_parameters=in_turns or silent) if world > 1 else "auto",
        # The network computes in bf16 by itself (see Pictures.computing): Fabric would round targets and weights too.
        precision="32-true",
    )


def processes() -> tuple[int, int]:
    """How many processes ``torchrun`` started, over all machines and on this one; 1 and 1 without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return world, int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))


def is_first() -> bool:
    """Whether this is the process that writes and speaks: the only one, or the first that ``torchrun`` started."""
    return int(os.environ.get("RANK", "0")) == 0


def precision_of(config: ExperimentConfig) -> str:
    """``bf16`` where the machine multiplies it in hardware, unless the configuration decides."""
    if config.train.precision != "auto":
        return config.train.precision
    return "bf16" if bf16_is_fast("cuda" if torch.cuda.is_available() else "cpu") else "fp32"


def _heads(config: ExperimentConfig, data: TrainingData, feature_dim: int) -> tuple[Head, ...]:
    if len(data.train.heads) > 1 and config.loss.options.get("class_weights"):
        found = f"weights of one head's classes, and heads of {listed(list(data.train.heads))}"
        raise ConfigError("loss.options.class_weights", found, "exponent, which weighs each head's by their faces")
    heads = []
    for name, block in data.train.heads.items():
        loss = RowLoss(
            config.loss.name, config.loss.options, num_classes=block.stop - block.start, feature_dim=feature_dim
        )
        counts = torch.from_numpy(data.train.targets[:, block].sum(0))
        heads.append(
            Head(name=name, block=block, loss=loss, weight=config.labels.weights.get(name, 1.0), counts=counts)
        )
    return tuple(heads)


def _card_data(
    config: ExperimentConfig, data: TrainingData, taught: Mapping[str, tuple[str, ...]]
) -> dict[str, object]:
    found: dict[str, object] = {
        "corpus": data.table.name,
        "fingerprint": data.store.fingerprint,
        "run": config.name,
    }
    if config.mitigation.name != "none":
        told = {"name": config.mitigation.name, "groups": sources(mitigated(config), data)}
        found["mitigation"] = told | beside_of(config)
    if taught:  # what the groups of a network that tells attributes are called, in the order of their probabilities
        found["attributes"] = {name: list(groups) for name, groups in taught.items()}
        # Their probabilities are there and mean nothing: nobody is to be told to the network as one of these.
        lacking = {attribute_name(name): groups_without_faces(data.train, name) for name in data.train.attributes}
        untaught = {name: groups for name, groups in lacking.items() if name in taught and groups}
        found |= {"untaught_groups": untaught} if untaught else {}
    return found


def sources(attributes: tuple[str, ...], data: TrainingData) -> dict[str, str]:
    """Of each attribute, whether people annotated it or a model or an onlooker perceived it."""
    return {
        spec: "perceived" if any(data.table.is_perceived(name.strip()) for name in spec.split("*")) else "annotated"
        for spec in attributes
    }


def _input_size(model: ExpressionModel, wanted: int | None, stored: int) -> int:
    """Side of the input: the network's own (with a hidden layer on its map), the configured, or the store's."""
    if wanted is not None and model.size not in (None, wanted):
        raise ConfigError(
            "model.size",
            f"is {wanted}, but the network is built for {model.size}",
            f"{model.size}",
            "Or model.options.",
        )
    return model.size or wanted or stored
