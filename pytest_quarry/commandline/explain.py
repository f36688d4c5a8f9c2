"""`quarry-conformance explain`: what a check is about."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pytest_quarry.commandline import own_checks
from pytest_quarry.commandline.settings import UsageError


def explain(name: str, modules: Sequence[str]) -> str:
    """The page of a check, by its id or its slug, of those in these modules too. Raises UsageError."""
    from pytest_quarry.checks.production import checks_by_id
    from pytest_quarry.explain import explanation

    own_checks.load(modules)
    known = checks_by_id()
    wanted = name.strip().lower()
    found = [check for check in known.values() if wanted in (check.id.lower(), check.slug)]
    if not found:
        names = {each.lower(): check for check in reversed(known.values()) for each in (check.id, check.slug)}
        near = [names[each] for each in difflib.get_close_matches(wanted, names, 1)]
        meant = f" (did you mean {near[0].id} {near[0].slug}?)" if near else ""
        own_too = "" if meant or modules else "; checks of your own are known with --checks MODULE"
        raise UsageError(f"{name!r} is no check{meant}; there are {', '.join(known)}{own_too}")
    others = [f"{check.id} is the same for {' and '.join(check.kinds)} consumers" for check in found[1:]]
    also = f"\n{', '.join(others)}: quarry-conformance explain {found[1].id}\n" if others else ""
    return explanation(found[0]) + also
