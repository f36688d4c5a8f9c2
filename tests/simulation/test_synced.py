"""What reaches the disk without an fsync that is seen: a loss of power does not take it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable

import pytest
from working import Work, play, words

from pytest_quarry.consumers import unhooked
from pytest_quarry.consumers.kernel.memory import AT_FDCWD
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.schedule import Crash, Poll
from pytest_quarry.simulation.world import World

AT_SYMLINK_FOLLOW = 0x400  # linux/fcntl.h
closer_or_skip = pytest.mark.skipif(not unhooked.POSSIBLE, reason="this system does not show its calls")


def through(flag: int, before: str = "") -> Work:
    """Writes a file of which this much is there, unsynced, through a descriptor with this flag."""

    def work(world: World) -> None:
        path = world.disk / "note"
        if before:
            path.write_text(before)
        with open(path, "a", opener=lambda name, flags: os.open(name, flags | flag)) as file:
            file.write("x")
        descriptor = os.open(world.disk / "other", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flag)
        os.write(descriptor, b"x")
        os.close(descriptor)

    return work


def at_once(world: World) -> None:
    for name in ("note", "other"):
        descriptor = os.open(world.disk / name, os.O_WRONLY | os.O_CREAT)
        os.pwritev(descriptor, [b"x"], 0, os.RWF_DSYNC)
        os.close(descriptor)


def all_at_once(world: World) -> None:
    for name in ("note", "other"):
        (world.disk / name).write_text("x")
    os.sync()


def lost(work: Work, how: str, *, closer: bool = False) -> str:
    """What a loss of power after the turn takes."""
    crash = Crash("return", power=how)  # type: ignore[arg-type]
    return words(play(work, Poll(crash), play=Play(power=True, closer=closer)), "killed")[0].split(": ")[-1]


class TestWhatReachesTheDiskWithoutFsync:
    @pytest.mark.parametrize("how", ["cut", "back"])
    @pytest.mark.parametrize(
        "work",
        [through(os.O_DSYNC), through(os.O_SYNC), at_once, all_at_once],
        ids=["O_DSYNC", "O_SYNC", "RWF_DSYNC", "sync"],
    )
    def test_is_not_lost(self, work: Work, how: str) -> None:
        assert lost(work, how) == "nothing"

    def test_is_only_what_was_written_so(self) -> None:
        assert lost(through(os.O_DSYNC, before="earlier, "), "cut") == "note"
        assert lost(through(os.O_APPEND), "cut") == "note, other"

    @closer_or_skip
    @pytest.mark.parametrize(
        ("flags", "then", "left"),
        [
            (os.O_DSYNC, "close", "nothing"),
            (os.O_SYNC, "close", "nothing"),
            (0, "sync", "nothing"),
            (0, "syncfs", "nothing"),
            (0, "close", "note"),
        ],
    )
    def test_of_a_library_in_c(self, flags: int, then: str, left: str) -> None:
        libc = ctypes.CDLL(None)

        def work(world: World) -> None:
            path = os.fsencode(world.disk / "note")
            descriptor = libc.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
            libc.write(descriptor, b"x", 1)
            getattr(libc, then)(descriptor)

        assert lost(work, "cut", closer=True) == left


def named_at_the_end(flag: int = 0, sync: Callable[[int], object] = lambda _: None, after: bytes = b"") -> Work:
    """Writes a file that has no name yet, syncs it, perhaps writes on, and links it."""

    def work(world: World) -> None:
        folder = os.open(world.disk, os.O_RDONLY)
        descriptor = os.open(world.disk, os.O_TMPFILE | os.O_RDWR | flag)
        os.write(descriptor, b"x")
        sync(descriptor)
        if after:
            os.write(descriptor, after)
        with contextlib.suppress(FileExistsError):
            os.link(f"/proc/self/fd/{descriptor}", world.disk / "note", src_dir_fd=folder, follow_symlinks=True)

    return work


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name")
class TestAFileThatIsNamedAtTheEnd:
    @pytest.mark.parametrize("how", ["cut", "back"])
    @pytest.mark.parametrize(
        "work",
        [
            named_at_the_end(sync=os.fsync),
            named_at_the_end(sync=os.fdatasync),
            named_at_the_end(sync=lambda _: os.sync()),
            named_at_the_end(os.O_DSYNC),
        ],
        ids=["fsync", "fdatasync", "sync", "O_DSYNC"],
    )
    def test_is_not_lost(self, work: Work, how: str) -> None:
        assert lost(work, how) == "nothing"

    @pytest.mark.parametrize("in_c", [False, pytest.param(True, marks=closer_or_skip)])
    @pytest.mark.parametrize(("synced", "left"), [(True, "nothing"), (False, "note")])
    def test_is_followed_under_its_name(self, synced: bool, left: str, in_c: bool) -> None:
        libc = ctypes.CDLL(None)

        def work(world: World) -> None:
            folder = os.open(world.disk, os.O_RDONLY)
            descriptor = os.open(world.disk, os.O_TMPFILE | os.O_RDWR)
            os.fsync(descriptor)
            os.link(f"/proc/self/fd/{descriptor}", world.disk / "note", src_dir_fd=folder, follow_symlinks=True)
            if in_c:
                libc.write(descriptor, b"x", 1)
            else:
                os.write(descriptor, b"x")
            if synced:
                (libc if in_c else os).fsync(descriptor)

        assert lost(work, "cut", closer=in_c) == left

    @closer_or_skip
    @pytest.mark.parametrize(
        ("flags", "then", "left"),
        [
            (0, "fsync", "nothing"),
            (0, "sync", "nothing"),
            (os.O_DSYNC, "dup", "nothing"),
            (0, "dup", "note"),
        ],
    )
    def test_by_a_library_in_c(self, flags: int, then: str, left: str) -> None:
        libc = ctypes.CDLL(None)

        def work(world: World) -> None:
            descriptor = libc.open(os.fsencode(world.disk), os.O_TMPFILE | os.O_RDWR | flags, 0o644)
            libc.write(descriptor, b"x", 1)
            getattr(libc, then)(descriptor)
            old, new = f"/proc/self/fd/{descriptor}".encode(), os.fsencode(world.disk / "note")
            assert libc.linkat(AT_FDCWD, old, AT_FDCWD, new, AT_SYMLINK_FOLLOW) == 0

        assert lost(work, "cut", closer=True) == left

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_a_name_that_was_taken(self, how: str) -> None:
        def work(world: World) -> None:
            through(os.O_DSYNC)(world)
            named_at_the_end()(world)

        assert lost(work, how) == "nothing"

    @pytest.mark.parametrize("how", ["cut", "back"])
    @pytest.mark.parametrize(
        "work", [named_at_the_end(), named_at_the_end(sync=os.fsync, after=b"y")], ids=["never", "too early"]
    )
    def test_is_lost_where_it_was_not_synced(self, work: Work, how: str) -> None:
        assert lost(work, how) == "note"
