"""Settings of the documentation site: ``sphinx-build -W --keep-going docs docs/_build/html``."""

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent, HERE.parent / "notebooks"):  # site_pages, strideflax and configs, drawing
    sys.path.insert(0, str(folder))

project = "strideflax"
author = ""
release = metadata.version("strideflax")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "site_pages"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # `conv` in a docstring links to what is called so, if it is documented
nb_execution_mode = "off"  # the notebooks are committed with their outputs, and the tests run them
myst_heading_anchors = 3
python_use_unqualified_type_names = True
autodoc_typehints = "none"  # shapes and units stand in the text
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
html_theme = "sphinx_book_theme"
html_title = "strideflax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the side bar has the search
}
