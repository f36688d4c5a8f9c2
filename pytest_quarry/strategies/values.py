"""Ids, JSON values and payloads: the small parts of what a run emits."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from itertools import chain, count
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from pytest_quarry.contract import TERMINAL, EventType

Ids = Literal["plain", "hostile"]
"""``plain``: letters, digits, ``-``, ``_``, ``.``; ``hostile``: whatever Quarry takes, slashes, dots, NUL and emoji included."""

IDS: tuple[str, ...] = get_args(Ids)
KINDS: tuple[str, ...] = (
    "log", "checkpoint", "enqueue", "rotate_proxy", "something_new",
)  # fmt: skip

_RUN_IDS = ("run-1", "run-2", "run-10", "Run-1", "run_1", "run-1-attempt-2", "2026-02-01-0001")
_SOURCES = ("shop", "shop-eu", "Shop", "shop2")
_CATEGORIES = ("default", "products", "product")
_HOSTILE = (
    "a b", "a%20b", "%2F", "%", "x/../../y", "..", ".", "a/b", "run#~!'()*", 'say "hi"', "run=1", "a=b+c", "日本", "é",
    "e\u0301", "\0", "-", "a\\b", "a\nb",
)  # fmt: skip
_PLAIN_TEXT = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", min_size=1, max_size=12)


def free_run_id(taken: Collection[str]) -> str:
    """The first plain run id that is not taken."""
    counted = (f"run-{number}" for number in count(3))
    return next(name for name in chain(_RUN_IDS, counted) if name not in taken)


def run_ids(ids: Ids) -> st.SearchStrategy[str]:
    """Run ids; the simplest is ``run-1``."""
    return _names(ids, _RUN_IDS)


def sources(ids: Ids) -> st.SearchStrategy[str]:
    """Sources; the simplest is ``shop``."""
    return _names(ids, _SOURCES)


def categories(ids: Ids) -> st.SearchStrategy[str]:
    """Categories; the simplest is ``default``; hostile ones may be empty."""
    return _names(ids, _CATEGORIES if ids == "plain" else (*_CATEGORIES, ""))


def datasets(ids: Ids) -> st.SearchStrategy[str]:
    """Datasets; hostile ones have a space and a slash in them."""
    return st.sampled_from(["quarry"] if ids == "plain" else ["quarry", "my data/set"])


def _names(ids: Ids, known: tuple[str, ...]) -> st.SearchStrategy[str]:
    # Dots alone are no plain ids: a path takes them for folders.
    plain = st.sampled_from(known) | _PLAIN_TEXT.filter(lambda name: bool(name.strip(".")))
    return plain if ids == "plain" else plain | st.sampled_from(_HOSTILE) | st.text(min_size=1, max_size=8)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e15, 1e15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)
"""What JSON and Quarry's storage hold and give back equal: whole floats beyond 2**53 come back as other integers."""

json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["sku", "price", "data", "<&>", "é"]) | st.text(max_size=4), json_values, max_size=2
)

item_data: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"sku": st.sampled_from(["sku-0", "sku-1", "SKU-1", "sku-10"]), "price": st.integers(0, 999)},
    optional={"more": json_objects},
)


_HOWS = st.sampled_from(["known", "known", "more", "null"])


@st.composite
def payloads(draw: st.DrawFn, kind: str, *, data: st.SearchStrategy[Any], odd: bool) -> dict[str, Any] | None:
    """Payloads of an event type; ``odd``: with fields of a later contract, or null where that may be."""
    # Drawn also where it is dropped: examples shrink to fewer choices, and null is not the simplest payload.
    payload = draw(_known(kind, data))
    if not odd or kind == EventType.ARTIFACT:
        return payload
    how = draw(_HOWS)
    if how == "null" and kind not in TERMINAL:
        return None
    return {**payload, "added_in": "0.14"} if how == "more" else payload


@lru_cache(maxsize=256)
def _known(kind: str, data: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    words = st.sampled_from(["", "page 1", "<html> & é"])
    match kind:
        case EventType.ITEM:
            return st.fixed_dictionaries({"item_type": st.just("product"), "data": data})
        case EventType.LOG:
            levels = st.sampled_from(["info", "debug", "warn", "error"])
            return st.fixed_dictionaries({"level": levels, "message": words}, optional={"fields": json_objects})
        case EventType.CHECKPOINT:
            return st.fixed_dictionaries({"checkpoint_id": st.sampled_from(["cp-1", "cp-2"])}, optional={"note": words})
        case EventType.ENQUEUE:
            return st.fixed_dictionaries({"target": st.just("product-page"), "params": json_objects})
        case EventType.ROTATE_PROXY:
            return st.fixed_dictionaries({}, optional={"reason": words})
        case EventType.RUN_COMPLETE:
            return st.fixed_dictionaries({}, optional={"summary": json_objects})
        case EventType.RUN_ERROR:
            kinds = st.sampled_from(["TypeError", "Timeout"])
            return st.fixed_dictionaries({"error_type": kinds, "message": words}, optional={"stack": words})
        case EventType.ARTIFACT:
            about = {"name": words, "content_type": st.just("text/html"), "size_bytes": st.sampled_from([0, 0.0, 6.0])}
            return st.fixed_dictionaries({"artifact_id": st.just("art-1"), **about})
        case _:
            return json_objects
