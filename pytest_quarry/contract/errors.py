"""The one error of the contract, and the check of a value that has few choices."""

from enum import StrEnum
from typing import TypeVar

__all__ = ["ContractError", "choose"]

_Choice = TypeVar("_Choice", bound=StrEnum)


class ContractError(ValueError):
    """Something Quarry's contract rules out: the message says what, where, and which rule."""


def choose(choices: type[_Choice], value: object, what: str) -> _Choice:
    """The member of ``choices`` that ``value`` is or names. Raises ContractError that names them all."""
    for member in choices:
        if member == value:
            return member
    raise ContractError(f"{what} {value!r} is unknown; there are {', '.join(repr(str(member)) for member in choices)}")
