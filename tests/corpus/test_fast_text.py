"""Wikitext -> visible text: what a reader sees of every construct, and what becomes of broken ones."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.corpus.dumps.reader import DumpReader, Page
from ulmfit.corpus.fast.text import LinkNames, article_text

NAMES = LinkNames.of({6: "Datei", 14: "Kategorie", -2: "Medium"})


def text_of(wikitext: str, **settings: bool) -> str:
    return article_text(wikitext, NAMES, **settings)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("Der ''[[Fluss]]'' ist '''lang'''.", "Der Fluss ist lang."),
        ("two [[river]]s and [[Lake (water)|lake]]side", "two rivers and lakeside"),
        ("[[Lake (water)|]], [[Ulm, Bach|]] and [[Wiki:Lake (water)|]]", "Lake, Ulm and Lake"),
        ("[[a|b|c]] [[#part|d]] [[#part]] [[a#part]] [[/sub]]", "b|c d #part a#part /sub"),
        ("[[Star Trek: Voyager]], [[2001: Odyssee|2001]]", "Star Trek: Voyager, 2001"),
        ("see [[:Kategorie:Seen]] and [[:de:Donau]]", "see Kategorie:Seen and de:Donau"),
        ("[[wikt:see|see]], [[s:see]], [[doi:10.1/2]]", "see, s:see, doi:10.1/2"),
        ("[[:Datei:a.png|the picture]]", "the picture"),
        ("[[a\nb|c]] and [[ a ]]", "a b|c and a"),
        ("Река [[Волга|Волги]] длинна.", "Река Волги длинна."),
        ("河[[长江|长江]]很长。", "河长江很长。"),
        ("نهر [[النيل]] طويل", "نهر النيل طويل"),
    ],
)
def test_links_show_their_labels(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    "link",
    [
        "[[Datei:a.jpg|mini|Ein [[See]] im ''Wald'']]",
        "[[File:a.jpg|thumb|see [http://a.example the page]]]",
        "[[datei:a.jpg|mini|[[x|y [[z]]]] und mehr]]",
        "[[Image: B c.SVG ]]",
        "[[Fichier:a.png|vignette|légende]]",
        "[[Plik:a.ogg]]",
        "[[Kategorie:Seen|*]]",
        "[[Category:Lakes]]",
        "[[Категория:Озёра]]",
        "[[বিষয়শ্রেণী:হ্রদ]]",
        "[[分类:湖]]",
        "[[Thể loại:Hồ]]",
        "[[de:See]]",
        "[[zh-min-nan:Ô͘]]",
        "[[simple:Lake]]",
        "[[be-x-old:Возера]]",
    ],
)
def test_links_that_show_nothing(link: str) -> None:
    assert text_of(f"alpha {link} beta") == "alpha beta"


def test_the_dump_names_its_namespaces() -> None:
    names = LinkNames.of({6: "Fails", 14: "Kategoreja", -2: "Medeja"})
    assert article_text("x [[Kategoreja:Y]][[fails:Z|thumb|w]][[Medeja:a.ogg|v]]", names) == "x v"
    assert LinkNames.of({}) == LinkNames.of({14: "Category", 6: "File", 0: "", -2: "Media"})
    assert article_text("[[Fails:Z|w]]", LinkNames.of({})) == "w"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("[http://a.example/x The page] says", "The page says"),
        ("said [http://a.example/x] so [https://b.example]", "said so"),
        ("at http://a.example/x_y?z=1 now", "at http://a.example/x_y?z=1 now"),
        ("[//a.example one] [mailto:a@b.example two]", "one two"),
        ("[http://a.example the [[lake|sea]] page]", "the sea page"),
        ("as is [sic], [1], [a b]", "as is [sic], [1], [a b]"),
    ],
)
def test_links_to_the_web(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("area of {{convert}}.", "area of."),
        ("Ulm ({{IPA|ʊlm}}; {{Audio|x.ogg}}) is", "Ulm is"),
        ("Ulm ({{x}}, born 1950) is ({{y}})", "Ulm (born 1950) is"),
        ("柏林（{{x}}，{{y}}）是", "柏林是"),
        ("a {{b|{{c|{{d|[[e|f]]}}}}|g={{h}}}} i", "a i"),
        ("{{Infobox\n| a = {{b}}\n* c\n|d=e\n}}\nText", "Text"),
        ("x {{{1|y}}} z {{{{{1}}}}} w {{nowrap|v {{{1|}}}}}", "x z w v"),
        ("{{#if:{{{a|}}}|b|c}}d", "d"),
        ("{{lang|de|die ''Stadt''}}, {{lang-ru|[[город|города]]}}", "die Stadt, города"),
        ("{{Nowrap|5 km}} {{small|klein}} {{abbr|c.|circa}}", "5 km klein c."),
        ("{{nowrap|[[a|b|c}}, {{nowrap|[[a|b|c]]}} {{nowrap}}", "a|b|c, b|c"),
        ("{{nowrap|1={{lang|la|urbs {{x}}nova}}}}", "urbs nova"),
        ("{{transl|ar|ALA|madīna}} {{color|red|rot}}", "madīna rot"),
        ("{{convert|5|km|mi}}, {{convert|20|–|25|C|F}}, {{unité|30|m}}", "5 km, 20 – 25 °C, 30 m"),
        ("l{{'}}eau{{snd}}x{{nbsp}}y", "l'eau – x y"),
        ("{{Nihongo|'''Fluss'''|川|kawa}} {{nihongo|See}}", "Fluss (川, kawa) See"),
        ("{{formatnum:12345}} and {{formatnum:{{x}}}}.", "12345 and."),
        ("Er sagt:\n{{Quote|Alles fließt.|Heraklit}}\nEnde", "Er sagt:\nAlles fließt.\nEnde"),
        ("{{Zitat|text=Alles fließt.|autor=H}}", "Alles fließt."),
    ],
)
def test_templates(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ('a<ref>b</ref>c<ref name=x/>d<REF name="y">{{cite|[[e]]}}</REF>f', "acdf"),
        ("a<!-- b -->c\n<!-- d\n-->\ne", "ac e"),
        ("a <math>\\frac{{x}}{y} [[</math> b<score>c</score>d", "a bd"),
        ("a\n<gallery>\nA.jpg|''b''\n</gallery>\n<timeline>c</timeline>d", "a\nd"),
        ("x <source lang=c>a[[0]] = {{1}};</source> y <syntaxhighlight>z</syntaxhighlight>", "x y"),
        ("<imagemap>\nDatei:a.png\n</imagemap><hiero>A1</hiero><pre>\n* x\n</pre>y", "y"),
        ("a<includeonly>b</includeonly><noinclude>c</noinclude> <onlyinclude>d</onlyinclude>", "ac d"),
        ("<nowiki>[[a]] ''b'' {{c}} <i></nowiki>", "[[a]] ''b'' {{c}} <i>"),
        ("<nowiki>* a\n== b ==</nowiki>\nc", "* a == b == c"),
        ("<nowiki/>* a, '<nowiki/>''b''", "* a, 'b"),
        ("<references>\n<ref name=a>b</ref>\n</references>c <references/>", "c"),
        ("H<sub>2</sub>O, m<sup>2</sup>, <small>klein</small> <code>f()</code>", "H2O, m2, klein f()"),
        ("one<br>two<br />three<BR clear=all/>four</br>five", "one\ntwo\nthree\nfour\nfive"),
        ("<div class=x>a</div><p>b</p><blockquote>c</blockquote>", "a\nb\nc"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("<poem>\nKlein ''ist''\n:der Fluss\n</poem>", "Klein ist\nder Fluss"),
        ("<Poem>\nKlein\nFluss\n</Poem>", "Klein\nFluss"),
        ("<POEM lang='de'>Klein\nFluss</POEM>", "Klein\nFluss"),
        ('Say <phonos file="a.ogg">hello</phonos> to <Phonos ipa="x"/>all', "Say hello to all"),
        ('Say <langconvert from="zh" to="zh-hans">你好</langconvert> here', "Say 你好 here"),
        (
            '<section begin="a"/>Text<section end="a"/> <Abschnitt Anfang=a />und <trecho x/>mehr',
            "Text und mehr",
        ),
        ("<קטע התחלה=א/>Text here", "Text here"),
        ("<translate><!--T:1-->One <tvar name=1>two</tvar></translate> three", "One two three"),
        ("a <languages/> b<page-collection title=x>y</page-collection> c", "a b c"),
        ("a<meta itemprop=x> b<link rel=y> c", "a b c"),
        ("a <dynamicpagelist>category=x</dynamicpagelist>b <RSS>http://x.y</RSS>c", "a b c"),
        ('a<span STYLE="display:none">hidden</span> b', "a b"),
        ("<ruby>川<rp>(</rp><rt>かわ</rt><rp>)</rp></ruby>", "川(かわ)"),
        ('a <span style="display: none">b<span>c</span>d</span>e', "a e"),
        ("a <div style='visibility:hidden'>b<p>c</div>d <span style=\"display:none\">open", "a d open"),
        ("1 < 2 > 0, a <b c, <foo>d</foo>, <bar", "1 < 2 > 0, a <b c, <foo>d</foo>, <bar"),
    ],
)
def test_tags(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("AT&amp;T &lt;x&gt; &copy; &#8364;&#x20ac; &hellip;", "AT&T <x> © €€ …"),
        ("&amp;lt; &amp;amp;", "&lt; &amp;"),
        ("&unknown; &copy &#xfffffff; R&D;", "&unknown; &copy &#xfffffff; R&D;"),
        ("5&nbsp;km, 5\u00a0km, 5&#160;km", "5 km, 5 km, 5 km"),
        ("&#42; a", "* a"),
        ("a&#13;b c&#12;d e&#11;f g\x85h", "a\nb c\nd e f g\nh"),
        ("Donau&shy;dampf\u200e &lrm;x", "Donaudampf x"),
    ],
)
def test_references_to_characters_are_resolved_once(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


def test_scripts_survive_exactly() -> None:
    for text in (
        "می\u200cخواهم به خانه بروم",
        "क्\u200dष और त्र नदी है।",
        "ප්\u200dරදේශය",
        "ភាសា\u200bខ្មែរ",
        'ירושלים – "עיר" גדולה',
        "மதுரை நகரம்",
        "東京都（とうきょうと）は「首都」。",
    ):
        assert text_of(text) == text
    assert text_of("Zu\u0308rich, e\u0301te\u0301") == "Zürich, été"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("''a'' '''b''' '''''c''''' ''''d''''", "a b c 'd'"),
        ("l'''eau'' et l'''air''", "leau et lair"),
        ("dans l'''eau'' vive", "dans l'eau vive"),
        ("'''''x''' y'' z, '' open", "x y z, open"),
        ("c'est l'eau d'ici", "c'est l'eau d'ici"),
    ],
)
def test_quotes(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


def test_lines() -> None:
    page = "one\ntwo\n\nthree\n* a\n** b\n# c\n: d\n:: e\n; term : meaning\n;only\n----\nf\n g\n----h"
    assert text_of(page).split("\n") == (
        ["one two", "three", "a", "b", "c", "d", "e", "term", "meaning", "only", "f", "g", "h"]
    )


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        (";Term:its meaning", "Term\nits meaning"),
        ("*;Term: its meaning", "Term\nits meaning"),
        (";Term", "Term"),
        (";[[Ort: Name|Ort: Name]]: ein [[Ort]]", "Ort: Name\nein Ort"),
        (";see [http://x.org/a:b the: site]:it", "see the: site\nit"),
        (';<span style="color:red">Term</span>:meaning: more', "Term\nmeaning: more"),
        (";-{zh-hans:甲;zh-hant:乙}-:丙", "甲\n丙"),
        (";http://x.org is a page", "http://x.org is a page"),
        ("no list; but:so", "no list; but:so"),
    ],
)
def test_a_term_and_its_definition_are_two_lines(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize("opening", ["{{(!}}", "{{{!}}"])
def test_tables_made_of_templates_leave_nothing(opening: str) -> None:
    """`{{(!}}` and its like stand for the marks of tables inside of arguments, and outside as well."""
    rows = '{{!+}} title\n{{!-}} style="x"\n{{!}} a {{!!}} b'
    page = f'Before.\n{opening} class="wikitable" border=1\n{rows}\n{{{{!)}}}}\nAfter.'
    assert text_of(page) == "Before.\nAfter."


def test_a_template_may_name_its_namespace() -> None:
    assert (
        text_of("The {{Template:Nowrap|big house}} and {{template: small |this}}") == "The big house and this"
    )


def test_headings_stay_where_text_is_under_them() -> None:
    page = "a\n== B ==\n=== ''C'' ===\nd\n=== E ===\n{{x}}\n== F ==\n{|\n|g\n|}\n== H ==\n* {{i}}\n"
    page += "== J ==\n* k\n== L =="
    assert text_of(page) == "a\nB\nC\nd\nJ\nk"
    assert text_of(page, headings=False) == "a\nd\nk"
    assert text_of("= A =\nb\n== C = =\nd\n==E\nf") == "A\nb\n= C =\nd\n==E\nf"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("a\n{| class=x\n|+ b\n! c !! d\n|-\n| e || [[f]]\n|}\ng", "a\ng"),
        ("a\n:{|\n| b\n{|\n| c\n|}\n| d\n|}\ne", "a\ne"),
        ("a\n{|\n| b\n|} c", "a\nc"),
        ("a <table class=x><tr><td>b<table><td>c</td></table></td></tr></TABLE> d", "a\nd"),
        ("{{Table}}\n|-\n| b || c\n! d\n|}\ne", "e"),
        ("{{Table}}\n! b !! c\n{{End}}\ne", "e"),
        ("a\n{| class=x\n|-\n| b\n! c\n\nd\n\n| e\n== F ==\ng", "a\nd\nF\ng"),
        ("a\n|}\nb </table> c", "a\nb\nc"),
        ("a || b", "a b"),
    ],
)
def test_tables_leave_nothing(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("-{zh-hans:计算机;zh-hant:電腦}-很快", "计算机很快"),
        ("-{zh-cn:[[软件|软体]];zh-tw:x}-和-{网络}-", "软体和网络"),
        ("-{T|标题}--{H|zh-cn:a;zh-tw:b}-文-{A|zh-cn:甲;zh-tw:乙}--{zh-hans;zh-hant|丙}-", "文甲丙"),
        ("-{sr-ec:Ниш; sr-el:Niš}- и -{Niš}-", "Ниш и Niš"),
        ("{{x}}-{}-a", "a"),
        ("__TOC__a__NOTOC__ __БЕЗ_СОДЕРЖАНИЯ__ __目次__ b __init__ c_d", "a b __init__ c_d"),
    ],
)
def test_variants_and_magic_words(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("a {{b c\n\nd [[e]] {{f}} g", "a b c\nd e g"),
        ("a {{Infobox\n| b = {{c\n| d = e\n}}\nf", "a\nf"),
        ("a }} b ]] c", "a b c"),
        ("a [[b c\n\nd [[e]] f", "a b c\nd e f"),
        ("a [[File:b.jpg|thumb|c [[d]] e\n\nf [[g]] h", "a\nf g h"),
        ("a [[File:b.jpg|c\n== D ==\ne]] f", "a\nD\ne f"),
        ("a [http://b.example c\nd", "a [http://b.example c\nd".replace("\n", " ")),
        ("a<ref>b [[c]]\n\nd<ref name=x>e", "ab c\nde"),
        ("a<ref>b</ref></ref>c", "ac"),
        ("a<!-- b\n\nc", "a"),
        ("a<nowiki>[[b]]\n\nc", "ab\nc"),
        ('a<math>b\n\nc<ref name="d>e</ref> f', "ab\nc f"),
        ("'''a\n\n''b", "a\nb"),
        ("<div><div>a</span>\n\n<b>c", "a\nc"),
    ],
)
def test_what_is_not_closed_loses_little(wikitext: str, text: str) -> None:
    assert text_of(wikitext) == text


WORDS = ["river", "Łódź", "Москва", "λίμνη", "नदी", "نهر", "河", "მდინარე", "ทะเล", "ירדן", "1900"]
AROUND_WORDS = [
    "%s",
    "''%s''",
    "'''%s'''",
    "[[%s]]",
    "[[Some (page)|%s]]",
    "[http://a.example/x %s]",
    "<nowiki>%s</nowiki>",
]
AROUND_LINES = [
    "<small>%s</small>",
    "<span class=x>%s</span>",
    "{{nowrap|%s}}",
    "{{lang|de|%s}}",
    "<b>%s</b>",
]
HIDING_LINES = ["{{x|%s|y=z}}", "[[File:a.png|thumb|%s]]", "{{{1|%s}}}"]
HIDDEN = [
    "<ref name=x/>",
    "<ref>{{cite|[[river]]}}</ref>",
    "<!-- river -->",
    "<math>{{x}}</math>",
    "[[Category:X]]",
    "[[de:Fluss]]",
    "__TOC__",
    "{{{1|}}}",
    "{{x}}",
]


@st.composite
def inlines(draw: st.DrawFn, depth: int = 2) -> tuple[str, str]:
    """Return well-formed wikitext of a line, and the words that a reader sees."""
    markup: list[str] = []
    visible: list[str] = []
    for kind in draw(st.lists(st.sampled_from(["word", "word", "line", "hiding", "hidden"]), max_size=4)):
        if kind == "word" or (not depth and kind != "hidden"):
            word = draw(st.sampled_from(WORDS))
            markup.append(draw(st.sampled_from(AROUND_WORDS)) % word)
            visible.append(word)
        elif kind == "hidden":
            markup.append(draw(st.sampled_from(HIDDEN)))
        else:
            inner, seen = draw(inlines(depth - 1))
            markup.append(draw(st.sampled_from(AROUND_LINES if kind == "line" else HIDING_LINES)) % inner)
            visible.append(seen if kind == "line" else "")
    return " ".join(markup), " ".join(visible)


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, str]:
    """Return a well-formed page, and the words that a reader sees."""
    lines: list[str] = []
    visible: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        markup, seen = draw(inlines())
        block = draw(st.sampled_from(["", "* ", "#", ":", "; ", "heading", "table", "template", "html"]))
        if block == "heading":
            lines += ["", f"== {markup} ==", "text below"]
            visible += [seen, "text below"]
        elif block == "table":
            lines += ["{| class=x", f"! {markup}", "|-", f"| a || {markup}", "|}"]
        elif block == "template":
            lines += ["{{Box", f"| a = {markup}", "}}"]
        elif block == "html":
            lines.append(f"<div>{markup}</div>")
            visible.append(seen)
        else:
            lines += ["", block + markup]
            visible.append(seen)
    return "\n".join(lines), " ".join(visible)


@given(pages())
def test_a_reader_sees_every_word_and_no_markup(page: tuple[str, str]) -> None:
    wikitext, visible = page
    assert text_of(wikitext).split() == visible.split()


BROKEN = (
    "{{ }} {{{ [[ ]] [[File:a.png| <ref> </ref> <ref/> {|\n \n|} \n|- ''' '' <div> <!-- --> <nowiki> "
    "</nowiki> <table> </table> -{ }- [http://a ( ) &amp; == \n== \n* \n : word {{nowrap| {{lang|de|"
)
MARKUP = st.text(alphabet="{}[]|<>'=*#:;!-_&/\n ()aрह1\x7f\v\u200e")
TOKENS = st.lists(st.sampled_from(BROKEN.split(" ")), max_size=30).map("".join)


@given(st.one_of(st.text(), MARKUP, TOKENS))
def test_any_text_gives_clean_lines(wikitext: str) -> None:
    text = text_of(wikitext)
    assert text == unicodedata.normalize("NFC", text)
    assert all(line == line.strip() and line for line in text.split("\n")) or not text
    assert not set(text) & set("\x00\x0b\x7f\u200e")
    text.encode("utf-8")


ANYTHING = (
    "{{ }} [[ ]] {{{ <ref> <ref <!-- <nowiki> {|\n \n{| ''''' ''' <div> <table> [http://a ( )) (, (: -{ "
    "-{a: __A & "
    "\n== \n=a= \n* \n| \n! ; : <poem> <poem>\na</poem> [[File:a.png| [[a|b {{a| {{lang|de| {{convert|1| "
    "[[a]] {{a}} <span~style=display:none> </span> <br> . &amp; [[a|[[b]] {{nowrap|[[a| ''~'''~ ~~ ~, (~: ()"
)
UNITS = [unit.replace("~", " ") for unit in ANYTHING.split(" ")]


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_comes_to_an_end(unit: str) -> None:
    text = text_of(unit * (500_000 // len(unit)) + "\n\nlast words")
    assert text.endswith("last words") or unit == "<!--"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("{{", "}}"),
        ("{{nowrap|", "}}"),
        ("[[", "]]"),
        ("[[File:a.png|", "]]"),
        ("{|\n", "\n|}\n"),
        ("<div>", "</div>"),
        ("<span style=display:none>", "</span>"),
        ("(", ")"),
        ("(: ", " )"),
        ("-{", "}-"),
        ("{{nowrap|[[a|", "]]}}"),
    ],
)
def test_nesting_of_any_depth(opening: str, closing: str) -> None:
    text = text_of(f"first {opening * 10_000}x{closing * 10_000}\n\nlast words")
    assert text.startswith("first") and text.endswith("last words")


def test_mixtures_of_broken_markup_come_to_an_end() -> None:
    generator = random.Random(0)
    for _ in range(10):
        some = generator.sample(UNITS, 6)
        text_of("".join(generator.choices(some, k=50_000)))


def real_articles(folder: Path) -> dict[str, list[str]]:
    """Return the texts of the articles in real dumps, by the dump's name."""
    texts: dict[str, list[str]] = {}
    for dump in sorted(folder.rglob("*.bz2")):
        reader = DumpReader(dump)
        pages = [page for page in reader if isinstance(page, Page)]
        names = LinkNames.of(reader.site.namespaces)
        articles = [page for page in pages if page.namespace == 0 and page.redirect is None]
        texts[dump.name] = [article_text(page.text, names) for page in articles]
    return texts


def test_real_articles_have_text_and_no_markup(shared_data: Path) -> None:
    texts = real_articles(shared_data / "dumps")
    assert len(texts) == 128
    everything = "\n".join(text for articles in texts.values() for text in articles)
    assert len(everything.split()) > 900_000
    for leftover in ("[[", "]]", "{{", "}}", "{|", "|}", "||", "<ref", "&amp;", "&nbsp;", "''", "()", "( )"):
        assert leftover not in everything, leftover
