"""Columns of a table of runs that hold fields of the configuration, and how they are put into words."""

GROUPS = ("model.", "data.", "augment.", "optimizer.")
SINGLE_FIELDS = ("epochs", "batch_size")
WITHOUT_EFFECT = ("data.dir",)  # the same images from another folder


def changes_results(column: str) -> bool:
    """Return whether a column is a field of the configuration that changes a run's result; the seed is not counted."""
    return (column.startswith(GROUPS) or column in SINGLE_FIELDS) and column not in WITHOUT_EFFECT


def short(field: str) -> str:
    """Return a field's name without its group: ``"augment.crop"`` -> ``"crop"``."""
    return field.rpartition(".")[2]


def value_text(value: object) -> str:
    """Return a value as a person writes it: a whole number that pandas holds as a float has no decimals."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_words(field: str, value: object) -> str:
    """Return a field and its value, without the field's group: ``("augment.crop", 4.0)`` -> ``"crop 4"``."""
    return f"{short(field)} {value_text(value)}"
