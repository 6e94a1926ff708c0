"""A study of mitigations as it is written: a baseline, methods with their candidates, whose groups, what is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from mien.config import Component
from mien.config.files import load_section
from mien.config.section import Section
from mien.errors import ConfigError
from mien.mitigate.selection import Rule
from mien.postprocessing import POSTPROCESSORS
from mien.registry import nearest, read_options
from mien.spellings import attribute_name, folded
from mien.studies.definition import Scale, ScaleConfig, Settings, scale_of

_EXPECTED = "a study of mitigations: a YAML with name, base, attribute, baseline and methods"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_]*$"  # also part of a folder's
BASELINE, UNTUNED = "baseline", "untuned"
ROWS = (BASELINE, UNTUNED)  # of a table, which are no methods
_ATTRIBUTE = "$attribute"
Disparity = Literal["gap", "odds", "parity", "known"]
MIN_N = 30  # faces of a group, below which its figures choose and judge nothing


class AfterConfig(Component):
    """What is fitted after training, and how it sees perceived groups."""

    soft: bool = Field(
        False,
        description="Perceived groups as the annotator's probabilities (columns ATTRIBUTE_prob_GROUP), not named.",
    )


class KnownGapConfig(Section):
    """A gap whose sign is known before anything is judged: of a bias that was put in, or that others found."""

    better: str = Field(min_length=1, description="The group that is served better ...")
    worse: str = Field(min_length=1, description="... than this one.")
    classes: tuple[str, ...] = Field(
        (), description="In the recall of these classes, whose mean it is; in the metric of the study if absent."
    )

    @model_validator(mode="after")
    def _two(self) -> KnownGapConfig:
        if folded(self.better) == folded(self.worse):
            raise ValueError(f"better and worse are both {self.better!r}, expected two groups")
        return self


_KNOWN = TypeAdapter(tuple[KnownGapConfig, ...])


class MethodConfig(Section):
    """One method: what it changes in the experiment, or what is fitted after training, and the candidates."""

    set: Settings = Field({}, description="Dotted key of the experiment -> value; on top of the chosen baseline's.")
    after: AfterConfig | None = Field(
        None, description="Or: what is fitted to a trained model: name, options, and soft for perceived groups."
    )
    part: Literal["fit", "train"] = Field("fit", description="Faces to which that is fitted.")
    of: str = Field(BASELINE, description="The method whose chosen model it is fitted to.")
    candidates: tuple[Settings, ...] = Field(
        ({},), min_length=1, description="What each candidate sets: keys of the experiment, or options of `after`."
    )
    against: str = Field(
        BASELINE,
        description="The trained method that its changes are held against, such as its own network without it.",
    )
    claims: tuple[str, ...] = Field((), description="Settings of the study in which the method is said to help.")
    label: str = Field("", description="What tables call it; its name if absent.")
    note: str = Field("", description="What a reader must know of it.")


class MitigationConfig(Section):
    """A study of mitigations; unknown keys are refused."""

    name: str = Field(pattern=_NAME, max_length=60)
    title: str = ""
    source: str = Field("", description="The publication, if there is one.")
    about: str = Field("", description="What a reader must know; Markdown.")
    base: str = Field(min_length=1, description="The experiment, beside this file.")
    set: Settings = Field({}, description="What all runs change in it.")
    attribute: str = Field(min_length=1, description="Whose groups are judged: an attribute, or an intersection.")
    judged: str = Field("test", description="The part that everything is judged on once: of the store, or STORE:part.")
    metric: Literal["accuracy", "balanced_accuracy"] = Field(
        "accuracy", description="What groups are compared by; balanced accuracy is the mean recall over classes."
    )
    disparity: Disparity = Field(
        "gap",
        description="What a method that claims to help must bring down: the largest gap of the metric between groups, "
        "or of a class's rates (equalised odds), or of how often a class is answered (demographic parity); or the gap "
        "that `known` names, with its sign.",
    )
    known: tuple[KnownGapConfig, ...] = Field((), description="Gaps whose sign is known; their mean is one measure.")
    select: Rule = Field("distance", description="How a candidate is chosen, on the validation faces.")
    min_n: int = Field(MIN_N, ge=2, description="Groups with fewer faces are shown, and neither select nor judge.")
    fit: float = Field(0.5, gt=0, lt=1, description="Share of the validation faces kept for what is fitted afterwards.")
    seeds: int = Field(3, ge=2, le=100)
    baseline: MethodConfig = MethodConfig()
    methods: dict[str, MethodConfig]
    settings: dict[str, Settings] = Field(
        {"all": {}},
        min_length=1,
        description="Name -> what it changes for all. `attribute` in it is another one, which `$attribute` stands for, "
        "and `disparity` and `known` others; `methods` are those that are run in it, all if absent and none if empty: "
        "the baseline alone, of faces without a bias say.",
    )
    probes: bool = Field(True, description="Whether fresh probes read the attribute from the features.")
    scales: dict[Scale, ScaleConfig] = Field(
        {}, description="What each scale shrinks; `cells` are of methods, and the baseline's are all methods' too."
    )

    @field_validator("methods", "settings")
    @classmethod
    def _named(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            if not name.replace("_", "").isalnum():
                raise ValueError(f"{name!r} is no name: letters, digits and _ (it is part of a folder's)")
        if taken := sorted(set(ROWS) & set(named)):
            raise ValueError(f"{taken[0]!r} is the baseline's name")
        return named

    @field_validator("attribute")
    @classmethod
    def _one_spelling(cls, spec: str) -> str:
        return attribute_name(spec)

    @model_validator(mode="after")
    def _fits(self) -> MitigationConfig:
        n = len(self.baseline.candidates)
        if self.judged in ("train", "validation", "fit"):
            raise ValueError(f"judged: {self.judged!r} faces learn, choose or fit: name a part that does none of it")
        for setting, changed in self.settings.items():
            if (disparity := changed.get("disparity", self.disparity)) not in get_args(Disparity):
                raise ValueError(
                    f"settings.{setting}: disparity {disparity!r}. {nearest(str(disparity), list(get_args(Disparity)))}"
                )
            try:
                _KNOWN.validate_python(changed.get("known", ()))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, ("known", *first["loc"])))
                raise ValueError(f"settings.{setting}.{place}: {first['msg']}") from None
            if disparity == "known" and not changed.get("known", self.known):
                raise ValueError(
                    f"settings.{setting}: disparity 'known' asks for `known`: which group is served better"
                )
            if "methods" in changed:
                self._check_methods(setting, changed["methods"])
        for about in (self.attribute, *(changed.get("attribute", "") for changed in self.settings.values())):
            if not isinstance(about, str) or ":" in about:
                raise ValueError(f"attribute {about!r}: parts of numbers are cut anew in every part of the faces")
        for scale, told in self.scales.items():
            if told.seeds == 1:
                raise ValueError(f"scale {scale!r} has one seed: of one nothing can be told")
        if self.baseline.after is not None:
            raise ValueError("the baseline is trained: leave `after` out")
        trained = [BASELINE, *(m for m, told in self.methods.items() if told.after is None)]
        for scale, told in self.scales.items():
            if strange := sorted(set(told.cells) - set(trained)):
                raise ValueError(f"scale {scale!r} names {strange[0]!r}. {nearest(strange[0], trained)}")
        for name, method in self.methods.items():
            if len(method.candidates) != n:
                raise ValueError(
                    f"{name} has {len(method.candidates)} candidates and the baseline {n}: every method has as many, "
                    "or the one with more wins by chance"
                )
            if strange := sorted(set(method.claims) - set(self.settings)):
                raise ValueError(f"{name} claims {strange[0]!r}. {nearest(strange[0], list(self.settings))}")
            if method.against not in trained:
                raise ValueError(f"{name} is held against {method.against!r}. {nearest(method.against, trained)}")
            if method.against == name:
                raise ValueError(f"{name} is held against itself")
            if method.after is None:
                continue
            if method.set:
                raise ValueError(f"{name} is fitted after training: `set` has no place in it")
            if method.of not in trained:
                raise ValueError(f"{name} is fitted to {method.of!r}. {nearest(method.of, trained)}")
            called = f"post-processing {method.after.name!r}"
            try:
                entry = POSTPROCESSORS.get(method.after.name, f"methods.{name}.after.name")
                given = ({**method.after.options, **options} for options in method.candidates)
                tried = [vars(entry(**read_options(entry, each, called, f"methods.{name}"))) for each in given]
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if any(one == other for i, one in enumerate(tried) for other in tried[:i]):
                raise ValueError(f"{name}: two candidates are the same rule: the method would have fewer than others")
        return self

    def _check_methods(self, setting: str, own: Any) -> None:
        """Refuse a setting's own list of methods that names others, or leaves out what one of them builds on."""
        if not isinstance(own, list | tuple) or not all(isinstance(name, str) for name in own):
            raise ValueError(f"settings.{setting}: methods {own!r}, expected a list of names, or [] for none")
        for name in own:
            if name not in self.methods:
                told = nearest(str(name), list(self.methods))
                raise ValueError(f"settings.{setting}: methods names {name!r}. {told}")
            for other in (self.methods[name].of, self.methods[name].against):
                if other not in (BASELINE, *own):
                    raise ValueError(f"settings.{setting}: methods lacks {other!r}, which {name!r} builds on")

    @property
    def sets_aside(self) -> bool:
        """Whether validation faces are kept for what is fitted after training."""
        return any(method.part == "fit" for method in self.methods.values() if method.after is not None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Faces that every run is judged on: those that choose, those that fit, those that count."""
        fitted = [method.part for method in self.methods.values() if method.after is not None]
        return tuple(dict.fromkeys(["validation", *fitted, self.judged]))

    def within(self, setting: str) -> MitigationConfig:
        """The study in one of its settings: with what that one changes in it, and ``$attribute`` filled in."""
        content = self.model_dump()
        own = {key: content["settings"][setting].pop(key, content[key]) for key in ("attribute", "disparity", "known")}
        kept = content["settings"][setting].get("methods", list(self.methods))
        for changed in content["settings"].values():
            changed.pop("methods", None)
        own["methods"] = {name: content["methods"][name] for name in self.methods if name in kept}
        for scale in content["scales"].values():
            scale["cells"] = {name: told for name, told in scale["cells"].items() if name in (BASELINE, *kept)}

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: filled(v) for k, v in value.items()}
            if isinstance(value, list | tuple):
                return [filled(v) for v in value]
            return value.replace(_ATTRIBUTE, own["attribute"]) if isinstance(value, str) else value

        return MitigationConfig.model_validate({**filled(content), **filled(own)})

    def at(self, scale: Scale) -> ScaleConfig:
        """What a scale shrinks; nothing at the full one.

        Raises:
            ConfigError: If the study does not say.
        """
        return scale_of(self.name, self.scales, scale)

    def label(self, name: str) -> str:
        """What tables call a method."""
        if name == UNTUNED:
            return "baseline, untuned"
        return (self.methods[name].label if name in self.methods else self.baseline.label) or in_words(name)

    @property
    def known_by_class(self) -> bool:
        """Whether the disparity is a known gap of classes; without classes its sides are groups' rates."""
        return self.disparity == "known" and any(gap.classes for gap in self.known)


def in_words(name: str) -> str:
    """A study's, a setting's or a method's name as pages write it, where nobody gave it a title."""
    return name.replace("_", " ")


def load_mitigation(path: Path | str) -> MitigationConfig:
    """Read a study of mitigations.

    Raises:
        ConfigError: If it cannot be read; with every mistake and its key.
    """
    config = load_section(path, MitigationConfig, _EXPECTED, {"methods": MethodConfig, "scales": ScaleConfig})
    if not config.methods:
        raise ConfigError(f"{Path(path).name}: methods", "names none", _EXPECTED)
    return config
