"""The report as one HTML page that needs nothing else: no network, no other file."""

from collections.abc import Callable, Iterable
from html import escape
from importlib import resources
from string import Template
from typing import Any

from strideflax.report.canvas import Drawing
from strideflax.report.findings import Answer, Findings
from strideflax.report.tables import Cell, Table


def render_page(findings: Findings, drawings: list[Drawing]) -> str:
    """Return the HTML page: the answer, the tables (sortable by column), the figures, the commands."""
    template = Template(resources.files("strideflax.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        question=escape(findings.question),
        basis=escape(findings.basis),
        answers=_lines(_answer, findings.answers),
        tables=_lines(_table, findings.tables),
        figures=_lines(_figure, drawings),
        left_out=_list([f"Left out: {line}." for line in findings.left_out]),
        further_tables=_lines(_table, findings.further_tables),
        notes=_list(findings.notes),
        provenance=_lines(_definition, findings.provenance),
        commands=escape(findings.commands),
    )


def _lines(render: Callable[[Any], str], items: Iterable[Any]) -> str:
    return "\n".join(map(render, items))


def _answer(answer: Answer) -> str:
    return f"<p><strong>{escape(answer.verdict)}</strong> {escape(answer.evidence)}</p>"


def _definition(line: tuple[str, str]) -> str:
    name, value = line
    return f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _figure(drawing: Drawing) -> str:
    caption = f"<figcaption><strong>{escape(drawing.title)}.</strong> {escape(drawing.caption)}</figcaption>"
    return f'<figure id="{drawing.name}">{caption}{drawing.svg}</figure>'


def _table(table: Table) -> str:
    kinds = ["text" if isinstance(cell.value, str) else "number" for cell in table.rows[0]]
    header = ""
    for index, title in enumerate(table.titles):
        button = f'<button type="button">{escape(title)}</button>'
        header += f'<th scope="col" class="{kinds[index]}">{button}</th>'
    body = ""
    for row in table.rows:
        cells = "".join(_cell(cell, kinds[index], is_head=index == 0) for index, cell in enumerate(row))
        body += f"<tr>{cells}</tr>\n"
    title = escape(table.title)
    return (
        f'<h2>{title}</h2>\n<div class="frame">\n'
        '<p class="hint">This table is wider than the page: scroll it sideways \N{RIGHTWARDS ARROW}</p>\n'
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n<table>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n</div>\n"
        f'<p class="note">{escape(table.note)}</p>'
    )


def _cell(cell: Cell, kind: str, *, is_head: bool) -> str:
    value = "" if cell.value is None else escape(str(cell.value))
    detail = f" <span>{escape(cell.detail)}</span>" if cell.detail else ""
    tag, scope = ("th", ' scope="row"') if is_head else ("td", "")
    return f'<{tag}{scope} class="{kind}" data-value="{value}">{escape(cell.text)}{detail}</{tag}>'
