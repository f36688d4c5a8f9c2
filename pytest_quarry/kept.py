"""What the items of a class keep for one another of what they executed: those whose consumer is the same."""

from __future__ import annotations

import re
import unittest
from typing import TYPE_CHECKING, Any

from pytest_quarry import marking, shards
from pytest_quarry.checks.stage import Kept
from pytest_quarry.checks.turns import Turns

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

WHERE_IT_LIES = re.compile(r" at 0x[0-9a-f]+| id='\d+'")  # as Python and unittest.mock say it
OF_UNITTEST = frozenset(vars(unittest.TestCase()))


def kept(suite: Conformance, config: Any) -> Kept:
    """What the items of this class before this one have executed, where their consumer is this one's: their checks share it."""
    node, folder = suite._quarry_node, shards.folder(config)
    turns = Turns(folder)
    if not marking.is_as_made(node):  # it calls the check when it has done what it wants to the consumer
        return Kept(turns=turns)
    name = f"{marking.owner(node)}[{shards.parameters(node)}] {_made_of(suite)}"
    whose = type(suite), name
    if getattr(config, "_quarry_kept", (None, None))[0] != whose:
        # Of one consumer at a time: memory must not grow.
        config._quarry_kept = whose, Kept(folder=folder, whose=name if folder else "", turns=turns)
    found: Kept = config._quarry_kept[1]
    return found


def _made_of(suite: Conformance) -> str:
    """What may make the consumer of this item another: its fixtures, and what they have set on the suite.

    Objects that each item is given anew, and its own folder, are the same in this.
    """
    node = suite._quarry_node
    fixtures = sorted({*node.fixturenames} - {shards.SHARD})
    of_each = {*OF_UNITTEST, node.originalname}  # a TestCase has there what it runs
    mine = {
        name: _shown(value)
        for name, value in sorted(vars(suite).items())
        if not name.startswith("_quarry") and name not in of_each
    }
    text = f"{fixtures} {mine}"
    folder = node.funcargs.get("tmp_path")
    return text if folder is None else text.replace(str(folder), "tmp_path")


def _shown(value: object) -> str:
    try:
        return WHERE_IT_LIES.sub("", repr(value))
    except Exception:  # half made, perhaps: the team's own
        return type(value).__qualname__
