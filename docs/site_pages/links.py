"""Links that are right in the repository, made right in the site."""

import os
import re
from pathlib import Path

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
DOCUMENTS = ("RESULTS.md", "RELIABILITY.md", "CHANGELOG.md", "CONTRIBUTING.md")


def with_site_links(text: str, home: Path, place: Path, root: Path) -> str:
    """Return ``text`` with each relative link pointing to what the site has instead.

    Args:
        text: a Markdown page.
        home: folder from which its links are meant, in the repository.
        place: folder in which the page stands while the site is built.
        root: of the repository.
    """

    def replaced(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match.group(0)
        file, mark, anchor = target.partition("#")
        path = (home / file).resolve().relative_to(root).as_posix()
        if image:
            return f"![{label}]({_relative(root / path, place)})"
        page = _page_of(path)
        if page is None:
            return label  # a file that the site does not show
        return f"[{label}]({_relative(root / page, place)}{mark}{anchor})"

    return LINK.sub(replaced, text)


def _page_of(path: str) -> str | None:
    """Return the page of the site that shows the file ``path``; None if there is none."""
    if path in DOCUMENTS or path.endswith(".ipynb"):
        return f"docs/generated/{path}"
    if path == "README.md":
        return "docs/index.md"
    if path.startswith("configs"):
        return "docs/generated/configs.md"
    if path.startswith("docs/") and path.endswith(".md"):
        return path
    return None


def _relative(path: Path, place: Path) -> str:
    return Path(os.path.relpath(path, place)).as_posix()
