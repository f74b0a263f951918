"""The documents of the repository and its executed notebooks, as pages of the site."""

import shutil
from pathlib import Path

from site_pages.links import DOCUMENTS, with_site_links


def write(root: Path, generated: Path) -> None:
    """Write the documents into ``generated``, with their links turned to the site's pages, and copy the notebooks."""
    (generated / "notebooks").mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        text = (root / name).read_text()
        write_if_changed(generated / name, with_site_links(text, root, generated, root))
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, generated / "notebooks" / notebook.name)


def write_if_changed(path: Path, text: str) -> None:
    """Write ``text`` unless the file holds it already: Sphinx reads only pages with a new date again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
