"""Links of wikitext: their labels are text; files, categories and links to other languages are not."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_FILE, _CATEGORY, _MEDIA = 6, 14, -2

_FILES = "file|image"
_MEDIA_NAMES = "media|medium|média|медиа|медіа|медија|medija"
# Not every dump lists the namespaces of its wiki, and many wikis accept the names of other languages too.
# Names that also begin ordinary titles (class, guru, rang) count only if the dump lists them.
_CATEGORIES = (
    "category|abdeeling|bólkur|catagóir|categori|categoria|categoría|categorìa|categorîa|categorie|"
    "categoreye|catégorie|catègorie|categuria|categurìa|catigurìa|flokkur|jamii|kaarangay|kategòrëjô|"
    "kategori|kategorî|kategoria|kategória|kategorie|kategorii|kategoriija|kategorija|kategorio|kategoriya|"
    "kategoriýa|kategoriye|kategory|kategorya|kategoryjo|kategooria|kategoreja|kateggoría|kateguorėjė|"
    "kateqoriya|katiguriya|katigoria|katõgooria|luokka|māhele|ñemohenda|roinn-seòrsa|ronney|rummad|"
    "setensele|sokajy|taggayt|thể loại|turkum|wàll|klad|ẹ̀ka|κατηγορία|κατηγορίαν|ангилал|аңгылал|"
    "акатегориа|гурӯҳ|категори|категориэ|категорий|категорие|категорија|категория|категорія|катеґорія|"
    "катигорїꙗ|катэгорыя|санат|төркем|төркөм|әәшл|կատեգորիա|კატეგორია|קטגוריה|קאַטעגאָריע|קאטעגאריע|تصنيف|"
    "رده|رج|زمرہ|زمرو|زٲژ|پۆل|تۈر|وېشنيزه|سانات|گٹھ|بؤلمه|ܣܕܪܐ|ޤިސްމު|श्रेणी|वर्ग|वर्गः|विभाग|पुचः|শ্রেণী|"
    "শ্ৰেণী|বিষয়শ্রেণী|ਸ਼੍ਰੇਣੀ|શ્રેણી|ଶ୍ରେଣୀ|ବିଭାଗ|பகுப்பு|వర్గం|ವರ್ಗ|വർഗ്ഗം|വിഭാഗം|ප්‍රවර්ගය|หมวดหมู่|"
    "ໝວດ|ចំណាត់ថ្នាក់ក្រុម|መደብ|분류|カテゴリ|分类|分類"
)
_FILE_ENDINGS = (
    ".jpg .jpeg .png .svg .gif .tif .tiff .webp .xcf .bmp .pdf .djvu .ogg .oga .ogv .opus .webm .mp3 .mp4 "
    ".wav .flac .mid .midi .stl"
)
_IS_FILE = tuple(_FILE_ENDINGS.split())
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+){0,2}|simple|tokipona")
# These look like languages and are catalogues of documents, other wikis, or short names of namespaces.
_OTHER_PREFIXES = "bug cat cve doi hdl mos mw rev rfc svn voy wg wmf wp"
_NO_LANGUAGES = frozenset(_OTHER_PREFIXES.split())

_DEEPEST = 20
"""Links are opened inside of links no deeper than this, so that no text is copied once for every level."""
_PIPE_TRICK = re.compile(r"(?<!\s)\s*+[(（].*|, .*", re.DOTALL)
_EXTERNAL = re.compile(
    r"\[(?:(?:https?|ftps?|ircs?|news|mailto|gopher|git|svn|telnet|nntp|tel|sips?|xmpp|magnet|geo):|//)"
    r"[^\s\[\]<>\"]*+[ \t]*+([^\[\]\n]*+)\]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LinkNames:
    """Lower-cased names of the namespaces whose links show nothing where they stand."""

    files: frozenset[str]
    categories: frozenset[str]
    media: frozenset[str]
    """Links to media are shown, though their targets end like files."""

    @classmethod
    def of(cls, namespaces: dict[int, str]) -> LinkNames:
        """Return the names for a wiki whose dump lists `namespaces` (number -> name; it may be empty)."""

        def names(number: int, known: str) -> frozenset[str]:
            local = namespaces.get(number) or known.partition("|")[0]
            return frozenset(map(_folded, [local, *known.split("|")]))

        return cls(names(_FILE, _FILES), names(_CATEGORY, _CATEGORIES), names(_MEDIA, _MEDIA_NAMES))

    def shows_nothing(self, target: str) -> bool:
        """Return whether a link to `target` shows nothing: a file, a category, a page in another language.

        A target that begins with its colon is shown. Files are known by their endings as well.
        """
        prefix, colon, _ = target.partition(":")
        prefix = prefix.strip()
        if not prefix or not colon:
            return False
        if _LANGUAGE.fullmatch(prefix):
            return prefix not in _NO_LANGUAGES
        return _folded(prefix) in self.categories or self.is_file(target)

    def is_file(self, target: str) -> bool:
        """Return whether `target` is a file, whose link shows a picture and no label."""
        prefix, colon, name = target.partition(":")
        prefix = _folded(prefix)
        if not prefix or not colon or prefix in self.media:
            return False
        return prefix in self.files or name.rstrip(" _\u200e").lower().endswith(_IS_FILE)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower().replace("_", " ").strip("\u200e\u200f \n")


def with_labels(text: str, names: LinkNames) -> str:
    """Replace every link by its label, and those that show nothing by nothing, captions included."""
    if "]]]" in text:  # a link to the web at the end of a caption
        text = _with_external_labels(text)
    first, *others = text.split("[[")
    kept = [first]
    opened: list[int] = []  # where in `kept` the links begin that hold other links
    for piece in others:
        inner, closed, rest = piece.partition("]]")
        if not closed:
            if len(opened) < _DEEPEST:
                opened.append(len(kept))
            kept.append(piece)
            continue
        target, bar, label = inner.partition("|")
        if ":" in target or "\n" in target or (bar and not label):
            kept.append(_label(inner, names))
        else:
            kept.append(label or target)
        if opened and "]]" in rest:
            rest = _close(kept, opened, rest, names)
        kept.append(rest)
    for start in opened:
        if names.is_file(kept[start].partition("|")[0]):
            _cut_line(kept, start)
    text = "".join(kept)
    if "]]" in text:
        text = text.replace("]]", "")
    return _with_external_labels(text)


def _with_external_labels(text: str) -> str:
    """Replace links to the web by their labels; one without a label shows nothing but a number."""
    return "".join(_EXTERNAL.split(text)) if "[" in text else text


def _close(kept: list[str], opened: list[int], rest: str, names: LinkNames) -> str:
    """Close the open links that end in `rest`; return what follows the last of them."""
    while opened and "]]" in rest:
        inner, _, rest = rest.partition("]]")
        start = opened.pop()
        content = "".join(kept[start:]) + inner
        del kept[start:]
        kept.append(_label(content, names))
    return rest


def _cut_line(kept: list[str], start: int) -> None:
    """Drop the rest of the line that begins with `kept[start]`."""
    for number in range(start, len(kept)):
        _, newline, rest = kept[number].partition("\n")
        kept[number] = newline + rest
        if newline:
            break


def _label(inner: str, names: LinkNames) -> str:
    """Return what a link shows, given all that stands between its brackets."""
    target, bar, label = inner.partition("|")
    if names.shows_nothing(target):
        # A heading inside says that these are the brackets of two links, the first of them not closed.
        return inner[inner.index("\n") :] if "\n=" in inner else ""
    if "\n" in target.strip():  # MediaWiki does not take this as a link
        return inner
    if label:
        return label
    shown = target.strip()
    if bar:
        name = shown.removeprefix(":")
        shown = _PIPE_TRICK.sub("", name.partition(":")[2] or name)
    return shown.removeprefix(":")
