"""PolEval 2018, task 3: a language model of Polish, judged by its word perplexity."""

from pathlib import Path

from ulmfit.corpus.stages import JoinedCorpus, TextFiles
from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments.presets import PUBLISHED, SMALL
from ulmfit.experiments.recipe import Recipe
from ulmfit.pipeline.assets import File

data = Path(__file__).parents[2] / "data" / "poleval2018"
how = "unpack it from the files of task 3 at 2018.poleval.pl and put it there"
train, test = (
    File(path=data / name, source=how) for name in ("task3_train_segmented.txt", "task3_test_segmented.txt")
)

recipe = Recipe(
    name="pl/poleval2018",
    title="PolEval 2018, task 3: Polish language model",
    language="pl",
    corpus=JoinedCorpus(
        parts=(
            # 10 of 133 million tokens were for validation; what a part has for testing is added to them.
            TextFiles(files=train, document="line", valid_fraction=0.075, test_fraction=0.0001),
            TextFiles(files=test, document="line"),
        ),
        test_part=1,
    ),
    poleval_2018=True,
    # n-waves read each line once: sort | uniq.
    deduplication="exact",
    presets={
        "paper": PUBLISHED["poleval_2018"].preset,
        "small": SMALL.changed(max_documents=100_000),
    },
    published=tuple(
        PublishedResult(name=name, metric="word_perplexity", value=value, source="PolEval 2018, results")
        for name, value in (("n-waves, ULMFiT", 117.67), ("second of the task", 146.71))
    ),
)

if __name__ == "__main__":
    recipe.main()
