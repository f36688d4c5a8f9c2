"""Suites that cannot work: one message that names class, hook and remedy; no traceback of the kit; never a pass."""

from __future__ import annotations

import warnings
from fnmatch import fnmatch

import pytest
from orders import BROKEN, SOUND

from pytest_quarry import EventBusConformance

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
HEAD = "import sqlite3\nfrom pytest_quarry import EventBusConformance, PollerConformance, World\n\n"


def run(pytester: pytest.Pytester, source: str, check: str = "restart") -> pytest.RunResult:
    """Run one check of a bad suite; it never passes."""
    pytester.makepyfile(source)
    result = pytester.runpytest(*QUIET, "-k", check)
    assert result.parseoutcomes().get("passed", 0) == 0
    assert result.parseoutcomes().get("failed", 0) == 1
    output = result.stdout.str()
    assert "INTERNALERROR" not in output
    assert "pytest_quarry/" not in output.split("short test summary")[0], "no frame of the kit is shown"
    return result


def suite(body: str) -> str:
    """The sound suite with other hooks."""
    return f"{SOUND}\n{body}"


def messages(pytester: pytest.Pytester, bodies: dict[str, str]) -> dict[str, str]:
    """What pytest shows of one check of many bad suites, each with one hook or attribute of its own; none passes."""
    source = SOUND.replace("class TestOrders(", "class Base(").replace(
        "from pytest_quarry import", "from pytest_quarry import PollerConformance,"
    )
    source += "\n\nclass BasePoller(PollerConformance):\n    def start(self, world): return object()\n"
    for name, body in bodies.items():
        base = "BasePoller" if "poll" in name.lower() else "EventBusConformance" if name == "TestNoStart" else "Base"
        source += f"\n\nclass {name}({base}):\n    {body}\n"
    pytester.makepyfile(source)
    options = ("-k", "Test and (restart or poll_again)")
    reports = pytester.inline_run(*QUIET, *options).getreports("pytest_runtest_logreport")
    shown = {}
    for report in reports:
        if report.when == "call" and "::Test" in report.nodeid:
            assert report.outcome == "failed", report.nodeid
            shown[report.nodeid.split("::")[1]] = report.longreprtext
    return shown


HOOKS = {
    "TestNoStart": (
        "def rows(self, world): return []",
        "TestNoStart has no start(world). Add it: it returns the consumer, at the start and again after every crash.",
    ),
    "TestStartReturnsNone": (
        "def start(self, world): pass",
        "TestStartReturnsNone.start(world) returned None. Return the consumer itself: an object with handle(notification)*",
    ),
    "TestStartReturnsClass": (
        "def start(self, world): return Orders",
        "TestStartReturnsClass.start(world) returned the class Orders itself, which the kit cannot drive. It has: handle*",
    ),
    "TestStartReturnsDict": (
        "def start(self, world): return {'a': 1}",
        "TestStartReturnsDict.start(world) returned a dict, which the kit cannot drive. It has: clear, *",
    ),
    "TestPollerWithoutPoll": (
        "def start(self, world): return object()",
        "TestPollerWithoutPoll.start(world) returned a object, which the kit cannot drive. Return an object with poll().",
    ),
    "TestPrepareRaises": (
        "def prepare(self, world): raise KeyError('settings')",
        "TestPrepareRaises.prepare(world) raised KeyError: 'settings'. It runs once per world, before the first start*",
    ),
    "TestDataIsList": (
        "def item_data(self, n): return [n]",
        "TestDataIsList.item_data(0) returned list. Return the item's data as a mapping*",
    ),
    "TestDataRaises": (
        "def item_data(self, n): raise KeyError('price')",
        "TestDataRaises.item_data(0) raised KeyError: 'price'*",
    ),
    "TestDataIsNoJson": (
        "def item_data(self, n): return {'price': {1, 2}}",
        "TestDataIsNoJson.item_data(0)*price*set has no JSON form*",
    ),
    "TestKeyRaises": (
        "def item_key(self, event): return event.data['ean']",
        "TestKeyRaises.item_key(event) raised KeyError: 'ean'. It gets an item event with event_id, seq, payload and data*",
    ),
    "TestExpectedRaises": (
        "def expected(self, run): return run.orders",
        "TestExpectedRaises.expected(run) raised AttributeError: *",
    ),
    "TestExpectedIsNumber": (
        "def expected(self, run): return 5",
        "TestExpectedIsNumber.expected(run) raised TypeError: 'int' object is not iterable*",
    ),
    "TestReplacesTakesOne": (
        "def replaces(self, run): return False",
        "TestReplacesTakesOne.replaces(run, other) raised TypeError: *",
    ),
    "TestRowsAreNone": (
        "def rows(self, world): pass",
        "TestRowsAreNone.rows(world) returned NoneType, which is not a list of rows. Return every row of the target*",
    ),
    "TestRowsAreTuples": (
        "def rows(self, world): yield ('run-A', 1)",
        "TestRowsAreTuples.rows(world) yielded ('run-A', 1) as row 1, which is not a mapping. Yield mappings with run_id*",
    ),
    "TestRowsNameNoRun": (
        "def rows(self, world): return [{'run': 'run-A', 'item': 1}]",
        "TestRowsNameNoRun.rows(world) yielded row 1 without run_id: it has run, item. Name the run each row belongs to*",
    ),
    "TestRowsOfNoRun": (
        "def rows(self, world): return [{'run_id': None}]",
        "TestRowsOfNoRun.rows(world) yielded row 1 without run_id*",
    ),
    "TestRowsRaise": (
        "def rows(self, world): raise LookupError('no such table')",
        "TestRowsRaise.rows(world) raised LookupError: no such table (test_*.py:*). It must read what the target holds whenever it is*",
    ),
    "TestRowsRaiseLate": (
        "def rows(self, world):\n        yield {'run_id': 'run-A'}\n        raise LookupError('gone')",
        "TestRowsRaiseLate.rows(world) raised LookupError: gone (test_*.py:*). It must read*",
    ),
    "TestHandleTakesNothing": (
        "def start(self, world):\n        class Mine:\n            def handle(self): pass\n        return Mine()",
        "TestHandleTakesNothing: handle() cannot be called as handle(notification): too many positional arguments. Return*",
    ),
    "TestFunctionTakesThree": (
        "def start(self, world): return lambda a, b, c: None",
        "TestFunctionTakesThree: consumer(a, b, c) cannot be called as consumer(event, context): missing a required*",
    ),
    "TestPollTakesArgument": (
        "def start(self, world):\n        class Mine:\n            def poll(self, root): pass\n        return Mine()",
        "TestPollTakesArgument: poll(root) cannot be called as poll(): missing a required argument: 'root'. Return an*",
    ),
    "TestHandleIsGenerator": (
        "def start(self, world):\n        def handle(n): yield n\n        return handle",
        "TestHandleIsGenerator has a turn that is a generator: *handle contains `yield`, so calling it ran nothing of it*",
    ),
    "TestHandleIsAsyncGenerator": (
        "def start(self, world):\n        async def handle(n): yield n\n        return handle",
        "TestHandleIsAsyncGenerator has a turn that is a generator: *",
    ),
    "TestRowsTakeNoWorld": (
        "def rows(self): return []",
        "TestRowsTakeNoWorld.rows(world) raised TypeError: *",
    ),
}


def test_hooks_that_cannot_work(pytester: pytest.Pytester) -> None:
    """One message and nothing else: class, hook, what was wrong, what to do."""
    shown = messages(pytester, {name: body for name, (body, _) in HOOKS.items()})
    for name, (_, words) in HOOKS.items():
        pytest.LineMatcher(shown[name].splitlines()).fnmatch_lines(["* cannot be checked", words], consecutive=True)
        assert len(shown[name].splitlines()) == 2


ATTRIBUTES = {
    'sources = "shop"': "sources is 'shop'; it must be a tuple of strings of valid Unicode, at least one.",
    "sources = ()": "sources is (); it must be a tuple of strings of valid Unicode, at least one.",
    "sources = (1,)": "sources is (1,); it must be a tuple of strings of valid Unicode, at least one.",
    'categories = "products"': "categories is 'products'; it must be a tuple of strings of valid Unicode, at least one.",
    r'sources = ("a\udc80",)': r"sources is ('a\udc80',); it must be a tuple of strings of valid Unicode, at least one.",
    r'categories = ["ok", "\ud800"]': "categories is *; it must be a tuple of strings of valid Unicode, at least one.",
    'layout = "hive"': 'layout is \'hive\'; it must be "lode" or "flat".',
    'failed_runs = "maybe"': 'failed_runs is \'maybe\'; it must be "skip" or "load".',
    "workers = 0": "workers is 0; it must be a whole number, at least 1.",
    "workers = True": "workers is True; it must be a whole number, at least 1.",
    'workers = "2"': "workers is '2'; it must be a whole number, at least 1.",
    'reconciles = "yes"': "reconciles is 'yes'; it must be True or False.",
    'ignored_servers = "127.0.0.1:1"': "ignored_servers is '127.0.0.1:1'; it must be a tuple of addresses like \"127.0.0.1:8126\", "
    "where * stands for anything.",
    "ignored_servers = (8126,)": "ignored_servers is (8126,); it must be a tuple of addresses*",
    "ignores_server_clock = None": "ignores_server_clock is None; it must be True or False.",
    "durable_inbox = 'disk'": "durable_inbox is 'disk'; it must be True or False.",
    "raw_delivery = 1": "raw_delivery is 1; it must be True or False.",
    'known_failures = {"EB99": "x"}': "known_failures names 'EB99', which is no check. The checks of this suite are EB01, *",
    'known_failures = {"PO01": "x"}': "known_failures names 'PO01', which is a check for other consumers. The checks of this suite are EB01, *",
    'known_failures = {"EB05": ""}': "known_failures[[]'EB05'] is ''; give the reason in words.",
    'known_failures = {"EB05": None}': "known_failures[[]'EB05'] is None; give the reason in words.",
    'kind = "list"': "kind hides what every suite has under that name. Call it something else, my_kind for one; *",
    'consumer = "Atomic"': "consumer hides what every suite has under that name. Call it something else, my_consumer for one; *",
    "known_failures = None": "known_failures is None; it must be a mapping like *",
    "known_failures = 5": "known_failures is 5; it must be a mapping like *",
    'known_failures = ["EB05"]': "known_failures is [[]'EB05']; it must be a mapping like *",
}


def test_declarations_of_the_wrong_type(pytester: pytest.Pytester) -> None:
    names = {f"TestBad{number}": line for number, line in enumerate(ATTRIBUTES)}
    shown = messages(pytester, names)
    for name, line in names.items():
        assert fnmatch(shown[name].splitlines()[1], f"{name}.{ATTRIBUTES[line]}"), shown[name]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("worker = 1", "workers"),
        ('source = ("shop",)', "sources"),
        ("reconcile = True", "reconciles"),
        ('known_failure = {"EB02": "ticket 7"}', "known_failures"),
        ("def item_keys(self, event): return 1", "item_key"),
        ("worker = dict", None),
        ('row = "id"', None),
        ("_worker = 1", None),
        ("helper = 1", None),
    ],
)
def test_names_that_are_nearly_right(line: str, meant: str | None) -> None:
    """A warning, no error: a class may have attributes of its own."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        exec(f"class TestOrders(EventBusConformance):\n    {line}", {"EventBusConformance": EventBusConformance})
    name = line.removeprefix("def ").split("(" if "def" in line else " ")[0]
    words = (
        f"TestOrders.{name} is nothing that pytest-quarry looks at. Did you mean {meant}? Begin the name with an "
        "underscore where it is your own."
    )
    assert [str(each.message) for each in given] == ([words] if meant else [])
    assert {each.filename for each in given} <= {"<string>"}, "it points at the class"


ROWS = """\
    def rows(self, world):
        found = sqlite3.connect(world.disk / "orders.sqlite").execute("SELECT run_id, item, rowid FROM orders")
        return [{} for run, item, number in found]
"""

# Its child waits until the rows are asked for inside the consumer's process.
FORKS = f"""{SOUND}
class TestForks(TestOrders):
    loads = None

    def start(self, world):
        import os
        self.loads = world.disk / "loads"
        def handle(notification):
            if os.fork() == 0:
                while not self.loads.exists(): pass
                Orders(world).handle(notification)
                os._exit(0)
        return handle

    def rows(self, world):
        found = super().rows(world)
        while self.loads is not None and not found:
            self.loads.touch()
            found = super().rows(world)
        return found

del TestOrders
"""

IDLE = {
    "rows reads the memory of the test": (
        f"{HEAD}LOADED = []\n\nclass TestBad(EventBusConformance):\n"
        "    def start(self, world):\n"
        "        return lambda notification: LOADED.append({'run_id': notification['run_id']})\n"
        "    def rows(self, world): return LOADED\n",
        [
            "The consumer did nothing where something was due*",
            "Inside the consumer's process TestBad.rows(world) returns 1 rows, outside it none: it reads the memory of*",
        ],
    ),
    "a child process loads when the turn is over": (
        FORKS,
        [
            "The consumer did nothing*",
            "The rows came when the turn was over: rows(world) returned none then, and 3 a moment later, *",
        ],
    ),
    "start raises": (
        suite("    def start(self, world): raise OSError('no database')"),
        ["The consumer did nothing*", "TestOrders.start(world) raised OSError: no database, each time.*"],
    ),
    "it always raises": (
        suite("    def start(self, world):\n        def handle(n): raise KeyError('run')\n        return handle"),
        ["The consumer did nothing*", "It raised KeyError: 'run', each time.*"],
    ),
    "it does nothing": (
        suite("    def start(self, world): return lambda notification: None"),
        ["The consumer did nothing*", "It changed nothing in its turns: no file under world.disk, no database there*"],
    ),
    "it hangs": (
        suite(
            "    def start(self, world):\n        def handle(n):\n            while True: pass\n        return handle"
        ),
        [
            "*",
            "It did not come back: it did nothing the world could see for 0.5 s, and was at work. If it is only slow*",
        ],
    ),
    "it ends its process": (
        suite("    def start(self, world):\n        import os\n        return lambda notification: os._exit(3)"),
        [
            "The consumer did nothing*",
            "*ended its own process, with status 3*",
            "It ended its own process, with status 3, each time: *",
        ],
    ),
    "it looks for the records of a Lambda event": (
        suite("    def start(self, world): return lambda *arguments: arguments[0]['Records']"),
        [
            "The consumer did nothing*",
            "It raised KeyError: 'Records', each time: it looks for the records of a Lambda event*",
        ],
    ),
    "rows names items as the suite does not": (
        suite(ROWS.format("{'run_id': run, 'item': f'sku-{number}'}")),
        [
            "Rows and suite name items differently, so nothing can be compared: TestOrders.rows(world) calls them 'sku-1'*",
            "item_key(event) to return what rows has*",
        ],
    ),
    "item_key gives one name to all items": (
        suite("    def item_key(self, event): return event.data.get('typo')"),
        [
            "Rows and suite name items differently, so nothing can be compared: TestOrders.rows(world) calls them 'ev-*",
            "*TestOrders.item_key(event) 'None'.",
        ],
    ),
    "expected says of a run that it is not to be loaded": (
        suite("    def expected(self, run): [self.item_key(event) for event in run.items]"),
        [
            "Nothing was due where something should be: TestOrders.expected(run) returned None for run-A, a*",
            "*Is the return missing?",
        ],
    ),
    "expected names no items": (
        suite("    def expected(self, run): return []\n    def rows(self, world): return []"),
        ["Nothing was due where something should be: TestOrders.expected(run) returned no keys for run-A*"],
    ),
    "the filter policy holds everything back": (
        suite("    filter_policy = {'source': ['another']}"),
        [
            "Nothing was due where something should be: TestOrders.filter_policy held the notification of run-A back*",
            "*Declare sources and categories of which the*",
        ],
    ),
    "rows names runs as Quarry does not": (
        suite(ROWS.format("{'run_id': number, 'item': item}")),
        [
            "The rows are of no run that exists: TestOrders.rows(world) names '1', '2', '3'; what was loaded*",
            "is 'run-A'.",
        ],
    ),
    "it never commits": (
        SOUND.replace("with self.database:", "if True:"),
        [
            "The consumer did nothing*",
            "It wrote to orders.sqlite and never committed, so that SQLite took it back. Call connection.commit(), or*",
        ],
    ),
    "rows reads something else": (
        suite("    def rows(self, world): return []"),
        ["The consumer did nothing*", "It did change things, but TestOrders.rows(world) returned no rows.*"],
    ),
}


@pytest.mark.parametrize(("source", "lines"), IDLE.values(), ids=IDLE)
def test_a_consumer_that_does_nothing_is_no_proof(pytester: pytest.Pytester, source: str, lines: list[str]) -> None:
    pytester.makeini("[pytest]\nquarry_guard = 0.5")
    result = run(pytester, source)
    result.stdout.fnmatch_lines(["EB03 restart *inconclusive", *lines])


HANGS_AGAIN = """
    def start(self, world):
        import ctypes, threading
        orders = Orders(world)
        begun = world.disk / "begun"
        again = begun.exists()
        def handle(notification):
            begun.touch()
            while again and not {ends}: pass
            orders.handle(notification)
        return handle
"""


@pytest.mark.parametrize(
    "ends",
    ["(lambda: False)()", "ctypes.CDLL(None).usleep(900_000) == 0"],
    ids=["computes", "waits-in-c"],
)
def test_who_may_only_be_slow_after_a_disturbance_is_not_accused(pytester: pytest.Pytester, ends: str) -> None:
    pytester.makeini("[pytest]\nquarry_guard = 0.5")
    result = run(pytester, suite(HANGS_AGAIN.format(ends=ends)), "crash_loses")
    result.stdout.fnmatch_lines(
        [
            "EB04 crash-loses-nothing *inconclusive",
            "The consumer did not come back: it did nothing the world could see for 0.5 s*",
            "*may be no fault of its own. If it*",
        ]
    )


def test_who_deadlocks_by_itself_after_a_disturbance_is_accused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nquarry_guard = 0.5")
    ends = "(lambda lock: lock.acquire() and lock.acquire())(threading.Lock())"
    result = run(pytester, suite(HANGS_AGAIN.format(ends=ends)), "crash_loses")
    result.stdout.fnmatch_lines(
        [
            "EB04 crash-loses-nothing *critical",
            "*lost*",
            "At step * it did not come back: it did nothing the world could see for 0.5 s. It was ended*",
            "no further turn. If it is only slow, give it more*",
        ]
    )
    assert "every turn it was owed" not in result.stdout.str()


def test_a_clock_that_freezegun_holds_is_refused(pytester: pytest.Pytester) -> None:
    pytest.importorskip("freezegun")
    frozen = (
        "    @pytest.fixture(autouse=True)\n"
        "    def frozen(self):\n"
        "        from freezegun import freeze_time\n"
        "        with freeze_time('2026-01-01'):\n"
        "            yield\n"
    )
    result = run(pytester, f"import pytest\n{suite(frozen)}")
    result.stdout.fnmatch_lines(
        ["TestOrders runs while freezegun's freeze_time is active. A consumer's clock is its world's*"]
    )


FAKE = """    @pytest.fixture(autouse=True)
    def faked(self, fs):
        {ready}
"""


@pytest.mark.parametrize(("ready", "refused"), [("", True), ("fs.pause()", False)])
def test_the_disk_of_pyfakefs_is_refused(pytester: pytest.Pytester, ready: str, refused: bool) -> None:
    pytest.importorskip("pyfakefs")
    source = f"import pytest\n{SOUND}\n{FAKE.format(ready=ready or 'pass')}"
    pytester.makepyfile(test_orders=source)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "pyfakefs.pytest_plugin", "-k", "redelivery")
    result.assert_outcomes(failed=int(refused), passed=int(not refused))
    if refused:
        result.stdout.fnmatch_lines(
            ["TestOrders runs while pyfakefs's file system is active. A consumer's files are on its world's disk*"]
        )
    assert "Traceback" not in result.stdout.str()


def test_a_consumer_that_is_not_deterministic_is_no_proof(pytester: pytest.Pytester) -> None:
    source = SOUND.replace(
        "        run_id = notification",
        "        open(OUTSIDE, 'a').write('x')\n"
        "        (self.root.parent / 'disk' / 'count').write_text(open(OUTSIDE).read())\n        run_id = notification",
    )
    result = run(pytester, f"OUTSIDE = {str(pytester.path / 'outside')!r}\n{source}")
    result.stdout.fnmatch_lines(
        [
            "The consumer is not deterministic: two executions of one schedule differ.",
            "They differ at step 6: “crossed write count” is of 1 bytes in one, of 2 in the other.*",
        ]
    )


def test_durable_state_the_kit_cannot_see_is_no_proof(pytester: pytest.Pytester) -> None:
    source = SOUND.replace(
        "        run_id = notification",
        "        import mmap\n"
        "        path = self.root.parent / 'disk' / 'unseen'\n"
        "        path.exists() and path.stat().st_size or path.write_bytes(bytes(4096))\n"
        "        with open(path, 'r+b') as file, mmap.mmap(file.fileno(), 4096) as view:\n"
        "            (path.parent / 'other').touch()\n"
        "            view[0] += 1\n"
        "        run_id = notification",
    )
    result = run(pytester, source, "crash_loses")
    result.stdout.fnmatch_lines(["disk/unseen changed, and no operation the kit can see explains it*"])


def test_a_target_that_is_out_of_sight_is_no_proof(pytester: pytest.Pytester) -> None:
    (pytester.path / "elsewhere").mkdir()
    source = BROKEN.replace("world.disk", "ELSEWHERE").replace(
        "def prepare(self, world):\n",
        "def prepare(self, world):\n        (ELSEWHERE / 'orders.sqlite').unlink(missing_ok=True)\n",
    )
    place = f"from pathlib import Path\nELSEWHERE = Path({str(pytester.path / 'elsewhere')!r})\n"
    result = run(pytester, place + source, "crash_duplicates")
    result.stdout.fnmatch_lines(
        [
            "The target is out of sight: 3 rows came, and the consumer did nothing that the kit saw.",
            "It was killed nowhere within its turns*",
        ]
    )


MARKS_FIRST = """
import json
from pathlib import Path
from pytest_quarry import EventBusConformance

ELSEWHERE = Path(__file__).parent / "elsewhere"

class TestMarksFirst(EventBusConformance):
    workers = 1
    ignored_servers = ("127.0.0.1:8126",)

    def prepare(self, world):
        ELSEWHERE.mkdir(exist_ok=True)
        for file in ELSEWHERE.iterdir():
            file.unlink()

    def start(self, world):
        def handle(notification):
            if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
                return
            mark = world.disk / notification["run_id"]
            if mark.exists():
                return
            mark.touch()
            (ELSEWHERE / mark.name).write_text(json.dumps({"run_id": notification["run_id"]}))
        return handle

    def rows(self, world):
        return [json.loads(file.read_text()) for file in sorted(ELSEWHERE.iterdir())]
"""


def test_nor_is_one_of_which_only_the_marks_are_in_sight(pytester: pytest.Pytester) -> None:
    result = run(pytester, MARKS_FIRST, "crash_loses")
    result.stdout.fnmatch_lines(
        [
            "The target is out of sight: 1 row came, and is there when the world is gone.",
            "What brings them is not seen*they came by step*",
        ]
    )


GOOD = {
    "a generator": "    def rows(self, world):\n        yield from [dict(row) for row in super().rows(world)]",
    "more columns": "    def rows(self, world): return [{**dict(row), 'price': 1} for row in super().rows(world)]",
    "no items": "    def rows(self, world): return [{'run_id': row} for row in {r['run_id'] for r in super().rows(world)}]",
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_what_rows_may_return(pytester: pytest.Pytester, body: str) -> None:
    pytester.makepyfile(f"{SOUND}\n\nclass TestMine(TestOrders):\n{body}\n")
    pytester.runpytest(*QUIET, "-k", "TestMine and restart").assert_outcomes(passed=1)


def test_rows_of_runs_that_do_not_exist_are_told(pytester: pytest.Pytester) -> None:
    ghost = "[*super().rows(world), {'run_id': 'a ghost', 'item': 1}]"
    pytester.makepyfile(f"{SOUND}\n\nclass TestMine(TestOrders):\n    def rows(self, world): return {ghost}\n")
    result = pytester.runpytest(*QUIET, "-k", "TestMine and envelope_variants")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a ghost*"])


WRITTEN_BY_A_PROGRAM = SOUND.replace(
    "        run_id = notification",
    "        import subprocess\n"
    "        mark = self.root.parent / 'disk' / notification['run_id']\n"
    "        if mark.exists(): return\n"
    "        subprocess.run(['sh', '-c', 'echo done > $0', mark], check=True)\n"
    "        run_id = notification",
)


def test_what_a_program_writes_is_seen_by_every_item_and_replayed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRITTEN_BY_A_PROGRAM)
    pytester.runpytest(*QUIET, "-k", "test_fuzz").stdout.fnmatch_lines(["FUZZ fuzz *critical", "run-* was lost*"])
    run(pytester, WRITTEN_BY_A_PROGRAM, "crash_loses").stdout.fnmatch_lines(
        ["EB04 crash-loses-nothing*", "*open run-A*", "*KILLED*before write run-A*"]
    )
    (saved,) = (pytester.path / ".quarry").glob("EB04-*.json")
    pytester.runpytest(*QUIET, f"--quarry-replay={saved}").stdout.fnmatch_lines(["*.json: still failing"])
    inline = pytester.runpytest_subprocess(*QUIET, f"--quarry-replay={saved}", "--quarry-inline")
    inline.stdout.fnmatch_lines(["*.json: drifted"])
    assert "without --quarry-inline" in inline.stdout.str()
