"""What every test of the project shares."""

import os

pytest_plugins = ["pytester"]
os.environ["COLUMNS"] = "110"  # texts fit the terminal's width, and the tests compare them
