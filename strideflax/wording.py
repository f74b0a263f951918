"""Numbers in words, one way for all that is printed or written."""


def counted(number: float, singular: str, plural: str | None = None) -> str:
    """Return ``number`` with its noun in the right form.

    Example:
        >>> counted(1, "epoch"), counted(2, "epoch"), counted(0.5, "epoch"), counted(50_000, "image")
        ('1 epoch', '2 epochs', '0.5 epochs', '50,000 images')

    Args:
        number: an int gets commas between its thousands, a float that is not whole keeps six digits.
        singular: the noun for one.
        plural: the noun for all other numbers; by default ``singular`` with an "s".
    """
    shown = f"{int(number):,}" if number == int(number) else f"{number:g}"
    return f"{shown} {singular if number == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """Return ``seconds`` as a rough length of time: ``"42 s"``, ``"12 min"`` or ``"3.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
