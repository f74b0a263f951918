"""The error of data that are missing or not what they should be."""

from strideflax.errors import UserError


class DataError(UserError, ValueError):
    """Images that cannot be used; the message is one line that names the file, what was expected and what came."""
