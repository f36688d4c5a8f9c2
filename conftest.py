"""What every test of the project shares."""

import os

pytest_plugins = ["pytester"]
os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this pytest, and not for those that tests start
os.environ["COLUMNS"] = "110"  # texts fit the terminal's width, and the tests compare them
