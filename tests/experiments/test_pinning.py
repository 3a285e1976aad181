"""The newest dump, looked up by the first run and read by the second one as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.serving import Site, serving
from corpus.test_wikipedia_download import NOWHERE, dump, offer, published, quiet

from ulmfit.corpus.dumps.download import newest_date
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.experiments import driver
from ulmfit.experiments.pinning import pinned
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.pins import PINS
from ulmfit.pipeline.runner import Runner

FILES = {"pages-articles.xml.bz2": dump(1)}
RECIPE = """
from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.experiments.presets import TOY
from ulmfit.experiments.recipe import Recipe

dump = Wikipedia(language="xx", date="newest", base_url="{url}")
corpus = WikipediaCorpus(dump=dump, language="xx")
recipe = Recipe(name="test/newest", title="Newest", language="qaa", corpus=corpus, presets={{"toy": TOY}})
"""


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        yield running


def offer_dates(site: Site, *dates: str) -> None:
    for date in dates:
        offer(site, "xxwiki", date, FILES)
    names = "".join(f'<a href="{date}/">{date}/</a>' for date in (*dates, "latest"))
    site.files["/xxwiki/"] = names.encode()


def newest_recipe(folder: Path, site: Site) -> Path:
    path = folder / "recipe.py"
    path.write_text(RECIPE.format(url=site.url), encoding="utf-8")
    return path


def test_the_newest_dump_is_the_newest_that_is_complete(site: Site) -> None:
    offer_dates(site, "20240101", "20240201", "20240301", "20240401")
    site.files["/xxwiki/20240301/dumpstatus.json"] = json.dumps(
        {"jobs": {"articlesdump": {"status": "in-progress"}}}
    ).encode()
    site.files["/xxwiki/20240201/dumpstatus.json"] = json.dumps(
        {"jobs": {"articlesdump": {"status": "done"}, "metahistory7zdump": {"status": "waiting"}}}
    ).encode()
    del site.files["/xxwiki/20240401/xxwiki-20240401-sha1sums.txt"]
    assert newest_date("xx", site.url, quiet) == "20240201"


def test_no_complete_dump_is_told_with_the_dates(site: Site) -> None:
    site.files["/xxwiki/"] = b'<a href="20240101/">'
    with pytest.raises(InputError, match="has no complete dump of xxwiki, only 20240101: try again later"):
        newest_date("xx", site.url, quiet)
    with pytest.raises(InputError, match="has no wiki named qqwiki"):
        newest_date("qq", site.url, quiet)


def test_a_mirror_that_has_a_dump_says_what_is_newest(tmp_path: Path) -> None:
    for date in ("20240101", "20240201"):
        for name, data in published(f"xxwiki-{date}", FILES).items():
            (tmp_path / name).write_bytes(data)
    (tmp_path / "xxwiki-20240201-pages-articles.xml.bz2").unlink()
    assert newest_date("xx", NOWHERE, quiet, tmp_path) == "20240101"


def test_the_second_run_reads_the_dump_of_the_first(site: Site, tmp_path: Path) -> None:
    offer_dates(site, "20240101")
    path = newest_recipe(tmp_path, site)
    runs = tmp_path / "runs"
    driver.run(load_recipe(str(path)), runs, until="dump")
    assert 'xx" = "20240101"' in (tmp_path / PINS).read_text()
    offer_dates(site, "20240101", "20240201")
    driver.run(load_recipe(str(path)), runs, until="dump")
    assert [one.name for one in runs.rglob("*.xml.bz2")] == ["xxwiki-20240101-pages-articles.xml.bz2"]
    assert driver.states(load_recipe(str(path)), runs)[0].state == "done"


def test_a_plan_asks_no_server(site: Site, tmp_path: Path) -> None:
    states = driver.states(load_recipe(str(newest_recipe(tmp_path, site))), tmp_path / "runs")
    assert {state.state for state in states} == {"missing"}
    assert not site.requests and not (tmp_path / PINS).exists()


def test_a_recipe_without_a_file_has_to_name_a_date(tmp_path: Path) -> None:
    newest = Wikipedia(language="xx", date="newest", base_url=NOWHERE)
    corpus = WikipediaCorpus(dump=newest, language="xx")
    recipe = Recipe(name="test/x", title="x", language="qaa", corpus=corpus, presets={"toy": TOY})
    with pytest.raises(InputError, match="this recipe has none: name a date"):
        pinned(recipe, recipe.file, Runner(tmp_path))
    with pytest.raises(InputError, match="has to be found first"):
        Runner(tmp_path).build(newest)


def test_the_processes_of_a_launcher_do_not_look_for_themselves(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "is_rank", lambda: True)
    with pytest.raises(InputError, match="the newest dump of xx is not pinned yet: run the recipe once"):
        driver.run(load_recipe(str(newest_recipe(tmp_path, site))), tmp_path / "runs")
