"""Topics of messages of a Finnish forum (Ylilauta), ten labels, 1,000 training texts of each."""

from pathlib import Path

from ulmfit.evaluation.published import read_in
from ulmfit.experiments.recipe import load_recipe

shared = load_recipe(str(Path(__file__).with_name("news_lm.py")))
_, messages = shared.corpus.parts

recipe = shared.changed(
    name="fi/ylilauta",
    title="Ylilauta, topics of forum messages",
    dataset=messages.dataset,
    published=read_in(
        "github.com/spyysalo/ylilauta-corpus",
        "accuracy",
        {"fastText": 0.643},
        note="pretrained vectors, mean of 10 runs",
        training_texts=10_000,
    ),
)

if __name__ == "__main__":
    recipe.main()
