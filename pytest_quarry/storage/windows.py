"""Where a writer can die, and what it leaves."""

from dataclasses import dataclass
from types import MappingProxyType

from pytest_quarry.contract.errors import ContractError

__all__ = ["FLAT_WINDOWS", "REVERSED", "WINDOWS", "Stop", "torn"]

WINDOWS = MappingProxyType(
    {
        "before": "the call has not begun: a running run",
        "w7": "the first sidecar file of the call is there, its .meta.json is not",
        "w8": "the sidecar files of the call are complete, no manifest names them",
        "w1b": "the first data file only",
        "w1c": "a data file cut in the middle: the second, or the only one",
        "w1": "all data files, latest not swapped",
        "w2": "all data files, latest not swapped, the swap's temporary file left (file systems only)",
        "w3": "latest names the snapshot, which has no manifest",
        "w4b": "an empty canonical manifest",
        "w4": "a canonical manifest cut in the middle",
        "w5": "the canonical manifest, no copy in any partition",
        "w6": "the canonical manifest and the first copy",
        "w6b": "the canonical manifest, the first copy, a second one cut in the middle; or the only one, cut",
        "w6r": "as w6, the copies written in reverse order: the last one is there (no order of them is promised)",
        "w6br": "as w6b, in reverse order: the last copy, the one before it cut in the middle",
        "w9": "the canonical manifest failed to be written, the run ended as policy_failure and has its metrics; "
        "resumed, its policy flushes once more while closing",
    }
)
"""The windows of one write call in which a writer can stop, in the order of the protocol, with what is then there."""

FLAT_WINDOWS = ("before", "w7", "w8", "w1c")
"""The windows that exist in the flat layout."""

REVERSED = ("w6r", "w6br")
"""The windows of a writer that copies the manifest into the partitions in reverse order."""


@dataclass(frozen=True)
class Stop:
    """Where to stop: in ``window`` of the write call number ``flush``.

    Calls count from 0, negative ones from the last call of events or chunks; the metrics' is one beyond that.
    """

    window: str
    flush: int = -1

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise ContractError(f"window {self.window!r} is unknown; the windows are {', '.join(WINDOWS)}")


def torn(data: bytes) -> bytes:
    """The first half of a file, cut inside a line."""
    cut = len(data) // 2
    while cut > 0 and b"\n" in data[cut - 1 : cut + 1]:
        cut -= 1
    return data[:cut]
