"""Storage with values in it that nobody expects there."""

import json
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.storage import Store

odd = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=4,
    ),
    st.sampled_from([float("inf"), float("nan"), -1, "", "..", "../../../../x", "/x", "\0", 10**400]),
)
"""What no field of a record or manifest holds."""


def misstate(store: Store, data: st.DataObject, new: Any, *, mark: bytes) -> None:
    """Put ``new`` at any place of a record, manifest or .meta.json of which the key or the contents have ``mark``."""
    found = [key for key in store.list("") if mark in key.encode() + store.get(key) and not key.endswith("/files/f")]
    key = data.draw(st.sampled_from(found))
    lines = "/data" in key
    value = json.loads(store.get(key).splitlines()[0] if lines else store.get(key))
    value = _changed(value, data.draw(st.sampled_from(_places(value))), new)
    store.put(key, json.dumps(value).encode() + (b"\n" if lines else b""))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, one in inner for place in _places(one, (*path, name)))]


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _changed(value[path[0]], path[1:], new)
    return copy
