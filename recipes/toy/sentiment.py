"""Sentiment of reviews in an invented language: the whole method in a few minutes on two processor cores."""

from ulmfit.corpus.stages import WikipediaCorpus
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe
from ulmfit.toy import LANGUAGE_CODE
from ulmfit.toy.stages import ToyDump, ToyPairs, ToyReviews

recipe = Recipe(
    name="toy/sentiment",
    title="Toy reviews (an invented language)",
    language=LANGUAGE_CODE,
    corpus=WikipediaCorpus(dump=ToyDump(), language=LANGUAGE_CODE),
    dataset=ToyReviews(train=600, valid=300),
    presets={"toy": TOY},
    minimal_pairs=ToyPairs(),
    notes=("invented language",),
)

if __name__ == "__main__":
    recipe.main()
