"""The stages that take a language model, and its tokenizer, out of a bundle: nothing is pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ulmfit.language_model.bundle_format import TOKENIZER, BundleDescription, read_description
from ulmfit.language_model.settings import BackwardOrder, Direction
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.tokens.stages import TokenizerStage

BUNDLE_FIELD = Field(description="folder that `ulmfit bundle` wrote, of kind language_model")


def described(bundle: File, *, sums: bool = False) -> BundleDescription:
    """Return what the bundle says; InputError where it is none of a language model.

    With `sums` altered files are found too.
    """
    return read_description(_folder(bundle), BundleDescription, "language_model", sums=sums)


def _folder(bundle: File) -> Path:
    if bundle.path is None:
        raise InputError(f"bundle {bundle.label}: expected the path of a folder")
    return bundle.path


class BundledTokenizer(TokenizerStage):
    """The tokenizer of a bundle, as it is; the fields of its form have no effect."""

    stage_name: ClassVar[str] = "bundled-tokenizer"
    bundle: File = BUNDLE_FIELD

    @property
    def label(self) -> str:
        """What tables call it."""
        return "bundled"

    @property
    def has_subwords(self) -> bool:
        """Whether a word can be cut into other pieces, which subword sampling needs."""
        from ulmfit.tokens.tokenizer import RULES_FILE

        try:
            return read_json(_folder(self.bundle) / TOKENIZER / RULES_FILE)["kind"] != "words"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.bundle.label}/{TOKENIZER} has no readable {RULES_FILE}") from error

    def build(self, work: Work) -> None:
        """Check the tokenizer and write it."""
        from ulmfit.language_model.bundle_weights import read_tokenizer

        tokenizer = read_tokenizer(work.file(self.bundle), described(self.bundle, sums=True))
        tokenizer.save(work.folder)
        work.log(f"{tokenizer.size:,} pieces, from the bundle {self.bundle.label}")


class BundledModel(Stage):
    """A pretrained language model of a bundle, in place of one that is pretrained here.

    Files: `model.safetensors` (fp32) and `model.json`. Its tokenizer is that of `BundledTokenizer`.
    """

    stage_name: ClassVar[str] = "bundled"
    bundle: File = BUNDLE_FIELD
    direction: Direction = "forward"

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: the direction."""
        return (self.direction,)

    @property
    def backward_order(self) -> BackwardOrder:
        """How backward texts are read."""
        return self.description().backward_order

    def description(self) -> BundleDescription:
        """Return what the bundle says."""
        return described(self.bundle)

    def check_files(self) -> None:
        """Raise InputError for a bundle that cannot be used."""
        described(self.bundle, sums=True)

    def build(self, work: Work) -> None:
        """Check the bundle, and write the model in the layout of a language model's folder."""
        from ulmfit.language_model.bundle_weights import load_bundled_language_model
        from ulmfit.language_model.folder import MODEL, WEIGHTS, describe_model
        from ulmfit.pipeline.files import write_json
        from ulmfit.training.weights import save_weights

        description = described(self.bundle, sums=True)
        member = next((one for one in description.members if one.direction == self.direction), None)
        if member is None:
            raise InputError(f"{self.bundle.label} has no model that reads {self.direction}")
        model = load_bundled_language_model(work.file(self.bundle), description, member)
        save_weights(model, work.folder / WEIGHTS)
        content = describe_model(
            description.architecture, description.vocabulary_size, self.direction, description.backward_order
        )
        write_json(work.folder / MODEL, content)
        work.log(
            f"{description.name}, commit {description.commit or 'unknown'}, stored in {description.weights}"
        )
