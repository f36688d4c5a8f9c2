"""What is to be checked, and how: from the command line, from `[tool.pytest-quarry]`, from `quarry-conformance.toml`."""

from __future__ import annotations

import datetime
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

CONSUMERS = ("poller", "worker", "publisher", "lambda_", "handler")
ROWS = ("rows_from_stdout", "rows_from_sqlite", "rows_from_jsonl", "rows_from_command", "rows")
SEVERITIES = ("critical", "high", "medium", "advice")
FILES = ("quarry-conformance.toml", "pyproject.toml")


class UsageError(Exception):
    """What was asked for cannot be done; the words say which part, and what would do."""


@dataclass(frozen=True, kw_only=True)
class KnownFailure:
    """A check that is known to fail, why, and until when that is tolerated."""

    id: str
    reason: str
    expires: str

    @property
    def is_over(self) -> bool:
        """Whether its date is past."""
        return datetime.date.fromisoformat(self.expires) < datetime.date.today()  # the developer's day


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One consumer and how it is checked. Names are those of the options and of the keys in TOML, with underscores."""

    poller: str = ""
    worker: str = ""
    publisher: str = ""
    lambda_: str = ""
    handler: str = ""
    rows_from_stdout: str = ""
    rows_from_sqlite: str = ""
    rows_from_jsonl: str = ""
    rows_from_command: str = ""
    rows: str = ""
    layout: str = "lode"
    storage: str = "fs"
    failed_runs: str = "skip"
    sources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    workers: int = 2
    batch_size: int = 10
    fifo: bool = False
    raw_delivery: bool = False
    reconciles: bool = False
    durable_inbox: bool = False
    ignored_servers: tuple[str, ...] = ()
    ignores_server_clock: bool = False
    sample_run: str = ""
    working_directory: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    timeout: float = 0.0
    stop_signal: str = "SIGTERM"
    network: bool = False
    checks: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    fail_on: str = "advice"
    known_failures: tuple[KnownFailure, ...] = ()
    pytest_options: tuple[str, ...] = ()

    @property
    def given(self) -> str:
        """Which kind of consumer it names. Raises UsageError where it names none, or several."""
        found = [name for name in CONSUMERS if getattr(self, name)]
        if len(found) != 1:
            options = ", ".join(option(name) for name in CONSUMERS)
            what = f"{' and '.join(map(option, found))} are both given" if found else "no consumer is given"
            raise UsageError(f"{what}: name one, by {options}, or in {' or '.join(FILES)}")
        return found[0]

    def to_json(self) -> str:
        """As text, for the process that runs the checks."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Settings:
        """What `to_json` wrote."""
        data = json.loads(text)
        data["known_failures"] = tuple(KnownFailure(**each) for each in data["known_failures"])
        for name in ("sources", "categories", "ignored_servers", "checks", "only", "pytest_options"):
            data[name] = tuple(data[name])
        data["environment"] = tuple((name, value) for name, value in data["environment"])
        return Settings(**data)


def option(name: str) -> str:
    """A setting's name as an option."""
    return "--" + key(name)


def key(name: str) -> str:
    """A setting's name in TOML."""
    return name.rstrip("_").replace("_", "-")


KEYS = {key(field.name): field for field in fields(Settings)}
CHOICES = {
    "layout": ("lode", "flat"),
    "storage": ("fs", "s3"),
    "failed_runs": ("skip", "load"),
    "fail_on": SEVERITIES,
}


# Numbers that a setting cannot be.
LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "workers": (lambda value: value >= 1, "a whole number, at least 1"),
    "batch_size": (lambda value: 1 <= value <= 10_000, "a whole number, 1 to 10,000"),
    "timeout": (lambda value: 0 < value < float("inf"), "a number of seconds above 0"),
}


def read(folder: Path, file: str | None) -> Settings:
    """The settings of a project. Raises UsageError naming what is wrong with its file."""
    for path in [folder / file] if file else [folder / name for name in FILES]:
        if not file and not path.exists():
            continue
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{file or path.name} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path.name} is no TOML: {error}") from None
        tools = data.get("tool") if path.name == "pyproject.toml" else {"pytest-quarry": data}
        found = tools.get("pytest-quarry") if isinstance(tools, Mapping) else None
        if found is not None:
            return _of_table(found, "[tool.pytest-quarry]" if path.name == "pyproject.toml" else path.name)
        if file:
            raise UsageError(f"{file} has no [tool.pytest-quarry]")
    return Settings()


def _of_table(table: Any, where: str) -> Settings:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is {table!r}, not a table")
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        near = difflib.get_close_matches(unknown[0].replace("_", "-"), KEYS, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"{where} has unknown {', '.join(unknown)}{meant}; the keys are {', '.join(sorted(KEYS))}")
    values = {KEYS[name].name: _value(KEYS[name].name, value, f"{where}: {name}") for name, value in table.items()}
    return replace(Settings(), **values)


def _value(name: str, value: Any, where: str) -> Any:
    """A value of TOML as the setting has it."""
    if name == "environment":
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
            raise UsageError(f"{where} is {value!r}; it must be a table of texts")
        return tuple(value.items())
    if name == "known_failures":
        return _known_failures(value, where)
    default = getattr(Settings(), name)
    if isinstance(default, tuple):
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise UsageError(f"{where} is {value!r}; it must be a list of texts, at least one")
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        words = {str: "text", int: "a whole number", bool: "true or false", float: "a number of seconds"}[type(default)]
        raise UsageError(f"{where} is {value!r}; it must be {words}")
    return checked(name, value, where)


def checked(name: str, value: Any, where: str) -> Any:
    """A value that is of the right type. Raises UsageError where it is none of those there are."""
    if name in CHOICES and value not in CHOICES[name]:
        raise UsageError(f"{where} is {value!r}; it must be one of {', '.join(CHOICES[name])}")
    if name in LIMITS and not LIMITS[name][0](value):
        raise UsageError(f"{where} is {value!r}; it must be {LIMITS[name][1]}")
    if value == ():
        raise UsageError(f"{where} names nothing; name at least one")
    return value


def _known_failures(value: Any, where: str) -> tuple[KnownFailure, ...]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise UsageError(f"{where} is {value!r}; it must be a list of tables with id, reason and expires")
    return tuple(known_failure(each, f"{where}, entry {number}") for number, each in enumerate(value, 1))


def known_failure(entry: Mapping[str, Any], where: str) -> KnownFailure:
    """One entry of the list. Raises UsageError for what is missing or wrong."""
    if set(entry) != {"id", "reason", "expires"}:
        raise UsageError(f"{where} has {', '.join(sorted(entry)) or 'nothing'}; it must have id, reason and expires")
    if not isinstance(entry["id"], str):
        raise UsageError(f"{where} is about {entry['id']!r}; it must be the id of a check: EB05")
    if not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise UsageError(f"{where} has the reason {entry['reason']!r}; give it in words")
    return KnownFailure(id=entry["id"], reason=entry["reason"], expires=_day(entry["expires"], where))


def _day(value: Any, where: str) -> str:
    if type(value) is datetime.date:
        return value.isoformat()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return datetime.date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{where} expires {value!s}; it must be a date, 2026-12-31")
