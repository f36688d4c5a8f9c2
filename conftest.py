"""What every test of the project shares."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]
os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this pytest, and not for those that tests start
os.environ["COLUMNS"] = "110"  # texts fit the terminal's width, and the tests compare them


def pytest_collection_finish() -> None:
    """The pytests that tests start load the plugins they are about: finding all that are installed takes them as long again."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ["PYTEST_PLUGINS"] = "pytest_quarry.plugin,xdist.plugin"


@pytest.fixture(autouse=True)
def _same_profile() -> Iterator[None]:
    """The profile of Hypothesis that a pytest in this process loads is not that of the tests after it."""
    before = settings.get_current_profile_name()
    yield
    if settings.get_current_profile_name() != before:
        settings.load_profile(before)


@pytest.fixture
def all_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pytests that the test starts load all plugins that are installed, as they do for users."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
