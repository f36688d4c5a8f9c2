"""Text of strangers (ids, payloads, errors) made fit to be looked at: nothing in it moves a cursor or turns a line around."""

from __future__ import annotations

import unicodedata

# Marks, embeddings, overrides and isolates that change the direction of what follows, and separators of lines.
TURNING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def shown(text: str) -> str:
    """The text in one line; control characters, and what changes the direction of writing, are spelt out.

    So are accents that stand beside their letter where one character is both: `é` is one that looks like two.
    """
    if text.isascii() and text.isprintable():
        return text
    apart = not unicodedata.is_normalized("NFC", text)
    return "".join(_spelt(character, apart) for character in text)


def shown_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(shown(line.expandtabs(4)) for line in text.split("\n"))


def _spelt(character: str, apart: bool) -> str:
    spelt_out = ("Cc", "Cs", "Mn") if apart else ("Cc", "Cs")
    if character in TURNING or unicodedata.category(character) in spelt_out:
        return character.encode("unicode_escape").decode()
    return character
