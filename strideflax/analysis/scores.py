"""What runs of a task are judged by: the columns of the score on test and on validation images, and its name."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Score:
    """A number from 0 to 1 by which runs are compared; more is better.

    Attributes:
        test, validation: its columns.
        words, best_words: what it is called, and what is said of who has most of it.
        consistency: the column of how far the answer stays under shifts, and ``consistency_words`` what that is.
    """

    test: str
    validation: str
    words: str
    best_words: str
    consistency: str
    consistency_words: str


ACCURACY = Score(
    test="test_accuracy",
    validation="val_accuracy",
    words="accuracy",
    best_words="is the most accurate",
    consistency="shift_consistency.reflect.consistency.4",
    consistency_words="share of pairs of shifts by up to 4 pixels (border reflected) with the same class",
)
MEAN_IOU = Score(
    test="test_mean_iou",
    validation="val_mean_iou",
    words="mean IoU",
    best_words="has the largest mean IoU",
    consistency="mask_shifts.reflect.consistency",
    consistency_words="share of pixels that keep their class under shifts by up to 4 pixels (border reflected)",
)
VALIDATION_COLUMNS = (ACCURACY.validation, MEAN_IOU.validation)


def score_of(frame: pd.DataFrame) -> Score:
    """Return the score of these runs: the mean IoU if any of them has one."""
    return MEAN_IOU if MEAN_IOU.test in frame and frame[MEAN_IOU.test].notna().any() else ACCURACY
