"""Where a run's files are, in both layouts, and how ids become paths."""

import posixpath
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from pytest_quarry.contract.errors import ContractError

if TYPE_CHECKING:
    from pytest_quarry.contract.run import Run

__all__ = [
    "Layout",
    "PartitionKey",
    "data_path",
    "escape",
    "flat_path",
    "flat_sidecar_path",
    "latest_path",
    "lock_path",
    "manifest_path",
    "parse_partition_path",
    "partition_key",
    "partition_manifest_path",
    "partition_path",
    "sidecar_key",
    "sidecar_path",
    "storage_path",
    "unescape",
]

# What Go's url.PathEscape leaves alone, beside letters and digits.
_SAFE = "-_.~$&+=:@"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PARTS = re.compile(
    r"(?:^|/)source=(?P<source>[^/]*)(?:/category=(?P<category>[^/]*))?"
    r"/day=(?P<day>[^/]*)/run_id=(?P<run_id>[^/]*)(?:/event_type=(?P<event_type>[^/]*))?(?=/|$)"
)


class Layout(StrEnum):
    """How runs are laid out: ``lode`` as Quarry does, ``flat`` as its published examples assume."""

    LODE = "lode"
    FLAT = "flat"


@dataclass(frozen=True, kw_only=True)
class PartitionKey:
    """The true (unescaped) values a partition's path is made of; ``event_type`` None means the whole run."""

    source: str
    category: str
    day: str
    run_id: str
    event_type: str | None = None


def partition_key(run: "Run", event_type: str | None = None) -> PartitionKey:
    """The key of a run's partition."""
    return PartitionKey(source=run.source, category=run.category, day=run.day, run_id=run.run_id, event_type=event_type)


@lru_cache(maxsize=4096)
def escape(value: str) -> str:
    """A value as it stands in a path: Go's ``url.PathEscape``. Raises ContractError for lone surrogates."""
    try:
        return quote(value, safe=_SAFE)
    except UnicodeEncodeError:
        raise ContractError(f"{value!r} is not valid Unicode; path values may hold no lone surrogates") from None


def unescape(value: str) -> str:
    """The value behind an escaped one: Go's ``url.PathUnescape``; ``+`` stays. Raises ContractError if malformed."""
    if _BAD_ESCAPE.search(value):
        raise ContractError(f"{value!r}: a '%' without two hex digits; path values are escaped as url.PathEscape does")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise ContractError(f"{value!r}: its escaped bytes are not UTF-8") from None


def _values(key: PartitionKey) -> str:
    path = (
        f"source={escape(key.source)}/category={escape(key.category)}/day={escape(key.day)}/run_id={escape(key.run_id)}"
    )
    return path if key.event_type is None else f"{path}/event_type={escape(key.event_type)}"


def partition_path(key: PartitionKey, *, dataset: str = "quarry") -> str:
    """The folder of a run, or of one of its event types, in the lode layout; no slash at the end."""
    return f"datasets/{dataset}/partitions/{_values(key)}"


def data_path(key: PartitionKey, snapshot_id: int | str, *, dataset: str = "quarry") -> str:
    """A snapshot's data file in one partition."""
    return f"{partition_path(key, dataset=dataset)}/segments/{snapshot_id}/data/data"


def partition_manifest_path(key: PartitionKey, snapshot_id: int | str, *, dataset: str = "quarry") -> str:
    """A snapshot's manifest copy in one partition."""
    return f"{partition_path(key, dataset=dataset)}/segments/{snapshot_id}/manifest.json"


def manifest_path(snapshot_id: int | str, *, dataset: str = "quarry") -> str:
    """A snapshot's canonical manifest: the file that commits it."""
    return f"datasets/{dataset}/segments/{snapshot_id}/manifest.json"


def latest_path(dataset: str = "quarry") -> str:
    """The file that names the newest snapshot."""
    return f"datasets/{dataset}/latest"


def lock_path(dataset: str = "quarry") -> str:
    """The empty companion of `latest_path` on file systems."""
    return f"datasets/{dataset}/latest.lock"


def _raw(key: PartitionKey) -> str:
    return f"source={key.source}/category={key.category}/day={key.day}/run_id={key.run_id}"


def sidecar_path(key: PartitionKey, name: str, *, dataset: str = "quarry") -> str:
    """A sidecar file's path as manifests name it: not escaped, dots and slashes of the ids included."""
    return f"datasets/{dataset}/partitions/{_raw(key)}/files/{name}"


def sidecar_key(key: PartitionKey, name: str, *, dataset: str = "quarry") -> str:
    """Where the file of `sidecar_path` really is: the same, with ``..`` and double slashes resolved.

    Raises ContractError where that is outside the dataset's partitions.
    """
    base = f"datasets/{dataset}/partitions/"
    path = posixpath.normpath(base + _raw(key) + "/files/" + name)
    if not path.startswith(base):
        raise ContractError(f"sidecar {name!r} of run {key.run_id!r} would be at {path!r}, outside {base!r}")
    return path


def storage_path(run: "Run", root_url: str, *, layout: Layout = Layout.LODE) -> str:
    """What a notification calls ``storage_path``: the run's folder as URL, its ids not escaped.

    ``root_url`` is the storage root: ``file:///abs/root`` or ``s3://bucket[/prefix]``.
    """
    folder = "" if layout == Layout.FLAT else f"datasets/{run.dataset}/partitions/"
    return f"{root_url.rstrip('/')}/{folder}{_raw(partition_key(run))}"


def flat_path(key: PartitionKey) -> str:
    """The one file of an event type in the flat layout. Raises ContractError without an event type."""
    if key.event_type is None:
        raise ContractError(f"run {key.run_id!r}: a file of the flat layout belongs to an event_type; give one")
    return f"{_values(key)}/data.jsonl"


def flat_sidecar_path(key: PartitionKey, name: str) -> str:
    """A sidecar file's path in the flat layout, its ids escaped."""
    return f"{_values(replace(key, event_type=None))}/files/{name}"


def parse_partition_path(path: str) -> PartitionKey:
    """The key in any path or URL below a partition, in either layout; a missing category is ``default``.

    The path must be an escaped one: `storage_path` and `sidecar_path` of plain ids are, of others not. Raises
    ContractError if no partition is named or an escape is malformed.
    """
    matches = list(_PARTS.finditer(path))
    if not matches:
        raise ContractError(f"{path!r}: no partition in it; expected source=…/category=…/day=…/run_id=…[/event_type=…]")
    found = matches[-1].groupdict()
    return PartitionKey(
        source=unescape(found["source"]),
        category="default" if found["category"] is None else unescape(found["category"]),
        day=unescape(found["day"]),
        run_id=unescape(found["run_id"]),
        event_type=None if found["event_type"] is None else unescape(found["event_type"]),
    )
