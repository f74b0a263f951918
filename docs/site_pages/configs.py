"""One page that shows every config with its docstring."""

import ast
from pathlib import Path

from site_pages.documents import write_if_changed

HEAD = """# Configs

`configs/baseline.py` holds every number once; each other file says how it differs. Those with a function `sweep()` are grids
for `strideflax sweep`. Every config has the variants `:quick` (drawn images, seconds) and `:narrow` (half the widths,
bfloat16).
"""


def write(root: Path, generated: Path) -> None:
    """Write ``configs.md``."""
    parts = [HEAD]
    for path in sorted((root / "configs").glob("**/*.py"), key=lambda path: (path.stem != "baseline", path)):
        tree = ast.parse(path.read_text())
        docstring = ast.get_docstring(tree)
        if docstring is None:
            continue
        name = path.relative_to(root).as_posix()
        first_line = tree.body[1].lineno  # body[0] is the docstring
        parts.append(f"## {name}\n\n{as_markdown(docstring)}\n")
        parts.append(f"```{{literalinclude}} ../../{name}\n:language: py\n:lines: {first_line}-\n```\n")
    write_if_changed(generated / "configs.md", "\n".join(parts))


def as_markdown(docstring: str) -> str:
    """Return a docstring as Markdown: double backticks as single ones, and a line that is a command as code."""
    lines = []
    for line in docstring.replace("``", "`").splitlines():
        lines.append(f"`{line}`" if line.startswith(("python ", "strideflax ")) else line)
    return "\n".join(lines)
