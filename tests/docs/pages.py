"""The pages of the documentation, and what stands in them: fenced examples, command lines, links, names of files."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^ *```(\S*)[^\n]*\n(.*?)^ *```", re.M | re.S)
INLINE_CODE = re.compile(r"`([^`]+)`")
NAME_OF_FILE = re.compile(r"# (\w+\.py)\n")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"\b(?:configs|docs|notebooks|strideflax|tests)/[\w./-]*\w")
WRITTEN_BY_THE_BUILD = ("docs/generated/", "docs/_build/")


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Return its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text()

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks of one language."""
        return [body for found, body in FENCE.findall(self.text) if found == language]

    def python_files(self) -> dict[str, str]:
        """Return the files that the page shows whole, by name: the Python blocks whose first line is, e.g., ``# grid.py``."""
        files = {}
        for block in self.blocks("python"):
            named = NAME_OF_FILE.match(block)
            if named:
                files[named.group(1)] = block
        return files

    def prose(self) -> str:
        """Return the text without its fenced blocks."""
        return FENCE.sub("", self.text)

    def command_lines(self) -> list[list[str]]:
        """Return the words of every complete `strideflax` command, from console blocks and from code within a sentence."""
        lines = []
        for language in ("bash", "console"):
            for block in self.blocks(language):
                lines += block.replace("\\\n", " ").splitlines()
        for code in INLINE_CODE.findall(self.prose()):
            lines.append(" ".join(code.split()))
        commands = []
        for line in lines:
            words = words_of_command(line)
            if len(words) > 1:
                commands.append(words)
        return commands

    def links(self) -> list[Path]:
        """Return the files that links lead to, but for those that the build of the site writes and Sphinx checks."""
        targets = []
        for target in LINK.findall(self.prose()):
            if "://" in target or target.startswith("#"):
                continue
            file = (self.path.parent / target.partition("#")[0]).resolve()
            if not file.relative_to(ROOT).as_posix().startswith(WRITTEN_BY_THE_BUILD):
                targets.append(file)
        return targets

    def files(self) -> list[str]:
        """Return the paths from the root of the repository that the page names."""
        return [file for file in FILE.findall(self.prose()) if not f"{file}/".startswith(WRITTEN_BY_THE_BUILD)]


def words_of_command(line: str) -> list[str]:
    """Return what follows ``strideflax`` in ``line``, [] if that is not a command."""
    line = line.removeprefix("$ ").strip()
    for start in ("strideflax ", "python -m strideflax ", ".venv/bin/strideflax "):
        if line.startswith(start):
            return shlex.split(line.removeprefix(start), comments=True)
    for start in ("python train.py ", ".venv/bin/python train.py "):
        if line.startswith(start):
            return ["train", *shlex.split(line.removeprefix(start), comments=True)]
    return []


def all_pages() -> list[Page]:
    """Return every page of the root folder and of ``docs/``, without what the build of the site writes."""
    pages = []
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        page = Page(path)
        if not page.name.startswith(WRITTEN_BY_THE_BUILD):
            pages.append(page)
    return pages
