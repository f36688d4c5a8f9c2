"""What a program does to files, in any language: seen, held, failed, cut, and done as the kernel would have done it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from programs import bash, first_turn, kept, play, python, texts

from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.kernel import descriptors, seccomp
from pytest_quarry.consumers.marked import marked
from pytest_quarry.consumers.outside import verdicts
from pytest_quarry.consumers.outside.group import MARKER
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.schedule import Break, Crash, Overlap, Poll, Switch

GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


class TestWhatIsSeen:
    def test_the_operations_of_a_shell(self, tmp_path: Path) -> None:
        code = (
            "mkdir d; echo one > d/a; echo two >> d/a; mv d/a d/b; ln d/b c; ln -s c l; rm c; sync d/b; sync; rm -r d"
        )
        assert first_turn(play(bash(code))) == [
            "mkdir d",
            "open d/a",
            "write d/a",
            "open d/a",
            "write d/a",
            "rename d/a → d/b",
            "link d/b → c",
            "symlink l",
            "unlink c",
            "fsync d/b",
            "sync",
            "unlink d/b",
            "rmdir d",
        ]

    def test_naps_of_a_runtime_are_not_its_consumers(self) -> None:
        """Go's takes naps of up to 10 ms, longer ones the longer nothing is to do: so how many is luck."""
        code = (
            "import ctypes; usleep = ctypes.CDLL(None).usleep; usleep(10_000); usleep(20_000); open('a', 'w').close()"
        )
        assert first_turn(play(python(code))) == ["sleep", "open a"]

    def test_a_python_program_can_sleep(self) -> None:
        history = play(python("import time; time.sleep(0.5); time.sleep(2); open('a', 'w').close()"))
        assert not texts(history, "raised")
        assert first_turn(history) == ["sleep", "sleep", "open a"]

    def test_files_are_as_the_kernel_makes_them(self, tmp_path: Path) -> None:
        code = "umask 077; echo one > a; echo two >> a; printf xy | dd of=a bs=1 seek=3 conv=notrunc; stat -c %a a >&2; exit 3"
        history = play(bash(code), **kept(tmp_path))
        assert (tmp_path / "a").read_text() == "onexywo\n"
        assert texts(history, "raised")[0] == "exit status 3: 600"

    def test_paths_in_every_form(self) -> None:
        code = """
import os
os.mkdir("d")
folder = os.open("d", os.O_RDONLY)
os.close(os.open("a", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
os.rename("a", "b", src_dir_fd=folder, dst_dir_fd=folder)
os.chdir("d")
open("../d/./c", "w").close()
os.symlink("c", "l")
open("l", "a").close()
os.truncate("b", 5)
os.replace(os.path.abspath("b"), "../e")
"""
        assert first_turn(play(python(code))) == [
            "mkdir d",
            "open d/a",
            "rename d/a → d/b",
            "open d/c",
            "symlink d/l",
            "open d/c",
            "truncate d/b",
            "rename d/b → e",
        ]

    def test_every_way_to_write(self, tmp_path: Path) -> None:
        code = """
import os
file = os.open("a", os.O_CREAT | os.O_RDWR)
os.write(file, b"1234567890")
os.pwrite(file, b"A", 1)
os.writev(file, [b"x", b"", b"yz"])
os.pwritev(file, [b"B", b"C"], 4)
os.ftruncate(file, 12)
os.posix_fallocate(file, 0, 12)
other = os.open("b", os.O_CREAT | os.O_RDWR)
try:
    os.copy_file_range(file, other, 12, 0)
except OSError:
    os.write(other, os.pread(file, 12, 0))
os.fdatasync(other)
import shutil
shutil.copyfile("b", "c")
"""
        history = play(python(code), **kept(tmp_path))
        assert (tmp_path / "a").read_bytes() == b"1A34BC7890xy"
        assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == b"1A34BC7890xy"
        assert not history.unexplained
        turn = first_turn(history)
        assert turn[:8] == ["open a", *["write a"] * 4, "truncate a", "truncate a", "open b"]
        assert turn[-4:] == ["write b", "fsync b", "open c", "write c"]

    def test_standard_output_by_its_name(self) -> None:
        command = bash("echo one; echo two > /dev/stdout; echo three | tee /proc/self/fd/1 > /dev/null", prints=True)
        history = play(command)
        assert history.output.split()[:2] == ["one", "two"]
        assert not history.unexplained

    def test_pipes_and_process_substitution_wait_for_nobody(self) -> None:
        code = "mkfifo pipe; (echo through > pipe) & cat pipe > got; wait; cat <(cat got) >&2; exit 5"
        history = play(bash(code))
        assert texts(history, "raised")[0] == "exit status 5: through"

    def test_threads(self, tmp_path: Path) -> None:
        code = """
import threading
def work(n):
    for k in range(5):
        with open(f"{n}-{k}", "w") as file: file.write("x" * n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
        history = play(python(code), **kept(tmp_path))
        assert len(list(tmp_path.iterdir())) == 40
        assert len(first_turn(history)) == 80
        assert not history.unexplained

    def test_what_nobody_sees_is_said(self) -> None:
        code = "import mmap; f = open('a', 'w+b'); f.truncate(9); m = mmap.mmap(f.fileno(), 9); open('b', 'w').close()"
        history = play(python(code + "; m[:] = b'unnoticed'; m.flush(); open('c', 'w').close()"))
        assert history.unexplained == ("disk/a",)


RAW = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>

static void put(const char *name) { /* no libc between it and the kernel */
    long file = syscall(SYS_openat, AT_FDCWD, name, O_CREAT | O_WRONLY, 0644);
    syscall(SYS_write, file, name, strlen(name));
    syscall(SYS_close, file);
}
static void *thread(void *name) { put(name); return NULL; }

int main(void) {
    struct io_uring_params wanted = {0};
    if (syscall(SYS_io_uring_setup, 4, &wanted) >= 0 || errno != ENOSYS) return 9; /* it would write unseen */
    pthread_t other;
    pthread_create(&other, NULL, thread, "thread");
    pthread_join(other, NULL);
    pid_t child = vfork();
    if (child == 0) { execl("/bin/sh", "sh", "-c", "echo > spawned", NULL); _exit(1); }
    waitpid(child, NULL, 0);
    put("main");
    return 0;
}
"""


@GCC
@pytest.mark.parametrize("options", [[], ["-static"]], ids=["dynamic", "static"])
def test_a_compiled_program(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "raw.c").write_text(RAW)
    built = subprocess.run(
        ["gcc", "-pthread", *options, "-o", tmp_path / "raw", tmp_path / "raw.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"gcc cannot build it: {built.stderr.strip()[-200:]}")
    (tmp_path / "kept").mkdir()
    history = play(Command(argv=[str(tmp_path / "raw")]), **kept(tmp_path / "kept"))
    assert not texts(history, "raised")
    turn = ["open thread", "write thread", "open spawned", "write spawned", "open main", "write main"]
    assert first_turn(history) == turn
    assert (tmp_path / "kept" / "thread").read_text() == "thread"
    assert history.not_exercised == ()


class TestCrashesAndFaults:
    @pytest.mark.parametrize(
        ("crash", "left"),
        [
            (Crash("open a", 1), None),
            (Crash("write a", 1), b""),
            (Crash("write a", 1, keep=3), b"one"),
            (Crash("write a", 2), b"one two\n"),
            (Crash("write a", 2, keep=2), b"one two\nth"),
            (Crash("rename a → b", 1), b"one two\nthree\n"),
        ],
    )
    def test_killed_at_an_operation(self, crash: Crash, left: bytes | None, tmp_path: Path) -> None:
        code = "[ -e seen ] && exit; echo one two > a; echo three >> a; mv a b; touch seen"
        seen: list[bytes | None] = []

        def rows(world: object) -> list[dict[str, str]]:
            file = world.disk / "a"  # type: ignore[attr-defined]
            seen.append(file.read_bytes() if file.exists() else None)
            return []

        history = play(bash(code), Poll(crash), rows=rows)
        assert not history.unreached
        assert left in seen
        where = "before" if crash.keep is None else "in"
        assert texts(history, "killed")[0].startswith(f"{where} {crash.label}")

    def test_an_operation_that_fails(self) -> None:
        history = play(bash("echo x > a || echo $?; mkdir d"), Break("write a", "ENOSPC"), Poll())
        assert "write error: No space left on device" in history.output
        assert "mkdir d" in first_turn(history)

    def test_a_read_that_fails(self) -> None:
        code = "[ -e a ] || echo hello > a; cat a"
        history = play(bash(code), Poll(), Break("read a", "EACCES"), Poll(), play=Play(reads=True))
        assert texts(history, "raised")[0] == "exit status 1: cat: a: Permission denied"

    def test_a_lock_that_another_worker_holds_is_waited_for(self, tmp_path: Path) -> None:
        code = "exec 9> lock; flock 9; echo $$ >> order; mkdir busy || exit 8; sleep 1; rmdir busy"
        step = Overlap((), switches=(Switch("mkdir busy", 1),))
        history = play(bash(code), step, **kept(tmp_path))
        assert not texts(history, "raised")
        assert not texts(history, "hung")
        assert len((tmp_path / "order").read_text().split()) >= 2

    def test_two_processes_overlap_where_the_schedule_says(self) -> None:
        code = "[ -e mark ] && exit; mkdir claim || exit 8; echo > mark"
        history = play(bash(code), Overlap((), switches=(Switch("mkdir claim", 1),)))
        assert texts(history, "raised")[0].startswith("exit status 8: mkdir: cannot create directory")

    def test_an_open_file_that_cannot_be_ours_too(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A container without SYS_PTRACE forbids pidfd_getfd: then the kernel does what is granted."""

        def forbidden(process: int, descriptor: int) -> int:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(descriptors, "descriptor_of", forbidden)
        code = "exec 9> lock; flock 9; echo one two > a; echo three >> a; truncate -s 3 a; cat a >&2; exit 3"
        history = play(bash(code), Poll(Crash("write a", 2, keep=2)), Poll(), **kept(tmp_path))
        assert texts(history, "killed")[0] == "in write a, 2 of 6 bytes written"
        assert texts(history, "raised")[0] == "exit status 3: one"
        assert not history.unexplained


class TestWithoutSystemCalls:
    """Where the system does not let us see them, what was not tried is said, and nobody is accused of it."""

    @pytest.fixture(autouse=True)
    def blind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seccomp, "MACHINE", None)

    def test_it_is_said(self, tmp_path: Path) -> None:
        history = play(bash("echo one > a; mv a b"), **kept(tmp_path))
        assert verdicts.BLIND in history.not_exercised
        assert not history.unexplained
        assert (tmp_path / "b").read_text() == "one\n"
        assert not first_turn(history)

    def test_requests_are_still_seen(self) -> None:
        code = (
            "import os, urllib.request as u; u.urlopen(os.environ['AWS_ENDPOINT_URL_SNS'], b'Action=ListTopics').read()"
        )
        history = play(python(code), Poll(Crash("sns.ListTopics", 1)))
        assert texts(history, "killed")[0] == "before sns.ListTopics"

    def test_daemons_are_killed(self) -> None:
        play(bash("setsid tail -f /dev/null & exit 0"))
        assert marked(f"{MARKER}={os.getpid()}-") == []
