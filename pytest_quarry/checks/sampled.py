"""Items of a real stored run, for consumers whose data is too rich to be made up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.storage import read_runs


def sample_data(name: str, root: str, n: int) -> Mapping[str, Any]:
    """The data of the n-th item of the first finished run stored below `root` that has items; after the last, again the first.

    Raises ConsumerError, which names the suite, where there is none.
    """
    items = _items(name, root)
    return items[n % len(items)]


@functools.lru_cache(maxsize=16)
def _items(name: str, root: str) -> tuple[Mapping[str, Any], ...]:
    where = f"{name}.sample_run is {root!r}"
    if not Path(root).is_dir():
        raise ConsumerError(
            f"{where}, and there is no such folder. Name a storage root: the folder that holds datasets/."
        )
    for layout in ("lode", "flat"):
        for run in read_runs(root, layout=layout):
            found = tuple(event.data for event in run.items if isinstance(event.data, Mapping))
            if run.state == "finished" and found:
                return found
    raise ConsumerError(f"{where}, and no finished run with items is stored there. Name a storage root with one.")
