"""The columns of a table of runs: which are fields of the configuration, which are shares, and their short names."""

from strideflax.wording import written

GROUPS = ("model.", "data.", "augment.", "optimizer.")
SINGLE_FIELDS = ("epochs", "batch_size")
WITHOUT_EFFECT = ("data.dir",)  # the same images from another folder
SHARES = ("accuracy", "mean_iou", "consistency", "alias_energy", "mean_error", "calibration_error")


def changes_results(column: str) -> bool:
    """Return whether a column is a field of the configuration that changes a run's result; the seed is not counted."""
    return (column.startswith(GROUPS) or column in SINGLE_FIELDS) and column not in WITHOUT_EFFECT


def is_share(column: str) -> bool:
    """Return whether a column holds shares, from 0 to 1, such as accuracies."""
    return any(word in column for word in SHARES)


def short(field: str) -> str:
    """Return a field's name without its group: ``"augment.crop"`` -> ``"crop"``."""
    return field.rpartition(".")[2]


def in_words(field: str, value: object) -> str:
    """Return a field and its value, without the field's group: ``("augment.crop", 4.0)`` -> ``"crop 4"``."""
    return f"{short(field)} {written(value)}"
