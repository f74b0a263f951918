"""Imports point one way, as the picture of the house in CONTRIBUTING.md says, and unstable ground is only where it says."""

import ast
from pathlib import Path

import pytest
from docs.pages import ROOT, Page

LIBRARY = ROOT / "strideflax"
TOOLS = ("errors", "wording", "files", "process")  # used everywhere, and use none of the house
UNSTABLE = ("ctypes", "jax.interpreters", "jax.extend", "jax.core", "jax._src")
UNSTABLE_TOO = {"process.py": ("ctypes",), "compile_cache.py": ("jax._src",)}
FILES = sorted(LIBRARY.rglob("*.py"))


def picture() -> list[str]:
    """The folders in the order of the picture: each may import those before it."""
    for block in Page(ROOT / "CONTRIBUTING.md").blocks("text"):
        for line in block.splitlines():
            if " ← " in line:
                return line.split(" ← ")
    raise AssertionError("CONTRIBUTING.md has no picture of the house")


def imported_modules(path: Path) -> list[str]:
    """The full names of the modules that a file imports, within functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def test_the_picture_shows_every_folder():
    folders = {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(picture())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_imports_point_one_way(path: Path):
    order, room = picture(), room_of(path)
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "strideflax" or len(parts) < 2:
            continue
        if room in order and parts[1] in order:
            assert order.index(parts[1]) <= order.index(room), f"{path} imports {module}"
        if room in TOOLS:
            assert parts[1] not in order, f"{path} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_only_the_kernels_and_two_files_stand_on_unstable_ground(path: Path):
    if room_of(path) == "kernels":
        return
    for module in imported_modules(path):
        if module.startswith(UNSTABLE):
            assert module.startswith(UNSTABLE_TOO.get(path.name, ())), f"{path} imports {module}"
