"""The shared jinja2 environment of the HTML reports.

The pages are self-contained. Autoescaping is on: data never becomes markup.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sightline.storage.text.hidden_characters import remove_hidden

_PACKAGE = "sightline.server.reports"


def render(template: str, **context: object) -> str:
    """Render a template of the folder ``templates``."""
    return _environment().get_template(template).render(**context)


def load_static(name: str) -> Markup:
    """Return a stylesheet or script of the folder ``templates``, marked as safe."""
    return Markup(files(_PACKAGE).joinpath("templates", name).read_text("utf-8"))  # noqa: S704


def csp_hash(text: str) -> str:
    """Return the CSP source that permits an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _environment() -> Environment:
    loader = PackageLoader(_PACKAGE)
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    compact = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    environment.policies["json.dumps_kwargs"] = compact
    environment.filters["jpeg_url"] = _jpeg_url
    return environment


def _visible(value: object) -> object:
    """Remove hidden characters: a bidirectional override would reorder its neighbors."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return remove_hidden(value)


def _jpeg_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
