"""A fastai user's DataLoaders train our models with a stock Learner, and the result is a bundle again."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pytest
import torch
from bundles_for_tests import ROWS, Made, cells
from fastai.basics import ColReader, ColSplitter, DataBlock, DataLoaders, Learner, accuracy, set_seed
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import RNNRegularizer
from fastai.data.block import CategoryBlock, MultiCategoryBlock, TransformBlock
from fastai.text.data import Numericalize, TextBlock
from torch.nn import functional

from ulmfit import LanguageModel, TextClassifier
from ulmfit.bundle.fastai_parts import StockClassifier
from ulmfit.pipeline.errors import InputError

TABLE = pandas.DataFrame([cells("train", number, "single_label") for number in range(ROWS)])
TABLE["is_valid"] = [number % 5 == 0 for number in range(ROWS)]
TEXTS = TABLE["text"].tolist()


@pytest.fixture
def model(language_model: Path) -> LanguageModel:
    return LanguageModel.load(language_model, device="cpu")


@pytest.fixture
def classifier(single_label: Made) -> TextClassifier:
    return TextClassifier.load(single_label.folder, device="cpu")


def loaders(
    block: TransformBlock,
    labels: TransformBlock | None = None,
    table: pandas.DataFrame = TABLE,
    separator: str = "",
) -> DataLoaders:
    """Return the DataLoaders of a table, as a user of fastai makes them."""
    blocks = DataBlock(
        blocks=(block,) if labels is None else (block, labels),
        get_x=ColReader("text"),
        get_y=None if labels is None else ColReader("label", label_delim=separator or None),
        splitter=ColSplitter(),
    )
    return blocks.dataloaders(table, bs=8, device=torch.device("cpu"))


def quiet(learn: Learner) -> Learner:
    """Return the learner without fastai's table of epochs."""
    learn.logger = lambda row: None
    return learn.remove_cbs(ProgressCallback)


def test_a_language_model_is_trained_further(model: LanguageModel, tmp_path: Path) -> None:
    dls = loaders(model.text_block(seq_len=12))
    set_seed(0)
    learn = quiet(model.learner(dls, metrics=accuracy))
    before, _ = learn.validate()
    learn.fit_one_cycle(3, 1e-2)
    after, _ = learn.validate()
    assert after < before - 0.02
    trained = LanguageModel.from_learner(learn)
    assert trained.directions == ("forward",) and model.directions == ("forward", "backward")
    old, new = (sum(score.loss for score in one.score(TEXTS)) for one in (model, trained))
    assert new < old
    trained.save(tmp_path / "trained")
    loaded = LanguageModel.load(tmp_path / "trained", device="cpu")
    assert [one.loss for one in loaded.score(TEXTS)] == pytest.approx(
        [one.loss for one in trained.score(TEXTS)]
    )


class Look(Callback):
    """Looks at the loss of each training step, with and without penalties, and at what these are made of."""

    order = RNNRegularizer.order + 1

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Tensor, ...]] = []

    def after_loss(self) -> None:
        if self.training:
            learn = self.learn
            parts = (learn.loss, learn.loss_grad, learn.pred, learn.yb[0], learn.rnn.raw_out, learn.rnn.out)
            self.seen.append(tuple(part.detach().as_subclass(torch.Tensor) for part in parts))


def test_its_loss_and_penalties_are_those_of_fastai(model: LanguageModel) -> None:
    look = Look()
    quiet(model.learner(loaders(model.text_block(seq_len=12)), cbs=look)).fit(1, 1e-2)
    for loss, with_penalties, logits, targets, raw, dropped in look.seen:
        torch.testing.assert_close(loss, functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))
        steps = raw[:, 1:] - raw[:, :-1]
        penalties = 2 * dropped.square().mean() + steps.square().mean()
        torch.testing.assert_close(with_penalties, loss + penalties)
        assert not torch.equal(raw, dropped)
    assert look.seen


def test_its_layer_groups_are_those_of_ulmfit(model: LanguageModel, classifier: TextClassifier) -> None:
    learn = quiet(model.learner(loaders(model.text_block(seq_len=12))))
    learn.freeze_to(-1)
    trained = {name for name, weight in learn.model.network.named_parameters() if weight.requires_grad}
    assert trained == {"0.encoder.weight", "1.decoder.bias"} and len(learn.opt.param_lists) == 3
    dls = loaders(classifier.text_block(), CategoryBlock(vocab=classifier.labels))
    learn = quiet(classifier.learner(dls))
    learn.freeze_to(-1)
    assert len(learn.opt.param_lists) == 4
    assert not any(weight.requires_grad for weight in learn.model.network.encoder.parameters())
    before = learn.model.network.encoder.module.encoder.weight.clone()
    learn.fit_one_cycle(1, 1e-2)
    torch.testing.assert_close(learn.model.network.encoder.module.encoder.weight, before)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_classifier_is_trained_on_a_language_model(
    model: LanguageModel, direction: str, tmp_path: Path
) -> None:
    block = model.text_block(language_model=False, direction=direction)
    dls = loaders(block, CategoryBlock)
    set_seed(0)
    learn = quiet(model.classifier_learner(dls, direction=direction, metrics=accuracy))
    learn.fit_one_cycle(1, 1e-2)
    probabilities, _ = learn.get_preds(dl=dls.test_dl(TABLE))
    trained = TextClassifier.from_learner(learn)
    assert trained.labels == ["no", "yes"] and trained.description.members[0].direction == direction
    numpy.testing.assert_allclose(trained.predict_proba(TEXTS), probabilities.numpy(), atol=1e-5)
    trained.save(tmp_path / "trained")
    loaded = TextClassifier.load(tmp_path / "trained", device="cpu")
    numpy.testing.assert_allclose(loaded.predict_proba(TEXTS), trained.predict_proba(TEXTS), atol=1e-6)


def test_a_classifier_learns_from_a_stock_learner(classifier: TextClassifier) -> None:
    dls = loaders(classifier.text_block(), CategoryBlock(vocab=classifier.labels))
    set_seed(0)
    learn = quiet(classifier.learner(dls, drop_mult=0.0, alpha=0.0, beta=0.0))
    before = learn.validate(dl=dls.train)[0]
    learn.fit_one_cycle(4, 1e-2)
    assert learn.validate(dl=dls.train)[0] < before - 0.02
    assert learn.model is not classifier.members[0].model


def test_several_labels_per_text(model: LanguageModel) -> None:
    table = TABLE.assign(label=["light|dark" if label == "yes" else "dark" for label in TABLE["label"]])
    dls = loaders(model.text_block(language_model=False), MultiCategoryBlock(), table, separator="|")
    learn = quiet(model.classifier_learner(dls))
    learn.fit_one_cycle(1, 1e-2)
    trained = TextClassifier.from_learner(learn)
    assert trained.labels == ["dark", "light"] and trained.description.task == "multi_label"
    assert all(set(row) <= {"dark", "light"} for row in trained.predict(TEXTS))


def test_padding_may_stand_anywhere(classifier: TextClassifier) -> None:
    texts = ["kalomi ka lomi", "du", "dusapo kalomi"]
    ids = [torch.tensor(one) for one in classifier.encode(texts)]
    longest = max(map(len, ids))
    first, last = (
        torch.stack(
            [
                torch.cat([one, pad] if end else [pad, one])
                for one in ids
                for pad in [torch.ones(longest - len(one)).long()]
            ]
        )
        for end in (False, True)
    )
    stock = StockClassifier(classifier.members[0].model, None).eval()
    with torch.no_grad():
        torch.testing.assert_close(stock(first), stock(last))
        expected = classifier.members[0].values(classifier.encode(texts))
        numpy.testing.assert_allclose(stock(first).softmax(1).numpy(), expected, atol=1e-5)


def test_ids_are_those_of_the_bundle(classifier: TextClassifier) -> None:
    """Also where a user cuts texts into our pieces and numbers them with fastai's `Numericalize`."""
    dls = loaders(classifier.text_block(), CategoryBlock(vocab=classifier.labels))
    pieces = classifier.tokenizer.vocabulary
    number = Numericalize(pieces)
    for row, text in enumerate(dls.train_ds.items["text"]):
        ids = classifier.encode([text])[0].tolist()
        assert dls.train_ds[row][0].tolist() == ids == number([pieces[one] for one in ids]).tolist()
    first = " ".join(dls.train_ds.items["text"].iloc[0].replace("|LBR|", " ").split())
    assert " ".join(dls.train_ds.decode(dls.train_ds[0])[0].split()) == first


def test_other_dataloaders_and_learners_are_refused(model: LanguageModel, classifier: TextClassifier) -> None:
    other = TextBlock(tok_tfm=str.split, vocab=["xxunk", "xxpad", "xxbos"], is_lm=True, seq_len=12)
    with pytest.raises(InputError, match="a vocabulary of 3 pieces that is not the model's"):
        model.learner(loaders(other))
    swapped = loaders(classifier.text_block(), CategoryBlock(vocab=["yes", "no"], sort=False))
    with pytest.raises(InputError, match=r"labels of the DataLoaders are yes, no, those of .* no, yes: give"):
        classifier.learner(swapped)
    with pytest.raises(InputError, match="the DataLoaders have no labels"):
        model.classifier_learner(loaders(model.text_block(seq_len=12)))
    learn = model.learner(loaders(model.text_block(seq_len=12)))
    with pytest.raises(InputError, match="trains a StockLanguageModel: expected one that"):
        TextClassifier.from_learner(learn)


def test_dataloaders_of_another_direction_or_task_are_refused(
    model: LanguageModel, classifier: TextClassifier
) -> None:
    forward = loaders(model.text_block(seq_len=12))
    with pytest.raises(InputError, match="are read forward, the model reads backward: give both"):
        model.learner(forward, direction="backward")
    backward = model.text_block(language_model=False, direction="backward")
    with pytest.raises(InputError, match="are read backward, the model reads forward: give both"):
        model.classifier_learner(loaders(backward, CategoryBlock))
    with pytest.raises(InputError, match="has no up language model, only forward, backward"):
        model.text_block(direction="up")  # type: ignore[arg-type]
    several = loaders(classifier.text_block(), MultiCategoryBlock(vocab=classifier.labels), separator="|")
    with pytest.raises(InputError, match="several labels per text, the classifier has one"):
        classifier.learner(several)
