"""PolEval 2019, task 6-1: harmful tweets in Polish, two labels; F1 of the harmful ones."""

from pathlib import Path

from ulmfit.evaluation.published import PublishedResult, read_in
from ulmfit.experiments.recipe import load_family

poleval2019 = load_family(Path(__file__).parents[1] / "families" / "poleval2019.py")
runs = "experiments/poleval19 of github.com/n-waves/multifit, branch reproduce-poleval"

recipe = poleval2019.make(
    "6-1",
    "PolEval 2019, task 6-1: harmful tweets",
    class_weights={"0": 0.5, "1": 30.0},
    metric="binary_f1",
    positive_label="1",
).changed(
    published=(
        PublishedResult(
            name="n-waves, submitted", metric="binary_f1", value=0.5858, source="PolEval 2019, results"
        ),
        *read_in(runs, "binary_f1", {"n-waves, mean of 38 runs": 0.5762}, note="± 1.57; from Polish Reddit"),
        *read_in(runs, "binary_f1", {"n-waves, Wikipedia alone": 0.5477}, note="± 2.99"),
        *read_in(runs, "binary_f1", {"n-waves, no weights of classes": 0.4426}, note="± 5.61"),
    )
)

if __name__ == "__main__":
    recipe.main()
