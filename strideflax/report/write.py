"""The report on a folder of runs: one HTML page, the same in Markdown, the runs as CSV, the figures as SVG files."""

from dataclasses import dataclass, replace
from pathlib import Path

from strideflax.analysis.ablation import read_ablation
from strideflax.analysis.run_table import curves, load
from strideflax.errors import UserError
from strideflax.report.canvas import Drawing
from strideflax.report.figures import draw_figures
from strideflax.report.findings import Answer, Findings, find
from strideflax.report.page import render_page
from strideflax.report.tables import Table


@dataclass(frozen=True)
class Opening:
    """What a report begins with in place of answers of its own, from whoever ran a study by a rule of its own.

    Attributes:
        answers: what the study says.
        drawing: the figure that shows it.
        note: what else a reader has to know.
        runs: names of the runs that it rests on; the report leaves out all others.
    """

    answers: list[Answer]
    drawing: Drawing
    note: str
    runs: frozenset[str]


def write_report(
    source: Path,
    out: Path,
    *,
    factor: str = "model.downsample",
    baseline: object = None,
    opening: Opening | None = None,
) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``results.csv`` and ``figures/*.svg`` into ``out``; return their paths.

    Args:
        source: a folder of runs, or a file that `strideflax.results.save` wrote.
        out: the folder for the report, created if missing.
        factor: the config field whose values are compared.
        baseline: the value that the others are compared with, see `read_ablation`; None takes "strided_conv".
        opening: what it begins with; None answers from the runs.

    Raises:
        UserError: there are no runs, or none to compare; nothing is written.
    """
    frame = load(source)
    if opening is not None:
        frame = frame[frame["run"].isin(opening.runs)].reset_index(drop=True)
    ablation = read_ablation(frame, factor=factor, baseline=baseline)
    drawings, left_out = draw_figures(ablation, curves(source) if source.is_dir() else None)
    findings = find(ablation, str(source), left_out)
    if opening is not None:
        findings = replace(findings, answers=opening.answers, notes=[opening.note, *findings.notes])
        drawings.insert(0, opening.drawing)
    whole = ablation.runs.convert_dtypes()  # 3 instead of 3.0 where some runs lack a number
    files = {
        "report.html": render_page(findings, drawings),
        "report.md": render_markdown(findings, {f"figures/{d.name}.svg": d.title for d in drawings}),
        "results.csv": whole.to_csv(index=False),
        **{f"figures/{drawing.name}.svg": drawing.svg for drawing in drawings},
    }
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write the report to {out}: {error.strerror}") from None
    return [out / name for name in files]


def render_markdown(findings: Findings, figures: dict[str, str]) -> str:
    """Return the report as Markdown; ``figures`` are file -> title."""
    sections = [f"# {findings.question}", findings.basis]
    for answer in findings.answers:
        sections.append(f"**{answer.verdict}** {answer.evidence}")
    for table in [*findings.tables, *findings.further_tables]:
        sections.append(f"## {table.title}\n\n{_markdown_table(table)}\n\n{table.note}")
    sections.append("## Figures\n\n" + "\n".join(f"![{title}]({file})" for file, title in figures.items()))
    if findings.left_out:
        sections.append(_list("Left out", findings.left_out))
    sections.append(_list("Reading it", findings.notes))
    provenance = [f"{name}: {value}" for name, value in findings.provenance]
    sections.append(_list("Where the numbers come from", provenance))
    text = "\n\n".join(sections).replace("<", "&lt;")  # what runs say is not HTML
    return f"{text}\n\n## The same numbers again\n\n```bash\n{findings.commands}\n```\n"


def _list(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)


def _markdown_table(table: Table) -> str:
    lines = [_markdown_row(table.titles), _markdown_row(["---"] * len(table.titles))]
    for row in table.rows:
        lines.append(_markdown_row([f"{cell.text} {cell.detail}".strip() for cell in row]))
    return "\n".join(lines)


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").splitlines()) for cell in cells) + " |"
