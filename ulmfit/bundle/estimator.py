"""ULMFiT as an estimator of scikit-learn: texts and labels in memory -> a trained classifier.

The stages of a recipe do the work, in a temporary folder: fine-tuning of the language model, training of the
classifier, one after the other for each direction. Shapes: N texts, K labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy
import pandas
import torch
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.fit import EstimatorError, LabelledTexts, Training, fit
from ulmfit.bundle.hub import local_folder
from ulmfit.bundle.language_model import LanguageModel
from ulmfit.bundle.writing import Weights
from ulmfit.classifier.schedules import gradual_unfreezing
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.text_rules import composed
from ulmfit.experiments.presets import SMALL, head_then_all
from ulmfit.language_model.bundle_format import BundleDescription, read_description
from ulmfit.language_model.settings import Direction, FineTuneSettings
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.settings import Settings, first_fault


class ULMFiTClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of texts for scikit-learn: ULMFiT from a pretrained language model.

    `fit` adapts the language model to the texts, then trains the classifier: first its head, then all layers
    (ULMFiT, section 3). Part of the texts is kept for validation, by which the best epoch is chosen.

    Parameters
    ----------
    language_model
        Folder of a bundle (kind language_model), its place on the hub, or a `LanguageModel`.
    direction
        "all" trains a classifier for each direction of the language model and averages their
        probabilities; "forward" or "backward" trains one.
    finetune_epochs
        Epochs of all layers in fine-tuning of the language model, after one of the top alone;
        0: the classifier begins with the language model as it is.
    finetune_rate
        Highest learning rate of those epochs.
    epochs
        Epochs of all layers of the classifier, after those in which some are frozen.
    learning_rate
        Highest learning rate of those epochs.
    unfreezing
        "head_first" trains an epoch of the head alone, then all layers at one rate, which suits
        small language models; "gradual" unfreezes a layer more every epoch, lower layers at lower rates
        (ULMFiT, section 3.3).
    batch_size
        Texts a step of the classifier, streams a step of fine-tuning.
    validation_fraction
        Share of each label's texts that is kept for validation, the same texts for every
        seed; 0: none, and the last epoch is taken.
    settings
        Other settings, by the names that `--set` takes, such as
        {"classifier.class_weights": "balanced", "finetune.bptt": 50}; None: none. They come last.
    random_state
        Seed of initialization, dropout and batches; the same seed gives the same predictions.
    device
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
    verbose
        True prints the log of the training.

    Attributes
    ----------
    classes_
        The labels (K,), sorted, of the type that they were given in; with several labels per text the
        numbers of the columns.
    classifier_
        The trained `TextClassifier`, which also explains its predictions and gives vectors.
    """

    def __init__(
        self,
        language_model: Path | str | LanguageModel,
        *,
        direction: Literal["all", "forward", "backward"] = "all",
        finetune_epochs: int = 2,
        finetune_rate: float = 4e-3,
        epochs: int = 5,
        learning_rate: float = 3e-3,
        unfreezing: Literal["head_first", "gradual"] = "head_first",
        batch_size: int = 16,
        validation_fraction: float = 0.1,
        settings: dict[str, Any] | None = None,
        random_state: Any = 0,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.language_model = language_model
        self.direction = direction
        self.finetune_epochs = finetune_epochs
        self.finetune_rate = finetune_rate
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.unfreezing = unfreezing
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # -- scikit-learn's side

    def fit(self, X: Any, y: Any, *, unlabelled: Iterable[str] | None = None) -> Self:
        """Train on texts X (N,) and their labels.

        `y` is (N,): strings or whole numbers; or (N, K) of 0 and 1: several labels per text. `unlabelled` are
        more texts for the language model. X may be a list, an array or a column of a table. Raises
        EstimatorError (a ValueError) for what cannot be trained on.
        """
        classes, given = _given(_texts(X), y, [] if unlabelled is None else _texts(unlabelled))
        devices = () if self.device == "cpu" else range(torch.cuda.device_count())
        with TemporaryDirectory(prefix="ulmfit-") as name, torch.random.fork_rng(devices=devices):
            self.classifier_ = self._trained(Path(name), given)
        self.classes_ = classes
        self._columns = [self.classifier_.labels.index(name) for name in given.names]
        return self

    def predict(self, X: Any) -> numpy.ndarray:
        """Return the label of each text (N,), or 0 and 1 for each label (N, K)."""
        values = self._values(X)
        description = self.classifier_.description
        if description.task == "single_label":
            return self.classes_[values.argmax(axis=1)]
        thresholds = numpy.array(description.thresholds)[self._columns]
        return (values.astype(numpy.float32) >= thresholds).astype(int)

    def predict_proba(self, X: Any) -> numpy.ndarray:
        """Return the probabilities (N, K), columns in the order of `classes_`."""
        return self._values(X)

    def save(self, out: Path | str, *, weights: Weights = "fp32") -> None:
        """Write the trained classifier as a bundle, which `TextClassifier.load` and `ulmfit predict` read.

        Its labels are strings. fp32 keeps all digits, fp16 takes half the space.
        """
        check_is_fitted(self)
        self.classifier_.save(out, weights=weights)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def _values(self, X: Any) -> numpy.ndarray:
        check_is_fitted(self)
        return self.classifier_.values(_texts(X))[:, self._columns]

    # -- training

    def _trained(self, root: Path, given: LabelledTexts) -> TextClassifier:
        bundle = self._bundle(root)
        described = read_description(bundle, BundleDescription, "language_model")
        training = Training(
            directions=self._directions(described),
            finetune=self._finetune_settings() if self.finetune_epochs else None,
            classifier=self._classifier_settings(described.architecture.layers + 2),
            seed=self._seed(),
            validation_fraction=self.validation_fraction,
        )
        return fit(root, bundle, described, given, training, say if self.verbose else None)

    def _bundle(self, root: Path) -> Path:
        """Return the folder of the language model."""
        if not isinstance(self.language_model, LanguageModel):
            return local_folder(self.language_model).absolute()
        self.language_model.save(root / "language-model")
        return root / "language-model"

    def _directions(self, described: BundleDescription) -> tuple[Direction, ...]:
        if self.direction == "all":
            return described.directions
        if self.direction not in described.directions:
            raise EstimatorError(
                f"direction {self.direction!r}: expected all, or one of the language model's: "
                f"{', '.join(described.directions)}"
            )
        return (self.direction,)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | numpy.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _finetune_settings(self) -> FineTuneSettings:
        return self._changed(
            SMALL.finetune,
            "finetune",
            phases=lambda: head_then_all(
                SMALL.finetune.phases[0].learning_rate, self.finetune_rate, self.finetune_epochs
            ),
        )

    def _classifier_settings(self, groups: int) -> ClassifierSettings:
        def phases() -> Any:
            if self.unfreezing == "gradual":
                return gradual_unfreezing(groups, self.learning_rate, self.epochs)
            if self.unfreezing != "head_first":
                raise EstimatorError(f"unfreezing {self.unfreezing!r}: expected head_first or gradual")
            head = SMALL.classifier.phases[0].learning_rate
            return head_then_all(head, self.learning_rate, self.epochs, discriminative=1)

        select = "best" if self.validation_fraction else "last"
        return self._changed(SMALL.classifier, "classifier", phases=phases, select=lambda: select)

    def _changed(self, settings: Any, part: str, **values: Any) -> Any:
        """Return settings with the parameters' values, and then with those of `settings`."""
        try:
            made = {name: make() for name, make in values.items()}
            changed = settings.changed(**made, batch_size=self.batch_size, device=self.device)
            for path, value in (self.settings or {}).items():
                name, _, rest = path.partition(".")
                if name not in ("finetune", "classifier") or not rest:
                    raise EstimatorError(
                        f"settings: {path!r}: expected finetune.FIELD or classifier.FIELD, as --set has them"
                    )
                if name == part:
                    changed = _with(changed, rest, value)
        except ValidationError as error:
            raise EstimatorError(f"{part}: {first_fault(error)}") from error
        return changed


def _texts(X: Any) -> list[str]:
    """Return texts in NFC as a list; EstimatorError for what is none, with its number from 1."""
    if isinstance(X, str):
        raise EstimatorError("X is one string: expected a list of texts; put it into a list")
    if getattr(X, "ndim", 1) == 2:
        if X.shape[1] != 1:
            raise EstimatorError(
                f"X has {X.shape[1]} columns: expected one column of texts, such as X['text']"
            )
        X = numpy.asarray(X, dtype=object)[:, 0]
    if not isinstance(X, Iterable) or getattr(X, "ndim", 1) != 1:
        raise EstimatorError(f"X is of type {type(X).__name__}: expected a list or a column of texts")
    texts = list(X)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise EstimatorError(f"text {number} of X is of type {type(text).__name__}: expected a string")
    return [composed(text) for text in texts]


def _given(texts: list[str], y: Any, unlabelled: list[str]) -> tuple[numpy.ndarray, LabelledTexts]:
    """Return the classes (K,), and texts and labels as they are trained on."""
    if y is None:
        raise EstimatorError("requires y to be passed, but the target y is None: give a label per text")
    check_consistent_length(texts, y)
    _check_characters(texts, "text")
    _check_characters(unlabelled, "unlabelled text")
    columns = getattr(y, "columns", None)
    y = numpy.asarray(y.toarray() if hasattr(y, "toarray") else y)
    if pandas.isna(y).any():
        raise EstimatorError("y has missing values: expected a label per text")
    check_classification_targets(y)
    if type_of_target(y).startswith("multilabel"):
        classes = numpy.arange(y.shape[1])
        names = _names(classes if columns is None else columns)
        rows = [sorted(name for name, yes in zip(names, row, strict=True) if yes) for row in y]
        return classes, LabelledTexts(texts, rows, "multi_label", names, unlabelled)
    classes, places = numpy.unique(column_or_1d(y, warn=True), return_inverse=True)
    names = _names(classes)
    labels = [names[one] for one in places]
    return classes, LabelledTexts(texts, labels, "single_label", names, unlabelled)


def _names(classes: Iterable[Any]) -> list[str]:
    """Return the labels' names; EstimatorError where two labels would have one name."""
    names = [composed(str(label)) for label in classes]
    if len(set(names)) < len(names):
        raise EstimatorError(f"labels {', '.join(map(repr, names))}: two of them are written alike")
    _check_characters(names, "label")
    return names


def _check_characters(texts: Iterable[str], what: str) -> None:
    """Raise EstimatorError for halves of surrogate pairs: the files of the training cannot hold them."""
    for number, text in enumerate(texts, start=1):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EstimatorError(
                f"{what} {number} has half of a surrogate pair at character {error.start + 1}: expected "
                f"whole characters; read it with the right encoding"
            ) from error


def _with(settings: Settings, path: str, value: Any) -> Any:
    """Return settings with the field at `path` replaced, such as dropouts.multiplier."""
    name, _, rest = path.partition(".")
    if rest:
        inner = getattr(settings, name, None)
        if not isinstance(inner, Settings):
            raise EstimatorError(f"settings: {name} has no field {rest!r}")
        value = _with(inner, rest, value)
    return settings.changed(**{name: value})
