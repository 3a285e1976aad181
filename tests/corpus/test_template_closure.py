"""Which templates a text can reach: never one too few."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.corpus.dumps.reader import Page
from ulmfit.corpus.wikiextractor.template_closure import WILDCARD, Templates, Uses, canonical, included

NAMES = [f"{first}{rest}" for first in "ABC" for rest in ("", "x", "y z", "/doc")]


def template(name: str, text: str = "", redirect: str | None = None, word: str = "Vorlage") -> Page:
    return Page("1", f"{word}:{name}", 10, redirect, "wikitext", "", text)


def stored(tmp_path: Path, *pages: Page) -> Templates:
    """Return a store of templates that holds `pages`."""
    templates = Templates(tmp_path / "templates.sqlite")
    for page in pages:
        templates.add(page)
    templates.commit()
    return templates


def reached(templates: Templates, *texts: str) -> dict[str, str]:
    """Return the text of what is reached by its title, or the target behind an arrow."""
    found = templates.reachable(texts)
    return {item.title: item.body or f"-> {item.target}" for item in found}


def used(text: str) -> Uses:
    uses = Uses()
    uses.add(text)
    return uses


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{a}} {{ b c |x}} {{\nd\n|y={{e}}}}", {"a", "b c", "d", "e"}),
        ("{{#if: {{{1|}}} | {{a}} | {{b}} }} {{#invoke: module | {{c}} }}", {"a", "b", "c"}),
        ("{{subst:a}} {{ safesubst: b }} {{msgnw:c}} {{SUBST: d}}", {"a", "b", "c", "d"}),
        ("{{{{{|safesubst:}}}a}}", {"a"}),
        ("{{{1|{{a|{{{2|{{b}}}}}}}}}}", {"a", "b"}),
        ("{{Country data {{{1}}}|x}} {{{{{1}}}}}", {f"Country data {WILDCARD}", WILDCARD}),
        ("{{a{{b}}c}} {{{{d}}|x}}", {f"a{WILDCARD}c", "b", "d", WILDCARD}),
        ("{{a<!-- {{b}} -->|x}}", {"a", "b"}),
        ("{{a|{{b|c", {"a", "b"}),
        ("a}} {b} }}}} {{c}} {|\n|-\n|}", {"c"}),
        ("{{Vorlage:a}} {{:An article}}", {"Vorlage:a"}),
        ("{{" + "x" * 300 + "}} {{a\nb}} {{}} {{|x}}", set()),
    ],
)
def test_names_that_a_text_calls(text: str, names: set[str]) -> None:
    assert used(text).names == names


def test_arguments_are_the_words_that_a_computed_name_may_be() -> None:
    uses = used("prose {{flag|Poland|size = 40|{{#switch:{{{1}}}|a=Left|Right}}|[[a link]]}} more prose")
    assert uses.words == {"Poland", "size", "40", "a", "Left", "Right"}
    again = Uses()
    again.merge(uses.as_text())
    assert (again.names, again.words) == (uses.names, uses.words)


@given(st.text(alphabet="{}|ab =\n", max_size=200))
def test_any_braces_are_read(text: str) -> None:
    uses = used(text)
    again = Uses()
    again.merge(uses.as_text())
    assert (again.names, again.words) == (uses.names, uses.words)


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 200_000,
        "{{a|" * 100_000 + "}}" * 100_000,
        "{{{" * 100_000 + "}}}" * 100_000,
        "{{" + "{{a}}" * 200_000,
    ],
    ids=["open", "nested", "parameters", "long name"],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    assert used(text).names <= {"a", WILDCARD}


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a<noinclude>b</noinclude>\nc", "ac"),
        ("a<noinclude>b", "a"),
        ("<includeonly>a</includeonly><!-- b -->c", "ac"),
        ("a<onlyinclude>b</onlyinclude>c<onlyinclude>d</onlyinclude>e", "bd"),
        ("a<noinclude/>\nb", "ab"),
        ("<noinclude>a</noinclude>b<noinclude>c", "b"),
        ("<!-- a", "<!-- a"),
        ("<noinclude>only</noinclude>", ""),
        ("<!--" * 100_000, "<!--" * 100_000),
        ("a" + "<noinclude>" * 100_000, "a"),
        ("<onlyinclude>" * 100_000, "<onlyinclude>" * 100_000),
    ],
)
def test_what_a_template_page_gives(page: str, text: str) -> None:
    assert included(page) == text


def test_names_are_compared_as_mediawiki_does() -> None:
    assert canonical(" foo_bar  baz ") == "Foo bar baz"
    assert canonical("łódź") == "Łódź"


def test_only_what_is_called_is_reached(tmp_path: Path) -> None:
    templates = stored(
        tmp_path,
        template("Box", "{{Row|{{{1}}}}} {{#if:{{{2|}}}|{{note}}}}"),
        template("Row", "<noinclude>{{Doc}}</noinclude>row"),
        template("Note", "note {{Box}}"),
        template("Doc", "documentation"),
        template("Unused", "{{Box}}"),
    )
    assert reached(templates, "text {{box|x}}") == {
        "Box": "{{Row|{{{1}}}}} {{#if:{{{2|}}}|{{note}}}}",
        "Row": "row",
        "Note": "note {{Box}}",
    }
    assert reached(templates, "text", "{{Nothing}}") == {}


def test_spellings_and_redirects_lead_straight_to_the_template(tmp_path: Path) -> None:
    templates = stored(
        tmp_path,
        template("New name", "new"),
        template("Old", "#WEITERLEITUNG [[Vorlage:Middle]]", "Vorlage:Middle"),
        template("Middle", "#REDIRECT [[template:new_name]]"),
        template("Loop", "", "Vorlage:Loop"),
        template("Elsewhere", "", "Benutzer:New name"),
        template("Lost", "", "Vorlage:Nowhere"),
    )
    assert reached(templates, "{{old}}") == {"New name": "new", "Old": "-> New name", "Middle": "-> New name"}
    assert reached(templates, "{{new_name}}") == {"New name": "new", "New_name": "-> New name"}
    assert reached(templates, "{{Vorlage:New name}}")["New name"] == "new"
    assert reached(templates, "{{Loop}} {{Elsewhere}} {{Lost}}") == {}


def test_a_later_page_of_the_same_name_replaces_the_first(tmp_path: Path) -> None:
    templates = stored(tmp_path, template("A", "one"), template("B", "two"))
    templates.add(template("A", "three"))
    templates.commit()
    templates.commit()
    assert reached(templates, "{{A}}{{B}}") == {"A": "three", "B": "two"}


def test_names_with_a_known_beginning(tmp_path: Path) -> None:
    countries = [template(f"Country data {name}", name) for name in ("Poland", "Latvia")]
    templates = stored(
        tmp_path, template("Flag", "{{country data {{{1|}}}|x}}"), *countries, template("Poland", "p")
    )
    assert set(reached(templates, "{{Flag|Poland}}")) == {
        "Flag",
        "Country data Poland",
        "Country data Latvia",
    }


def test_computed_names_are_arguments(tmp_path: Path) -> None:
    templates = stored(
        tmp_path,
        template("Call", "{{{{{1}}}|{{{2}}}}} {{{{#if:{{{3|}}}|inner_one|Inner two}}}}"),
        template("Suffix", "{{{{{1}}}/sub}} {{M{{{1}}}}}"),
        *(template(name, "{{Last}}") for name in ("First", "Inner one", "Inner two")),
        *(template(name, name) for name in ("Last", "Other", "First/sub", "Other/sub", "M first", "M other")),
    )
    assert set(reached(templates, "{{Call|first}} Other")) == {
        "Call",
        "First",
        "Inner one",
        "Inner two",
        "Last",
    }
    assert set(reached(templates, "{{Suffix|First}} Other")) == {"Suffix", "First/sub"}
    assert set(reached(templates, "{{Suffix| first}}")) == {"Suffix", "First/sub"}


@given(st.integers(0, 10_000))
def test_whatever_an_expansion_calls_is_reached(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    generator = random.Random(seed)
    graph = {name: generator.sample(NAMES, generator.randrange(3)) for name in generator.sample(NAMES, 8)}
    forms = ["{{%s}}", "{{ %s |x}}", "{{#if:x|{{%s}}}}", "{{{1|{{%s}}}}}", "{{Call|%s}}"]
    pages = [
        template(name, name + "".join(generator.choice(forms) % called for called in calls))
        for name, calls in graph.items()
    ]
    templates = stored(tmp_path_factory.mktemp("t"), template("Call", "{{{{{1}}}}}"), *pages)
    start = generator.choice(NAMES)
    expanded: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in graph and name not in expanded:
            expanded.add(name)
            todo += graph[name]
    spelling = (start[0].lower() + start[1:]).replace(" ", "_")
    found = set(reached(templates, f"text {{{{{spelling}|x}}}}"))
    assert expanded <= found
