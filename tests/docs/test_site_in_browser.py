"""The documentation site as it is built: no link leads nowhere, and no page is wider than a desktop's or a phone's screen.

CI builds it before it runs this file; elsewhere the tests are skipped until ``sphinx-build docs docs/_build/html`` has run.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from browser import headless_chromium, set_width
from docs.pages import ROOT

SITE = ROOT / "docs" / "_build" / "html"
LINK = re.compile(r'<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)"')
WIDTHS = (1280, 390)
WITHOUT_TEXT = ("genindex.html", "search.html", "py-modindex.html")

pytestmark = pytest.mark.skipif(not SITE.exists(), reason="the site is not built")


def pages() -> list[Path]:
    """Return the pages that are read; not the listings of source code, nor the theme's own parts."""
    return [path for path in sorted(SITE.rglob("*.html")) if not {"_modules", "_static"} & set(path.parts)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with headless_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_every_link_within_the_site_leads_somewhere():
    texts = {path: path.read_text() for path in SITE.rglob("*.html")}
    for page, text in texts.items():
        for link in LINK.findall(text):
            file, anchor = urldefrag(unquote(link))
            if ":" in link or (link.startswith("#") and not anchor):
                continue
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), f"{page.relative_to(SITE)} links to {link}"
            if anchor and target.suffix == ".html":
                assert f'id="{anchor}"' in texts[target], f"{page.relative_to(SITE)} links to {link}"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen_and_every_picture_is_there(browser, width: int):
    set_width(browser, width)
    for page in pages():
        if page.name in WITHOUT_TEXT:
            continue
        browser.get(page.as_uri())
        name = page.relative_to(SITE)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name
        missing = "return [...document.images].filter((image) => image.complete && !image.naturalWidth).length"
        assert browser.execute_script(missing) == 0, name
