"""Every operation on files that outlives a process is seen, before it takes effect; the files stay real files."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from os import fsync, replace, write
from pathlib import Path

import pytest
from first_turn import Work, crashes, see, tell

from pytest_quarry.simulation.schedule import Crash
from pytest_quarry.simulation.world import World


def builtin_open(world: World) -> None:
    with open(world.disk / "a", "w") as file:
        file.write("one ")
        file.write("write")
    with open(world.disk / "a", "a") as file:
        file.write(", more")


def os_names(world: World) -> None:
    (world.disk / "a").write_text("hello")
    os.rename(world.disk / "a", world.disk / "b")
    os.replace(str(world.disk / "b"), os.fsencode(world.disk / "c"))
    os.link(world.disk / "c", world.disk / "d")
    os.symlink("c", world.disk / "e")
    os.unlink(world.disk / "d")
    os.remove(world.disk / "e")
    os.truncate(world.disk / "c", 2)
    os.mkdir(world.disk / "f")
    os.rmdir(world.disk / "f")
    os.makedirs(world.disk / "g" / "h")
    os.removedirs(world.disk / "g" / "h")


def imported_names(world: World) -> None:
    descriptor = os.open(world.disk / "a", os.O_WRONLY | os.O_CREAT)
    write(descriptor, b"by name")
    fsync(descriptor)
    os.close(descriptor)
    replace(world.disk / "a", world.disk / "b")


def metadata(world: World) -> None:
    (world.disk / "a").touch()
    (world.disk / "a").touch()
    os.chmod(world.disk / "a", 0o600)
    os.utime(world.disk / "a", (1, 1))
    with open(world.disk / "a") as file:
        os.fchmod(file.fileno(), 0o644)
    os.symlink("a", world.disk / "b")
    os.chmod(world.disk / "b", 0o604)


def descriptors(world: World) -> None:
    folder = os.open(world.disk, os.O_RDONLY)
    file = os.open("a", os.O_RDWR | os.O_CREAT, dir_fd=folder)
    os.write(file, b"abc")
    os.pwrite(file, b"X", 1)
    os.writev(file, [b"d", b"e"])
    os.ftruncate(file, 4)
    os.fdatasync(file)
    os.close(file)
    os.rename("a", "b", src_dir_fd=folder, dst_dir_fd=folder)
    os.mkdir("c", dir_fd=folder)
    os.rmdir("c", dir_fd=folder)
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fsync(folder)
    os.close(folder)


def paths(world: World) -> None:
    path = world.disk / "a"
    path.touch()
    path.write_bytes(b"b")
    path.rename(world.disk / "b").replace(world.disk / "c")
    (world.disk / "d").mkdir()
    (world.disk / "d").rmdir()
    (world.disk / "c").unlink()


def shutil_functions(world: World) -> None:
    (world.tmp / "source").write_text("hello")
    shutil.copyfile(world.tmp / "source", world.disk / "a")
    shutil.move(world.disk / "a", world.disk / "b")
    (world.disk / "tree").mkdir()
    shutil.copy2(world.disk / "b", world.disk / "tree")
    shutil.copytree(world.disk / "tree", world.disk / "copy")
    shutil.rmtree(world.disk / "tree")


def named_temporary(world: World) -> None:
    with tempfile.NamedTemporaryFile("w", dir=world.disk, prefix="", suffix=".tmp", delete=False) as file:
        file.write("whole")
        file.flush()
        fsync(file.fileno())
    os.replace(file.name, world.disk / "a")


def made_temporary(world: World) -> None:
    descriptor, name = tempfile.mkstemp(dir=world.disk)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"last": "run-A"}, file)
    os.replace(name, world.disk / "a")


def libraries(world: World) -> None:
    with gzip.open(world.disk / "a.gz", "wt") as file:
        file.write("zipped")
    with zipfile.ZipFile(world.disk / "b.zip", "w") as archive:
        archive.writestr("inner", "y")
    with open(world.disk / "c.csv", "w", newline="") as file:
        csv.writer(file).writerow([1, 2])
    with open(world.disk / "d.json", "w", encoding="utf-8") as file:
        json.dump({"ü": 1}, file, ensure_ascii=False)
    with open(world.disk / "e", "w") as file:
        print("printed", file=file, flush=True)
    handler = logging.FileHandler(world.disk / "f.log")
    handler.emit(logging.makeLogRecord({"msg": "logged"}))
    handler.close()


def relative_names(world: World) -> None:
    os.chdir(world.disk)
    Path("a").write_text("relative")
    os.mkdir("b/")
    os.chdir("b")
    os.rename("../a", "./c")
    open(b"d", "x").close()


def all_synced(world: World) -> None:
    (world.disk / "a").write_text("1")
    os.sync()


SEEN = {
    builtin_open: "open a, write a, open a, write a",
    os_names: "open a, write a, rename a → b, rename b → c, link c → d, symlink e, unlink d, unlink e, truncate c, "
    "mkdir f, rmdir f, mkdir g, mkdir g/h, rmdir g/h, rmdir g, rmdir disk",
    imported_names: "open a, write a, fsync a, rename a → b",
    descriptors: "open a, write a, write a, write a, truncate a, fsync a, rename a → b, mkdir c, rmdir c, lock disk, "
    "fsync disk",
    metadata: "open a, touch a, chmod a, utime a, chmod a, symlink b, chmod b",
    paths: "open a, open a, write a, rename a → b, rename b → c, mkdir d, rmdir d, unlink c",
    libraries: "open a.gz, write a.gz, write a.gz, open b.zip, write b.zip, write b.zip, write b.zip, open c.csv, "
    "write c.csv, open d.json, write d.json, open e, write e, open f.log, write f.log",
    all_synced: "open a, write a, sync",
    relative_names: "open a, write a, mkdir b, rename a → b/c, open b/d",
}
WORKS: list[Work] = [*SEEN, shutil_functions, named_temporary, made_temporary]


@pytest.mark.parametrize("closer", [False, True], ids=["by hooks", "closer"])
@pytest.mark.parametrize("work", SEEN, ids=lambda work: work.__name__)
def test_each_operation_is_one_boundary(work: Work, closer: bool) -> None:
    assert ", ".join(see(work, closer=closer).boundaries) == SEEN[work]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_nothing_changes_but_at_boundaries(work: Work) -> None:
    assert see(work).history.unexplained == ()


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_a_kill_leaves_the_disk_as_it_was_before_the_boundary(work: Work) -> None:
    whole = see(work)
    for entry, crash in crashes(whole):
        killed = see(work, crash=crash)
        assert killed.happenings[-1] == f"killed before {crash.label}"
        assert killed.files == whole.files_before(entry), crash


def test_copying_and_moving_is_seen() -> None:
    seen = see(shutil_functions).boundaries
    assert {"open a", "write a", "rename a → b", "open tree/b", "write tree/b"} <= set(seen)
    assert {"mkdir copy", "write copy/b", "unlink tree/b", "rmdir tree"} <= set(seen)


def test_temporary_files_are_seen_under_their_own_names() -> None:
    for work in (named_temporary, made_temporary):
        seen = see(work)
        name = seen.boundaries[0].removeprefix("open ")
        assert [label.replace(name, "TEMPORARY") for label in seen.boundaries if "sync" not in label] == [
            "open TEMPORARY",
            "write TEMPORARY",
            "rename TEMPORARY → a",
        ]
        assert see(work).boundaries == seen.boundaries


def test_files_without_a_name_are_nothing_durable() -> None:
    def work(world: World) -> None:
        with tempfile.TemporaryFile("w+", dir=world.disk) as file:
            file.write("scratch")
            file.flush()
            file.seek(0)
            tell(world, file.read())
        with open(world.disk / "a", "w") as file:
            os.unlink(world.disk / "a")
            file.write("for nobody")

    seen = see(work)
    assert seen.told == ["scratch"]
    assert seen.boundaries == ["target INSERT", "open a", "unlink a"]
    assert seen.history.unexplained == ()


def test_an_open_file_is_followed_through_a_rename() -> None:
    def work(world: World) -> None:
        with open(world.disk / "a", "w") as file:
            file.write("flushed too late")
            os.rename(world.disk / "a", world.disk / "b")

    seen = see(work)
    assert seen.boundaries == ["open a", "rename a → b", "write b"]
    assert seen.history.unexplained == ()
    assert see(work, crash=Crash("write b")).files == {"b": ""}


def test_reading_is_no_boundary() -> None:
    def work(world: World) -> None:
        tell(world, (world.tmp / "made by prepare").read_text(), os.listdir(world.tmp))
        with open(world.tmp / "made by prepare", "rb", buffering=0) as file:
            tell(world, file.read().decode())

    def prepare(world: World) -> None:
        (world.tmp / "made by prepare").write_text("before")

    seen = see(work, prepare=prepare)
    assert seen.boundaries == ["target INSERT"] * 3


def test_what_lies_outside_the_world_is_no_boundary(tmp_path: Path) -> None:
    def work(world: World) -> None:
        (tmp_path / "elsewhere").write_text("x")
        os.rename(tmp_path / "elsewhere", tmp_path / "there")

    assert see(work).boundaries == []
    assert (tmp_path / "there").read_text() == "x"


def test_buffered_data_dies_with_the_process() -> None:
    def work(world: World) -> None:
        file = open(world.disk / "a", "w")  # noqa: SIM115
        file.write("in the buffer")
        world.boundary("here")
        file.close()

    assert see(work).files == {"a": "in the buffer"}
    assert see(work, crash=Crash("boundary here")).files == {"a": ""}


@pytest.mark.parametrize("keep", [0, 1, 4, 11, 99])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"hello world"),
        lambda path: os.write(os.open(path, os.O_WRONLY | os.O_CREAT), b"hello world"),
        lambda path: open(path, "wb", buffering=0).write(b"hello world"),  # noqa: SIM115
    ],
    ids=["buffered", "descriptor", "raw"],
)
def test_a_torn_write_leaves_exactly_the_kept_bytes(write: Callable[[Path], object], keep: int) -> None:
    seen = see(lambda world: write(world.disk / "a"), crash=Crash("write a", keep=keep))
    assert seen.files == {"a": "hello world"[:keep]}
    assert seen.happenings[-1] == f"killed in write a, {min(keep, 11)} of 11 bytes written"


def test_a_large_write_is_several_boundaries() -> None:
    def work(world: World) -> None:
        with open(world.disk / "a", "w") as file:
            for number in range(3000):
                print(f"row {number}", file=file)

    seen = see(work)
    assert seen.boundaries.count("write a") == 4
    (second,) = [entry for entry, crash in crashes(seen) if crash == Crash("write a", 2)]
    assert 4096 < len(seen.files_before(second)["a"]) <= 8192
    assert second.buffered


def test_an_unbuffered_write_of_a_whole_buffer_is_said_to_be_one() -> None:
    def work(world: World) -> None:
        with open(world.disk / "a", "wb", buffering=0) as file:
            file.write(b"x" * 20_000)

    (entry,) = [entry for entry in see(work).turn if entry.text == "write a"]
    assert (entry.size, entry.buffered) == (20_000, False)


def drive_file(folder: Path) -> list[object]:
    """All that people do with file objects; what they answer."""
    found: list[object] = []
    note = found.append
    path = folder / "file"
    with open(path, "w", encoding="utf-16", newline="\r\n", errors="replace") as file:
        note(
            [
                file.name == path,
                file.mode,
                file.encoding,
                file.newlines,
                file.line_buffering,
                file.fileno() > 2,
            ]
        )
        note(
            [
                file.write("zwölf\n"),
                file.tell(),
                file.readable(),
                file.writable(),
                file.seekable(),
                file.isatty(),
            ]
        )
        file.writelines(["a\n", "b\n"])
        with pytest.raises(io.UnsupportedOperation):
            file.read()
    note([file.closed, path.read_bytes()])
    with pytest.raises(ValueError, match="closed file"):
        file.write("x")
    with open(path, "r+b") as file:
        note(
            [
                type(file).__name__,
                isinstance(file.raw, io.FileIO),
                file.read(4),
                file.tell(),
                file.seek(-2, os.SEEK_END),
            ]
        )
        note([file.write(b"12345"), file.truncate(), file.seek(0), file.readline(), list(file)])
    with open(path, "w+", encoding="utf-8") as file:
        file.write("line 1\nline 2\nline 3")
        file.seek(0)
        note([list(file), file.seek(7), file.readline(), file.truncate(10), file.read()])
    with open(path, "a+") as file:
        note([file.tell(), file.write("!"), file.seek(0), file.read()])
    with open(path, "ab", buffering=0) as file:
        note([file.write(b"??"), file.tell(), isinstance(file, io.FileIO)])
    with open(path, "a", buffering=1) as file:
        file.write("first\nrest")
        note(path.read_text())
    note(path.read_text())
    for wrong in (
        {"mode": "x"},
        {"mode": "wb", "encoding": "utf-8"},
        {"mode": "w", "buffering": 0},
        {"mode": "rw"},
    ):
        with pytest.raises((OSError, ValueError)) as raised:
            open(path, **wrong)  # noqa: SIM115
        note(type(raised.value).__name__)
    with pytest.raises(FileNotFoundError):
        open(folder / "absent" / "file", "w")  # noqa: SIM115
    with open(path, "wb") as file, io.TextIOWrapper(file, "latin-1") as text:
        text.write("ä")
        text.flush()
        note(path.read_bytes())
    descriptor = os.open(path, os.O_RDWR)
    with open(descriptor, "w", closefd=False) as file:
        file.write("kept open")
    note([os.fstat(descriptor).st_size, path.read_text()])
    os.close(descriptor)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write("opened")
    note(path.read_text())
    return [str(value) for value in found]


def test_files_behave_like_real_files(tmp_path: Path) -> None:
    def work(world: World) -> None:
        assert drive_file(world.disk) == drive_file(tmp_path)

    assert see(work).history.unexplained == ()


def test_file_times_are_virtual() -> None:
    def work(world: World) -> None:
        import time

        path = world.disk / "a"
        path.write_text("x")
        first = path.stat().st_mtime
        assert abs(first - time.time()) < 1
        time.sleep(3600)
        path.write_text("y")
        assert 3599 < path.stat().st_mtime - first < 3602

    see(work)


def changes_of_folders(folder: Path) -> dict[str, Callable[[], object]]:
    """What changes the time of `folder`, or of what it makes there."""
    return {
        "mkdir": (folder / "a").mkdir,
        "touch": (folder / "b").touch,
        "open": lambda: open(folder / "c", "a").close(),
        "open in a folder": lambda: os.close(os.open("d", os.O_CREAT, dir_fd=os.open(folder, os.O_RDONLY))),
        "symlink": lambda: os.symlink("nowhere", folder / "e"),
        "link": lambda: os.link(folder / "b", folder / "f"),
        "rename": lambda: os.rename(folder / "c", folder / "g"),
        "replace": lambda: replace(src=folder / "g", dst=folder / "d"),
        "rmdir": lambda: os.rmdir(path=str(folder / "a") + "/"),
        "unlink": (folder / "f").unlink,
        "remove": lambda: os.remove(folder / "e"),
    }


def test_times_of_folders_and_links_are_virtual() -> None:
    def work(world: World) -> None:
        import time

        for name, change in changes_of_folders(world.disk).items():
            time.sleep(3600)
            change()
            made = [path.lstat().st_mtime for path in (world.disk, *world.disk.iterdir())]
            assert time.time() - 1 < max(made) < time.time() + 1, name
            assert abs(world.disk.stat().st_mtime - time.time()) < 1, name

    assert see(work).history.unexplained == ()


def test_what_a_folder_holds_changes_its_time_and_what_a_file_holds_does_not() -> None:
    def work(world: World) -> None:
        import time

        (world.disk / "a").write_text("x")
        before = world.disk.stat().st_mtime
        time.sleep(3600)
        (world.disk / "a").write_text("y")
        (world.disk / "a").touch()
        assert world.disk.stat().st_mtime == before
        os.utime(world.disk, (5, 7))
        world.boundary("looked at")
        assert world.disk.stat().st_mtime == 7

    see(work)


def test_times_that_the_consumer_sets_stay() -> None:
    def work(world: World) -> None:
        (world.disk / "a").write_text("x")
        os.utime(world.disk / "a", (5, 7))
        world.boundary("looked at")
        assert (world.disk / "a").stat().st_mtime == 7
        shutil.copy2(world.disk / "a", world.disk / "b")
        world.boundary("looked at again")
        assert (world.disk / "b").stat().st_mtime == 7
        (world.disk / "a").touch()
        import time

        assert abs((world.disk / "a").stat().st_mtime - time.time()) < 1

    see(work)


def test_what_is_written_under_one_name_of_a_file_explains_its_other_names() -> None:
    def work(world: World) -> None:
        (world.disk / "a").write_text("1")
        os.link(world.disk / "a", world.disk / "b")
        (world.disk / "a").write_text("2")

    seen = see(work)
    assert seen.files["b"] == "2"
    assert not seen.history.unexplained
