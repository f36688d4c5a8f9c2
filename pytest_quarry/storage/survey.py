"""The reader's first pass: which runs are in storage, which of their files are committed. No contents are kept."""

import heapq
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

__all__ = ["Found", "Place", "Readable", "find_flat", "find_lode", "whole"]


class Readable(Protocol):
    """What can be read: anything that lists keys and gets bytes."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``; best sorted, or all of them are held in memory."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes under ``key``; any exception means they cannot be had."""
        ...


_SOURCE, _CATEGORY = "source=(?P<source>[^/]*)/", "category=(?P<category>[^/]*)/"
_RUN = "day=(?P<day>[^/]*)/run_id=(?P<run_id>[^/]*)/"
_MANIFEST = re.compile(r"datasets/(?P<dataset>(?!.*/partitions/).+)/segments/(?P<id>[^/]+)/manifest\.json", re.DOTALL)
_LODE = re.compile(
    f"(?P<folder>datasets/(?P<dataset>.+?)/partitions/{_SOURCE}{_CATEGORY}{_RUN})(?P<rest>.*)",
    re.DOTALL,
)
_PART = re.compile(r"event_type=[^/]*/segments/(?P<id>[^/]+)/(?P<kind>manifest\.json|data/data)", re.DOTALL)
_FLAT = re.compile(f"(?P<folder>{_SOURCE}(?:{_CATEGORY})?{_RUN})(?P<rest>.*)", re.DOTALL)
_FLAT_PART = re.compile(r"event_type=[^/]*/data\.jsonl", re.DOTALL)


@dataclass(frozen=True)
class Place:
    dataset: str
    source: str
    category: str
    day: str
    run_id: str

    @property
    def raw(self) -> str:
        """The run's folder with the values as they are, where its sidecar files go."""
        path = f"source={self.source}/category={self.category}/day={self.day}/run_id={self.run_id}"
        return posixpath.normpath(f"datasets/{self.dataset}/partitions/{path}")


@dataclass
class Found:
    """What the first pass knows of a run: paths, no contents."""

    data: dict[str, int | None] = field(default_factory=dict[str, int | None])
    sidecars: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    committed: bool = False
    complete: bool = True
    damage: list[str] = field(default_factory=list[str])


def find_lode(store: Readable) -> Iterator[tuple[Place, Found]]:
    """The runs of every dataset, in the order of their paths."""
    datasets, orphans, in_order = _orphans(store)
    folders = sorted(f"datasets/{dataset}/partitions/" for dataset in datasets)
    keys = (key for folder in folders for key in store.list(folder))
    with_data = _by_folder(keys if in_order else iter(sorted(keys)), _LODE)
    without_data = [(folder, list[str]()) for folder in sorted(orphans)]
    for folder, rests in heapq.merge(with_data, without_data, key=itemgetter(0)):
        extra = orphans.pop(folder, set())
        if extra or any(_is_data(rest) for rest in rests):
            yield _lode_run(store, folder, rests, extra)


def _by_folder(keys: Iterator[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """Keys below the folder of a run, folder by folder: the folder, and what follows it."""
    matches = (match for key in keys if (match := pattern.fullmatch(key)))
    for folder, group in groupby(matches, key=lambda match: match["folder"]):
        yield folder, [match["rest"] for match in group]


def _is_data(rest: str) -> bool:
    match = _PART.fullmatch(rest)
    return match is not None and match["kind"] == "data/data"


def _orphans(store: Readable) -> tuple[set[str], dict[str, set[str]], bool]:
    """The datasets; committed snapshots of which there is no data at all, by the folder of their run; and whether keys
    come in order.

    In sound storage every canonical manifest has its data and the other way round: then hashes cancel each other out, and
    no id needs to be kept.
    """
    sums: dict[str, int] = {}
    folder, ids = "", set[str]()
    in_order, before = True, ""
    scan = getattr(store, "scan", None)
    for key in (scan or store.list)("datasets/"):
        in_order, before = in_order and before <= key, key
        dataset, snapshot, of_run = _snapshot(key)
        if not snapshot:
            continue
        if of_run != folder:
            folder, ids = of_run, set()
        if snapshot not in ids:
            sums[dataset] = sums.get(dataset, 0) ^ hash(snapshot)
            ids.update([snapshot] if of_run else ())
    unsound = {dataset for dataset, total in sums.items() if total}
    return set(sums), _search_orphans(store, unsound), in_order or scan is not None


def _search_orphans(store: Readable, datasets: set[str]) -> dict[str, set[str]]:
    with_data = {dataset: set[str]() for dataset in datasets}
    canonical: list[tuple[str, str]] = []
    for key in store.list("datasets/") if datasets else ():
        dataset, snapshot, of_run = _snapshot(key)
        if dataset in datasets and of_run:
            with_data[dataset].add(snapshot)
        elif dataset in datasets:
            canonical.append((dataset, snapshot))
    found: dict[str, set[str]] = {}
    for dataset, snapshot in canonical:
        if snapshot not in with_data[dataset]:
            for path in _manifest(store, dataset, snapshot)[0]:
                if match := _LODE.fullmatch(path):
                    found.setdefault(match["folder"], set()).add(snapshot)
    return found


def _snapshot(key: str) -> tuple[str, str, str]:
    """Of a data file: dataset, snapshot id, folder of the run. Of a canonical manifest: without a folder. Else nothing."""
    if match := _MANIFEST.fullmatch(key):
        return match["dataset"], match["id"], ""
    if (match := _LODE.fullmatch(key)) and (part := _PART.fullmatch(match["rest"])) and part["kind"] == "data/data":
        return match["dataset"], part["id"], match["folder"]
    return "", "", ""


def _manifest(store: Readable, dataset: str, snapshot: str) -> tuple[dict[str, int], list[dict[str, Any]], str]:
    """What a canonical manifest names: data files with their sizes, sidecar files; and why it does not count, or ""."""
    try:
        content = store.get(f"datasets/{dataset}/segments/{snapshot}/manifest.json")
    except Exception as error:
        kind = type(error).__name__
        absent = kind in ("NoSuchKey", "FileNotFoundError", "KeyError")
        return {}, [], "no canonical manifest" if absent else f"its canonical manifest cannot be read: {kind}"
    try:
        manifest = json.loads(content)
        files = {str(entry["path"]): whole(entry, "size_bytes") for entry in manifest["files"]}
        sidecars = [dict(entry) for entry in (manifest.get("metadata") or {}).get("sidecar_files") or []]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return {}, [], f"its canonical manifest does not parse: {error}"
    return files, sidecars, ""


def whole(record: dict[str, Any], name: str) -> int:
    """The whole number in a field. Raises KeyError and ValueError with its name; JSON has ``1e999`` and ``true`` too."""
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
        raise ValueError(name)
    return int(value)


def _lode_run(store: Readable, folder: str, rests: list[str], extra: set[str]) -> tuple[Place, Found]:
    place = _place(_LODE.fullmatch(folder), True)
    run = Found()
    parts = [(rest, match) for rest in rests if (match := _PART.fullmatch(rest))]
    data = {f"{folder}{rest}": match["id"] for rest, match in parts if match["kind"] == "data/data"}
    copies = {f"{folder}{rest}" for rest, match in parts if match["kind"] == "manifest.json"}
    why: dict[str, str] = {}
    for snapshot in sorted(extra.union(data.values())):
        files, sidecars, why[snapshot] = _manifest(store, place.dataset, snapshot)
        for path, size in files.items():
            match = _LODE.fullmatch(path)
            if match is None:
                why[snapshot] = f"its canonical manifest names {path!r}, which is in no partition"
            elif match["folder"] == folder:
                _commit(store, run, path, size, sidecars, copies)
    for key, snapshot in data.items():
        if key not in run.data:
            reason = why[snapshot] or "its canonical manifest does not name it"
            run.damage.append(f"snapshot {snapshot} is not committed ({reason}): {key}")
    _unlisted(store, folder, place, run, rests)
    return place, run


def _commit(
    store: Readable, run: Found, path: str, size: int, sidecars: list[dict[str, Any]], copies: set[str]
) -> None:
    run.committed = True
    run.data[path] = size
    run.sidecars |= {str(entry.get("path")): entry for entry in sidecars}
    copy = path.removesuffix("data/data") + "manifest.json"
    if copy not in copies or not _parses(store, copy):
        run.complete = False
        snapshot = path.split("/")[-3] if path.endswith("/data/data") else path
        run.damage.append(f"snapshot {snapshot} is committed, its copy is missing or torn: {copy}")


def _place(match: re.Match[str] | None, lode: bool) -> Place:
    assert match is not None
    values = match.groupdict()
    names = (_unescape(values[name] or "") for name in ("source", "category", "day", "run_id"))
    return Place(values["dataset"] if lode else "", *names)


def _unescape(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="replace")


def _parses(store: Readable, key: str) -> bool:
    try:
        return isinstance(json.loads(store.get(key)), dict)
    except Exception:
        return False


def _unlisted(store: Readable, folder: str, place: Place, run: Found, rests: list[str]) -> None:
    """Describe sidecar files no committed manifest names."""
    raw = f"{place.raw}/"
    files = [rest for rest in rests if rest.startswith("files/")]
    if raw != folder:
        files = [key[len(raw) :] for key in store.list(f"{raw}files/")]
    listed = {posixpath.normpath(path) for path in run.sidecars}
    for rest in sorted(files):
        if rest.count("/") > 1 or rest.endswith(".meta.json"):
            continue
        key, has_meta = f"{raw}{rest}", f"{rest}.meta.json" in files
        if key not in listed:
            meta = "" if has_meta else " and has no .meta.json"
            run.damage.append(f"sidecar file is named by no manifest{meta}: {key}")
        elif not has_meta:
            run.damage.append(f"sidecar file has no .meta.json: {key}")


def find_flat(store: Readable) -> Iterator[tuple[Place, Found]]:
    """The runs of the flat layout, in the order of their paths."""
    for folder, rests in _by_folder(_sorted(store), _FLAT):
        data = [rest for rest in rests if _FLAT_PART.fullmatch(rest)]
        if data:
            run = Found(committed=True, data={f"{folder}{rest}": None for rest in data})
            for rest in rests:
                if rest.startswith("files/") and not rest.endswith(".meta.json"):
                    _flat_sidecar(store, run, f"{folder}{rest}")
            yield _place(_FLAT.fullmatch(folder), False), run


def _sorted(store: Readable) -> Iterator[str]:
    if all(one <= two for one, two in pairwise(store.list(""))):
        return store.list("")
    return iter(sorted(store.list("")))


def _flat_sidecar(store: Readable, run: Found, key: str) -> None:
    try:
        kind = str(json.loads(store.get(f"{key}.meta.json"))["content_type"])
    except Exception:
        kind = None
        run.damage.append(f"sidecar file has no .meta.json: {key}")
    name = key.partition("/files/")[2]
    run.sidecars[key] = {"filename": name, "content_type": kind}
