"""JSON bytes as Quarry's storage writes them."""

import base64
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from pytest_quarry.contract.errors import ContractError

__all__ = ["encode_line", "encode_manifest", "encode_meta", "encode_number", "encode_text"]

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_HTML = re.compile("[<>&\u2028\u2029\x08\x0c]")


def encode_line(record: Mapping[str, Any]) -> bytes:
    """One record as the line of a data file, newline included.

    Keys are sorted bytewise at every level, ``<`` ``>`` ``&`` U+2028 and U+2029 escaped, other text raw, a lone
    surrogate becomes U+FFFD, bytes become base64, None is ``null``. Raises ContractError, naming the place, for what
    has no form in storage: NaN, infinity, integers beyond 64 bits, keys that are not strings, other types.
    Source: the JSON-lines codec of Lode 0.9.
    """
    try:
        return _text(record, "record").encode() + b"\n"
    except RecursionError:
        raise ContractError("record: nested too deeply, or contains itself; store a flat tree of values") from None


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as stored: keys in the order given, indented by two spaces, no newline at the end.

    Text is escaped as in `encode_line`. Raises ContractError for values JSON cannot hold.
    """
    try:
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(f"manifest: {error}; a manifest holds text, whole numbers, lists and objects") from None
    return _escape_text(text).encode()


def encode_meta(content_type: str) -> bytes:
    """The ``.meta.json`` companion of a sidecar file: ``{"content_type":"image/png"}``, no newline."""
    return f'{{"content_type":{encode_text(content_type)}}}'.encode()


def encode_number(value: int | float, where: str = "number") -> str:
    """A number as Go writes it: 1.0 is ``1``, 1e20 has all its digits, 1e21 is ``1e+21``, 1e-7 is ``1e-07``.

    Raises ContractError for NaN, infinity and integers outside -2**63 .. 2**64-1.
    """
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise ContractError(f"{where}: {value} does not fit 64 bits; send it as a string")
        return int.__repr__(value)
    if not math.isfinite(value):
        raise ContractError(f"{where}: {value} has no JSON form; Quarry fails the whole flush, so send null or text")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(float.__repr__(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return float.__repr__(value).replace(".0e", "e")


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return encode_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return encode_number(value, where)
    if isinstance(value, Mapping):
        return _object(value, where)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item, f"{where}[{n}]") for n, item in enumerate(value)) + "]"
    if isinstance(value, bytes | bytearray | memoryview):
        return '"' + base64.b64encode(value).decode() + '"'
    raise ContractError(
        f"{where}: {type(value).__name__} has no JSON form; use text, numbers, bytes, lists, objects, true, false, null"
    )


def _object(value: Mapping[Any, Any], where: str) -> str:
    for key in value:
        if not isinstance(key, str):
            raise ContractError(f"{where}: key {key!r} is not a string; keys of stored objects are strings")
    # Code point order is the order of the UTF-8 bytes.
    return "{" + ",".join(f"{encode_text(key)}:{_text(value[key], f'{where}.{key}')}" for key in sorted(value)) + "}"


def encode_text(value: str) -> str:
    """A string as stored, in quotes."""
    return _escape_text(encode_basestring(value))


def _escape_text(text: str) -> str:
    # Outside strings JSON has none of these characters, and Python writes \b and \f where Go's codec does not.
    if _HTML.search(text):
        text = _HTML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if "\\b" in text or "\\f" in text:
        text = re.sub(r"\\(\\|b|f)", _control, text)
    if _LONE.search(text):
        text = _PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        text = _LONE.sub(r"\\ufffd", text)
    return text


def _control(match: re.Match[str]) -> str:
    return {"b": "\\u0008", "f": "\\u000c"}.get(match[1], match[0])
