"""Where tests may open no sockets, with pytest-socket, the kit's own processes still speak to one another."""

from __future__ import annotations

import pytest
from orders import BROKEN

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-p", "pytest_socket", "-q", "-W", "error")
pytest.importorskip("pytest_socket", reason="pytest-socket is not installed; the extra `dev` has it")
ENDPOINT = """
import subprocess
import sys
import urllib.request
import pytest
import pytest_socket

ASKS = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"

def test_another_program_reaches_the_world(quarry_world):
    url = f"{quarry_world.endpoint.url}/{quarry_world.bucket}"
    assert subprocess.run([sys.executable, "-c", ASKS, url], capture_output=True, timeout=60, text=True).stdout == "200\\n"

def test_this_one_if_its_address_is_allowed(quarry_world, request):
    url = f"{quarry_world.endpoint.url}/{quarry_world.bucket}"
    if request.config.getoption("--allow-hosts"):
        assert urllib.request.urlopen(url).status == 200
        return
    with pytest.warns(UserWarning), pytest.raises(pytest_socket.SocketBlockedError):
        urllib.request.urlopen(url)
"""
OPTIONS = [("--disable-socket",), ("--disable-socket", "--allow-unix-socket"), ("--allow-hosts=127.0.0.1",)]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_suite_is_checked_as_ever(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    result = pytester.runpytest_subprocess(*QUIET, *options, "-k", "redelivery or crash_duplicates")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["run-A was loaded twice: *", "*KILLED*", "replay: pytest *"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_its_endpoint_is_served(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(ENDPOINT)
    result = pytester.runpytest_subprocess(*QUIET, *options)
    result.assert_outcomes(passed=2)
