"""The learning curve in ``RESULTS.md``: ``python notebooks/recipe_curve.py RUN`` for a run of configs/resnet9.py.

It prints the table and draws ``notebooks/recipe_curve.png``.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib
from table_cells import table

from strideflax.report.canvas import BLACK, COLOURS, STYLE, Drawing, as_drawing, new_figure
from strideflax.training.result import TrainingResult, read_result
from strideflax.training.run_folder import read_metrics

PICTURE = Path(__file__).resolve().parent / "recipe_curve.png"
SHOWN_EPOCHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 17, 18, 19, 20)


def curve_table(records: list[dict[str, Any]]) -> str:
    """Return a Markdown table: learning rate and accuracies in per cent, one column per shown epoch."""
    shown = [record for record in records if record["epoch"] in SHOWN_EPOCHS]
    rates = [f"{record['learning_rate']:.3g}" for record in shown]
    training = [f"{100 * record['train_accuracy']:.1f}" for record in shown]
    validation = [f"{100 * record['val_accuracy']:.1f}" for record in shown]
    rows = [
        ["learning rate at its end", *rates],
        ["training batches, augmented", *training],
        ["validation", *validation],
    ]
    return table(["epoch", *(str(record["epoch"]) for record in shown)], rows)


def draw_curve(records: list[dict[str, Any]], result: TrainingResult) -> Drawing:
    """Return accuracy and learning rate by epoch, from a run's metrics and its result."""
    epochs = [record["epoch"] for record in records]
    training = [100 * record["train_accuracy"] for record in records]
    validation = [100 * record["val_accuracy"] for record in records]
    assert result.test_accuracy is not None
    with matplotlib.rc_context(STYLE):
        figure, (accuracy, rate) = new_figure(2, 2.1)
        accuracy.plot(epochs, training, ".-", color=COLOURS[1], label="training batches, augmented")
        accuracy.plot(epochs, validation, ".-", color=COLOURS[0], label="validation, the average's")
        accuracy.plot(epochs[-1], 100 * result.test_accuracy, "o", color=BLACK, label="test, the average's")
        accuracy.set(ylabel="accuracy (%)")
        accuracy.legend(frameon=False, loc="lower right")
        rate.plot(epochs, [record["learning_rate"] for record in records], ".-", color=BLACK)
        rate.set(ylabel="learning rate", xlabel="epoch")
        for axes in (accuracy, rate):
            axes.set_xticks(range(0, epochs[-1] + 1, 5))
        return as_drawing(figure, "recipe_curve", "The recipe's learning curve", "Accuracy and learning rate by epoch.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python notebooks/recipe_curve.py RUN")
    run = Path(sys.argv[1])
    finished = read_result(run)
    if finished is None:
        sys.exit(f"{run} has no result yet")
    records = read_metrics(run)
    print(curve_table(records))
    PICTURE.write_bytes(draw_curve(records, finished).png)
