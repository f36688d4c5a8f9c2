"""Hypothesis strategies for what Quarry makes: runs, events, notifications, what they travel in, and what happens to them.

Imported only by those who want it: it imports Hypothesis.
"""

from pytest_quarry.strategies.announcing import lambda_events, notifications, sns_envelopes
from pytest_quarry.strategies.delivering import deliveries, duplicates
from pytest_quarry.strategies.making import events, runs
from pytest_quarry.strategies.scheduling import schedules

__all__ = [
    "deliveries",
    "duplicates",
    "events",
    "lambda_events",
    "notifications",
    "runs",
    "schedules",
    "sns_envelopes",
]
