"""The one error tree of riskcal.

::

    RiskcalError                exit code
    ├── InputError              2   bad input or usage: unreadable file, unknown key, missing appetite
    │   ├── SettingsError       2   the settings file
    │   ├── DataError           2   prices, positions, depth: named by file, row and column
    │   ├── UnitError           2   a quantity without a unit, or in the wrong one
    │   └── ArtifactError       2   a run folder that is foreign, edited or incomplete
    ├── EvidenceError           1   evidence that a verdict needs is missing
    ├── RefusalError            1   a model refuses: too little data, infinite mean, failed assumptions
    ├── SourceError             3   a source was not reached
    └── DefectError             4   a defect of our own

Each error names file, field, value and remedy where it knows them. The command line prints the message and
ends with ``exit_code``; only a `DefectError`, or an exception from outside this tree, is ours to mend.
"""

from __future__ import annotations

from typing import ClassVar


class RiskcalError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message
        What is wrong, in one sentence without a full stop.
    file, field, value
        Where it is wrong; `field` is a settings path, a parameter key or "row 12, column close".
    remedy
        What the user can do.
    """

    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        field: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.file = file
        self.field = field
        self.value = value
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.field) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.value is not None:
            text += f" (found {self.value!r})"
        return f"{text}. {self.remedy}" if self.remedy else text

    def at(self, *, file: str | None = None, field: str | None = None) -> RiskcalError:
        """Fill in where the error happened, when the place that raised it could not know; returns itself."""
        self.file = self.file or file
        self.field = self.field or field
        return self


class InputError(RiskcalError, ValueError):
    """Bad input or usage."""

    exit_code = 2


class SettingsError(InputError):
    """The settings file is wrong: an unknown key, a missing appetite, a value that cannot be."""


class DataError(InputError):
    """A price, position or depth file is wrong, or a series cannot be used as asked."""


class UnitError(InputError):
    """A quantity has no unit, or the wrong one."""


class ArtifactError(InputError):
    """A run folder is foreign, edited or incomplete."""


class EvidenceError(RiskcalError):
    """Evidence that a verdict needs is missing: it is a failure, never a pass."""

    exit_code = 1


class RefusalError(RiskcalError):
    """A model refuses to answer: too little data, an infinite mean, assumptions that do not hold."""

    exit_code = 1


class SourceError(RiskcalError, ConnectionError):
    """A source was not reached."""

    exit_code = 3


class DefectError(RiskcalError):
    """A defect of riskcal itself."""
