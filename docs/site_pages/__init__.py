"""The part of the site that is written from the library at each build, so that it stays true.

A Sphinx extension. Before the sources are read it fills ``docs/generated/`` (which git ignores): the documents and notebooks
of the repository, a page per operator with its picture, costs and gains, one on upsampling, the configs, the commands' help.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax import nnx

from site_pages import commands, configs, documents, operators, upsampling
from site_pages.links import with_site_links

if TYPE_CHECKING:  # the tests use this package without Sphinx
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = ROOT / "docs" / "generated"
WAY_BACK = re.compile(r'<a class="viewcode-back"[^>]*>.*?</a>')


def write_all(app: Sphinx) -> None:
    """Write everything under ``docs/generated/``."""
    for write in (documents.write, configs.write, commands.write, operators.write, upsampling.write):
        write(ROOT, GENERATED)


def rewrite_links(app: Sphinx, name: str, source: list[str]) -> None:
    """Let the links of a page under ``docs/``, which are right within the repository, be right within the site."""
    page = ROOT / "docs" / f"{name}.md"
    if page.exists() and GENERATED not in page.parents:
        source[0] = with_site_links(source[0], page.parent, page.parent, ROOT)


def without_way_back(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Drop the links from a listing of source code to the documentation.

    Sphinx takes all things of a module to be documented under one name, and ours have two: a function is
    ``strideflax.max_pool``, a class ``strideflax.operators.MaxPool``.
    """
    if name.startswith("_modules/"):
        context["body"] = WAY_BACK.sub("", context["body"])


def constructor(app: Sphinx, kind: str, name: str, thing: Any, options: Any, signature: str, returned: str) -> Any:
    """Return the signature of a module's ``__init__``, which the metaclass of Flax hides."""
    if kind == "class" and issubclass(thing, nnx.Module):
        parameters = list(inspect.signature(thing.__init__).parameters.values())[1:]
        plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
        return str(inspect.Signature(plain)), returned
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_all)
    app.connect("source-read", rewrite_links)
    app.connect("autodoc-process-signature", constructor)
    app.connect("html-page-context", without_way_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
