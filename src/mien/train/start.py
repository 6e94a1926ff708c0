"""Weights that a run begins with must not have learnt the faces that it holds out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.config import ExperimentConfig
from mien.data.images import Store
from mien.data.splits import FIT, TEST, TRAIN, VALIDATION
from mien.errors import ConfigError, WeightsError
from mien.mitigation import MITIGATIONS
from mien.mitigation.style import weights_folder
from mien.models import MODELS
from mien.models.backbones import LibraryModel
from mien.models.blocks import ExpressionModel
from mien.models.card import CARD, WEIGHTS, WeightCard
from mien.models.pretrained import IMAGENET, SUFFIXES, classes_of, described, load_pretrained, published_file
from mien.models.published_network import LibraryNetwork
from mien.models.shapes import without_memory
from mien.models.weights import load_body, load_card, load_whole
from mien.own_files import TEXT, read_parquet, sha256_of
from mien.runs import RECORD, SPLITS, Run, read_splits
from mien.samples import MERGE, SampleTable, with_corpus

PRETRAINED = "pretrained"  # key of a card's data: weights of others that it goes back to
_EXPECTED = f"a run, weights or annotator folder, a file of weights ({', '.join(SUFFIXES)}), or {IMAGENET}"
_ANNOTATOR_HOLDOUT = "holdout.parquet"  # in an annotator's folder: the faces that it did not learn from


def check_start(config: ExperimentConfig, table: SampleTable, pictures: Mapping[str, Any]) -> None:
    """Refuse weights that learnt faces which this run holds out: those it begins with, and those a mitigation reads.

    Args:
        config: The experiment.
        table: Its faces with their split.
        pictures: How their pictures were made: :func:`pictures_of` their store.

    A file of weights and what a library publishes learnt ImageNet, or what only its owner knows: nothing of
    either can be told from the faces.

    Raises:
        ConfigError: If ``model.weights`` holds no weights, or they come from a run or an annotator that
            learnt, or may have learnt, validation or test faces of this one.
        WeightsError: If a library's weights are neither kept here nor can be downloaded.
    """
    source = source_of(config)
    folders = {"model.weights": source} if source is not None and source.is_dir() else {}
    parts = [(part, (table.frame["split"] == part).to_numpy(dtype=bool)) for part in (VALIDATION, FIT, TEST)]
    for key, folder in (folders | read_beside(config)).items():
        learnt, words = _learnt_before(folder, table, pictures, set())
        held_out = [(part, held, learnt & held) for part, held in parts]
        counts = [f"{both.sum():,} of {held.sum():,} {part}" for part, held, both in held_out if both.any()]
        if counts:
            raise ConfigError(
                key,
                f"{' and '.join(counts)} faces {words} {str(folder)!r}",
                "weights that never saw them",
                "Split as those weights did (the same split, options and seed), or take others.",
            )


def source_of(config: ExperimentConfig) -> Path | None:
    """The folder or file of ``model.weights``; None where a run begins with nothing.

    Raises:
        ConfigError: If there is no such thing.
        WeightsError: If a library's weights are neither kept here nor can be downloaded.
    """
    weights = config.model.weights
    if weights is None:
        return None
    if weights == IMAGENET:
        return published_file(_without_memory(config, 3).pretrainable, config.model.name)
    path = Path(weights)
    if path.suffix in SUFFIXES and not path.is_dir():
        if not path.is_file():
            raise ConfigError("model.weights", f"no such file {weights!r}", _EXPECTED)
        # The weights of a run, named without their folder: what they learnt is checked all the same.
        beside = path.name == WEIGHTS and (path.parent / CARD).is_file()
        return path.parent if beside else path
    try:
        load_card(path)
    except WeightsError as error:
        found = f"{weights!r} {error.found}" if path.is_dir() else f"no such folder {weights!r}"
        raise ConfigError("model.weights", found, _EXPECTED) from error
    return path


def read_beside(config: ExperimentConfig) -> dict[str, Path]:
    """Folders of weights that the mitigation reads: key of the option -> folder.

    Of a network of a library nothing is told here: it learnt ImageNet, or what only its owner knows.

    Raises:
        ConfigError: If one holds no weights.
    """
    return {_key(option): found for option, found in _beside(config).items() if isinstance(found, Path)}


def _key(option: str) -> str:
    return f"mitigation.options.{option}"


def _beside(config: ExperimentConfig) -> dict[str, Path | LibraryNetwork]:
    """Option of the mitigation -> the folder or network that it names; none of those that are left at their default.

    Raises:
        ConfigError: If it is none.
    """
    method = MITIGATIONS.get(config.mitigation.name)
    found: dict[str, Path | LibraryNetwork] = {}
    for option in getattr(method, "weights_in", ()):
        value, default = config.mitigation.options.get(option), _default(method, option)
        if value is None or value == default:
            continue
        if (library := LibraryNetwork.read(value, _key(option))) is not None:
            found[option] = library
            continue
        folder = weights_folder(value)
        try:
            load_card(folder)
        except WeightsError as error:
            what = f"{value!r} {error.found}" if folder.is_dir() else f"no such folder {value!r}"
            raise ConfigError(_key(option), what, f"a run or weights folder, or {default}") from error
        found[option] = folder
    return found


def _default(method: Callable[..., Any], option: str) -> Any:
    return inspect.signature(method).parameters[option].default


def beside_of(config: ExperimentConfig) -> dict[str, Any]:
    """What a card says of the weights that the mitigation reads: option -> its default, or which network and whose."""
    method, named = MITIGATIONS.get(config.mitigation.name), _beside(config)
    found: dict[str, Any] = {}
    for option in getattr(method, "weights_in", ()):
        each = named.get(option)
        if each is None:
            found[option] = _default(method, option)
        elif isinstance(each, LibraryNetwork):
            found[option] = {"model": each.name, **each.told()}
        else:
            card = load_card(each)
            found[option] = {"model": card.model, "sha256": card.sha256, "corpus": card.data.get("corpus", "")}
    return found


def keyed(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration with what tells the weights that its mitigation reads from others: for a key.

    Raises:
        ConfigError: If one holds no weights.
    """
    named = _beside(config)
    if not named:
        return config
    keys = {o: each.key if isinstance(each, LibraryNetwork) else load_card(each).sha256 for o, each in named.items()}
    options = {**config.mitigation.options, **keys}
    return config.model_copy(update={"mitigation": config.mitigation.model_copy(update={"options": options})})


def weights_key(config: ExperimentConfig) -> str:
    """What tells the weights that a run begins with from others: a checksum, or where a library publishes them.

    What a library publishes need not be at hand for it. Empty where a run begins with nothing.

    Raises:
        ConfigError: If there is no such folder or file.
    """
    if config.model.weights == IMAGENET:
        module = _without_memory(config, 3).pretrainable
        published = module.published if isinstance(module, LibraryModel) else None
        return f"{IMAGENET} {published.address}" if published else IMAGENET
    source = source_of(config)
    if source is None:
        return ""
    return load_card(source).sha256 if source.is_dir() else sha256_of(source)


def begin_with(model: ExpressionModel, config: ExperimentConfig, classes: Sequence[str] = ()) -> str:
    """Load ``model.weights``, if there are any, into a network.

    Args:
        model: The network.
        config: The experiment.
        classes: What its outputs are; for ``model.keep_head``.

    Returns:
        What to tell of it; mostly empty.

    Raises:
        WeightsError: If they are not of this network.
    """
    source = source_of(config)
    if source is None:
        return ""
    if config.model.keep_head:
        if not source.is_dir():
            raise ConfigError(
                "model.keep_head", f"{source.name} is a file", "a run or weights folder, whose card says it"
            )
        load_whole(model, source, classes)
        return ""
    if source.is_dir():
        # A network around a trunk begins with one of its kind, or with its trunk alone.
        same = load_card(source).model == config.model.name
        load_body(model if same else model.pretrainable, source)
        return ""
    if load_pretrained(model.pretrainable, source).head:
        return f"the head of {source.name} has as many classes as this run and was taken too: see to their order"
    return ""


def started_from(config: ExperimentConfig, channels: int) -> dict[str, Any]:
    """Whose weights the body begins with, for the record, and what of it goes on to the card of the new ones.

    Args:
        config: The experiment.
        channels: 1 or 3, of the pictures.

    Returns:
        ``folder`` or ``file``, ``sha256``, ``terms`` (which bind the new weights too) and ``data``; and where the
        weights go back to those of others (:data:`PRETRAINED`), what is known of these, with the ``mean`` and ``std``
        that they want. Empty where a run begins with nothing.
    """
    source = source_of(config)
    if source is None:
        return {}
    if source.is_dir():
        card = load_card(source)
        found = {"folder": str(source), "sha256": card.sha256, "terms": card.terms, "data": card.data}
        return found | _inherited(card, channels)
    network = _without_memory(config, channels).pretrainable
    about = described(network, source, str(config.model.weights), classes_of(network, source), channels)
    return about | {PRETRAINED: {key: about[key] for key in ("file", "sha256", "terms")} | about["data"]}


def _inherited(card: WeightCard, channels: int) -> dict[str, Any]:
    """Of weights that began with those of others: these, and their normalisation, which frozen parts rely on."""
    if PRETRAINED not in card.data:
        return {}
    kept = {PRETRAINED: card.data[PRETRAINED]}
    return kept | ({"mean": list(card.mean), "std": list(card.std)} if card.in_channels == channels else {})


def _without_memory(config: ExperimentConfig, channels: int) -> ExpressionModel:
    """The network for its names and shapes, without memory for its weights where it can be built so."""
    name, options = config.model.name, config.model.options

    def whole(error: Exception) -> ExpressionModel:
        if not isinstance(error, RuntimeError):  # what one that reads a value raises, NotImplementedError or not
            raise error
        model: ExpressionModel = MODELS.get(name)(2, channels, **options)
        return model

    return without_memory(name, 2, channels, options, whole)


def pictures_of(store: Store) -> dict[str, Any]:
    """What the bytes of a store's pictures depend on: where it is the same, a picture's hash is the same."""
    return {
        "shape": [int(n) for n in store.images.shape[1:]],
        "alignment": str(store.info.get("alignment") or ""),
        "cut": dict(store.info.get("cut") or {}),  # of which versions before said nothing
    }


def _learnt_before(
    folder: Path, table: SampleTable, pictures: Mapping[str, Any], seen: set[Path]
) -> tuple[NDArray[np.bool_], str]:
    """``(n,)`` faces that the weights of a folder learnt, and how the message says so; ``seen`` are not looked at."""
    if (folder / SPLITS).is_file():
        return _learnt_by_run(folder, table, pictures, seen), "were learnt by"
    path = folder / _ANNOTATOR_HOLDOUT
    if not path.is_file():
        return np.zeros(len(table), dtype=bool), ""
    held = set(read_parquet(path, {"sample_id": TEXT}, "an annotator's held-out faces").column(0).to_pylist())
    # Other faces of the same corpus were learnt, as far as the annotator's folder tells.
    return ~table.new_to(held, str(load_card(folder).data.get("corpus"))), "are not among those held out from"


def _learnt_by_run(folder: Path, table: SampleTable, pictures: Mapping[str, Any], seen: set[Path]) -> NDArray[np.bool_]:
    """``(n,)`` faces that a run learnt, or one that it began with, as far as their folders are still there.

    Of pictures that were made alike the bytes tell. Where they may have been made otherwise (another size, aligned,
    a run of an older version) the names of faces of the same corpus tell too.
    """
    seen.add(folder.resolve())
    data = Run(folder).record.data if (folder / RECORD).is_file() else {}
    begun = read_splits(folder)
    trained = begun.loc[begun["split"] == TRAIN]
    learnt = np.zeros(len(table), dtype=bool)
    hashed = "hash" in begun and "hash" in table.frame
    if hashed:
        learnt |= table.frame["hash"].isin(set(trained["hash"])).to_numpy(dtype=bool)
    if not hashed or data.get("pictures") != dict(pictures):
        merged = any(step.get("step") == MERGE for step in data.get("history", []))
        if corpus := data.get("corpus"):
            names, named = with_corpus(trained["sample_id"], "" if merged else corpus), table.whole_names
        else:  # of a folder without its record nobody knows whose faces these are: names alone must do
            names, named = trained["sample_id"], table.frame["sample_id"]
        learnt |= named.isin(set(names)).to_numpy(dtype=bool)
    before = Path((data.get("started_from") or {}).get("folder") or folder)
    before = before.parent if before.name == WEIGHTS else before  # as older versions wrote it
    if before.resolve() not in seen:
        learnt |= _learnt_before(before, table, pictures, seen)[0]
    return learnt
