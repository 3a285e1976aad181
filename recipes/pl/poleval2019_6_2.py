"""PolEval 2019, task 6-2: cyberbullying and hate speech in Polish tweets, three labels."""

from pathlib import Path

from ulmfit.experiments.recipe import load_family

poleval2019 = load_family(Path(__file__).parents[1] / "families" / "poleval2019.py")

recipe = poleval2019.make(
    "6-2", "PolEval 2019, task 6-2: kinds of harmful tweets", class_weights="balanced", metric="micro_f1"
)

if __name__ == "__main__":
    recipe.main()
