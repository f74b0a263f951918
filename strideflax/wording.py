"""Numbers in words, one way for all that is printed or written."""

from collections.abc import Iterable
from difflib import get_close_matches


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


def quantity(number: int) -> str:
    """Return ``number`` with three digits and k, M or G; an empty string for 0.

    Example:
        >>> quantity(950), quantity(1_234_567), quantity(0)
        ('950', '1.23 M', '')
    """
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * unit:  # what rounds to 1000 of the smaller unit counts in this one
            return f"{number / unit:.3g} {name}"
    return str(number) if number else ""


def written(value: object) -> str:
    """Return a value of a configuration as a person writes it: a whole number that is held as a float has no decimals."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def capitalized(words: str) -> str:
    """Return ``words`` with a capital first letter, and the others as they are: "mean IoU" -> "Mean IoU"."""
    return words[0].upper() + words[1:]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to end an error with, or "" if nothing is like ``word``.

    Example:
        >>> did_you_mean("maxpool", ["max_pool", "blur_pool"])
        '; did you mean max_pool?'
    """
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def stands_for(text: str, value: object) -> bool:
    """Return whether ``text``, a word of the command line, stands for ``value``.

    Example:
        >>> stands_for("0.10", 0.1), stands_for("4", 4.0), stands_for("[1, 2]", (1, 2)), stands_for("none", None)
        (True, True, True, True)
    """
    if isinstance(value, str):
        return text == value
    if value is None or isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, (int, float)):
        try:
            return float(text) == value
        except ValueError:
            return False
    return _one_form(text) == _one_form(str(value))


def _one_form(text: str) -> str:
    """Return a list's or a tuple's text in one form: ``"[1, (2,)]"`` -> ``"(1,(2))"``."""
    return text.replace(" ", "").replace("[", "(").replace("]", ")").replace(",)", ")")
