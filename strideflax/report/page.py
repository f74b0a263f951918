"""The report as one HTML page that needs nothing else: no network, no other file."""

from html import escape
from importlib import resources
from string import Template

from strideflax.report.figures import Drawing
from strideflax.report.findings import Findings
from strideflax.report.tables import Cell, Table


def render_page(findings: Findings, drawings: list[Drawing]) -> str:
    """Return the HTML page: the answer, the tables (sortable by column), the figures, the commands."""
    template = Template(resources.files("strideflax.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        question=escape(findings.question),
        basis=escape(findings.basis),
        answers="\n".join(
            f"<p><strong>{escape(a.verdict)}</strong> {escape(a.evidence)}</p>" for a in findings.answers
        ),
        results=_table(findings.tables[0]),
        figures="\n".join(_figure(drawing) for drawing in drawings),
        left_out=_list([f"Left out: {line}." for line in findings.left_out]),
        other_tables="\n".join(_table(table) for table in findings.tables[1:]),
        notes=_list(findings.notes),
        provenance="\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in findings.provenance),
        commands=escape(findings.commands),
    )


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _figure(drawing: Drawing) -> str:
    caption = f"<figcaption><strong>{escape(drawing.title)}.</strong> {escape(drawing.caption)}</figcaption>"
    return f'<figure id="{drawing.name}">{caption}{drawing.svg}</figure>'


def _table(table: Table) -> str:
    kinds = ["text" if isinstance(cell.value, str) else "number" for cell in table.rows[0]]
    header = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(title)}</button></th>'
        for title, kind in zip(table.titles, kinds, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(_cell(cell, kind, first=i == 0) for i, (cell, kind) in enumerate(zip(row, kinds, strict=True)))
        + "</tr>"
        for row in table.rows
    )
    title = escape(table.title)
    return (
        f'<h2>{title}</h2>\n<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n<table>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        f'<p class="note">{escape(table.note)}</p>'
    )


def _cell(cell: Cell, kind: str, first: bool) -> str:
    value = "" if cell.value is None else escape(str(cell.value))
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    return f'<{tag}{scope} class="{kind}" data-value="{value}">{escape(cell.text)}</{tag}>'
