"""Files that are damaged, power that is lost: what the consumer meets, and what is left."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from working import Work, play, words

from pytest_quarry.consumers.protocol import Boundary
from pytest_quarry.simulation import damage
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.power import PowerLog
from pytest_quarry.simulation.schedule import (
    Crash,
    Damage,
    Litter,
    Poll,
    Step,
    Write,
)
from pytest_quarry.simulation.world import World


class TestDamage:
    @pytest.mark.parametrize(
        ("how", "left"),
        [("missing", None), ("empty", b""), ("cut", b"on"), ("garbage", b"\x00\xff" * 16), ("older", b"one")],
    )
    def test_what_the_consumer_finds(self, how: str, left: bytes | None) -> None:
        def work(world: World) -> None:
            note = world.disk / "note"
            found = note.read_bytes() if note.exists() else None
            if found not in (None, b"one", b"two-") or (found is None and (world.disk / "seen").exists()):
                world.boundary(f"found {found!r}")
            elif found == b"one" and (world.disk / "twice").exists():
                world.boundary("found b'one'")
            else:
                if found is not None:
                    (world.disk / "twice").touch()
                (world.disk / "seen").touch()
                note.write_bytes(b"one" if found is None else b"two-")

        steps: list[Step] = [Poll(), Poll()] if how in ("older", "cut") else [Poll()]
        history = play(work, *steps, Damage("note", how), Poll())  # type: ignore[arg-type]
        expected = {"cut": b"tw"}.get(how, left)
        assert f"boundary found {expected!r}" in words(history, "crossed")
        assert not history.unexplained

    @pytest.mark.parametrize("how", ["missing", "empty", "cut", "garbage", "older"])
    def test_what_is_not_there_cannot_be_damaged(self, how: str, tmp_path: Path) -> None:
        assert damage.apply(tmp_path / "note", how, b"old") is False
        assert damage.apply(tmp_path, how, b"old") is False
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("how", "older", "done", "left"),
        [
            ("missing", None, True, None),
            ("empty", None, True, b""),
            ("cut", None, True, b"ne"),
            ("garbage", None, True, b"\x00\xff" * 16),
            ("older", b"old", True, b"old"),
            ("older", b"newer", False, b"newer"),
            ("older", None, False, b"newer"),
        ],
    )
    def test_one_file(self, how: str, older: bytes | None, done: bool, left: bytes | None, tmp_path: Path) -> None:
        note = tmp_path / "note"
        note.write_bytes(b"newer")
        assert damage.apply(note, how, older) is done
        assert (note.read_bytes() if note.exists() else None) == left

    def test_a_checkpoint_among_the_runs(self) -> None:
        """What a poller keeps in the storage folder is its own; the runs that the world writes beside it are not."""

        def work(world: World) -> None:
            note = world.storage_root / ".checkpoint"
            if note.exists():
                world.boundary(f"found {note.read_bytes()!r}")
            note.write_bytes(b"one")

        history = play(work, Poll(), Write("run-A"), Poll(), Damage("storage/.checkpoint", "empty"), Poll())
        found = [text for text in words(history, "crossed") if text.startswith("boundary found ")]
        assert found[:3] == ["boundary found b'one'", "boundary found b''", "boundary found b'one'"]
        assert not history.unexplained
        assert not history.unreached

    def test_the_target_is_left_whole(self) -> None:
        def rows(world: World) -> list[dict[str, str]]:
            path = world.disk / "target"
            return [{"run_id": line} for line in path.read_text().split()] if path.exists() else []

        work: Work = lambda world: (world.disk / "target").write_text("run-A\n") and None  # noqa: E731
        history = play(work, Write("run-A"), Poll(), Damage("target", "empty"), Poll(), rows=rows)
        assert history.unreached == ("step 3: target cannot be damaged (empty)",)
        assert len(history.rows) == 1

    def test_a_target_that_is_written_once_is_left_whole(self) -> None:
        def rows(world: World) -> list[dict[str, str]]:
            path = world.disk / "target"
            return [{"run_id": line} for line in path.read_text().split()] if path.exists() else []

        def work(world: World) -> None:
            if not (world.disk / "target").exists():
                (world.disk / "target").write_text("run-A\n")

        history = play(work, Write("run-A"), Poll(), Damage("target", "empty"), rows=rows)
        assert [row.run_id for row in history.rows] == ["run-A"]


def test_litter_is_somebody_elses_file() -> None:
    def work(world: World) -> None:
        world.boundary((world.storage_root / "notes.txt").read_text())

    assert "boundary hello" in words(play(work, Litter("notes.txt", "hello"), Poll()), "crossed")


class TestPowerLoss:
    """A model: contents that were not fsynced are cut or taken back; names keep the order of the calls."""

    @staticmethod
    def after(how: str, *operations: tuple[str, ...], folder: Path) -> dict[str, bytes]:
        """What a power loss leaves of these operations; `write NAME TEXT`, `append NAME TEXT`, `fsync NAME`, `rename A B`,
        `link A B`."""
        (folder / "disk").mkdir()
        log = PowerLog(folder)
        for verb, name, *rest in operations:
            path = folder / "disk" / name
            names = (f"disk/{name}", f"disk/{rest[0]}") if verb in ("rename", "link") else (f"disk/{name}",)
            log.before(Boundary(f"{'write' if verb == 'append' else verb} {name}", names))
            if verb == "write":
                path.write_text(rest[0])
            elif verb == "append":
                path.write_text(path.read_text() + rest[0])
            elif verb == "rename":
                path.rename(folder / "disk" / rest[0])
            elif verb == "link":
                with contextlib.suppress(FileExistsError):
                    os.link(path, folder / "disk" / rest[0])
            elif verb == "unlink":
                path.unlink()
        log.lose(how)
        return {path.name: path.read_bytes() for path in (folder / "disk").iterdir()}

    @pytest.mark.parametrize(("how", "left"), [("cut", {"a": b""}), ("back", {})])
    def test_a_new_file(self, how: str, left: dict[str, bytes], tmp_path: Path) -> None:
        assert self.after(how, ("write", "a", "x"), folder=tmp_path) == left

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_fsynced_stays(self, how: str, tmp_path: Path) -> None:
        assert self.after(how, ("write", "a", "x"), ("fsync", "a"), folder=tmp_path) == {"a": b"x"}

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_appended_since(self, how: str, tmp_path: Path) -> None:
        found = self.after(how, ("write", "a", "x"), ("fsync", "a"), ("append", "a", "y"), folder=tmp_path)
        assert found == {"a": b"x"}

    @pytest.mark.parametrize(("how", "left"), [("cut", b""), ("back", b"x")])
    def test_what_was_written_over(self, how: str, left: bytes, tmp_path: Path) -> None:
        operations = (("write", "a", "x"), ("fsync", "a"), ("write", "a", "new"))
        assert self.after(how, *operations, folder=tmp_path) == {"a": left}

    @pytest.mark.parametrize(("how", "left"), [("cut", b""), ("back", b"old")])
    def test_a_rename_of_what_was_not_fsynced(self, how: str, left: bytes, tmp_path: Path) -> None:
        operations = (("write", "a", "old"), ("fsync", "a"), ("write", "t", "new"), ("rename", "t", "a"))
        assert self.after(how, *operations, folder=tmp_path) == {"a": left}

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_a_rename_of_what_was_fsynced(self, how: str, tmp_path: Path) -> None:
        operations = (("write", "a", "old"), ("write", "t", "new"), ("fsync", "t"), ("rename", "t", "a"))
        assert self.after(how, *operations, folder=tmp_path) == {"a": b"new"}

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_removed(self, how: str, tmp_path: Path) -> None:
        assert self.after(how, ("write", "a", "x"), ("unlink", "a"), folder=tmp_path) == {}

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_written_over_and_removed(self, how: str, tmp_path: Path) -> None:
        operations = (("write", "a", "x"), ("fsync", "a"), ("write", "a", "new"), ("unlink", "a"))
        assert self.after(how, *operations, folder=tmp_path) == {}

    @pytest.mark.parametrize(("how", "left"), [("cut", {"b": b""}), ("back", {})])
    def test_a_second_name_of_what_was_not_fsynced(self, how: str, left: dict[str, bytes], tmp_path: Path) -> None:
        operations = (("write", "a", "x"), ("link", "a", "b"), ("unlink", "a"))
        assert self.after(how, *operations, folder=tmp_path) == left

    @pytest.mark.parametrize("synced", ["a", "b"])
    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_fsynced_under_one_of_two_names(self, how: str, synced: str, tmp_path: Path) -> None:
        operations = (("write", "a", "x"), ("link", "a", "b"), ("fsync", synced))
        assert self.after(how, *operations, folder=tmp_path) == {"a": b"x", "b": b"x"}

    @pytest.mark.parametrize(("how", "left"), [("cut", b""), ("back", b"x")])
    def test_what_was_written_under_a_name_that_is_gone(self, how: str, left: bytes, tmp_path: Path) -> None:
        synced = (("write", "a", "x"), ("fsync", "a"), ("link", "a", "b"))
        operations = (*synced, ("write", "a", "new"), ("unlink", "a"))
        assert self.after(how, *operations, folder=tmp_path) == {"b": left}

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_a_second_name_that_was_taken(self, how: str, tmp_path: Path) -> None:
        operations = (("write", "b", "x"), ("fsync", "b"), ("write", "a", "y"), ("link", "a", "b"), ("unlink", "a"))
        assert self.after(how, *operations, folder=tmp_path) == {"b": b"x"}

    @pytest.mark.parametrize(("how", "left"), [("cut", {"a": b"", "b": b""}), ("back", {})])
    def test_a_rename_between_two_names_of_one_file(self, how: str, left: dict[str, bytes], tmp_path: Path) -> None:
        operations = (("write", "a", "x"), ("link", "a", "b"), ("rename", "a", "b"))
        assert self.after(how, *operations, folder=tmp_path) == left

    @pytest.mark.parametrize("how", ["cut", "back"])
    def test_what_was_synced_before_anybody_looked(self, how: str, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        log = PowerLog(tmp_path)
        log.before(Boundary("fsync a", ("a",)))
        log.before(Boundary("rename a", ("a", "b")))
        (tmp_path / "a").rename(tmp_path / "b")
        assert log.lose(how) == ()
        assert (tmp_path / "b").read_text() == "x"

    @pytest.mark.parametrize(("how", "left"), [("cut", {"my file": b""}), ("back", {})])
    def test_a_name_with_a_space(self, how: str, left: dict[str, bytes], tmp_path: Path) -> None:
        assert self.after(how, ("write", "my file", "x"), folder=tmp_path) == left

    @pytest.mark.parametrize(("how", "left"), [("cut", b""), ("back", b"x")])
    def test_each_of_several_files(self, how: str, left: bytes, tmp_path: Path) -> None:
        synced = [step for name in "abc" for step in (("write", name, "x"), ("fsync", name))]
        again = (("write", "a", "x"), ("write", "b", "new"), ("write", "c", "new"))
        assert self.after(how, *synced, *again, folder=tmp_path) == {"a": b"x", "b": left, "c": left}

    @pytest.mark.parametrize(("how", "left"), [("cut", {"a": b"", "b": b"y"}), ("back", {"b": b"y"})])
    def test_a_folder_that_is_renamed_with_what_was_not_fsynced(
        self, how: str, left: dict[str, bytes], tmp_path: Path
    ) -> None:
        (tmp_path / "disk" / "made").mkdir(parents=True)
        log = PowerLog(tmp_path)
        for name, text in (("a", "x"), ("b", "y")):
            log.before(Boundary(f"write {name}", (f"disk/made/{name}",)))
            (tmp_path / "disk" / "made" / name).write_text(text)
        log.before(Boundary("fsync b", ("disk/made/b",)))
        log.before(Boundary("rename made", ("disk/made", "disk/whole")))
        (tmp_path / "disk" / "made").rename(tmp_path / "disk" / "whole")
        assert log.lose(how) == ("disk/whole/a",)
        assert {path.name: path.read_bytes() for path in (tmp_path / "disk" / "whole").iterdir()} == left
        assert not (tmp_path / "disk" / "made").exists()
        assert log.lose(how) == ()

    def test_what_vanished_unseen_with_its_folder_comes_back(self, tmp_path: Path) -> None:
        path = tmp_path / "disk" / "one" / "two" / "a"
        path.parent.mkdir(parents=True)
        path.write_text("x")
        log = PowerLog(tmp_path)
        log.before(Boundary("write a", ("disk/one/two/a",)))
        shutil.rmtree(tmp_path / "disk" / "one")
        assert log.lose("back") == ("disk/one/two/a",)
        assert path.read_text() == "x"

    @pytest.mark.parametrize("label", ["sync", "start sync", "shell sync"])
    def test_all_that_was_written_before_a_sync(self, label: str, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        log = PowerLog(tmp_path)
        for name in ("a", "b"):
            log.before(Boundary(f"write {name}", (f"disk/{name}",)))
            (tmp_path / "disk" / name).write_text("x")
            if name == "a":
                log.before(Boundary(label))
        assert log.lose("cut") == ("disk/b",)

    def test_an_operation_on_two_files_that_is_no_rename(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        log = PowerLog(tmp_path)
        log.before(Boundary("write a", ("disk/a",)))
        (tmp_path / "disk" / "a").write_text("x")
        log.before(Boundary("sqlite COMMIT a", ("disk/a", "disk/a-journal")))
        assert log.lose("cut") == ("disk/a",)
        assert (tmp_path / "disk" / "a").read_bytes() == b""

    @pytest.mark.parametrize(("how", "left"), [("cut", "b''"), ("back", "nothing")])
    def test_a_consumer_comes_back_to_it(self, how: str, left: str) -> None:
        def work(world: World) -> None:
            note = world.disk / "note"
            world.boundary(f"found {note.read_bytes()!r}" if note.exists() else "found nothing")
            note.write_text("x")
            world.boundary("written")

        crash = Crash("boundary written", power=how)  # type: ignore[arg-type]
        history = play(work, Poll(crash), play=Play(power=True))
        assert [text for text in words(history, "crossed") if "found" in text][1] == f"boundary found {left}"
        assert "power lost before boundary written" in words(history, "killed")[0]
        assert not history.unexplained
