"""A team's own checks, which the options of the command line name."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_quarry.commandline.settings import UsageError


def load(modules: Sequence[str]) -> None:
    """Import them; what `quarry-conformance` then lists and runs has them too. Raises UsageError."""
    from pytest_quarry.checks import own  # with it comes the catalogue, which most commands begin without

    try:
        own.load(modules)
    except own.CheckError as error:
        raise UsageError(str(error)) from None
