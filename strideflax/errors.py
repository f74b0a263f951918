"""The one kind of error that a command answers with a single line and exit code 2."""


class UserError(Exception):
    """A mistake that the user can mend; the message is one line that says what was wrong, what came, what is allowed."""

    def __str__(self) -> str:
        """Return one line, whatever a quoted name or value holds."""
        return " ".join(super().__str__().split())


class DataError(UserError, ValueError):
    """Images that cannot be used; the message names the file, what was expected and what came."""
