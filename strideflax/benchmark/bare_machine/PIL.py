"""Lets modules that read image files be imported on a machine without Pillow, whose images are drawn by code."""

from typing import Any


class Nothing:
    """Has every attribute, none of which does anything."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __or__(self, other: Any) -> Any:
        return other

    __ror__ = __or__


class UnidentifiedImageError(OSError):
    """What no image raises where there is none to read."""


Image = ImageOps = Nothing()
