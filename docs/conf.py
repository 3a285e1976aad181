"""Settings of the site: `make docs` builds it from the pages of this folder, without the network."""

from __future__ import annotations

import inspect
import re
from typing import Any

import ulmfit
from ulmfit.pipeline.settings import Settings

project = "ulmfit"
author = copyright = "the ulmfit contributors"
release = version = ulmfit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
napoleon_google_docstring = False
napoleon_use_ivar = True
myst_heading_anchors = 4
html_theme = "alabaster"
html_theme_options = {
    "description": "ULMFiT for morphologically rich languages",
    "fixed_sidebar": True,
    "page_width": "1100px",
}
html_show_sourcelink = False
autodoc_typehints = "none"
autodoc_class_signature = "separated"


def with_fields(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Say of settings what each field means, and its default."""
    lines[:] = [line.replace("`", "``") for line in lines]
    if not (inspect.isclass(value) and issubclass(value, Settings)):
        return
    lines.append("")
    for field, described in value.model_fields.items():
        default = "required" if described.is_required() else f"default: ``{described.default!r}``"
        lines += [f":param {field}: {(described.description or '').replace('`', '``')} ({default})"]
    lines.append("")


OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")
"""A link to a file of the checkout that is no page of the site."""


def without_links_to_the_checkout(app: Any, name: str, source: list[str]) -> None:
    """Name such files, in place of links that would lead nowhere."""

    def named(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        return f"`{path}`" if text in (path, path.rpartition("/")[2]) else f"{text} (`{path}`)"

    source[0] = OUTSIDE.sub(named, source[0])


MEMBERS = "   :members:\n   :exclude-members: set_fit_request, set_score_request\n"
"""Options of every class; scikit-learn adds the excluded methods itself."""


def with_public_names(app: Any, name: str, source: list[str]) -> None:
    """Add every name of the front door to the page `api`."""
    if name != "api":
        return
    for public in ulmfit.PUBLIC:
        kind = "autoclass" if inspect.isclass(getattr(ulmfit, public)) else "autofunction"
        members = (
            "   :members:\n   :exclude-members: set_fit_request, set_score_request\n"
            if kind == "autoclass"
            else ""
        )
        source[0] += f"\n## {public}\n\n```{{eval-rst}}\n.. {kind}:: ulmfit.{public}\n{members}```\n"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", with_public_names)
    app.connect("source-read", without_links_to_the_checkout)
    app.connect("autodoc-process-docstring", with_fields)
