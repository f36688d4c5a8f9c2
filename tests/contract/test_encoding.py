"""Bytes as Go writes them."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_quarry.contract import ContractError, encode_line, encode_manifest
from pytest_quarry.contract.encoding import encode_meta, encode_number

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (12.5, "12.5"),
        (0.1, "0.1"),
        (100.0, "100"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-6, "0.000001"),
        (1e-5, "0.00001"),
        (1.25e-6, "0.00000125"),
        (1e-7, "1e-07"),
        (-1e-7, "-1e-07"),
        (5e-324, "5e-324"),
        (2**64 - 1, "18446744073709551615"),
        (-(2**63), "-9223372036854775808"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert encode_number(value) == text


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("<a href='x'>&</a>", "\\u003ca href='x'\\u003e\\u0026\\u003c/a\\u003e"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("é日😀\x7f", "é日😀\x7f"),
        ("\n\r\t", "\\n\\r\\t"),
        ("\b\f\0\x1f", "\\u0008\\u000c\\u0000\\u001f"),
        ("\b", "\\u0008"),
        ("\f", "\\u000c"),
        ("\\b\\f\\\\b", "\\\\b\\\\f\\\\\\\\b"),
        ('"\\/', '\\"\\\\/'),
        ("a\ud800b", "a\\ufffdb"),
        ("\udc00\ud800", "\\ufffd\\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_text(text: str, encoded: str) -> None:
    assert encode_line({"k": text}).decode() == f'{{"k":"{encoded}"}}\n'
    assert json.loads(encode_manifest({"k": text})) == json.loads(encode_line({"k": text}))


def test_keys_are_sorted_bytewise_at_every_level() -> None:
    record = {"b": {"z": 1, "Z": 2, "é": 3, "10": 4, "9": 5}, "B": [{"y": 1, "x": 2}], "a_": 0, "a": 0}
    assert encode_line(record) == '{"B":[{"x":2,"y":1}],"a":0,"a_":0,"b":{"10":4,"9":5,"Z":2,"z":1,"é":3}}\n'.encode()


def test_other_values() -> None:
    record: dict[str, Any] = {"bytes": b"<html>", "none": None, "yes": True, "no": False, "tuple": (1, 2), "empty": {}}
    assert encode_line(record) == b'{"bytes":"PGh0bWw+","empty":{},"no":false,"none":null,"tuple":[1,2],"yes":true}\n'


def loop() -> dict[str, Any]:
    record: dict[str, Any] = {}
    record["a"] = [record]
    return record


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"a": {"b": [1, math.nan]}}, r"record\.a\.b\[1\]: nan"),
        ({"a": math.inf}, r"record\.a: inf"),
        ({"a": 2**64}, "does not fit 64 bits"),
        ({"a": -(2**63) - 1}, "does not fit 64 bits"),
        ({"a": {1: 2}}, r"record\.a: key 1 is not a string"),
        ({"a": {2, 3}}, r"record\.a: set has no JSON form"),
        (loop(), "contains itself"),
    ],
)
def test_what_has_no_form_in_storage_is_refused_with_its_place(record: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        encode_line(record)


@given(record=st.dictionaries(st.text(), values, max_size=5))
@settings(deadline=None)
def test_a_line_is_one_line_of_json_with_the_same_content(record: dict[str, Any]) -> None:
    line = encode_line(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert not any(mark in line for mark in (b"<", b">", b"&", "\u2028".encode(), "\u2029".encode()))
    assert json.loads(line).keys() == record.keys()
    assert encode_line(dict(reversed(record.items()))) == line
    assert like(json.loads(line), record)


def like(read: Any, written: Any) -> bool:
    """Whether a value read is the one written: floats by value, bytes as base64."""
    if isinstance(written, bytes):
        return bool(base64.b64decode(read) == written)
    if isinstance(written, float):
        return float(read) == written
    if isinstance(written, dict):
        return read.keys() == written.keys() and all(like(read[key], written[key]) for key in written)
    if isinstance(written, list):
        return len(read) == len(written) and all(map(like, read, written))
    return bool(read == written) and type(read) is type(written)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_a_number_reads_back_as_itself(value: float) -> None:
    text = encode_number(value)
    assert float(text) == value
    assert ("e" in text) == (value != 0 and not 1e-6 <= abs(value) < 1e21)


def test_a_manifest_is_indented_in_the_order_given() -> None:
    assert encode_manifest({"b": {}, "a": [{"path": "x<y"}], "n": 1}) == (
        b'{\n  "b": {},\n  "a": [\n    {\n      "path": "x\\u003cy"\n    }\n  ],\n  "n": 1\n}'
    )
    with pytest.raises(ContractError, match="manifest"):
        encode_manifest({"a": b"x"})


def test_meta() -> None:
    assert encode_meta("image/png") == b'{"content_type":"image/png"}'
    assert json.loads(encode_meta('a"<b>')) == {"content_type": 'a"<b>'}
