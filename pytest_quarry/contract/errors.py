"""The one error of the contract."""

__all__ = ["ContractError"]


class ContractError(ValueError):
    """Something Quarry's contract rules out: the message says what, where, and which rule."""
