"""What an oracle says of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One oracle's word. `why` may name entries of the history as {0}, {1} …, which `entries` lists.

    `here` is the entry at which the first wrong effect shows.
    """

    status: Literal["violated", "inconclusive"]
    oracle: Literal["L", "D", "P", "V", "C", "S", "B", "T", "J", "N", "O", "A", "K", ""]
    sentence: str
    why: str = ""
    entries: tuple[int, ...] = ()
    here: int | None = None
    run_id: str | None = None
