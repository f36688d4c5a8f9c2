"""The time a program has: the world's, however it asks; where that cannot be, what needs it is skipped and said."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from programs import bash, first_turn, once_in_bash, play, python, texts

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.kernel import tracing
from pytest_quarry.consumers.outside.clock import WITHOUT
from pytest_quarry.samples.programs import PythonPollerLooksBackSuite
from pytest_quarry.simulation.schedule import Poll, Wait

NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
STATIC = """
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
int main(void) {
    struct timespec now; struct timeval also; time_t whole = time(NULL);
    clock_gettime(CLOCK_REALTIME, &now); gettimeofday(&also, NULL);
    unsigned char *luck = (unsigned char *)getauxval(AT_RANDOM);
    printf("%ld %ld %ld ", (long)now.tv_sec, (long)also.tv_sec, (long)whole);
    for (int i = 0; i < 16; i++) printf("%02x", luck[i]);
    printf("\\n");
}
"""


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program without a dynamic linker, as Go makes them: it prints the time in three ways, and its random bytes."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, cc")
    folder = tmp_path_factory.mktemp("static")
    (folder / "look.c").write_text(STATIC)
    made = subprocess.run(
        [compiler, "-static", "-o", folder / "look", folder / "look.c"], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"cc makes no static programs here: {made.stderr[-200:]}")
    return str(folder / "look")


def once(code: str) -> str:
    """Python code that does something in the first turn only, for what takes real time."""
    return f"import os\nif os.path.exists('once'): raise SystemExit\nopen('once', 'w').close()\n{code}"


class TestOfTheWorld:
    def test_it_is_the_worlds(self) -> None:
        history = play(bash("date -u +%FT%H"), Poll(), Wait(3 * 86_400), Poll())
        assert history.output.split()[:2] == ["2026-02-02T08", "2026-02-05T08"]
        assert history.not_exercised == ()

    def test_for_all_that_it_starts(self) -> None:
        code = (
            f"""{python("").words[0]} -c 'import datetime; print(datetime.date.today())'; (date +%F); date +%F | cat"""
        )
        assert play(bash(code)).output.split()[:3] == ["2026-02-02"] * 3

    @NODE
    def test_in_node(self) -> None:
        assert play(bash("node -p 'new Date().toISOString()'")).output.startswith("2026-02-02T08")

    def test_in_a_program_that_is_linked_statically(self, static: str) -> None:
        history = play(bash(static), Poll(), Wait(86_400), Poll())
        first, second = ([int(each) for each in line.split()[:3]] for line in history.output.splitlines()[:2])
        assert len(set(first)) == 1
        assert second[0] - first[0] in (86_400, 86_401)
        assert history.not_exercised == ()

    def test_files_are_dated_by_the_world(self) -> None:
        history = play(bash("[ -e a ] && date -u -r a +%FT%H; touch a"), Poll(), Wait(7200), Poll())
        assert history.output.split()[0] == "2026-02-02T08"

    def test_after_a_chain_of_programs(self) -> None:
        """Each is held before its first instruction, which whoever waits for the program must not take for its end."""
        chain = '[ "$1" = 0 ] && exec date +%F; exec bash -c "$2" bash $(($1 - 1)) "$2"'
        history = play(bash(chain, "30", chain))
        assert set(history.output.split()) == {"2026-02-02"}
        assert texts(history, "raised") == []

    def test_a_program_that_cannot_be_started_is_none_of_its_business(self) -> None:
        history = play(bash("printf '\\177ELF' > bad; chmod +x bad; ./bad 2> /dev/null; ./none 2> /dev/null; date +%F"))
        assert set(history.output.split()) == {"2026-02-02"}
        assert history.not_exercised == ()


class TestHowItGoesOn:
    def test_the_same_in_each_execution(self) -> None:
        code = (
            "import time, datetime; open('a', 'w').close(); print(time.time_ns(), datetime.datetime.now(), time.time())"
        )
        assert play(python(code)).output == play(python(code)).output

    def test_no_two_readings_are_equal(self) -> None:
        """Names are made of them."""
        before, after = map(int, play(python("import time; print(time.time_ns(), time.time_ns())")).output.split()[:2])
        assert after - before == 1_000

    def test_nor_in_milliseconds_where_something_happened_between(self) -> None:
        code = "import time; a = time.time_ns(); open('a', 'w').close(); print(a // 10**6, time.time_ns() // 10**6)"
        before, after = map(int, play(python(code)).output.split()[:2])
        assert after > before

    def test_it_never_goes_back(self) -> None:
        code = "import time\nfor n in range(8): open('a', 'w').close()\nprint(time.time_ns())"
        said = list(map(int, play(python(code), Poll(), Poll(), Poll()).output.split()))
        assert said == sorted(set(said))

    @pytest.mark.parametrize(
        ("waiting", "sleeps"),
        [("pass", 0), ("held.acquire(timeout=0.05)", 0), ("select.select([], [], [], 0.05)", 8)],
    )
    def test_a_loop_with_a_deadline_ends(self, waiting: str, sleeps: int) -> None:
        """Whether its waits are seen, as those for no file at all are, or not."""
        code = (
            f"import time, select, threading\nheld = threading.Lock()\nheld.acquire()\nend = time.time() + 0.4\n"
            f"while time.time() < end: {waiting}\nopen('a', 'w').close()"
        )
        assert first_turn(play(python(once(code)))) == ["open once", *["sleep"] * sleeps, "open a"]

    @NODE
    def test_a_timer_takes_real_time_and_whole_seconds_of_it_count(self) -> None:
        code = "const a = Date.now(); setTimeout(() => console.log(Date.now() - a), 1200)"
        history = play(bash('[ -e once ] && exit; touch once; node -e "$1"', code))
        assert int(history.output) // 1000 == 1

    def test_being_busy_takes_none(self) -> None:
        code = "import time\na = time.time(); b = time.monotonic()\nwhile time.monotonic() < b + 1.2: pass\nprint(time.time() - a < 0.1)"
        assert play(python(once(code))).output == "True\n"

    def test_a_wait_up_to_a_moment_lasts_until_then(self) -> None:
        """sem_timedwait(3) and pthread_cond_timedwait(3) wait by the wall clock, which is the kernel's to them."""
        code = """
import ctypes, struct, time
libc = ctypes.CDLL(None, use_errno=True)
semaphore = ctypes.create_string_buffer(32)
libc.sem_init(semaphore, 0, 0)
until = time.time() + 0.3
began = time.monotonic()
assert libc.sem_timedwait(semaphore, struct.pack("qq", int(until), int(until % 1 * 1e9))) == -1
print(ctypes.get_errno(), 0.2 < time.monotonic() - began < 2)
"""
        assert play(python(once(code))).output == "110 True\n"  # ETIMEDOUT


class TestSleeps:
    def test_take_the_worlds_time_only(self) -> None:
        history = play(bash("date +%s; sleep 3600; date +%s"))
        assert history.entries[-1].time > 3600
        assert "sleep" in texts(history, "crossed")
        before, after = map(int, history.output.split()[:2])
        assert after - before == 3600

    @pytest.mark.parametrize("seconds", [0.5, 2, 90])
    def test_of_python(self, seconds: float) -> None:
        """Which since 3.11 sleeps up to a moment of the monotonic clock."""
        history = play(python(f"import time; a = time.time(); time.sleep({seconds}); print(round(time.time() - a, 1))"))
        assert set(map(float, history.output.split())) == {seconds}
        assert first_turn(history) == ["sleep"]

    def test_up_to_a_moment_of_the_wall_clock(self) -> None:
        code = """
import ctypes, struct, time
until = time.time() + 30
ctypes.CDLL(None).clock_nanosleep(0, 1, struct.pack("qq", int(until), int(until % 1 * 1e9)), None)
print(round(time.time() - until, 1))
"""
        history = play(python(code))
        assert set(history.output.split()) == {"0.0"}
        assert first_turn(history) == ["sleep"]

    @pytest.mark.parametrize("seconds", [0.1, 1, 30])
    def test_who_looks_for_a_program_that_it_started_finds_the_same_each_time(self, seconds: float) -> None:
        """A program takes real time, and a sleep none: it would sleep another number of times each time."""
        slow = f"{sys.executable} -c 'import decimal, email.message, json, sqlite3'"
        job = f"{slow} & while kill -0 $! 2> /dev/null; do sleep {seconds}; done"
        assert first_turn(play(bash(once_in_bash(job)))) == ["open once", "sleep"]

    def test_of_several_programs_are_at_one_time(self) -> None:
        job = "sleep 5 & sleep 2; date +%s; wait; date +%s"
        history = play(bash(once_in_bash(f"date +%s; {job}")))
        first, second, third = map(int, history.output.split())
        assert (second - first, third - second) == (2, 3)
        assert first_turn(history) == ["open once", "sleep", "sleep"]

    def test_nobody_waits_for_a_sleeper_that_was_killed(self) -> None:
        job = "sleep 5000 & sleep 2; kill $!; date +%s"
        history = play(bash(once_in_bash(f"date +%s; {job}; sleep 1")))
        before, after = map(int, history.output.split())
        assert after - before == 2
        assert first_turn(history) == ["open once", "sleep", "sleep"]


class TestLuck:
    def test_the_bytes_that_the_kernel_leaves_are_the_same_each_time(self, static: str) -> None:
        """Go takes all its randomness from them but that of crypto/rand."""
        code = bash(f"{static}; {static}")
        said = [line.split()[3] for line in play(code, Poll(), Poll()).output.splitlines()]
        assert len(set(said)) == len(said) >= 4
        assert [line.split()[3] for line in play(code, Poll(), Poll()).output.splitlines()] == said

    def test_numbers_made_up_for_a_file_are_not_told(self) -> None:
        """They would be others the next time, in a language whose randomness is not the kernel's."""
        code = """
import os, uuid
number = int(open("/proc/sys/kernel/random/uuid").read().replace("-", ""), 16) % 10**9 + 10**9
os.close(os.open(f"part-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
os.rename(f"part-{number}", "whole")
os.close(os.open("20260131", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
"""
        assert first_turn(play(python(code))) == ["open part-RANDOM", "rename part-RANDOM → whole", "open 20260131"]

    @pytest.mark.parametrize(
        ("call", "template", "expected"),
        [
            ("mkstemp(name)", "partXXXXXX", ["open RANDOM", "rename RANDOM → whole"]),
            ("mkstemps(name, 4)", "part-XXXXXX.tmp", ["open RANDOM", "rename RANDOM → RANDOM.jsonl"]),
            ("mkdtemp(name)", ".XXXXXX", ["mkdir RANDOM", "rename RANDOM → whole"]),
        ],
    )
    def test_nor_are_names_that_the_c_library_makes_up(self, call: str, template: str, expected: list[str]) -> None:
        """It takes them from an address and the clock, and not from random bytes."""
        becomes = "whole" if "→ whole" in expected[1] else "{stem}.jsonl"
        code = f"""
import ctypes, os
name = ctypes.create_string_buffer(b"{template}")
ctypes.CDLL(None).{call}
made = os.fsdecode(name.value)
stem = made.removesuffix(".tmp")
os.rename(made, f"{becomes}")
"""
        assert first_turn(play(python(code))) == expected

    def test_nor_are_those_of_shell_scripts_and_what_the_next_turn_removes(self) -> None:
        code = """
shopt -s nullglob
rm -f .rows.*
ln -s a current || ln -sf b current
t=$(mktemp .rows.XXXXXXXXXX)
echo x > "$t.sorted"
mv "$t.sorted" rows
"""
        history = play(bash(code), Poll(), Poll())
        made = ["open RANDOM", "open RANDOM.sorted", "write RANDOM.sorted", "rename RANDOM.sorted → rows"]
        again = [
            "unlink RANDOM",
            "symlink current",
            "symlink current",
            "symlink RANDOM",
            "rename RANDOM → current",
            *made,
        ]
        assert texts(history, "crossed")[: 1 + len(made) + len(again)] == ["symlink current", *made, *again]

    def test_names_of_fixed_words_are_told(self) -> None:
        code = """
import os
os.close(os.open("claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
os.mkdir("Customer")
os.symlink("claim", "Customers")
"""
        assert first_turn(play(python(code))) == ["open claim", "mkdir Customer", "symlink Customers"]

    def test_nor_are_random_uuids(self) -> None:
        """Java draws them from /dev/random."""
        code = """
import os, urllib.request
made_up = open("/proc/sys/kernel/random/uuid").read().strip()
os.mkdir(f"part-{made_up}")
put = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/quarry-storage/{made_up}", b"x", method="PUT")
urllib.request.urlopen(put)
os.mkdir("9b2b2f0e-1c1d-11ef-9262-0242ac120002")
"""
        expected = [
            "mkdir part-RANDOM",
            "s3.PutObject quarry-storage/RANDOM",
            "mkdir 9b2b2f0e-1c1d-11ef-9262-0242ac120002",
        ]
        assert first_turn(play(python(code))) == expected


class TestWithout:
    """Where ptrace is not allowed."""

    @pytest.fixture(autouse=True)
    def refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tracing, "_ptrace", lambda *arguments: -1)

    def test_it_is_said(self) -> None:
        assert play(bash("echo > a")).not_exercised == (WITHOUT,)

    def test_checks_that_need_it_are_skipped(self) -> None:
        conductor = Conductor(PythonPollerLooksBackSuite().consumer())
        # It looks back from real time, and finds nothing: that is said before the clock is.
        result = conductor.conduct(BY_ID["PO05"])
        assert result.status in ("skipped", "inconclusive")
        assert WITHOUT in result.not_exercised


def test_a_program_that_a_second_thread_starts_has_real_time_and_that_is_said() -> None:
    code = """
import os, threading
threading.Thread(target=os.execvp, args=("date", ["date", "+%F"])).start()
threading.Event().wait(5)
"""
    assert play(python(code)).not_exercised == (WITHOUT,)
