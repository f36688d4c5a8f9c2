"""Paths and escaping, both ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_quarry.contract import (
    ContractError,
    Outcome,
    PartitionKey,
    Run,
    escape,
    parse_partition_path,
    storage_path,
    unescape,
)
from pytest_quarry.contract.layout import (
    data_path,
    flat_path,
    flat_sidecar_path,
    partition_manifest_path,
    partition_path,
    sidecar_key,
    sidecar_path,
)

text = st.text()
keys = st.builds(
    PartitionKey, source=text, category=text, day=st.just("2026-02-01"), run_id=text, event_type=st.none() | text
)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("plain-1_2.3~", "plain-1_2.3~"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("?;,#!'()*", "%3F%3B%2C%23%21%27%28%29%2A"),
        ("=+&:@$~", "=+&:@$~"),
        ("é日", "%C3%A9%E6%97%A5"),
        ('<>"^`{|}[]\\\0', "%3C%3E%22%5E%60%7B%7C%7D%5B%5D%5C%00"),
        ("..", ".."),
        ("", ""),
    ],
)
def test_escaping_is_gos_path_escape(value: str, path: str) -> None:
    assert escape(value) == path
    assert unescape(path) == value


@given(value=text)
@settings(deadline=None)
def test_escaping_goes_both_ways(value: str) -> None:
    assert unescape(escape(value)) == value
    assert "/" not in escape(value)
    assert escape(value).isascii()


@pytest.mark.parametrize("value", ["%", "%2", "%zz", "a%", "%C3", "%FF"])
def test_malformed_escapes_are_refused(value: str) -> None:
    with pytest.raises(ContractError, match="%"):
        unescape(value)


def test_lone_surrogates_have_no_path() -> None:
    with pytest.raises(ContractError, match="surrogates"):
        escape("\ud800")


@given(key=keys)
@settings(deadline=None)
def test_any_path_below_a_partition_parses_back(key: PartitionKey) -> None:
    paths = [partition_path(key, dataset="a/source=b"), data_path(key, 1), partition_manifest_path(key, 1)]
    if key.event_type is not None:
        paths.append(flat_path(key))
    for path in paths:
        assert parse_partition_path(path) == key
        assert parse_partition_path(f"file:///srv/root/{path}") == key


def test_a_missing_category_is_the_default() -> None:
    key = parse_partition_path("root/source=s/day=2026-02-01/run_id=r/event_type=item/data.jsonl")
    assert key == PartitionKey(source="s", category="default", day="2026-02-01", run_id="r", event_type="item")
    assert parse_partition_path("source=s/category=/day=d/run_id=r").category == ""


@pytest.mark.parametrize(
    "path", ["", "datasets/quarry/segments/1/manifest.json", "source=s/run_id=r", "xsource=s/day=d/run_id=r"]
)
def test_a_path_without_partition_is_refused(path: str) -> None:
    with pytest.raises(ContractError, match="no partition in it"):
        parse_partition_path(path)


def test_storage_path_is_not_escaped() -> None:
    run = Run(run_id="run 01", source="a/b", category="100%", day="2026-02-01", outcome=Outcome.EXECUTOR_CRASH)
    tail = "source=a/b/category=100%/day=2026-02-01/run_id=run 01"
    assert storage_path(run, "file:///root/") == f"file:///root/datasets/quarry/partitions/{tail}"
    assert storage_path(run, "s3://b/p", layout="flat") == f"s3://b/p/{tail}"  # type: ignore[arg-type]


def test_sidecar_paths_are_raw_and_their_keys_resolved() -> None:
    key = PartitionKey(source="s", category="c", day="2026-02-01", run_id="x/../../y")
    assert sidecar_path(key, "f") == (
        "datasets/quarry/partitions/source=s/category=c/day=2026-02-01/run_id=x/../../y/files/f"
    )
    assert sidecar_key(key, "f") == "datasets/quarry/partitions/source=s/category=c/y/files/f"
    assert flat_sidecar_path(key, "f").endswith("/run_id=x%2F..%2F..%2Fy/files/f")
    far = PartitionKey(source="s", category="c", day="2026-02-01", run_id="x/../../../../../y")
    with pytest.raises(ContractError, match="outside"):
        sidecar_key(far, "f")


def test_a_flat_file_belongs_to_an_event_type() -> None:
    with pytest.raises(ContractError, match="event_type"):
        flat_path(PartitionKey(source="s", category="c", day="2026-02-01", run_id="r"))
