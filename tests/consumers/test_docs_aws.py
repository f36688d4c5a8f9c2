"""Every code block of docs/aws.md is run."""

import re
from pathlib import Path

import pytest

pytest.importorskip("aiobotocore")
DOCS = Path(__file__).parents[2] / "docs" / "aws.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)


def test_the_docs_run(pytester: pytest.Pytester) -> None:
    assert len(BLOCKS) == 3
    for number, block in enumerate(BLOCKS):
        pytester.makepyfile(**{f"test_block_{number}": block})
    result = pytester.runpytest_subprocess("-q", "-W", "error", "-k", "restart")
    result.assert_outcomes(passed=len(BLOCKS), deselected=None)
