"""What other programs did to a text before they cut it into pieces; all of it is off by default.

MultiFiT ran Moses first, so that commas and full stops are words of their own, and then mended HTML as
fastai v1 did. The second step undoes the first one's escapes in part: `"` becomes `&'` and `&` becomes `&&`.
The pieces of its releases were trained on such texts, so both steps are kept as they were.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version

_MENDED = (
    ("#39;", "'"),
    ("amp;", "&"),
    ("#146;", "'"),
    ("nbsp;", " "),
    ("#36;", "$"),
    ("\\n", "\n"),
    ("quot;", "'"),
    ("<br />", "\n"),
    ('\\"', '"'),
    (" @.@ ", "."),
    (" @-@ ", "-"),
    (" @,@ ", ","),
    ("\\", " \\ "),
)
"""What fastai v1's `fix_html` replaced, in its order, except <unk>: a text must not name a special token."""


def mend_html(text: str) -> str:
    """Return `text` with HTML's entities and a few remains of other formats as characters (`fix_html`)."""
    for found, replacement in _MENDED:
        text = text.replace(found, replacement)
    return html.unescape(text)


def moses_version() -> str:
    """Return the version of sacremoses, which decides about where words end."""
    return version("sacremoses")


@lru_cache(maxsize=4)
def moses_tokenizer(language: str) -> Callable[[str], str]:
    """Return what puts spaces between the words and signs of a line, and escapes &, <, >, |, [, ], ' and ".

    `language` is a code such as `de` or `pt-BR`; the abbreviations of an unknown one are those of English.
    """
    from sacremoses import MosesTokenizer

    tokenize = MosesTokenizer(language.split("-")[0].lower()).tokenize
    return lambda line: tokenize(line, return_str=True, escape=True)
