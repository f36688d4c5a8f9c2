"""pytest's hooks: options, ini keys, the marker, the list of checks, replay. Imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_quarry import marking, shards

if TYPE_CHECKING:
    from pytest_quarry.bus.bus import Bus
    from pytest_quarry.bus.topology import Topology
    from pytest_quarry.duplicates import Duplicates
    from pytest_quarry.simulation.aws_of_test import AwsOfTest
    from pytest_quarry.simulation.world_of_test import WorldOfTest
    from pytest_quarry.storage import Storage, VirtualClock


PROFILES = ("core", "full", "fuzz")
# What xdist's workers begin with, in this order: two workers at once, a third of a suite and more; many runs; large files; as many
# schedules as are drawn.
LONGEST = ("EB02", "PO09", "EB01", "PO10", "PO12", "RD07", "FUZZ")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("quarry", "conformance of Quarry consumers")
    group.addoption(
        "--quarry-list",
        action="store_true",
        help="list the checks with their ids and exit",
    )
    group.addoption(
        "--quarry-replay",
        metavar="FILE",
        help="execute exactly the schedule saved in FILE, and say whether it still fails",
    )
    group.addoption(
        "--quarry-inline",
        action="store_true",
        help="with --quarry-replay, for a debugger: one start of the consumer is played by the test's own process, without "
        "isolation, until it is killed",
    )
    group.addoption(
        "--quarry-inline-start",
        type=int,
        default=1,
        metavar="N",
        help="which of the consumer's starts --quarry-inline is about (default 1, the first)",
    )
    group.addoption(
        "--quarry-seed",
        type=int,
        metavar="N",
        help="seed for run ids, for the consumer's randomness and for quarry_duplicates (default 0); given, also for what "
        "test_fuzz draws, which is else new each time",
    )
    group.addoption(
        "--quarry-profile",
        choices=PROFILES,
        default="full",
        help="which checks run: core (the critical ones), fuzz (drawn schedules only), full (all; the default)",
    )
    group.addoption(
        "--quarry-budget",
        type=float,
        metavar="SECONDS",
        help="real seconds for all checks together: each stops when its share is used up, the likeliest schedules tried",
    )
    group.addoption(
        "--quarry-strict",
        action="store_true",
        help="a check that a consumer's declarations leave out fails instead of being skipped",
    )
    group.addoption(
        "--quarry-guard",
        type=float,
        metavar="SECONDS",
        help="real seconds without a sign of life after which a consumer counts as hung (default: ini quarry_guard)",
    )
    group.addoption(
        "--quarry-storage",
        choices=("fs", "fakefs", "s3", "memory"),
        default="fs",
        help="where the fixture quarry_storage keeps its files, unless a test's marker says so (default fs)",
    )
    group.addoption(
        "--quarry-report",
        action="append",
        default=[],
        metavar="KIND:FILE",
        help="write a report (repeatable): html:FILE, json:FILE, sarif:FILE, badge:FILE.svg or badge:FILE.json",
    )
    # pytest 9's own TOML table has numbers; older ones know no type for them, and no such table.
    number: Any = "float" if pytest.version_tuple >= (9,) else "string"
    parser.addini(
        "quarry_guard", "real seconds after which a silent consumer counts as hung", type=number, default=10.0
    )
    parser.addini("quarry_schedules", "where failing schedules are saved, from the root directory", default=".quarry")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "quarry(id, severity, storage, layout, prefix): the conformance check an item runs (id and severity are set by the "
        "suites, for -m and reports); storage: where quarry_storage keeps its files: fs, fakefs, s3, memory; layout: lode, "
        "flat; prefix: of its keys in S3",
    )
    from pytest_quarry.real_time import budget_seconds, guard_seconds

    guard_seconds(config)
    budget_seconds(config)
    if not hasattr(config, "workerinput"):
        from pytest_quarry.report.stream import Stream
        from pytest_quarry.report.targets import targets

        wanted = targets(config.getoption("--quarry-report") or (), config.invocation_params.dir)
        config.pluginmanager.register(Stream(config, wanted), "quarry-stream")
    saved: str | None = config.getoption("--quarry-replay")
    alone = (
        saved
        and (config.getoption("--quarry-inline-start") or 0) > 0
        and not getattr(config.option, "numprocesses", None)
    )
    if config.getoption("--quarry-inline") and not alone:
        raise pytest.UsageError(
            "--quarry-inline plays one start of the consumer, counted from 1, in the test's own process: it needs "
            "--quarry-replay FILE, and no -n"
        )
    if saved:
        from pytest_quarry.runner import read_replay

        config._quarry_replay = read_replay(Path(config.invocation_params.dir, saved))  # type: ignore[attr-defined]


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if not config.getoption("--quarry-list"):
        return None
    from pytest_quarry.checks import own
    from pytest_quarry.checks.catalogue import listing

    try:
        own.load()
    except own.CheckError as error:
        raise pytest.UsageError(str(error)) from None
    print(listing())
    return 0


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """The suites are not tests themselves, also under a name that starts with Test; a team's have its own checks too."""
    suites = sys.modules.get("pytest_quarry.suites")
    if suites is None or not isinstance(obj, type) or not issubclass(obj, suites.Conformance):
        return None
    if obj.__module__ == suites.__name__:
        return []
    from pytest_quarry.checks import own

    try:
        own.load()
    except own.CheckError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    suites.add_own_checks()
    if hasattr(obj, "test_fuzz"):
        from pytest_quarry import fuzz

        fuzz.as_configured(obj, collector.config)
    return None


@pytest.hookimpl(wrapper=True)  # the shard is the last parameter, so that its part of the id is known
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
    """Fuzz items, and checks that take long, are split among xdist's workers."""
    outcome = yield
    workers = shards.workers(metafunc.config)
    check = getattr(metafunc.function, "quarry_check", None)
    if hasattr(metafunc.function, "quarry_made"):
        shards.split(metafunc, workers)
    elif check is not None and not _may_fail(metafunc.cls, check.id):  # one part may well pass
        shards.split(metafunc, min(workers, len(check.parts)))
    return outcome


def pytest_itemcollected(item: pytest.Item) -> None:
    marking.mark_override(item)


def _may_fail(suite: type | None, check_id: str) -> bool:
    """Whether a suite knows that this check fails; what its declarations must be is said later, of that suite alone."""
    known = getattr(suite, "known_failures", None)
    return isinstance(known, Mapping) and check_id in known


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    if marking.fuzz(pyfuncitem) is None:
        return (yield)
    from pytest_quarry import fuzz

    with fuzz.around(pyfuncitem):
        yield
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and marking.is_of_unittest(item) and marking.fuzz(item) is not None:
        from pytest_quarry import fuzz

        item.obj = fuzz.around(item)(item.obj)


@pytest.hookimpl(trylast=True)  # when what -k and -m leave out is left out: xdist's workers share out the rest
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from pytest_quarry.real_time import Budget, budget_seconds

    replay: Any = getattr(config, "_quarry_replay", None)
    profile: str = "full" if replay is not None else config.getoption("--quarry-profile") or "full"
    left_out = [item for item in items if not _in_profile(item, profile)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    workers = shards.workers(config)
    if workers > 1:  # they begin with what takes longest, or all wait for it in the end
        longest = [item for check in LONGEST for item in items if marking.check_id(item) == check]
        items[:] = shards.spread(longest, [item for item in items if item not in longest], workers)
    count = sum(marking.check_id(item) is not None for item in items)
    config._quarry_budget = Budget(budget_seconds(config), -(-count // workers))  # type: ignore[attr-defined]
    if replay is None:
        return
    checks = [item for item in items if marking.check_id(item) == replay.check]
    mine = [item for item in checks if marking.owner(item) == replay.consumer and shards.of(item)[0] == 1]
    if not mine:
        others = ", ".join(sorted({marking.owner(item) for item in checks})) or "none"
        raise pytest.UsageError(
            f"--quarry-replay {replay.path}: it was saved for {replay.consumer}, check {replay.check}, which is not among the "
            f"collected tests. Collected consumers with that check: {others}."
        )
    # Where these parameters are no more, whoever else the suite is of.
    mine = [item for item in mine if shards.parameters(item) == replay.parameters] or mine
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine


def _in_profile(item: pytest.Item, profile: str) -> bool:
    marker = marking.marker(item)
    if marker is None or profile == "full":
        return True
    from pytest_quarry.checks.check import is_in  # there is a suite, so it is loaded

    return is_in(profile, marker.kwargs["id"], marker.kwargs.get("severity"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    check = marking.check_id(item)
    if check is not None:
        from pytest_quarry.report import stream

        stream.attach(item, check, call, report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's workers see no terminal: they are told how wide it is; and where each finds what another has executed."""
    from pytest_quarry.report.width import TOLD, width_of

    node.workerinput[TOLD] = width_of(node.config)
    shards.share(node)


def pytest_unconfigure(config: pytest.Config) -> None:
    shards.share_no_more(config)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in ("quarry_replay", "quarry_budget"):
        said = [
            words
            for outcome in ("passed", "failed", "xfailed")
            for report in terminalreporter.getreports(outcome)
            for key, words in report.user_properties
            if key == name
        ]
        if said:
            terminalreporter.section(name.replace("_", " "))
        for words in said:
            terminalreporter.line(words)


@pytest.fixture
def quarry_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The clock of quarry_storage and quarry_bus: `now()`, and `advance(seconds)`, which moves what is written from then on.

    In a test that has a quarry_world, the world's.
    """
    from pytest_quarry.storage import VirtualClock

    world = _world_of(request)
    return VirtualClock() if world is None else world.clock


@pytest.fixture
def quarry_storage(request: pytest.FixtureRequest, quarry_clock: VirtualClock) -> Iterator[Storage]:
    """Empty fake Quarry storage, filled by telling what ran: `quarry_storage.run("run-1").item({...})` ….

    In a test that has a quarry_world, the world's.
    """
    from pytest_quarry.storage.places import storage_of_test

    world = _world_of(request)
    if world is not None:
        yield world.storage
        return
    with storage_of_test(request, quarry_clock) as storage:
        yield storage


@pytest.fixture
def quarry_topology() -> Topology:
    """How quarry_bus and quarry_world are built; override it: `return Topology(raw=True, max_receives=3)`."""
    from pytest_quarry.bus.topology import Topology

    return Topology()


@pytest.fixture
def quarry_world(request: pytest.FixtureRequest, tmp_path: Path, quarry_topology: Topology) -> Iterator[WorldOfTest]:
    """One world with everything in it, on virtual time: `storage`, `bus`, `clock`, `disk`, `target`, `endpoint`, `advance`.

    quarry_storage, quarry_bus and quarry_clock in the same test are this world's.
    """
    from pytest_quarry.simulation.world_of_test import world_of_test
    from pytest_quarry.storage.places import wanted_layout, wanted_place_of_world

    storage, layout = wanted_place_of_world(request), wanted_layout(request)
    seed = int(request.config.getoption("--quarry-seed") or 0)
    details: dict[str, Any] = {"storage": storage, "layout": layout, "seed": seed, "topology": quarry_topology}
    with world_of_test(tmp_path / "quarry-world", **details) as world:
        yield world


def _world_of(request: pytest.FixtureRequest) -> WorldOfTest | None:
    """The world of the test, where it has one."""
    if "quarry_world" not in request.fixturenames:
        return None
    world: WorldOfTest = request.getfixturevalue("quarry_world")
    return world


@pytest.fixture
def _quarry_aws(
    request: pytest.FixtureRequest, quarry_clock: VirtualClock, quarry_topology: Topology
) -> Iterator[AwsOfTest]:
    """The mocked AWS of this test, which quarry_bus and quarry_storage share."""
    from pytest_quarry.storage.places import on_the_real_disk

    with on_the_real_disk():
        from pytest_quarry.simulation.aws_of_test import aws_of_test
    seed = int(request.config.getoption("--quarry-seed") or 0)
    with aws_of_test(quarry_clock, seed=seed, topology=quarry_topology) as aws:
        yield aws


@pytest.fixture
def quarry_bus(request: pytest.FixtureRequest, quarry_topology: Topology) -> Bus:
    """Mocked SNS and SQS that misbehave on request: `publish(run)`, `deliver()`, `redeliver()`, `lose_next(…)` ….

    In a test that has a quarry_world, the world's. `quarry_topology` says how they are built; a test may parametrize it.
    """
    world = _world_of(request)
    if world is not None:
        return world.bus
    aws: AwsOfTest = request.getfixturevalue("_quarry_aws")
    return aws.bus


@pytest.fixture
def quarry_duplicates(request: pytest.FixtureRequest) -> Duplicates:
    """Duplicates of a notification, and what only looks like one: `of`, `later`, `in_one_batch`, `near_copies` ….

    Seeded by --quarry-seed: the same ones in each execution.
    """
    from pytest_quarry.duplicates import Duplicates

    return Duplicates(int(request.config.getoption("--quarry-seed") or 0))
