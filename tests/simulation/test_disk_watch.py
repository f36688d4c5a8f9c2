"""What changed in the directories that survive a crash: contents decide, and times become virtual."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from pytest_quarry.consumers import keeper
from pytest_quarry.simulation.disk import DiskWatch

NOW = 1_770_015_600_000_000  # µs


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def watch(disk: Path) -> DiskWatch:
    return DiskWatch({"disk": disk, "nowhere": disk.parent / "nowhere"})


def test_what_appears_changes_and_vanishes(disk: Path) -> None:
    seen = watch(disk)
    assert seen.look(NOW) == set()
    (disk / "below").mkdir()
    (disk / "below" / "a").write_text("x")
    (disk / "b").write_text("y")
    assert seen.look(NOW) == {"disk/below", "disk/below/a", "disk/b"}
    assert seen.names == {"disk/below", "disk/below/a", "disk/b"}
    assert seen.look(NOW) == set()
    (disk / "below" / "a").write_text("z")
    assert seen.look(NOW) == {"disk/below/a"}
    (disk / "below" / "a").unlink()
    (disk / "below").rmdir()
    assert seen.look(NOW) == {"disk/below/a", "disk/below"}
    assert seen.names == {"disk/b"}
    (disk / "b").unlink()
    disk.rmdir()
    assert seen.look(NOW) == {"disk/b"}
    assert seen.look(NOW) == set()


def test_a_file_written_with_what_it_held_has_not_changed(disk: Path) -> None:
    seen = watch(disk)
    (disk / "a").write_text("x")
    seen.look(NOW)
    before = seen.fingerprint
    (disk / "a").write_text("x")
    (disk / "b").write_text("x")
    (disk / "b").replace(disk / "a")
    assert seen.look(NOW) == set()
    assert seen.fingerprint == before
    (disk / "a").write_text("y")
    seen.look(NOW)
    assert seen.fingerprint != before
    (disk / "a").write_text("x")
    seen.look(NOW)
    assert seen.fingerprint == before


def test_contents_of_one_size_and_time_are_told_apart_by_their_file(disk: Path) -> None:
    seen = watch(disk)
    (disk / "a").write_text("x")
    seen.look(NOW)
    (disk / "b").write_text("y")
    os.utime(disk / "b", ns=(NOW * 1000, NOW * 1000))
    (disk / "b").replace(disk / "a")
    assert seen.look(NOW) == {"disk/a"}


def test_times_of_writes_become_virtual(disk: Path) -> None:
    seen = watch(disk)
    (disk / "a").write_text("x")
    seen.look(NOW)
    assert (disk / "a").stat().st_mtime_ns == NOW * 1000
    seen.look(NOW + 1_000_000)
    assert (disk / "a").stat().st_mtime_ns == NOW * 1000
    (disk / "a").write_text("y")
    seen.look(NOW + 2_000_000)
    assert (disk / "a").stat().st_mtime_ns == (NOW + 2_000_000) * 1000


def test_times_of_folders_and_links_become_virtual(disk: Path) -> None:
    seen = watch(disk)
    (disk / "below" / "inner").mkdir(parents=True)
    (disk / "link").symlink_to("nowhere")
    made = (disk, disk / "below", disk / "below" / "inner", disk / "link")
    assert seen.look(NOW) == {"disk/below", "disk/below/inner", "disk/link"}
    assert [path.lstat().st_mtime_ns for path in made] == [NOW * 1000] * 4
    assert seen.look(NOW + 1_000_000, thorough=True) == set()
    assert [path.lstat().st_mtime_ns for path in made] == [NOW * 1000] * 4
    (disk / "below" / "inner").rmdir()
    seen.look(NOW + 2_000_000)
    assert (disk / "below").stat().st_mtime_ns == (NOW + 2_000_000) * 1000
    assert disk.stat().st_mtime_ns == NOW * 1000


@pytest.mark.parametrize(("off", "kept"), [(-3_500, False), (3_500, False), (-3_700, True), (3_700, True)])
def test_a_time_that_the_consumer_set_by_hand_stays(disk: Path, off: int, kept: bool) -> None:
    seen = watch(disk)
    (disk / "a").write_text("x")
    set_to = int(time.time() + off) * 1_000_000_000
    os.utime(disk / "a", ns=(set_to, set_to))
    seen.look(NOW)
    assert (disk / "a").stat().st_mtime_ns == (set_to if kept else NOW * 1000)


def test_links_are_what_they_point_to_by_name(disk: Path) -> None:
    seen = watch(disk)
    (disk / "a").write_text("x")
    (disk / "below").mkdir()
    (disk / "below" / "b").write_text("x")
    (disk / "link").symlink_to("a")
    (disk / "folder").symlink_to("below")
    (disk / "broken").symlink_to("nowhere")
    assert seen.look(NOW) == {f"disk/{name}" for name in ("a", "below", "below/b", "link", "folder", "broken")}
    (disk / "a").write_text("y")
    assert seen.look(NOW) == {"disk/a"}
    (disk / "link").unlink()
    (disk / "link").symlink_to("b")
    assert seen.look(NOW) == {"disk/link"}


def test_sqlites_index_of_its_log_is_no_durable_state(disk: Path) -> None:
    seen = watch(disk)
    (disk / "a.sqlite-shm").write_text("x")
    (disk / "a.sqlite-wal").write_text("x")
    assert seen.look(NOW) == {"disk/a.sqlite-wal"}


def test_a_socket_is_something_special(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(disk)
    monkeypatch.chdir(disk)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        assert seen.look(NOW) == {"disk/s"}
        assert seen.look(NOW) == set()
        (disk / "s").unlink()
        (disk / "s").write_text("special")
        assert seen.look(NOW) == {"disk/s"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_the_consumer_closed(disk: Path) -> None:
    seen = watch(disk)
    (disk / "below").mkdir()
    (disk / "below" / "a").write_text("x")
    (disk / "b").write_text("y")
    seen.look(NOW)
    (disk / "below").chmod(0)
    (disk / "b").chmod(0)
    os.utime(disk / "b")
    try:
        assert seen.look(NOW) == {"disk/below", "disk/below/a", "disk/b"}
    finally:
        (disk / "below").chmod(0o700)


class TestChanges:
    """The watch over the directories that survive."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "disk").mkdir()
        return tmp_path / "disk"

    def test_every_change_of_content_is_seen(self, folder: Path) -> None:
        watch = DiskWatch({"disk": folder})
        assert watch.look(1) == set()
        (folder / "a").write_text("1")
        (folder / "inner").mkdir()
        (folder / "inner" / "b").write_text("2")
        assert watch.look(2) == {"disk/a", "disk/inner", "disk/inner/b"}
        assert watch.look(3) == set()
        before = watch.fingerprint
        (folder / "a").write_text("3")
        assert watch.look(4) == {"disk/a"}
        assert watch.fingerprint != before
        (folder / "a").write_text("1")
        watch.look(5)
        assert watch.fingerprint == before, "the state it had before"
        (folder / "a").rename(folder / "c")
        assert watch.look(6) == {"disk/a", "disk/c"}
        (folder / "inner" / "b").unlink()
        (folder / "inner").rmdir()
        (folder / "link").symlink_to("c")
        assert watch.look(7) == {"disk/inner", "disk/inner/b", "disk/link"}

    def test_a_mode_is_state(self, folder: Path) -> None:
        (folder / "a").write_text("1")
        (folder / "inner").mkdir()
        watch = DiskWatch({"disk": folder})
        watch.look(1)
        before = watch.fingerprint
        (folder / "a").chmod(0o600)
        (folder / "inner").chmod(0o700)
        assert watch.look(2) == {"disk/a", "disk/inner"}
        assert watch.look(3) == set()
        (folder / "a").chmod(0o644)
        (folder / "inner").chmod(0o755)
        watch.look(4)
        assert watch.fingerprint == before

    @pytest.mark.skipif(not hasattr(os, "setxattr"), reason="this system has no extended attributes")
    def test_an_extended_attribute_is_state(self, folder: Path) -> None:
        (folder / "a").write_text("1")
        watch = DiskWatch({"disk": folder})
        watch.look(1)
        before = watch.fingerprint
        try:
            os.setxattr(folder / "a", "user.loaded", b"1")
        except OSError as error:
            pytest.skip(f"this file system has no extended attributes: {error}")
        watch.look_at_metadata(["disk/a"], times=False)
        assert watch.look(2) == {"disk/a"}
        assert watch.look(3, thorough=True) == set()
        os.removexattr(folder / "a", "user.loaded")
        watch.look_at_metadata(["disk/a"], times=False)
        watch.look(4)
        assert watch.fingerprint == before

    def test_a_time_is_state_where_it_was_set_by_hand(self, folder: Path) -> None:
        (folder / "a").write_text("1")
        (folder / "b").write_text("1")
        watch = DiskWatch({"disk": folder})
        watch.look(NOW)
        os.utime(folder / "a", (1, 1))
        os.utime(folder / "b", (1, 1))
        watch.look_at_metadata(["disk/a"], times=True)
        assert watch.look(NOW) == {"disk/a"}
        assert watch.look(NOW, thorough=True) == set()
        (folder / "a").write_text("1")
        assert watch.look(NOW) == {"disk/a"}, "it has the time of a write again"

    def test_to_write_what_it_held_is_no_change(self, folder: Path) -> None:
        (folder / "a").write_text("1")
        watch = DiskWatch({"disk": folder})
        watch.look(1)
        (folder / "a").write_text("1")
        assert watch.look(2) == set()

    def test_files_that_are_no_files(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        (folder / "dangling").symlink_to("nowhere")
        watch = DiskWatch({"disk": folder})
        assert watch.look(1) == {"disk/pipe", "disk/dangling"}
        assert watch.look(2) == set()

    def test_times_are_virtual(self, folder: Path) -> None:
        (watch := DiskWatch({"disk": folder})).look(NOW)
        (folder / "a").write_text("1")
        watch.look(NOW)
        assert (folder / "a").stat().st_mtime == NOW / 1e6

    def test_a_folder_that_vanishes(self, folder: Path) -> None:
        (folder / "a").write_text("1")
        watch = DiskWatch({"disk": folder})
        watch.look(1)
        keeper.remove_tree(folder)
        assert watch.look(2) == {"disk/a"}
