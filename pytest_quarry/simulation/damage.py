"""Damage to what a consumer keeps on its disk: the file of a checkpoint lost, emptied, cut, garbled, set back."""

from __future__ import annotations

from pathlib import Path


def apply(path: Path, how: str, older: bytes | None) -> bool:
    """Damage one file; False where it is not there, or there is no older version to set it back to."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "older":
        if older is None or older == content:
            return False
        path.write_bytes(older)
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\x00\xff" * 16}[how])
    return True
