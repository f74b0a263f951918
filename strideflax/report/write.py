"""The report on a folder of runs: one HTML page, the same in Markdown, the runs as CSV, the figures as SVG files."""

from pathlib import Path

from strideflax.analysis.ablation import read_ablation
from strideflax.analysis.run_table import curves, load
from strideflax.errors import UserError
from strideflax.report.figures import draw_figures
from strideflax.report.findings import Findings, find
from strideflax.report.page import render_page


def write_report(
    source: Path, out: Path, *, factor: str = "model.downsample", baseline: str | None = None
) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``results.csv`` and ``figures/*.svg`` into ``out``; return their paths.

    Args:
        source: a folder of runs, or a file that `strideflax.results.save` wrote.
        out: the folder for the report, created if missing.
        factor: the config field whose values are compared.
        baseline: the value that the others are compared with; None takes "strided_conv".

    Raises:
        UserError: there are no runs, or none to compare; nothing is written.
    """
    frame = load(source)
    ablation = read_ablation(frame, factor=factor, baseline=baseline)
    drawings, left_out = draw_figures(ablation, curves(source) if source.is_dir() else None)
    findings = find(ablation, str(source), left_out)
    files = {
        "report.html": render_page(findings, drawings),
        "report.md": render_markdown(findings, {f"figures/{d.name}.svg": d.title for d in drawings}),
        "results.csv": ablation.runs.to_csv(index=False),
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
    tables = [
        _markdown_table(table.titles, [[cell.text for cell in row] for row in table.rows]) for table in findings.tables
    ]
    sections = [
        f"# {findings.question}",
        findings.basis,
        *(f"**{answer.verdict}** {answer.evidence}" for answer in findings.answers),
        *(f"## {table.title}\n\n{text}\n\n{table.note}" for table, text in zip(findings.tables, tables, strict=True)),
        "## Figures\n\n" + "\n".join(f"![{title}]({file})" for file, title in figures.items()),
        *([_list("Left out", findings.left_out)] if findings.left_out else []),
        _list("Reading it", findings.notes),
        _list("Where the numbers come from", [f"{name}: {value}" for name, value in findings.provenance]),
    ]
    text = "\n\n".join(sections).replace("<", "&lt;")  # what runs say is no HTML
    return f"{text}\n\n## The same numbers again\n\n```bash\n{findings.commands}\n```\n"


def _list(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)


def _markdown_table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
