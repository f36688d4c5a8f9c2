"""Programs that misbehave: each gives one clear line, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from programs import QUICK, bash, play, python, texts

from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.consumers.marked import marked
from pytest_quarry.consumers.outside.group import MARKER, fair_share
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, Poll, Restart, Write


def left_behind() -> list[int]:
    """The living processes of programs of this test process."""
    return marked(f"{MARKER}={os.getpid()}-")


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    """The machine is clean after each of these."""
    yield
    assert not left_behind()
    assert not [name for name in os.listdir("/dev/shm") if f"quarry-{os.getpid()}-" in name]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["no-such-program"],
            "the command 'no-such-program' cannot be run: there is no program 'no-such-program' on the PATH",
        ),
        (["/no/such/poll.sh"], "the command '/no/such/poll.sh' cannot be run: there is no /no/such/poll.sh"),
        (["{disk}"], "is not executable. chmod +x it, or name what runs it"),
    ],
)
def test_a_program_that_is_not_there(argv: list[str], words: str) -> None:
    with pytest.raises(ConsumerError) as found:
        play(Command(argv=argv))
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_a_file_that_may_not_be_executed(tmp_path: Path) -> None:
    script = tmp_path / "poll.sh"
    script.write_text("echo hello")
    with pytest.raises(ConsumerError, match=r"poll.sh is not executable. chmod \+x it, or name what runs it: 'bash "):
        play(Command(argv=[str(script)]))


def test_a_script_that_does_not_say_what_runs_it(tmp_path: Path) -> None:
    script = tmp_path / "poll.sh"
    script.write_text("echo hello")
    script.chmod(0o755)
    with pytest.raises(
        ConsumerError, match=r"Exec format error. Its first line does not say what runs it: begin it with"
    ):
        play(Command(argv=[str(script)]))
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(ConsumerError, match=r"No such file or directory\. Is what its #! line names there\?"):
        play(Command(argv=[str(script)]))


def test_a_working_directory_that_is_not_there() -> None:
    with pytest.raises(ConsumerError, match="its working directory /no/such/folder is not there"):
        play(Command(argv=["true"], cwd="/no/such/folder"))


def test_a_poller_that_fails() -> None:
    history = play(bash("echo before; echo 'no luck' >&2; exit 3"))
    assert texts(history, "raised")[0] == "exit status 3: no luck"
    assert "before" in history.output


def test_a_worker_that_ends_at_once() -> None:
    command = bash("echo 'no queue' >&2; exit 1")
    history = play(command, Write("run-A"), Notify("run-A"), Deliver((1,)), kind="event-bus")
    assert texts(history, "raised")[0] == "exit status 1: no queue"


def test_a_program_killed_by_a_signal() -> None:
    assert texts(play(bash("kill -SEGV $$")), "raised")[0] == "ended by SIGSEGV"


STILL = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"


def test_a_program_that_does_nothing_for_ever() -> None:
    before = time.monotonic()
    history = play(python(f"import os, signal\nos.fork()\n{STILL}"), play=QUICK)
    assert texts(history, "hung") == ["it did nothing the world could see for 1.5 s"]
    assert history.stack.count("signal.pause()") == 2
    assert time.monotonic() - before < 8


def test_a_program_that_is_busy_for_ever() -> None:
    history = play(python("while True: pass"), play=QUICK)
    assert texts(history, "hung") == ["it did nothing the world could see for 1.5 s, and was at work"]


@pytest.mark.parametrize(
    ("spent", "counts"), [(0.0, 0.1), (0.05, 0.2), (0.25, 1.0), (0.9, 1.0)], ids=["starved", "slow", "busy", "threads"]
)
def test_a_program_that_the_machine_does_not_let_run_is_not_accused_soon(spent: float, counts: float) -> None:
    assert fair_share(spent, 0.25) == pytest.approx(counts)


def test_a_timeout_of_its_own() -> None:
    history = play(python(f"import signal\n{STILL}", timeout=0.5))
    assert texts(history, "hung") == ["it did nothing the world could see for 0.5 s"]


def test_a_flood_of_output() -> None:
    history = play(Command(argv=["yes", "more and more"]))
    assert texts(history, "hung") == ["it wrote more than 32 MiB to its output"]


def test_a_disk_that_is_filled() -> None:
    history = play(python("file = open('big', 'wb', 0)\nwhile True: file.write(bytes(1 << 26))"))
    assert texts(history, "hung") == ["it wrote more than 256 MiB to files"]


def test_a_disk_elsewhere_that_is_filled(tmp_path: Path) -> None:
    big = tmp_path / "big"
    history = play(python(f"file = open({str(big)!r}, 'wb')\nfile.truncate(1 << 40)"))
    assert "File too large" in texts(history, "raised")[0]
    assert big.stat().st_size < 1 << 30


def test_output_that_is_no_text() -> None:
    history = play(bash(r"printf 'a\xff\xfeb\n\0'; printf 'what \xc3\x28?\n' >&2; exit 1"))
    assert texts(history, "raised")[0] == r"exit status 1: what \xc3(?"
    assert r"a\xff\xfeb" in history.output


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("tail", ["tail", "-f", "/dev/null"])
    os._exit(0)
os.wait()
"""


def test_a_daemon_left_behind_by_a_poll() -> None:
    history = play(python(DAEMON))
    assert "[quarry] it left 1 process behind: killed" in history.output


def test_many_processes() -> None:
    history = play(bash("for n in 1 2 3 4 5; do tail -f /dev/null & setsid tail -f /dev/null & done; exit 0"))
    assert not texts(history, "raised")


def test_killed_with_all_that_it_started() -> None:
    crash = Crash("open here", 1)
    history = play(bash("tail -f /dev/null & setsid tail -f /dev/null & echo x > here"), Poll(crash))
    assert texts(history, "killed")[0] == "before open here"


WORKER = """
import os, signal, sys, urllib.request
{0}
while True:
    body = b"Action=ReceiveMessage&WaitTimeSeconds=20&Version=2012-11-05"
    urllib.request.urlopen(os.environ["QUEUE"], body).read()
"""


@pytest.mark.parametrize(
    ("heeds", "killed"),
    [
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            ["between two turns, by SIGTERM", "by SIGKILL: it ignored SIGTERM"],
        ),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", ["between two turns, by SIGTERM"]),
        ("", ["between two turns, by SIGTERM"]),
    ],
    ids=["ignored", "heeded", "fatal"],
)
def test_the_stop_signal_of_a_worker(heeds: str, killed: list[str]) -> None:
    command = python(WORKER.format(heeds), environment={"QUEUE": "{queue_url}"})
    steps = (Write("run-A"), Notify("run-A"), Deliver((1,)), Restart(), Deliver((1,)))
    history = play(command, *steps, kind="event-bus")
    assert texts(history, "killed") == killed
    assert not texts(history, "raised")
    assert not texts(history, "hung")


def test_another_stop_signal() -> None:
    heeds = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, lambda *_: sys.exit())"
    command = python(WORKER.format(heeds), environment={"QUEUE": "{queue_url}"}, stop="SIGUSR1")
    history = play(command, Write("run-A"), Notify("run-A"), Deliver((1,)), Restart(), kind="event-bus")
    assert texts(history, "killed") == ["between two turns, by SIGUSR1"]


def test_a_closed_standard_output() -> None:
    history = play(bash("exec 1>&- 2>&-; echo x; exit 4"))
    assert texts(history, "raised")[0] == "exit status 4"


def test_a_program_that_closes_all_it_has() -> None:
    code = "import os; os.closerange(0, 256); open('note', 'w').write('x')"
    assert not texts(play(python(code)), "raised")


def test_the_last_lines_are_in_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        from pytest_quarry import Command, PollerConformance

        class TestPoll(PollerConformance):
            command = Command(argv=[{sys.executable!r}, "-c", "import sys; print('I look'); sys.exit('the disk is gone')"])

            def rows(self, world):
                return []
        """
    )
    result = pytester.runpytest("-k", "test_poll_again", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*exit status 1: the disk is gone*", "*I look*"])
