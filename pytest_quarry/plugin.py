"""pytest's hooks: options, ini keys, the marker, the list of checks, replay. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_quarry.storage import Storage, VirtualClock


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
        "--quarry-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed for run ids and for the consumer's randomness (default 0)",
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
    parser.addini("quarry_guard", "real seconds after which a silent consumer counts as hung", default="10")
    parser.addini("quarry_schedules", "where failing schedules are saved, from the root directory", default=".quarry")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "quarry(id, severity, storage): the conformance check an item runs (id and severity are set by the suites, for -m "
        "and reports); storage: where quarry_storage keeps its files: fs, fakefs, s3, memory",
    )
    guard_seconds(config)
    saved: str | None = config.getoption("--quarry-replay")
    if saved:
        from pytest_quarry.runner import read_replay

        config._quarry_replay = read_replay(Path(config.invocation_params.dir, saved))  # type: ignore[attr-defined]


def guard_seconds(config: pytest.Config) -> float:
    """The option or the ini key as a number. Raises UsageError where it is none, or not above 0."""
    option: float | None = config.getoption("--quarry-guard")
    name, value = ("--quarry-guard", option) if option is not None else ("quarry_guard", config.getini("quarry_guard"))
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"{name} is {value!r}; it must be a number of seconds above 0")
    return seconds


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if not config.getoption("--quarry-list"):
        return None
    from pytest_quarry.checks.catalogue import listing

    print(listing())
    return 0


def pytest_pycollect_makeitem(name: str, obj: object) -> list[pytest.Item] | None:
    """The suites are not tests themselves, also under a name that starts with Test."""
    return [] if isinstance(obj, type) and obj.__module__ == "pytest_quarry.suites" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    replay: Any = getattr(config, "_quarry_replay", None)
    if replay is None:
        return
    from pytest_quarry.runner import owner

    checks = [item for item in items if _check_of(item) == replay.check]
    mine = [item for item in checks if owner(item) == replay.consumer]
    if not mine:
        others = ", ".join(sorted({owner(item) for item in checks})) or "none"
        raise pytest.UsageError(
            f"--quarry-replay {replay.path}: it was saved for {replay.consumer}, check {replay.check}, which is not among the "
            f"collected tests. Collected consumers with that check: {others}."
        )
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine


def _check_of(item: pytest.Item) -> Any:
    marker = item.get_closest_marker("quarry")
    return marker.kwargs.get("id") if marker is not None else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    words = getattr(terminalreporter.config, "_quarry_replayed", None)
    if words is not None:
        terminalreporter.section("quarry replay")
        terminalreporter.line(words)


@pytest.fixture
def quarry_clock() -> VirtualClock:
    """The clock of quarry_storage: `now()`, and `advance(seconds)`, which moves what storage writes from then on."""
    from pytest_quarry.storage import VirtualClock

    return VirtualClock()


@pytest.fixture
def quarry_storage(request: pytest.FixtureRequest, quarry_clock: VirtualClock) -> Iterator[Storage]:
    """Empty fake Quarry storage, filled by telling what ran: `quarry_storage.run("run-1").item({...})` …."""
    from pytest_quarry.storage.places import storage_of_test

    with storage_of_test(request, quarry_clock) as storage:
        yield storage
