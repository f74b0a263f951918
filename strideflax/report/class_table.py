"""The table of a report that takes the test images class by class."""

import numpy as np

from strideflax.analysis.ablation import OPERATOR, Ablation
from strideflax.analysis.run_table import FINISHED
from strideflax.report.tables import CLASS_CORRECT, CLASS_IMAGES, Cell, Table, percent

CLASSES = "dataset_classes"
NOTE = (
    "Share of a class's test images that are taken for it, in %: the mean over all runs of an operator, ± their standard "
    "deviation."
)


def class_table(ablation: Ablation) -> Table:
    """Return each operator's accuracy by class; no rows where runs do not say it, or are of different data."""
    runs = ablation.runs
    if not {CLASSES, CLASS_IMAGES, CLASS_CORRECT} <= set(runs):
        return Table("", "", [], [])
    known = runs[(runs["status"] == FINISHED) & runs[CLASS_IMAGES].notna() & runs[OPERATOR].notna()]
    if not len(known) or known[CLASSES].nunique() > 1 or known[CLASS_IMAGES].nunique() > 1:
        return Table("", "", [], [])
    images = np.array(known[CLASS_IMAGES].iloc[0])
    operators = [name for name in ablation.operators if (known[OPERATOR] == name).any()]
    rows = []
    for label, name in enumerate(known[CLASSES].iloc[0]):
        row = [Cell(name, name), Cell(f"{images[label]:,}", int(images[label]))]
        for operator in operators:
            correct = np.array([counts[label] for counts in known.loc[known[OPERATOR] == operator, CLASS_CORRECT]])
            row.append(_share(correct, images[label]))
        rows.append(row)
    return Table("Accuracy by class", NOTE, ["class", "test images", *operators], rows)


def _share(correct: np.ndarray, images: int) -> Cell:
    """Return the mean share of a class's images that are correct; ``correct`` is one number per run."""
    if images == 0:
        return Cell("", None)
    shares = correct / images
    spread = f"± {percent(shares.std(ddof=1))}" if len(shares) > 1 else ""
    return Cell(percent(shares.mean()), float(shares.mean()), spread)
