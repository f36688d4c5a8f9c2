"""What a failure of two workers looks like: who did what, where one stood still, who waited for whom."""

from __future__ import annotations

import sqlite3

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES
