"""Which tests are slow, of which a change has to pass a share only: writes tests/slow.txt.

.venv/bin/python -m pytest -n 2 --dist worksteal --junitxml tests.xml tests
.venv/bin/python benchmarks/slow_tests.py tests.xml
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

RECORD = Path(__file__).parent.parent / "tests" / "slow.txt"
SLOW = 1  # second that one test of a function takes on average


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="what --junitxml wrote, of all tests")
    taken = defaultdict(list)
    for case in ElementTree.parse(parser.parse_args().report).iter("testcase"):
        function = case.attrib["name"].partition("[")[0]
        taken[f"{case.attrib['classname']}.{function}"].append(float(case.attrib["time"]))
    slow = sorted(name for name, seconds in taken.items() if statistics.mean(seconds) >= SLOW)
    RECORD.write_text("\n".join(slow) + "\n")
    tests = sum(len(taken[name]) for name in slow)
    share = sum(sum(taken[name]) for name in slow) / sum(map(sum, taken.values()))
    print(f"{len(slow)} functions, {tests} of {sum(map(len, taken.values()))} tests: {share:.0%} of the time")


if __name__ == "__main__":
    main()
