"""What an oracle says of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One oracle's word, that something is wrong or that it cannot tell: a sentence, and why.

    `why` may name entries of the history as {0}, {1} …, which `entries` lists by their places; `here` is the place of the
    entry at which the first wrong effect shows. `oracle` is filled in for an oracle of your own.
    """

    sentence: str
    status: Literal["violated", "inconclusive"] = "violated"
    oracle: str = ""
    why: str = ""
    entries: tuple[int, ...] = ()
    here: int | None = None
    run_id: str | None = None


def plain(text: str) -> str:
    """A text of the consumer's as it stands in a `why`: its braces name no entries."""
    return text.replace("{", "{{").replace("}", "}}")
