"""A study's figure and report."""

from collections.abc import Sequence
from pathlib import Path

from strideflax.errors import UserError
from strideflax.files import write_whole
from strideflax.report.findings import Answer
from strideflax.report.write import Opening, write_report
from strideflax.verdict.figure import draw_verdicts
from strideflax.verdict.sentences import footnote, sentence
from strideflax.verdict.study import RUNS, Study, Verdict

FIGURE = "verdict.png"
NOTE = (
    "Pairs were added until the verdict above was reached, by intervals that allow for that. The intervals, p-values and "
    "ranks below are those of a study with a fixed number of pairs: read them as a description. They are of the same pairs, "
    "those up to the verdict on each operator."
)


def write_study_report(study: Study, verdicts: Sequence[Verdict]) -> list[Path]:
    """Write ``verdict.png``, ``report.html`` and what stands beside it into the study's folder; return their paths.

    Raises:
        UserError: no run has finished, or the folder can't be written.
    """
    answers = [Answer(sentence(verdict, study.images), "") for verdict in verdicts]
    answers[-1] = Answer(answers[-1].verdict, footnote(study.images, len(verdicts)))
    drawing = draw_verdicts(verdicts)
    opening = Opening(answers, drawing, NOTE, _runs_of(study, verdicts))
    written = write_report(study.folder / RUNS, study.folder, baseline=study.baseline, opening=opening)
    try:
        write_whole(study.folder / FIGURE, drawing.png)
    except OSError as error:
        raise UserError(f"can't write {study.folder / FIGURE}: {error.strerror}") from None
    return [study.folder / FIGURE, *written]


def _runs_of(study: Study, verdicts: Sequence[Verdict]) -> frozenset[str]:
    """Return the names of the runs that the verdicts rest on, each operator's and the baseline's beside them."""
    names: set[str] = set()
    for verdict in verdicts:
        pairs = range(verdict.standing.pairs + verdict.lost)
        names.update(run.folder.name for run in study.runs([verdict.operator], pairs))
    return frozenset(names)
