"""A target the world keeps: rows with inserts, upserts and transactions, for consumers that load into anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_quarry.consumers.protocol import Boundary, TargetCall

Row = dict[str, Any]
OPERATIONS = ("insert", "upsert", "begin", "commit", "rollback", "rows")


class Target:
    """Where a consumer without a database of its own may load to. Every call but `rows` is a boundary.

    Outside a transaction each operation is durable at once; inside one, at its commit. What a killed process had
    not committed is gone.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._open: dict[int, list[tuple[str, tuple[Any, ...]]]] = {}
        self._link: Callable[[Boundary], Any] | None = None
        self.version = 0

    def insert(self, row: Mapping[str, Any]) -> None:
        """Add a row, whatever is there."""
        self._do("insert", _checked("insert", row))

    def upsert(self, row: Mapping[str, Any], key: str | Sequence[str] = ("run_id", "item")) -> None:
        """Add a row, or replace the one that has the same value in the column `key`, or in all of several."""
        self._do("upsert", _checked("upsert", row), (key,) if isinstance(key, str) else tuple(key))

    def begin(self) -> None:
        """Open a transaction."""
        self._do("begin")

    def commit(self) -> None:
        """Make all since `begin` durable, at once."""
        self._do("commit")

    def rollback(self) -> None:
        """Forget all since `begin`."""
        self._do("rollback")

    def rows(self) -> list[Row]:
        """What the target durably holds."""
        if self._link is None:
            return [dict(row) for row in self._rows]
        found: list[Row] = self._link(Boundary("target read", call=TargetCall("rows", ())))
        return found

    def _do(self, operation: str, *arguments: Any) -> None:
        call = TargetCall(operation, arguments)
        if self._link is None:
            self.apply(call)
        else:
            self._link(Boundary(f"target {operation.upper()}", call=call))

    def apply(self, call: TargetCall, worker: int = 1) -> Any:
        """In the world: carry out one operation of a worker; each has its own transaction."""
        operation, arguments = call
        if operation == "rows":
            return [dict(row) for row in self._rows]
        if operation == "begin":
            if worker in self._open:
                raise RuntimeError("world.target: begin() inside a transaction; commit() or rollback() first")
            self._open[worker] = []
        elif operation in ("commit", "rollback"):
            pending = self._open.pop(worker, [])
            for each, values in pending if operation == "commit" else ():
                self._change(each, values)
        elif worker in self._open:
            self._open[worker].append((operation, arguments))
        else:
            self._change(operation, arguments)
        return None

    def empty(self) -> None:
        """In the world, which is closed: nothing is kept any more."""
        self._rows = []

    def forget_open(self, worker: int = 1) -> None:
        """The process that had a transaction open is gone."""
        self._open.pop(worker, None)

    def _change(self, operation: str, arguments: tuple[Any, ...]) -> None:
        row = dict(arguments[0])
        if operation == "upsert":
            key = arguments[1]
            self._rows = [old for old in self._rows if any(old.get(name) != row.get(name) for name in key)]
        self._rows.append(row)
        self.version += 1


def _checked(operation: str, row: Any) -> Row:
    if not isinstance(row, Mapping):
        raise TypeError(f"world.target.{operation} takes one row as a mapping, not {type(row).__name__}")
    return dict(row)
