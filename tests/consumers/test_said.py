"""What goes over a connection, in words: whether it may change anything, and whether the server looks at its clock for it."""

from __future__ import annotations

import struct

import pytest

from pytest_quarry.consumers.kernel.said import Conversation, understood
from pytest_quarry.consumers.protocol import Said

SYNC, FLUSH = b"S\0\0\0\4", b"H\0\0\0\4"


def query(sql: str) -> bytes:
    """Postgres's simple query."""
    return b"Q" + struct.pack("!I", len(sql) + 5) + sql.encode() + b"\0"


def parse(sql: str) -> bytes:
    """Postgres's extended query: Parse, Bind, Describe, Execute, Sync."""
    text = b"\0" + sql.encode() + b"\0\0\0"  # no name, no types
    return (
        b"P"
        + struct.pack("!I", len(text) + 4)
        + text
        + b"B\0\0\0\x12\0\0\0\0\0\1\0\0\0\5run-AE\0\0\0\t\0\0\0\0\0S\0\0\0\4"
    )


def mysql(sql: str) -> bytes:
    """MySQL's COM_QUERY."""
    return struct.pack("<I", len(sql) + 1) + b"\3" + sql.encode()


def redis(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


@pytest.mark.parametrize(
    ("data", "words", "changes"),
    [
        (query("BEGIN"), "BEGIN", False),
        (query("BEGIN ISOLATION LEVEL SERIALIZABLE"), "BEGIN", False),
        (query("COMMIT"), "COMMIT", True),
        (query("ROLLBACK"), "ROLLBACK", False),
        (query("insert into orders values ('BEGIN')"), "INSERT orders", True),
        (query('INSERT INTO "public"."orders" VALUES (1)'), 'INSERT "public"."orders"', True),
        (query("  -- why\n UPDATE ONLY loaded SET n = 1"), "UPDATE loaded", True),
        (query("DELETE FROM orders WHERE run_id = 'run-A'"), "DELETE orders", True),
        (query("MERGE INTO orders USING new ON true"), "MERGE orders", True),
        (query("TRUNCATE orders"), "TRUNCATE orders", True),
        (query("COPY orders FROM STDIN"), "COPY orders", True),
        (query("CREATE TABLE IF NOT EXISTS orders (run_id text)"), "CREATE orders", True),
        (query("CREATE UNIQUE INDEX CONCURRENTLY once ON orders (run_id)"), "CREATE once", True),
        (query("SELECT 1 FROM loaded WHERE run_id = 'run-A'"), "SELECT", False),
        (query("SELECT count(*) FROM loaded"), "SELECT", False),
        (query("SELECT pg_catalog.version()"), "SELECT", False),
        (query("SELECT pg_try_advisory_lock(1)"), "SELECT", False),
        (query("SELECT timeofday()"), "SELECT", False),
        (query("SELECT load_run('run-A')"), "SELECT", True),
        (query("SELECT 1; DELETE FROM orders"), "SELECT", True),
        (query("SELECT 1;"), "SELECT", False),
        (query("WITH gone AS (DELETE FROM orders RETURNING *) SELECT 1"), "WITH", True),
        (query("CALL load_run('run-A')"), "CALL load_run", True),
        (parse("INSERT INTO orders (run_id) VALUES ($1)"), "INSERT orders", True),
        (parse("SELECT 1 FROM loaded WHERE run_id = $1"), "SELECT", False),
        (mysql("REPLACE INTO orders VALUES (1)"), "REPLACE orders", True),
        (mysql("START TRANSACTION"), "START", False),
        (mysql("SET autocommit=0"), "SET", False),
        (redis("SET", "run-A", "1"), "SET", True),
        (redis("get", "run-A"), "GET", False),
        (redis("GET", "a") + redis("SET", "a", "1"), "GET", True),
        (redis("MULTI") + redis("SET", "a", "1") + redis("EXEC"), "MULTI", True),
        (b"add run-A 0 0 1\r\n1\r\n", "ADD", True),
        (b"get run-A\r\n", "GET", False),
        (b"delete run-A noreply\r\n", "DELETE", True),
        (b"POST /rows?at=1 HTTP/1.1\r\nHost: x\r\n\r\n{}", "POST /rows", True),
        (b"GET /runs/run-A HTTP/1.1\r\n\r\n", "GET /runs/run-A", False),
        (b"HEAD /runs/run-A HTTP/1.1\r\n\r\n", "HEAD /runs/run-A", False),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS *", False),
        (b"PUT /r\xff HTTP/1.1\r\n\r\n", "PUT /r\ufffd", True),
        (query("COMMIT" + " " * (0x41 - 11)), "COMMIT", True),  # its length looks like a letter
        (parse("SELECT 1 FROM loaded" + " " * (0x4100 - 28)), "SELECT", False),
        (mysql("COMMIT" + " " * (0x5A - 7)), "COMMIT", True),
        (struct.pack("<I", 7) + b"\x16COMMIT", "COMMIT", True),
        (b"P\0\0\0\x22COMMIT\0SELECT 1 FROM loaded\0\0\0", "SELECT", False),  # the name of a prepared statement
        (query("INSERT INTO f\u00fcr VALUES (1)"), "INSERT f\u00fcr", True),
        (query("SELECT 1 FROM loaded WHERE note = 'SELECT load_run(1)'"), "SELECT", True),  # who knows what it calls
        (query("SELECT 1 ; "), "SELECT", False),
        (b"\x17\x03\x03\x00\x05INSERT INTO orders", "send", True),
        (b"B\0\0\0\x10\0s1\0INSERTED\0", "send", True),
        (b"\0" * 100 + b"COMMIT", "send", True),
        (b"", "send", True),
        (query("PREPARE TRANSACTION 'run-A'"), "PREPARE", True),
        (query("PREPARE look AS SELECT 1 FROM loaded"), "PREPARE", False),
        (query("COMMIT PREPARED 'run-A'"), "COMMIT", True),
        (query("ROLLBACK PREPARED 'run-A'"), "ROLLBACK", True),
        (mysql("XA PREPARE 'run-A'"), "send", True),
        (query("SELECT * FROM load_run('run-A')"), "SELECT", True),
        (query("SELECT (load_run('run-A')).*"), "SELECT", True),
        (query('SELECT 1, "load"(run_id) FROM runs'), "SELECT", True),
        (query("SELECT coalesce(load_run('run-A'), 0)"), "SELECT", True),
        (query("SELECT count(*) FROM shop.load_run('run-A')"), "SELECT", True),
        (query("SELECT * INTO orders FROM staged"), "SELECT", True),
        (query("SELECT json_ingest('run-A')"), "SELECT", True),
        (query("SELECT shop.extract('run-A')"), "SELECT", True),
        (query('SELECT "shop" . "replace"(1)'), "SELECT", True),
        (query("SELECT pg_notify('runs', 'run-A')"), "SELECT", True),
        (query("SELECT has_loaded('run-A')"), "SELECT", True),
        (query("SELECT has_table_privilege('orders', 'select')"), "SELECT", False),
        (query("SELECT pg_catalog.jsonb_build_array(json_agg(o)) FROM orders o"), "SELECT", False),
        (query("SELECT 1 FROM loaded AS l WHERE l.run_id IN ('run-A') AND l.n = ANY (array_agg(1))"), "SELECT", False),
        (mysql("SELECT n INTO @n FROM loaded"), "SELECT", False),
        (query("EXPLAIN (ANALYZE) INSERT INTO orders VALUES (1)"), "EXPLAIN", True),
        (query("EXPLAIN SELECT 1 FROM orders"), "EXPLAIN", False),
        (query("DECLARE c CURSOR FOR SELECT * FROM load_run('run-A')"), "DECLARE", True),
        (query("WITH new (n) AS (SELECT 1) SELECT 1"), "WITH", True),  # who knows what it calls
        (query("WITH new AS (SELECT max(n) FROM loaded) SELECT 1 FROM new"), "WITH", True),
        (query("SELECT 1 FROM loaded WHERE run_id IN ('A') AND n = ANY (array_agg(1)) FOR UPDATE"), "SELECT", False),
        (parse("SELECT jsonb_path_query(data, '$.a') FROM orders"), "SELECT", False),
        (query("-- Set down the orders\nINSERT INTO orders VALUES (1)"), "INSERT orders", True),
        (query("/* show, select */ -- lock\n UPDATE loaded SET n = 1"), "UPDATE loaded", True),
        (query("/* " + "x" * 100 + " */ SELECT 1"), "SELECT", False),
        (mysql("# begin\nDELETE FROM orders"), "DELETE orders", True),
        (mysql("\0\1/* select */ DELETE FROM orders"), "DELETE orders", True),
        (mysql("LOAD DATA LOCAL INFILE 'a' INTO TABLE orders SET n = 1"), "send", True),
        (query("GRANT SELECT ON orders TO shop"), "send", True),
        (query("REFRESH MATERIALIZED VIEW begin"), "send", True),
    ],
)
def test_what_is_said(data: bytes, words: str, changes: bool) -> None:
    found = understood(data)
    assert found is not None
    assert (found.words, found.changes) == (words, changes)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!II", 8, 80877103),
        struct.pack("!II", 8, 80877104),
        struct.pack("!II", 23, 0x30000) + b"user\0postgres\0\0",
        b"p\0\0\0\x0bsecret\0",
        b"X\0\0\0\4",
        struct.pack("<I", 0x01000054) + struct.pack("<IIB", 0x00AFA28D, 1 << 24, 45) + bytes(23) + b"tests\0",
        b"\1\0\0\0\1",
        b"\1\0\0\0\x0e",
        b"\x16\x03\x01\x00\x05hello",
        b"\x14\x03\x03\x00\x01\x01",
        b"\x15\x03\x03\x00\x02\x01\x00",
    ],
)
def test_what_is_about_the_connection_is_nothing_said(data: bytes) -> None:
    assert understood(data) is None


@pytest.mark.parametrize(
    "data",
    [
        query("INSERT INTO claims VALUES ('run-A', now())"),
        query("UPDATE claims SET run_id = 'run-A' WHERE claimed_at < CURRENT_TIMESTAMP - interval '5 minutes'"),
        query("SELECT clock_timestamp()"),
        query("INSERT INTO claims VALUES ('run-A', 'now')"),
        query("UPDATE claims SET run_id = 'run-A' WHERE day < date ' Today '"),
        query("DELETE FROM claims WHERE age(claimed_at) > interval '5 minutes'"),
        query("DELETE FROM claims WHERE age (coalesce(claimed_at, least(begun, ended))) > interval '5 minutes'"),
        query("SELECT timeofday()"),
        mysql("INSERT INTO claims VALUES (UTC_TIME)"),
        mysql("INSERT INTO claims VALUES (UNIX_TIMESTAMP())"),
        redis("SET", "lock:run-A", "1", "NX", "EX", "300"),
        redis("set", "lock:run-A", "1", "nx", "px", "300000"),
        redis("EXPIRE", "run-A", "300"),
        redis("EVAL", "redis.call('pexpire', KEYS[1], 300)", "1", "run-A"),
        redis("EVAL", "return redis.call('SET', KEYS[1], '1', 'NX', 'EX', 300)", "1", "run-A"),
        redis("eval_ro", 'local call = redis.call; return call("time")', "0"),
        redis("script", "load", "return redis.pcall('set', KEYS[1], '1', \"px\", 300)"),
        redis("EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "1", "run-A"),
        redis("fcall", "claim", "1", "run-A"),
        redis("MULTI") + redis("EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0") + redis("EXEC"),
        redis("XAUTOCLAIM", "inbox", "loaders", "me", "60000", "0-0"),
        redis("XCLAIM", "inbox", "loaders", "me", "60000", "1-0"),
        redis("XPENDING", "inbox", "loaders", "IDLE", "60000", "-", "+", "10"),
        redis("XREADGROUP", "GROUP", "loaders", "me", "CLAIM", "60000", "STREAMS", "inbox", ">"),
        redis("HPEXPIRE", "claims", "60000", "FIELDS", "1", "run-A"),
        redis("HSETEX", "claims", "EX", "60", "FIELDS", "1", "run-A", "1"),
        redis("RESTORE", "run-A", "60000", "x"),
        b"add claim-run-A 0 60 1\r\n1\r\n",  # memcached's
        b"touch claim-run-A 60\r\n",
        query("SELECT try_claim('run-A')"),  # what it does nobody tells
        query("SELECT 1 FROM q.try_claim('run-A') AS won"),
        query("CALL claim('run-A')"),
        b"\x17\x03\x03\x00\x05xxxxx",
        mysql("LOAD DATA INFILE 'a' INTO TABLE orders SET at = now()"),
    ],
)
def test_the_server_looks_at_its_clock(data: bytes) -> None:
    found = understood(data)
    assert found is not None
    assert found.clock


@pytest.mark.parametrize(
    "data",
    [
        query("INSERT INTO known (run_id) VALUES ('run-A')"),
        query("INSERT INTO orders (timestamped) VALUES ('2026-01-01')"),
        query("UPDATE loaded SET n = age($1, claimed_at)"),
        query("UPDATE loaded SET n = age(coalesce(claimed_at, least(begun, ended)), $1)"),
        query("INSERT INTO people (age) VALUES ('now and then')"),
        query("UPDATE loaded SET n = usage(1)"),
        query("SELECT nextval('numbers'), gen_random_uuid()"),
        query("SELECT 1 FROM loaded AS l WHERE run_id IN ('run-A')"),
        redis("SET", "claim", "1"),
        b"set run-A 0 0 3 noreply\r\nadd\r\n",
        redis("XREADGROUP", "GROUP", "loaders", "me", "STREAMS", "inbox", ">"),
        redis("SET", "run-A", "1"),
        redis("SET", "EX-run", "1"),
        redis("SET", "run-A", '{"EX": 1, "time": 2}'),
        redis("EVAL", "redis.call('RPUSH', KEYS[1], ARGV[1])", "1", "run-A", '{"EX": 1, "time": 2}'),
        redis("EVAL", "redis.call('SET', KEYS[1], 'EXTRA')", "1", "run-A"),
        redis("SCRIPT", "LOAD", "redis.call('SET', KEYS[1], '1')"),
        redis("HSET", "run-A", "EVALSHAS", "1"),
        b"POST /now HTTP/1.1\r\n\r\nnow()",
    ],
)
def test_the_server_need_not_look_at_its_clock(data: bytes) -> None:
    found = understood(data)
    assert found is not None
    assert not found.clock


def test_what_cannot_be_read_may_do_anything_but_tell_the_time() -> None:
    assert understood(b"\x01\x02\x03") == Said("send", changes=True, clock=False)


@pytest.mark.parametrize(
    ("said", "clock"),
    [
        ([b"\xdd\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0"], True),  # MongoDB's
        ([b"PUT /rows/run-A HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"{}"], False),
        ([struct.pack("!II", 23, 0x30000) + b"user\0postgres\0\0", b"B\0\0\0\x10\0s1\0INSERTED\0"], False),
        ([redis("SET", "run-A", "x" * 9)[:30], b"xxx\r\n"], False),
    ],
)
def test_a_server_of_which_nothing_can_be_read_may_look_at_its_clock(said: list[bytes], clock: bool) -> None:
    """What follows on something that could be read is the rest of it, or what was prepared with it."""
    conversation = Conversation()
    heard = [conversation.hears(data) for data in said]
    assert heard[-1] == Said("send", clock=clock)


def bind(value: str) -> bytes:
    """Of Postgres's extended query, in pipelines: Bind and Execute."""
    text = b"\0\0\0\0\0\1" + struct.pack("!I", len(value)) + value.encode() + b"\0\0"
    return b"B" + struct.pack("!I", len(text) + 4) + text + b"E\0\0\0\t\0\0\0\0\0"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([bind("a"), SYNC, SYNC, query("COMMIT")], ["send", "send", None, "COMMIT"]),
        ([bind("a"), SYNC, FLUSH, query("COMMIT")], ["send", "send", None, "COMMIT"]),
        ([bind("a"), SYNC, FLUSH, SYNC, SYNC], ["send", "send", None, None, None]),
        ([bind("a"), FLUSH, SYNC], ["send", None, "send"]),  # what is not synchronized is not committed
        ([bind("a") + SYNC, FLUSH + query("COMMIT")], ["send", "COMMIT"]),
        ([bind("a"), SYNC + FLUSH, SYNC + FLUSH], ["send", "send", None]),
        ([bind("a"), SYNC, bind("b"), SYNC], ["send", "send", "send", "send"]),
        ([parse("SELECT 1"), SYNC + query("SELECT 1"), SYNC], ["SELECT", "SELECT", "send"]),
        ([bind("a"), SYNC + parse("SELECT 1")], ["send", "send"]),  # the first of both commits
        ([bind("x" * (1 << 16))[: 1 << 16], SYNC], ["send", "send"]),
        ([bind("a") + SYNC, b"X\0\0\0\4", SYNC], ["send", None, None]),
        ([SYNC, SYNC], ["send", None]),
        ([b"", b""], ["send", "send"]),
    ],
)
def test_what_only_waits_for_answers_says_nothing(said: list[bytes], words: list[str | None]) -> None:
    """How often a driver flushes and synchronizes what it has sent in a pipeline depends on how fast the answers come."""
    conversation = Conversation()
    heard = [conversation.hears(data) for data in said]
    assert [what.words if what is not None else None for what in heard] == words


INSERT = "INSERT INTO orders VALUES (1)"


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ([INSERT, "BEGIN"], [True, True]),
        ([INSERT, "/* why */ start transaction with consistent snapshot;"], [True, True]),
        ([INSERT, "LOCK TABLES orders WRITE"], [True, True]),
        ([INSERT, "SET SESSION autocommit = 1"], [True, True]),
        ([INSERT, "SET @@autocommit=ON"], [True, True]),
        ([INSERT, "SET autocommit = 0"], [True, False]),
        (["SET AUTOCOMMIT = 1", "BEGIN", "SELECT 1", INSERT, "COMMIT"], [False, False, False, True, True]),
        ([INSERT, "COMMIT", "BEGIN", "BEGIN"], [True, True, False, False]),
        ([INSERT, "ROLLBACK", "BEGIN"], [True, False, False]),
        ([INSERT, "ROLLBACK TO SAVEPOINT a", "BEGIN"], [True, False, True]),
        ([INSERT, "COMMIT; " + INSERT, "BEGIN"], [True, True, True]),
        ([INSERT + " " * (0x50 - len(INSERT) - 1), "BEGIN" + " " * (0x51 - 6)], [True, True]),  # lengths like letters
        ([INSERT + " " * (1 << 16), "BEGIN"], [True, True]),
    ],
)
def test_what_begins_in_mysql_commits_what_is_open(said: list[str], changes: list[bool]) -> None:
    conversation = Conversation()
    heard = [conversation.hears(mysql(sql)[: 1 << 16]) for sql in said]
    assert [what is not None and what.changes for what in heard] == changes


def test_what_a_statement_prepared_before_has_changed_is_open_too() -> None:
    conversation = Conversation()
    assert conversation.hears(b"\x0a\0\0\0\x17\1\0\0\0\0\1\0\0\0") is not None  # COM_STMT_EXECUTE
    assert conversation.hears(mysql("BEGIN")) == Said("BEGIN")


def test_what_begins_in_postgres_commits_nothing() -> None:
    conversation = Conversation()
    heard = [conversation.hears(query(sql)) for sql in (INSERT, "BEGIN", "LOCK TABLE orders", " " * 0xFFF5 + "BEGIN")]
    assert [what is not None and what.changes for what in heard] == [True, False, False, False]
