"""The samples that set the mode, the times or the extended attributes of files."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_METADATA: tuple[Sample, ...] = (
    sound(
        "read-only-files",
        "A run's rows in one file, copied with its times, made read-only, and renamed.",
        "sound_files:ReadOnlyFilesSuite",
    ),
)

BROKEN_METADATA: tuple[Sample, ...] = (
    broken(
        "marks-by-a-mode",
        "Makes a file read-only when the rows are committed, and takes that for the mark.",
        "broken_metadata:MarksByAModeSuite",
        "EB05",
    ),
    broken(
        "marks-by-a-time",
        "Gives a file the time of the epoch when the rows are committed, and takes that for the mark.",
        "broken_metadata:MarksByATimeSuite",
        "EB05",
    ),
    broken(
        "marks-by-an-attribute",
        "Gives a file an extended attribute when the rows are committed, and takes that for the mark.",
        "broken_metadata:MarksByAnAttributeSuite",
        "EB05",
    ),
)
