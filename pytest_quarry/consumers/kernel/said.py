"""What a process says to a server over a connection, told from its bytes: SQL, Redis, HTTP, or something that cannot be read."""

from __future__ import annotations

import re

from pytest_quarry.consumers.protocol import Said

MOST_READ = 1 << 16  # bytes
FIRST = 64  # bytes that may come before a statement, comments among them
REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1")
COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n")
STATEMENT = re.compile(
    rb"(?<![\w.])(?:(BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SELECT|WITH|SET|SHOW|EXPLAIN|DISCARD|DEALLOCATE"
    rb"|DECLARE|FETCH|CLOSE|LISTEN|UNLISTEN|NOTIFY|LOCK|DO|VALUES|PREPARE|EXECUTE)\b"
    rb"|(?:(INSERT|REPLACE|MERGE)\b.{0,40}?\bINTO\s+|(UPDATE)\s+(?:ONLY\s+)?|(DELETE)\s+FROM\s+(?:ONLY\s+)?|(COPY|CALL)\s+"
    rb"|(TRUNCATE)\s+(?:TABLE\s+)?|(CREATE|DROP|ALTER)\s.{0,80}?\b(?:TABLE|INDEX|VIEW|TRIGGER|SCHEMA|SEQUENCE|TYPE)\s+"
    rb"(?:CONCURRENTLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?)([\w.\"\[\]`\x80-\xff]+))",
    re.IGNORECASE | re.DOTALL,
)
# What changes nothing that outlives the connection. A function that is called by SELECT may do anything, but those that only look.
LOOKS = frozenset(
    [
        "BEGIN",
        "START",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "SELECT",
        "SET",
        "SHOW",
        "EXPLAIN",
        "DISCARD",
        "DEALLOCATE",
        "DECLARE",
        "FETCH",
        "CLOSE",
        "LISTEN",
        "UNLISTEN",
        "LOCK",
        "PREPARE",
    ]
)
FUNCTION = re.compile(
    rb"SELECT\s+(?!(?:COUNT|MIN|MAX|SUM|AVG|COALESCE|EXISTS|VERSION|(?:pg_catalog\.)?(?:pg_|current_|version|set_config))\b|pg_)"
    rb"[\w.]+\s*\(",
    re.IGNORECASE,
)
LOOKING_COMMANDS = frozenset(
    [
        "GET",
        "MGET",
        "EXISTS",
        "STRLEN",
        "TTL",
        "PTTL",
        "TYPE",
        "KEYS",
        "SCAN",
        "HGET",
        "HMGET",
        "HGETALL",
        "HEXISTS",
        "HKEYS",
        "HVALS",
        "HLEN",
        "SISMEMBER",
        "SMEMBERS",
        "SCARD",
        "LRANGE",
        "LLEN",
        "ZRANGE",
        "ZSCORE",
        "ZCARD",
        "XRANGE",
        "XLEN",
        "PING",
        "ECHO",
        "HELLO",
        "AUTH",
        "CLIENT",
        "COMMAND",
        "INFO",
        "SELECT",
        "CONFIG",
        "WATCH",
        "UNWATCH",
        "MULTI",
        "SUBSCRIBE",
    ]
)
# Where the server asks its own clock, which is not the world's.
CLOCK = re.compile(
    rb"(?i)\b(?:now|sysdate|getdate|unix_timestamp|utc_timestamp|curdate|curtime)\s*\(|\b(?:current|local)_?time(?:stamp)?\b"
    rb"|\bcurrent_date\b|\b(?:clock|statement|transaction)_timestamp\b"
)
EXPIRY = re.compile(
    rb"(?i)\r\n(?:P?EXPIRE(?:AT)?|P?SETEX|GETEX|EX|PX|EXAT|PXAT|TIME)\r\n|redis\.p?call\(\s*['\"](?:P?EXPIRE|P?SETEX|TIME)"
)
POSTGRES_BEGINS = frozenset((0x00030000, 80877103, 80877104))  # the protocol's version; requests for TLS and for GSS


def understood(data: bytes) -> Said | None:
    """What is said with these bytes, the first of what is sent at once; None where it is about the connection alone."""
    request = REQUEST.match(data)
    if request is not None:
        method, path = request[1].decode(), request[2].decode("utf-8", "replace").partition("?")[0]
        return Said(f"{method} {path}", method not in ("GET", "HEAD", "OPTIONS"))
    command = COMMAND.match(data)
    if command is not None:
        verb = command[1].decode("ascii", "replace").upper()
        pipelined = len(COMMAND.findall(data)) > 1
        return Said(verb, pipelined or verb not in LOOKING_COMMANDS, EXPIRY.search(data) is not None)
    if _is_about_the_connection(data):
        return None
    if data[:2] == b"\x17\x03":
        return Said("send", clock=True)  # TLS: what it says, nobody can tell
    text = _text(data)
    statement = STATEMENT.search(text)
    if statement is None or statement.start() > FIRST:
        return Said("send")
    return _of_sql(text, statement)


def _text(data: bytes) -> bytes:
    """Without what Postgres puts before a statement: its length, which may look like letters, and its name."""
    if data[:1] == b"Q":
        return data[5:]
    if data[:1] == b"P":
        return data[data.find(b"\0", 5) + 1 :]
    return data


def _of_sql(data: bytes, statement: re.Match[bytes]) -> Said:
    *verbs, table = (part.decode("utf-8", "replace") if part is not None else "" for part in statement.groups())
    verb = next(filter(None, verbs)).split()[0].upper()
    looks = verb in LOOKS and FUNCTION.search(data, statement.start()) is None
    several = b";" in data[statement.end() :].rstrip(b"; \n\0")
    return Said(f"{verb} {table}".strip(), several or not looks, CLOCK.search(data) is not None)


def _is_about_the_connection(data: bytes) -> bool:
    """A message at its beginning or end: of TLS, of Postgres, of MySQL."""
    if data[:2] in (b"\x14\x03", b"\x15\x03", b"\x16\x03"):
        return True
    if data[3:4] == b"\x01" and data[13:32] == bytes(19):  # MySQL's HandshakeResponse41: its filler
        return True
    if data in (b"\1\0\0\0\1", b"\1\0\0\0\x0e"):  # its COM_QUIT and COM_PING
        return True
    if len(data) >= 8 and int.from_bytes(data[4:8], "big") in POSTGRES_BEGINS:
        return int.from_bytes(data[:4], "big") == len(data)
    return data[:1] in (b"p", b"X") and int.from_bytes(data[1:5], "big") == len(data) - 1
