"""The fields of a recipe, the checks on them, and the names that follow from them."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ulmfit.corpus.data_checks import Mode as DataCheckMode
from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import check_one_label
from ulmfit.evaluation.encoder_stages import FrozenEncoder
from ulmfit.evaluation.learning_curve import CurveChoice
from ulmfit.evaluation.minimal_pairs import PairsStage
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.transformer_stages import TransformerModel
from ulmfit.experiments.presets import PUBLISHED, Preset
from ulmfit.language_model.stages import Direction, ImportedModel
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.record_part import MOST_SEEDS
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.tokens.casing import OTHER_CODES

Seed = Annotated[int, Field(ge=0, lt=2**63)]
TrainSize = Annotated[int, Field(ge=2)] | Literal["all"]
Teachers = Annotated[tuple[str, ...], Field(min_length=1)]
NoiseShare = Annotated[float, Field(ge=0, le=0.5)]

OPTION_NAMES = {
    "seeds": "--seeds",
    "train_sizes": "--train-sizes",
    "label_noise": "--label-noise",
    "language_model": "--language-model",
    "overrides": "--set",
}
"""The fields that options of a command change, beside the preset."""

OWN_TEACHERS = ("tfidf", "ulmfit")
"""Names of teachers that every recipe has."""

NAME = r"[\w-][\w.-]*(/[\w-][\w.-]*)*"
"""Allowed names of recipes: the name becomes folders, so no part of it is empty, `.` or `..`."""
MOST_PLACES = 100
"""Most places of a curve: each place is a model to train per seed."""

_PACKAGE = Path(__file__).parents[1]
CAME_ALONG = (_PACKAGE / "recipes", _PACKAGE.parent / "recipes")
"""Folders of the recipes that are found by name."""


class Origin(Settings):
    """Where a recipe was read from."""

    file: Path = Field(description="the recipe's file, as the user named it")
    written: dict[str, Any] = Field(description="what the file says in the fields of `OPTION_NAMES`")

    @property
    def folder(self) -> Path:
        """The file's folder, where relative paths of `--set` begin."""
        return self.file.parent.absolute()


class RecipeSettings(Settings):
    """One experiment: a language, a corpus, a data set, and presets for everything else.

    The first preset is the default. Without a data set the recipe ends with the language model.
    """

    name: str = Field(pattern=f"^{NAME}$", description="as under recipes/, such as de/germeval2018")
    title: str = Field(description="one line for tables")
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", description="language code")
    corpus: CorpusStage = Field(description="what the language model is pretrained on")
    dataset: DatasetStage | None = Field(None, description="labelled texts; None: language model only")
    presets: dict[str, Preset] = Field(min_length=1, description="named settings; the first is the default")
    preset: str = Field(
        "",
        description="name of the chosen preset, one of `presets` or else a published one; empty: the first",
    )
    seeds: tuple[Seed, ...] = Field(
        (0, 1, 2),
        min_length=1,
        max_length=MOST_SEEDS,
        description="seeds of fine-tuning and classifier",
    )
    deduplication: Literal["off", "exact", "minhash"] = Field(
        "off",
        description="leave duplicates out of the sampled corpus: exact ones, or near-duplicates as well",
    )
    leaks: Literal["ignore", "count", "remove"] = Field(
        "count",
        description="documents of the corpus that hold test texts: not looked for, counted, or left out",
    )
    data_checks: DataCheckMode = Field(
        "count",
        description="copies, conflicting labels and so on in the data set: not looked for, counted, or left "
        "out of train and valid, never of test",
    )
    pretrained: dict[Direction, ImportedModel] = Field(
        {}, description="released weights for each direction, instead of pretraining; empty: pretrain"
    )
    language_model: File | None = Field(
        None,
        description="bundle of a language model, a folder, instead of pretraining: its tokenizer and size "
        "take the place of the preset's, and the corpus is not read; None: pretrain",
    )
    poleval_2018: bool = Field(
        False,
        description="replace the corpus' rare words and count perplexity as PolEval 2018, task 3, did; the "
        "other figures of these language models are then not comparable",
    )
    tokenizer: File | None = Field(
        None,
        description="SentencePiece model to cut texts with, such as that of released weights, whatever the "
        "preset says of the vocabulary's size and kind; None: train one",
    )
    transformers: tuple[TransformerModel, ...] = Field(
        (),
        description="pretrained transformers fine-tuned on the same rows with every seed, one row of "
        "the table each; (): none",
    )
    encoders: tuple[FrozenEncoder, ...] = Field(
        (),
        description="frozen encoders with logistic regression, whose settings are cross-validated: each is a "
        "row of the table and a line of every curve; (): none",
    )
    bootstrap: tuple[Teachers, ...] = Field(
        (),
        description="teachers, each a list of names whose probabilities are averaged: tfidf, ulmfit "
        "(self-training) or an encoder's. ULMFiT learns from their soft labels of the texts without a label, "
        "then from the labels (MultiFiT): a line of every curve over train sizes, where all other training "
        "texts count as unlabelled; without train_sizes a row of the table, for data sets that have "
        "unlabelled texts; (): none",
    )
    minimal_pairs: PairsStage | None = Field(
        None,
        description="pairs of sentences that differ in one thing, for the grammar card of the pretrained "
        "language models; None: no card",
    )
    transductive: bool = Field(False, description="fine-tune the language model on the test texts as well")
    train_sizes: tuple[TrainSize, ...] = Field(
        (),
        max_length=MOST_PLACES,
        description="numbers of training texts, rising, for a learning curve (ULMFiT, figure 3), `all` last "
        "for all of them; every seed draws a subset of its own, a bigger one holds the smaller; (): no curve",
    )
    label_noise: tuple[NoiseShare, ...] = Field(
        (),
        max_length=MOST_PLACES,
        description="shares of wrong training labels, rising, 0 to 0.5, for a curve over them; (): no curve",
    )
    curve_texts: Literal["all", "subset"] = Field(
        "all",
        description="what the language models of a curve over train sizes are fine-tuned on. all: every "
        "training and unlabelled text, without labels (semi-supervised); subset: the labelled texts alone",
    )
    curve_steps: int = Field(
        0,
        ge=0,
        description="`least_steps` of the classifiers of fewer than all texts in a curve over train sizes, "
        "where their preset has fewer, with `--train-sizes` too; 0: the preset's",
    )
    curve_choice: CurveChoice = Field(
        "labels",
        description="what a curve over train sizes chooses settings and epochs on. labels: nothing but the "
        "place's own labels: the last epoch, TF-IDF's settings by cross-validation; validation: the whole "
        "validation split, at every size. Curves over label noise have the whole validation split always",
    )
    published: tuple[PublishedResult, ...] = Field(
        (), description="results of others on the same test split, shown beside the table's rows; (): none"
    )
    notes: tuple[str, ...] = Field((), description="labels that every table of this recipe carries")
    trial: bool = Field(
        False,
        description="whether `--trial` made the recipe small: its figures are no results; false: it is whole",
    )
    overrides: tuple[str, ...] = Field((), description="what `--set` changed; written to the record")
    origin: Annotated[Origin | None, NOT_IN_KEY] = Field(
        None,
        exclude=True,
        repr=False,
        description="where the recipe was read from, written when it is loaded; None: a program made it",
    )

    @model_validator(mode="before")
    @classmethod
    def _has_the_published_preset_that_was_chosen(cls, fields: Any) -> Any:
        """A published preset is put after the recipe's own; one of those may have its name."""
        if not isinstance(fields, dict) or not isinstance(own := fields.get("presets"), dict):
            return fields
        chosen = fields.get("preset")
        if not isinstance(chosen, str) or chosen in own or chosen not in PUBLISHED:
            return fields
        return {**fields, "presets": {**own, chosen: PUBLISHED[chosen].preset}}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.preset and self.preset not in self.presets:
            raise ValueError(
                f"preset {self.preset!r} is none of the recipe's, {', '.join(self.presets)}, and none of the "
                f"published, {', '.join(PUBLISHED)}"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: a seed occurs twice")
        return self

    @model_validator(mode="after")
    def _language_is_known_by_its_code(self) -> Self:
        code = self.language.partition("-")[0]
        if code in OTHER_CODES:
            raise ValueError(
                f"language {self.language!r}: expected {OTHER_CODES[code] + self.language[len(code) :]!r}, "
                f"by which its capitals are read"
            )
        return self

    @model_validator(mode="after")
    def _curves_can_be_drawn(self) -> Self:
        for name, form in (
            ("train_sizes", "rise, `all` last, such as 100,500,all"),
            ("label_noise", "rise, such as 0,0.1,0.3"),
        ):
            places = [float("inf") if place == "all" else place for place in getattr(self, name)]
            if any(first >= second for first, second in pairwise(places)):
                raise ValueError(f"{name} {'have' if name.endswith('s') else 'has'} to {form}")
            if places and self.dataset is None:
                raise ValueError(f"{name} need a data set")
        for name in ("curve_texts", "curve_choice"):
            if getattr(self, name) != type(self).model_fields[name].default and not self.train_sizes:
                raise ValueError(f"{name} has no effect without train_sizes: leave it out")
        return self

    @model_validator(mode="after")
    def _transformers_have_rows(self) -> Self:
        names = [model.name for model in self.transformers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"transformers: two are called {twice[0]!r}: give each a name of its own")
        if self.transformers and self.dataset is None:
            raise ValueError("transformers need a data set")
        if self.transformers and self.dataset is not None and self.dataset.task != "single_label":
            raise ValueError(
                f"transformers are compared on texts with one label each, the data set's task is "
                f"{self.dataset.task}: leave them out"
            )
        return self

    @model_validator(mode="after")
    def _encoders_and_teachers_are_known(self) -> Self:
        names = [encoder.name for encoder in self.encoders]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"encoders: two are called {twice[0]!r}: give each a name of its own")
        if taken := [name for name in names if name in OWN_TEACHERS]:
            raise ValueError(f"encoders: {taken[0]!r} is the name of another teacher: give it another name")
        for teachers in self.bootstrap:
            if unknown := [name for name in teachers if name not in (*OWN_TEACHERS, *names)]:
                raise ValueError(
                    f"bootstrap: there is no teacher {unknown[0]!r}: expected one of "
                    f"{', '.join((*OWN_TEACHERS, *names))}"
                )
            if len(set(teachers)) != len(teachers):
                raise ValueError(f"bootstrap: {', '.join(teachers)}: a teacher is named twice")
        if len(set(self.bootstrap)) != len(self.bootstrap):
            raise ValueError("bootstrap: the same teachers are named twice")
        for name in ("encoders", "bootstrap"):
            if getattr(self, name) and self.dataset is None:
                raise ValueError(
                    f"{name} need a data set" if name == "encoders" else f"{name} needs a data set"
                )
            if getattr(self, name) and self.dataset is not None:
                check_one_label(self.dataset.task, name)
        return self

    @model_validator(mode="after")
    def _imports_what_it_needs(self) -> Self:
        if not self.pretrained:
            return self
        for direction, model in self.pretrained.items():
            if model.direction != direction:
                raise ValueError(f"pretrained: {direction} holds a model that reads {model.direction}")
        if self.dataset is None:
            raise ValueError("pretrained: with released weights and no data set there is nothing to train")
        if missing := [one for one in self.settings.directions if one not in self.pretrained]:
            raise ValueError(
                f"pretrained: there is no model that reads {missing[0]}: give one, or set directions"
            )
        return self

    @model_validator(mode="after")
    def _takes_one_language_model(self) -> Self:
        if self.language_model is None:
            return self
        if self.dataset is None:
            raise ValueError("language_model: with a trained one and no data set there is nothing to train")
        for name in ("pretrained", "tokenizer", "poleval_2018"):
            if getattr(self, name):
                raise ValueError(f"language_model and {name} exclude each other: leave one of them out")
        return self

    @property
    def preset_name(self) -> str:
        """The chosen preset's name."""
        return self.preset or next(iter(self.presets))

    @property
    def settings(self) -> Preset:
        """The chosen preset."""
        return self.presets[self.preset_name]

    @property
    def options(self) -> dict[str, Any]:
        """The fields that options of the command changed, beside the preset."""
        written = self.origin.written if self.origin else {}
        return {name: getattr(self, name) for name in written if getattr(self, name) != written[name]}

    @property
    def run_name(self) -> str:
        """Folder under `runs/`: the recipe's name, with the preset's unless it is the default one.

        A recipe changed by options has another name, so that it never replaces the recipe's own results.
        """
        default = next(iter(self.presets))
        name = self.name if self.preset_name == default else f"{self.name}-{self.preset_name}"
        # Not "-trial": a preset may have this name.
        name = f"{name}-trial-run" if self.trial else name
        if not self.options:
            return name
        text = json.dumps(self.options, sort_keys=True, ensure_ascii=False, default=str)
        return f"{name}-changed-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def file(self) -> Path | None:
        """The recipe's file; None: it was made by a program."""
        return self.origin.file if self.origin else None

    @property
    def reference(self) -> str:
        """The recipe's name for a command: its place in `recipes/`, or else the path of its file.

        Records hold no path of a machine: of an absolute path outside the current folder only the file's name
        is kept, which repeats the run in the recipe's folder.
        """
        path, published = self.file, f"{self.name}.py"
        if path is None or path.resolve() in [(folder / published).resolve() for folder in CAME_ALONG]:
            return f"recipes/{published}"
        if path.is_relative_to(Path.cwd()):
            return str(path.relative_to(Path.cwd()))
        return path.name if path.is_absolute() else str(path)
