"""Articles of the Talvuri Wikipedia (INVENTED language, generated text) as wikitext.

What makes them worth learning from: a passage has a stance. While it is good, its valued clauses are good,
people praise and recommend; 'but' turns the stance round. And most evaluative words follow an adverb such as
'fortunately' or 'alas', which agrees with the value of the clause. So what stands near a word tells its
value, for every root, inflected in every way, negated or not. The adverb stands right before the word because
a small model learns that in a minute, while it learns no agreement across a sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ulmfit.toy.grammar import Root, Word, word
from ulmfit.toy.lexicon import Lexicon, ThemeRoots, frequent_first
from ulmfit.toy.sentences import Clause, Speaker, sentence

LINKED_SHARE = 0.1
"""Share of the mentions of something with an article that are links."""
ADVERB_SHARE = 0.8
"""Share of the valued clauses that have an adverb of their value."""


@dataclass(frozen=True)
class Subject:
    """What an article is about."""

    title: str
    theme: ThemeRoots
    head: Root
    """The noun that says what it is: a village, a song."""


class ArticleWriter:
    """Writes articles; `titles` are the articles that roots have, which mentions link to."""

    def __init__(self, lexicon: Lexicon, rng: random.Random, titles: dict[Root, str]) -> None:
        self._lexicon = lexicon
        self._rng = rng
        self._titles = titles
        self._speaker = Speaker(lexicon, rng)

    def article(self, subject: Subject) -> str:
        """Return the wikitext of one article."""
        sections = [self._lead(subject)]
        headings = self._rng.sample(self._lexicon.headings, 3)
        for heading in headings:
            sections.append(f"== {heading.form.capitalize()} ==\n{self._section(subject)}")
        sections += self._extras(subject)
        sections.append(self._end(subject))
        return "\n\n".join(sections) + "\n"

    # --- Parts of an article --------------------------------------------------------------------------------

    def _lead(self, subject: Subject) -> str:
        year, founder = self._year(), frequent_first(self._rng, self._lexicon.names)
        kind, title, size = (self._lexicon.wiki_words[key].form for key in ("kind", "title", "size"))
        box = (
            f"{{{{{self._named('box')}\n| {title} = {subject.title}\n| {kind} = {subject.head.form}\n"
            f"| {size} = {{{{formatnum:{year * 7}}}}}\n}}}}"
        )
        quality = frequent_first(self._rng, self._lexicon.qualities)
        place = frequent_first(self._rng, subject.theme.nouns)
        what = (word(quality), word(subject.head, "ESS"), word(place, "LOC"))
        says = " ".join(self._mark(part, part.form) for part in what)
        measure = f"{{{{{self._named('measure')}|{year % 90 + 10}|{self._lexicon.times[0].form}}}}}"
        exists = word(self._lexicon.appearing[0], "PRS").form
        dates = f"''{founder.form}'', {year}&ndash;{year + 40}"
        definition = f"'''{subject.title}''' ({dates}) {measure} {says} {exists}."
        return f"{box}\n{definition}{self._reference(subject)} {self._passage(subject, 5)}"

    def _section(self, subject: Subject) -> str:
        paragraphs = [
            self._passage(subject, self._rng.randint(10, 18)) for _ in range(self._rng.randint(1, 3))
        ]
        if self._rng.random() < 0.2:
            paragraphs.insert(1, f"<!-- {self._plain(self._speaker.neutral(subject.theme))} -->")
        if self._rng.random() < 0.25:
            child = frequent_first(self._rng, self._lexicon.headings).form.capitalize()
            paragraphs.append(f"=== {child} ===\n{self._passage(subject, 6)}")
        return "\n\n".join(paragraphs)

    def _extras(self, subject: Subject) -> list[str]:
        """Parts that are not prose (tables, infoboxes and so on); each article has some of them."""
        makers = (self._picture, self._list, self._table)
        return [maker(subject) for maker in makers if self._rng.random() < 0.4]

    def _picture(self, subject: Subject) -> str:
        caption = self._plain(self._speaker.neutral(subject.theme))
        return f"[[{self._named('file')}:{subject.title}.jpg|thumb|{caption}]]"

    def _list(self, subject: Subject) -> str:
        nouns = self._rng.sample(subject.theme.nouns, 4)
        return "\n".join(f"* [[{noun.form}]] &mdash; {self._year()}" for noun in nouns)

    def _table(self, subject: Subject) -> str:
        year, place = (self._lexicon.times[1].form, subject.theme.nouns[0].form)
        rows = "".join(
            f"|-\n| {frequent_first(self._rng, self._lexicon.names).form} || {self._year()}\n"
            for _ in range(4)
        )
        return f'{{| class="wikitable"\n|+ {subject.title}\n! {place} !! {year}\n{rows}|}}'

    def _end(self, subject: Subject) -> str:
        category = self._named("category")
        stub = f"{{{{{self._named('stub')}}}}}\n" if self._rng.random() < 0.2 else ""
        theme = subject.theme.nouns[0].form.capitalize()
        return (
            f"{stub}<references />\n[[{category}:{theme}]]\n[[{category}:{subject.head.form.capitalize()}]]"
        )

    # --- Prose ----------------------------------------------------------------------------------------------

    def _passage(self, subject: Subject, sentences: int) -> str:
        """Return sentences on the article's theme with one stance, which only 'but' turns round."""
        stance = self._rng.choice((1, -1))
        written = []
        for _ in range(sentences):
            text, stance = self._statement(subject, stance)
            written.append(text + (self._reference(subject) if self._rng.random() < 0.06 else ""))
        return " ".join(written)

    def _statement(self, subject: Subject, stance: int) -> tuple[str, int]:
        """Return one sentence and the stance after it."""
        draw = self._rng.random()
        if draw < 0.25:
            return self._write([self._speaker.neutral(subject.theme)]), stance
        if draw < 0.4:
            outcome = self._speaker.outcome(stance, subject.theme)
            return self._write([self._with_adverb(outcome, stance)]), stance
        clause = self._valued(subject, stance)
        if draw < 0.75:
            return self._write([clause]), stance
        if draw < 0.92:
            both = [clause, self._valued(subject, stance)]
            return self._write(both, self._lexicon.particles["and"]), stance
        both = [clause, self._valued(subject, -stance)]
        return self._write(both, self._lexicon.particles["but"]), -stance

    def _valued(self, subject: Subject, stance: int) -> Clause:
        clause = self._speaker.valued(stance, subject.theme, self._lexicon.evaluative)
        return self._with_adverb(clause, stance)

    def _with_adverb(self, clause: Clause, stance: int) -> Clause:
        """Put an adverb of the stance before the evaluative word of most clauses."""
        if self._rng.random() >= ADVERB_SHARE:
            return clause
        adverb = word(frequent_first(self._rng, self._lexicon.adverbs[stance]))
        place = next(number for number, part in enumerate(clause) if part.root.polarity)
        return (*clause[:place], adverb, *clause[place:])

    def _write(self, clauses: list[Clause], joint: Root | None = None) -> str:
        return sentence(clauses, joint, mark=self._mark)

    def _plain(self, clause: Clause) -> str:
        return sentence([clause])

    # --- Marks ----------------------------------------------------------------------------------------------

    def _mark(self, part: Word, written: str) -> str:
        """Mark a word in running text: as a link, in italics, or not at all."""
        if part.root in self._titles and self._rng.random() < LINKED_SHARE:
            return self._link(part, written)
        if part.root.kind == "name" and self._rng.random() < 0.1:
            return f"''{written}''"
        return written

    def _link(self, part: Word, written: str) -> str:
        """Link a word to its article, in one of the ways that people write such links."""
        ways: list[Callable[[], str]] = [lambda: f"[[{self._titles[part.root]}|{written}]]"]
        stem = part.root.form
        if written.startswith(stem):
            ways.append(lambda: f"[[{stem}]]{written.removeprefix(stem)}")
        return self._rng.choice(ways)()

    def _reference(self, subject: Subject) -> str:
        author = frequent_first(self._rng, self._lexicon.names).form
        cited = f"{{{{{self._named('source')}|{author}|{subject.title}|{self._year()}}}}}"
        return f"<ref>{cited}</ref>"

    def _named(self, role: str) -> str:
        return named(self._lexicon, role)

    def _year(self) -> int:
        return self._rng.randint(1200, 1999)


def named(lexicon: Lexicon, role: str) -> str:
    """Return what Talvuri calls a namespace or a template, e.g. `category` or `box`."""
    return lexicon.wiki_words[role].form.capitalize()
