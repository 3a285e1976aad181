"""Every recipe that is published: valid, as many as there should be, and run to its table at toy size."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from recipes_for_tests.tiny import TINY_OVERRIDES

from ulmfit.corpus.beginnings import DumpBeginning, WikipediaBeginning
from ulmfit.corpus.stages import NEWEST, JoinedCorpus, Wikipedia, WikipediaCorpus
from ulmfit.datasets.sample import SampledDataset
from ulmfit.datasets.stages import DataScript
from ulmfit.experiments import driver, publish
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.experiments.trial import MOST_DOCUMENTS, MOST_WORDS, TRIAL_LABEL, is_trial
from ulmfit.pipeline.assets import File, with_files, with_settings
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.pins import PINS
from ulmfit.pipeline.runner import FinishedRunner, Runner
from ulmfit.tokens.casing import DOTLESS_I_LANGUAGES
from ulmfit.toy import LANGUAGE_CODE
from ulmfit.toy.stages import ToyDump
from ulmfit.toy.wikipedia import write_dump

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "recipes" / "families"
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*/*.py") if path.parent != FAMILIES)
BY_HAND = ROOT / "data"
WIKIPEDIAS = sorted(path.parent.name for path in RECIPES if path.stem == "wikipedia")
FIRST_OF_FAMILY = (
    "eu/wikipedia",
    "pl/xed",
    "de/mldoc",
    "de/mldoc_zero_shot",
    "de/cls_books",
    "en/ag",
    "pl/poleval2019_6_1",
    "de/germeval2017",
)
"""Recipes made by one function are run once."""
FAMILY_NAMES = ("wikipedia", "xed", "mldoc", "cls_", "poleval2019_", "germeval2017")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT / "recipes"))


def test_there_are_as_many_recipes_as_there_should_be() -> None:
    expected = {
        "toy": "sentiment",
        "ltg": "wikipedia_lm wikipedia",
        "de": "wikipedia_lm germeval2018 germeval2018_fine germeval2017 germeval2017_test2 xed mldoc "
        "mldoc_zero_shot "
        "cls_books cls_dvd cls_music wikipedia",
        "fi": "news_lm ylilauta xed wikipedia",
        "pl": "novels_lm modern_lm wccrs_hotels 8tags poleval2018 poleval2019_6_1 poleval2019_6_2 xed "
        "wikipedia",
        "en": "imdb trec6 ag dbpedia yelp_polarity yelp_full cls_books cls_dvd cls_music wikipedia",
        "fr": "mldoc mldoc_zero_shot cls_books cls_dvd cls_music wikipedia",
        "ja": "mldoc mldoc_zero_shot cls_books cls_dvd cls_music wikipedia",
        "hu": "husst xed wikipedia",
        **dict.fromkeys(("es", "it", "ru", "zh"), "mldoc mldoc_zero_shot wikipedia"),
        **dict.fromkeys(("cs", "hr", "tr"), "xed wikipedia"),
        **dict.fromkeys(("sk", "et", "uk", "lv", "lt", "sl", "eu", "ko"), "wikipedia"),
    }
    listed = {f"{language}/{name}.py" for language, all_of in expected.items() for name in all_of.split()}
    assert {names(path) for path in RECIPES} == listed


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_recipe_is_valid_and_named_after_its_file(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert f"{recipe.name}.py" == names(path)
    for preset in recipe.presets:
        assert recipe.changed(preset=preset).stages().all()


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_real_recipes_have_a_paper_and_a_small_preset(path: Path) -> None:
    if path.parent.name != "toy":
        assert list(load_recipe(str(path)).presets)[:2] == ["paper", "small"]


def test_the_rule_of_casing_is_said_where_the_tokenizer_has_one() -> None:
    for language in WIKIPEDIAS:
        (note,) = load_recipe(f"{language}/wikipedia").notes
        assert ("I is the capital of ı" in note) == (language in DOTLESS_I_LANGUAGES)


def test_wikipedias_are_the_newest_until_a_run_has_pinned_one() -> None:
    for language in WIKIPEDIAS:
        corpus = load_recipe(f"{language}/wikipedia").corpus
        assert isinstance(corpus, WikipediaCorpus) and isinstance(corpus.dump, Wikipedia)
        assert corpus.dump.language == corpus.language == language
        pinned = (ROOT / "recipes" / language / PINS).exists()
        assert (corpus.dump.date == NEWEST) != pinned


WORDS = ["Haus", "alter", "Baum", "gut", "schlecht", "Łódź", "więcej", "und", "über", "nicht", "dobry", "zły"]


def text(seed: object, words: int = 9) -> str:
    return " ".join(random.Random(str(seed)).choices(WORDS, k=words))


def germeval(seed: str) -> str:
    labels = ["OFFENSE\tINSULT", "OTHER\tOTHER", "OFFENSE\tABUSE", "OFFENSE\tPROFANITY"]
    return "".join(f"{text((seed, i))} |LBR| {text(i)}\t{labels[i % 4]}\n" for i in range(40))


def numbered(labels: int) -> Callable[[str], str]:
    return lambda seed: "".join(f"{i % labels} {text((seed, i))}\n" for i in range(8 * labels))


def archive(path: Path, members: dict[str, str], kind: str = "xz") -> None:
    with tarfile.open(path, f"w:{kind}") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            tar.addfile(info, io.BytesIO(content.encode()))


def write_text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def write_gz(members: dict[str, str]) -> Callable[[Path], object]:
    return lambda path: archive(path, members, "gz")


def write_zip(members: dict[str, str]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as made:
            for name, content in members.items():
                made.writestr(name, content)

    return write


def lines(form: str, labels: list[str], seed: str, count: int = 40) -> str:
    """Return invented rows: `form` has places for a label and a text."""
    made = [form.format(label=labels[i % len(labels)], text=text((seed, i))) for i in range(count)]
    return "".join(made)


def sst(seed: str) -> str:
    labels = ["negative", "neutral", "positive"]
    rows = [{"id": str(i), "Sent": text((seed, i)), "label": labels[i % 3]} for i in range(40)]
    return json.dumps(rows)


def messages(seed: str) -> Callable[[Path], object]:
    form = "<Document id='x'><sentiment>{label}</sentiment><text>{text}</text></Document>\n"
    return write_text(f"<Documents>{lines(form, ['negative', 'neutral', 'positive'], seed)}</Documents>")


def tweets(beginning: str) -> dict[str, str]:
    return {
        f"{beginning}_text.txt": lines("{text}\n", [""], beginning),
        f"{beginning}_tags.txt": lines("{label}\n", ["0", "1"], beginning),
    }


NEWS = lines('"{label}","{text}","{text}"\n', ["1", "2", "3", "4"], "news")
REVIEW = "<item><rating>{label}</rating><summary>{text}</summary><text>{text}</text></item>"
REVIEWS = lines(REVIEW, ["5.0", "1.0"], "reviews")
CLS_FOLDER = "cls-acl10-unprocessed/de/books"
STORIES = [f"german.{one}" for one in ("train.1000", "dev", "test", "train.10000")]
MADE: dict[str, Callable[[Path], object]] = {
    "pl-projections.tsv": write_text(lines("{text}\t{label}\n", list("12345678"), "xed", 120)),
    **{name: write_text(lines("{label}\t{text}\n", ["CCAT", "MCAT"], name)) for name in STORIES},
    "cls-acl10-unprocessed.tar.gz": write_gz(
        {f"{CLS_FOLDER}/{one}.review": REVIEWS for one in ("train", "test", "unlabeled")}
    ),
    "ag_news_csv.tgz": write_gz({"ag_news_csv/train.csv": NEWS, "ag_news_csv/test.csv": NEWS}),
    "task_6-1.zip": write_zip(tweets("training_set_clean_only")),
    "task6_test.zip": write_zip(tweets("Task6/task 01/test_set_clean_only")),
    **{f"{one}-2017-09-15.xml": messages(one) for one in ("train", "dev", "test_syn")},
    **{f"sst_{one}.json": write_text(sst(one)) for one in ("train", "dev")},
    **{
        f"task3_{one}_segmented.txt": write_text(lines("{text}\n", [""], one, 200))
        for one in ("train", "test")
    },
}
"""Small files in the published formats, by name."""


def write_small_file(name: str, path: Path) -> None:
    """Write a few invented lines in the published format of the file called `name`."""
    if name.endswith(".xml.bz2"):
        write_dump(path, 0, 12)
    elif name == "dewiki-extracted.tar.xz":
        documents = [
            f'<doc id="{i}" url="u" title="T{i}">\nT{i}\n\n{text(i, 80)}.\n</doc>\n' for i in range(40)
        ]
        archive(path, {"AA/wiki_00": "".join(documents[:20]), "AA/wiki_01": "".join(documents[20:])})
    elif name == "pl-novels.tar.xz":
        archive(path, {f"n{i}.txt": "\n".join(text((i, j), 60) for j in range(30)) for i in range(6)})
    elif name == "german.teacher.parquet":
        ids = [f"{split}-{i:06d}" for split in ("train", "valid") for i in range(1, 41)]
        labels = ["MCAT" if i % 3 else "CCAT" for i in range(80)]
        pandas.DataFrame({"id": ids, "label": labels}).to_parquet(path)
    elif name.endswith(".parquet"):
        news = {"id": [f"n{i}" for i in range(90)], "text": [text(i, 30) for i in range(90)]}
        pandas.DataFrame(news).to_parquet(path)
    elif name in MADE:
        MADE[name](path)
    elif name.startswith("ylilauta"):
        topics = [f"__label__t{i % 4} {text((name, i))}\n" for i in range(40)]
        path.write_text("".join(topics), encoding="utf-8")
    elif name.startswith("germeval"):
        path.write_text(germeval(name), encoding="utf-8")
    else:
        path.write_text(numbered(8 if "8tags" in str(path) else 4)(path.name), encoding="utf-8")


def with_small_files(recipe: Recipe, folder: Path) -> Recipe:
    """Return `recipe` with every catalogued file replaced by a small local one of the same format."""

    def small(file: File) -> File:
        if file.path is not None and not file.path.is_relative_to(BY_HAND):
            return file
        path = folder / hashlib.sha256(f"{file.url} {file.sha256}".encode()).hexdigest()[:8] / file.label
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_small_file(file.label, path)
        return File(path=path)

    def uncounted(dataset: DataScript) -> DataScript:
        script = dataset.script.path
        counted = script is not None and "check_counts" in script.read_text(encoding="utf-8")
        return dataset.changed(options={**dataset.options, "counts": "any"}) if counted else dataset

    recipe = with_settings(with_files(recipe, small), DataScript, uncounted)
    return with_settings(recipe, Wikipedia, lambda dump: ToyDump(articles=12))


def is_run(path: Path) -> bool:
    name = names(path).removesuffix(".py")
    is_of_family = path.stem.startswith(FAMILY_NAMES) or path.parent.name == "en"
    return name in FIRST_OF_FAMILY or not is_of_family or path.stem == "wikipedia_lm"


@pytest.mark.parametrize("path", filter(is_run, RECIPES), ids=names)
def test_recipe_runs_to_its_table_at_toy_size(path: Path, tmp_path: Path) -> None:
    recipe: Recipe = load_recipe(str(path))
    recipe = with_small_files(recipe, tmp_path / recipe.name.split("/")[-1])
    last = "cpu" if "cpu" in recipe.presets else list(recipe.presets)[:2][-1]
    sizes = ("corpus.dump.articles=20", "dataset.train=40") if path.parent.name == "toy" else ()
    train_sizes = (20, "all") if recipe.train_sizes else ()
    recipe = recipe.changed(preset=last, seeds=(0,), train_sizes=train_sizes)
    recipe = recipe.with_overrides([*TINY_OVERRIDES, *sizes])
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    assert str(ROOT) not in json.dumps(record), "a record holds no path of the machine"
    assert str(tmp_path) not in json.dumps(record)
    rows = [row["name"] for row in record["rows"]]
    if recipe.dataset is None:
        assert rows == []
        splits = ["valid", "test"] * len(recipe.settings.directions)
        assert [model["split"] for model in record["language_models"]] == splits
    else:
        directions = recipe.settings.directions
        assert rows[: len(directions)] == [f"ULMFiT, {direction}" for direction in directions]
        assert ("ULMFiT, forward + backward" in rows) == (len(directions) == 2)
        assert "from scratch, forward" in rows
        assert sum(name.startswith("TF-IDF, ") for name in rows) == 4
        mixed = "with_tfidf" in recipe.settings.comparisons
        assert ("ULMFiT and TF-IDF together" in rows) == mixed
    assert driver.run(recipe, tmp_path / "runs") == folder


@pytest.mark.parametrize(
    "names", [("pl/8tags", "pl/wccrs_hotels", "pl/novels_lm"), ("de/germeval2018", "de/germeval2018_fine")]
)
def test_recipes_of_a_language_share_pretraining(names: tuple[str, ...]) -> None:
    for preset in ("paper", "small"):
        experiments = [load_recipe(name).changed(preset=preset).stages() for name in names]
        assert all(one.pretrained == experiments[0].pretrained for one in experiments)
        datasets = {one.recipe.dataset.name for one in experiments if one.recipe.dataset}
        assert len(datasets) == len([one for one in experiments if one.recipe.dataset])


@pytest.mark.parametrize("language", WIKIPEDIAS)
def test_wikipedia_recipe_reads_a_real_page_of_its_language(
    language: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The page stands beside toy text, which is read once for all languages: one page is no corpus."""
    dump = shared_data / "dumps" / "minidumps" / f"{language}.wiki.xml.bz2"
    if language == "ltg":
        dump = shared_data / "dumps" / "ltgwiki-tiny-pages-articles.xml.bz2"
    recipe = load_recipe(f"{language}/wikipedia")
    page = recipe.corpus.changed(dump=File(path=dump), workers=1)
    toy = WikipediaCorpus(dump=ToyDump(articles=12), language=LANGUAGE_CODE, workers=1)
    recipe = recipe.changed(corpus=JoinedCorpus(parts=(page, toy)), preset="small")
    # A page of Chinese or Korean alone has more than a thousand characters.
    recipe = recipe.with_overrides([*TINY_OVERRIDES, "vocabulary.size=2000"])
    runs = tmp_path_factory.getbasetemp() / "wikipedias"
    driver.run(recipe, runs, until="tokens")
    runner = Runner(runs)
    stages = runner.order(*recipe.stages().all())
    (tokens,) = [one for one in stages if one.stage_name == "tokens"]
    (joined,) = [one for one in stages if isinstance(one, JoinedCorpus)]
    documents = pandas.read_parquet(runner.folder(joined) / "documents.parquet")
    assert documents["id"].str.startswith("0:").any(), "a document of the language"
    assert read_json(runner.folder(tokens) / "counts.json")


def test_transductive_runs_say_so_in_the_table(tmp_path: Path) -> None:
    path = ROOT / "recipes" / "toy" / "sentiment.py"
    sizes = ["corpus.dump.articles=20", "dataset.train=40", "comparisons=[]"]
    overrides = [*TINY_OVERRIDES, *sizes, "transductive=true"]
    recipe = load_recipe(str(path)).changed(seeds=(0,)).with_overrides(overrides)
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    assert "transductive: the language model has seen the texts" in (folder / "report.md").read_text()
    other = recipe.changed(transductive=False).stages()
    assert recipe.stages().classifiers["forward", 0] != other.classifiers["forward", 0]
    assert recipe.stages().pretrained["forward"] == other.pretrained["forward"]


def corpora(recipe: Recipe) -> list:
    """Return the corpus of a recipe and those that it is made from."""
    found = [recipe.corpus]
    for one in found:
        found += one.parts if isinstance(one, JoinedCorpus) else []
    return found


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_every_recipe_has_a_trial_that_can_be_planned(path: Path, tmp_path: Path) -> None:
    whole = load_recipe(str(path))
    recipe = with_small_files(whole, tmp_path / "files").as_trial()
    assert recipe.run_name == f"{whole.run_name}-trial-run" and not recipe.options
    for corpus in corpora(recipe):
        assert corpus.max_documents <= MOST_DOCUMENTS and corpus.max_tokens <= MOST_WORDS
        assert getattr(corpus, "first_megabytes", 1) is not None
        assert isinstance(getattr(corpus, "dump", None), DumpBeginning | WikipediaBeginning | None)
        assert isinstance(getattr(corpus, "dataset", None), SampledDataset | None)
    assert recipe.dataset is None or isinstance(recipe.dataset, SampledDataset)
    assert len(recipe.seeds) == 1 and not recipe.train_sizes and not recipe.published
    assert driver.states(recipe, tmp_path / "runs", checked=True)


@pytest.mark.parametrize("name", ["de/germeval2018", "pl/xed"])
def test_a_trial_runs_to_a_table_that_says_what_it_is(name: str, tmp_path: Path) -> None:
    recipe = with_small_files(load_recipe(name), tmp_path / "files").as_trial()
    tiny = ["vocabulary.size=600", 'directions=["forward"]', 'comparisons=["tfidf"]']
    dataset = recipe.dataset.changed(train=30, valid=4, test=20)
    recipe = recipe.changed(dataset=dataset).with_overrides(tiny)
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    label = record["labels"][0]
    assert re.fullmatch(TRIAL_LABEL + r"a tiny model, .*30 of \d+ train texts.*20 of \d+ test texts.*", label)
    assert is_trial(record["configuration"]) and " --trial " in record["command"]
    for page in ("report.md", "report.html"):
        assert "trial, no result" in (folder / page).read_text(encoding="utf-8")
    runner = FinishedRunner(tmp_path / "runs")
    with pytest.raises(InputError, match="is of a trial, which is no result"):
        publish.publish(recipe, runner, folder, tmp_path / "published")
    assert not (tmp_path / "published").exists()
    (tmp_path / "README.md").write_text("<!-- results: found -->\n<!-- end of results -->\n")
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.json").write_bytes((folder / "record.json").read_bytes())
    with pytest.raises(InputError, match="is of a trial"):
        publish.renew_pages(tmp_path)
