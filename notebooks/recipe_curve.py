"""The learning curve of the recipe in ``RESULTS.md``: ``python notebooks/recipe_curve.py RUN`` for a run of configs/resnet9.py.

It draws ``notebooks/recipe_curve.png``.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from strideflax.report.canvas import BLACK, COLOURS, STYLE, Drawing, as_drawing, new_figure
from strideflax.training.result import TrainingResult, read_result
from strideflax.training.run_folder import read_metrics

PICTURE = Path(__file__).resolve().parent / "recipe_curve.png"


def draw_curve(records: list[dict[str, Any]], result: TrainingResult) -> Drawing:
    """Return accuracy and learning rate by epoch, from a run's metrics and its result."""
    with matplotlib.rc_context(STYLE):
        figure, (accuracy, rate) = new_figure(2, 2.1)
        epochs = [record["epoch"] for record in records]
        _line(
            accuracy,
            epochs,
            [100 * record["train_accuracy"] for record in records],
            COLOURS[1],
            "training batches, augmented",
        )
        _line(
            accuracy,
            epochs,
            [100 * record["val_accuracy"] for record in records],
            COLOURS[0],
            "validation, the average's",
        )
        assert result.test_accuracy is not None
        accuracy.plot(epochs[-1], 100 * result.test_accuracy, "o", color=BLACK, label="test, the average's")
        accuracy.set(ylabel="accuracy (%)")
        accuracy.legend(frameon=False, loc="lower right")
        _line(rate, epochs, [record["learning_rate"] for record in records], BLACK, "")
        rate.set(ylabel="learning rate", xlabel="epoch")
        for axes in (accuracy, rate):
            axes.set_xticks(range(0, epochs[-1] + 1, 5))
        return as_drawing(figure, "recipe_curve", "The recipe's learning curve", "Accuracy and learning rate by epoch.")


def _line(axes: Axes, epochs: list[int], values: list[float], colour: str, label: str) -> None:
    axes.plot(epochs, values, color=colour, marker=".", label=label)


if __name__ == "__main__":
    run = Path(sys.argv[1])
    finished = read_result(run)
    if finished is None:
        sys.exit(f"{run} has no result yet")
    PICTURE.write_bytes(draw_curve(read_metrics(run), finished).png)
