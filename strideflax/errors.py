"""The one kind of error that a command answers with a single line and exit code 2."""


def one_line(text: object) -> str:
    """Return ``text``, e.g. an exception, with every run of blanks and line ends as a single space."""
    return " ".join(str(text).split())


class UserError(Exception):
    """A mistake that the user can mend; the message is one line that says what was wrong, what came, what is allowed."""

    def __str__(self) -> str:
        """Return one line, whatever a quoted name or value holds."""
        return one_line(super().__str__())


class ConfigError(UserError, ValueError):
    """A configuration that cannot be run; the message says what is wrong, what came and what is allowed."""


class DataError(UserError, ValueError):
    """Images that cannot be used; the message names the file, what was expected and what came."""
