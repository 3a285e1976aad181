"""Makes all HTML pages: templates beside this module and the sections, all values escaped.

`table.html.j2` is the writer of tables for pages. Texts of data sets may hold characters that turn the
direction of what follows them (U+202E), or that nobody sees: a page shows their code in their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.pipeline.printing import printable_page
from ulmfit.report.table import parts_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page_environment() -> Environment:
    """Return the templates; an undefined name in a template is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([folder, folder / "sections"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["parts"] = parts_of
    environment.tests["drawn"] = is_drawn
    return environment


def render_page(environment: Environment, template: str, **values: object) -> str:
    """Return a whole page; every acting character in it is written as its `\\uXXXX`."""
    return printable_page(environment.get_template(template).render(values))


def scale_header(low: str, high: str) -> Markup:
    """Return the header of a column of plots that share a scale: its ends."""
    from markupsafe import Markup

    return Markup('<span class="scale"><span>{}</span><span>{}</span></span>').format(low, high)


def is_drawn(cell: str) -> bool:
    """Return whether a cell is markup, such as a plot, and not text."""
    return hasattr(cell, "__html__")
