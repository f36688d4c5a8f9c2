"""What a process says to a server over a connection, told from its bytes: SQL, Redis, HTTP, or something that cannot be read."""

from __future__ import annotations

import re

from pytest_quarry.consumers.protocol import Said

MOST_READ = 1 << 16  # bytes
SEND = "send"  # where the bytes tell nothing
FIRST = 64  # bytes that may come before a statement
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
# What changes nothing that outlives the connection, where nothing that is called in it does.
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
NAME = rb'[\w\x80-\xff$]+|"[^"]*"'
CALL = re.compile(rb"(?:(" + NAME + rb")\s*\.\s*)?(" + NAME + rb")\s*\(")
# What looks like a call in what only looks: words of SQL, types, and functions that look. Any other may do anything.
LOOKING_CALLS = frozenset(
    b"""
    all and any array as between by case distinct else except exists filter from group having in intersect into is join lateral like
    limit materialized not on or order over partition recursive row rows select set some then union using values when where with within
    bit char character datetime decimal float interval numeric time timestamp timestamptz varbinary varchar varying
    abs age array_agg array_length array_to_string avg bool_and bool_or btrim cardinality cast ceil ceiling char_length coalesce concat
    concat_ws convert count crc32 cume_dist curdate curtime database date date_add date_format date_part date_sub date_trunc datediff
    day decode dense_rank encode every extract first_value floor format found_rows generate_series getdate get_lock greatest
    group_concat hashtext hashtextextended hex hour if ifnull instr is_free_lock is_used_lock isnull json_agg json_array_elements
    json_extract json_object jsonb_agg jsonb_array_elements jsonb_build_object lag last_insert_id last_value lead least left length
    lower lpad ltrim max md5 min minute mod month now ntile nullif num_nulls octet_length percent_rank position quote_ident
    quote_literal rank regexp_match regexp_matches regexp_replace release_lock repeat replace right round row_count row_number
    row_to_json rpad rtrim schema second sha1 sha2 sha256 sign split_part sqrt statement_timestamp string_agg strpos substr substring
    sum sysdate timeofday to_char to_date to_json to_jsonb to_number to_regclass to_regtype to_timestamp transaction_timestamp trim trunc
    truncate unhex unix_timestamp unnest upper user utc_date utc_time utc_timestamp uuid version week width_bucket year clock_timestamp connection_id
    set_config
    """.split()
)
SYSTEM_SCHEMAS = frozenset(
    (b"", b"pg_catalog", b"information_schema")
)  # in another it is the team's, whatever its name
LOOKING_FAMILIES = re.compile(
    rb"pg_(?!notify\Z|logical_emit_message\Z)|current_|txid_|inet_|has_\w+_privilege\Z"
    rb"|jsonb?_(?:agg|array|build|contains|delete_path|depth|each|exists|extract|insert|keys|length|merge|object|overlaps|path|populate"
    rb"|pretty|query|quote|remove|replace|scalar|search|serialize|set|storage|strip|table|to_record|type|unquote|valid|value)"
)
# Where a call of what the team has written may be all that is said: what it does, and when, only the server knows.
CALLING = frozenset(["SELECT", "CALL", "DO", "DECLARE"])
TIMELESS_CALLS = frozenset(b"nextval currval lastval setval random rand gen_random_uuid uuid_generate_v4".split())
# Words of one that looks with which it does not: two phases of a commit, a new table, a plan that is carried out.
MORE = re.compile(
    rb"(?i)(?:PREPARE\s+TRANSACTION|ROLLBACK\s+PREPARED|EXPLAIN\b.{0,40}?\bANALYZE)\b"
    rb"|(?:SELECT|WITH)\b.*?\bINTO\s+(?!@)",
    re.DOTALL,
)
# What ends a transaction in MySQL, alone in what is said: whatever begins one commits what is open.
ENDS = re.compile(
    rb"(?i)(?:COMMIT|ROLLBACK(?!\s+(?:WORK\s+)?TO\b)|(BEGIN|START\s+TRANSACTION|LOCK\s+TABLES?"
    rb"|SET\s[^;]{0,20}?\bautocommit\s*=\s*(?:1|on|true)))\b[^;]*;?\s*\Z"
)
# What may stand before a statement. MySQL carries out what is in /*! */.
BEFORE = re.compile(rb"(?:\s|--[^\n]*\n|#[^\n]*\n|/\*(?!!).*?\*/)+", re.DOTALL)
WORD = re.compile(rb"[A-Za-z]{2}")
# Postgres's Flush and Sync. A Flush asks for answers alone; a Sync commits too, what was said in a pipeline before it.
SYNC = b"S\0\0\0\4"
FLUSHES, SYNCS = re.compile(rb"(?:H\0{3}\x04)*"), re.compile(rb"(?:[HS]\0{3}\x04)*")
ENDS_IN_SYNC = re.compile(rb"S\0{3}\x04(?:H\0{3}\x04)*\Z")
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
    rb"(?i)\b(?:now|sysdate|getdate|unix_timestamp|curdate|curtime|timeofday)\s*\(|\b(?:current|local)_?time(?:stamp)?\b"
    rb"|\bcurrent_date\b|\butc_(?:date|time|timestamp)\b|\b(?:clock|statement|transaction)_timestamp\b"
    rb"|'\s*(?:now|today|tomorrow|yesterday)\s*'"
    rb"|\bage\s*\((?:[^(),]|\((?:[^()]|\([^()]*\))*\))*\)"  # of one argument: since when? Of two it tells what is between them
)
EXPIRES = rb"(?:H?P?EXPIRE(?:AT)?|H?P?SETEX|H?GETEX|EX|PX|EXAT|PXAT|TIME|RESTORE|XAUTOCLAIM|XCLAIM|XPENDING)"
# memcached's text: what is kept under a key, and until when; or anything else.
KEEPING = re.compile(rb"(add|set|replace|append|prepend|cas) \S+ \d+ (-?\d+) \d+(?: \d+)?(?: noreply)?\r\n")
OF_A_KEY = re.compile(rb"(get|gets|gat|gats|touch|delete|incr|decr) [^\r\n]+\r\n")
# What the server keeps under a name, a script or a function, may ask it too: of that only the name is said.
EXPIRY = re.compile(rb"(?i)\r\n(?:" + EXPIRES + rb"|EVALSHA(?:_RO)?|FCALL(?:_RO)?|XREADGROUP\r\n(?s:.)+?\r\nCLAIM)\r\n")
SCRIPT = re.compile(rb"(?i)\r\n(?:EVAL(?:_RO)?|SCRIPT\r\n\$4\r\nLOAD)\r\n\$(\d{1,9})\r\n")
EXPIRY_IN_SCRIPT = re.compile(rb"(?i)['\"]" + EXPIRES + rb"['\"]")
POSTGRES_BEGINS = frozenset((0x00030000, 80877103, 80877104))  # the protocol's version; requests for TLS and for GSS


class Conversation:
    """All that is said over one connection: what came before tells whether a message says anything."""

    def __init__(self) -> None:
        self._synced = False
        self._readable = False  # something that was said could be read
        self._open = False  # something was said that may have changed what is not committed

    def hears(self, data: bytes) -> Said | None:
        """What these bytes say, the first of what is sent at once; None where they do nothing but open or close the connection,
        or ask again for answers: drivers do so as often as they find that there is none yet."""
        waits = (SYNCS if self._synced else FLUSHES).match(data)
        rest = data[waits.end() :] if waits is not None else data
        what = understood(rest) if rest or not data else None
        self._readable |= what is None or what.words != SEND
        if what is not None:
            what = what if self._readable else what._replace(clock=True)
            self._synced = len(data) < MOST_READ and ENDS_IN_SYNC.search(data) is not None
            ends = ENDS.match(_text(data)) if _is_of_mysql(data) else None
            if ends is not None and ends[1] is not None:
                what = what._replace(changes=self._open)
            self._open = ends is None and (self._open or what.changes)
        return what


def understood(data: bytes) -> Said | None:
    """What is said with these bytes, whatever came before; None where it is about the connection alone."""
    request = REQUEST.match(data)
    if request is not None:
        method, path = request[1].decode(), request[2].decode("utf-8", "replace").partition("?")[0]
        return Said(f"{method} {path}", method not in ("GET", "HEAD", "OPTIONS"))
    command = COMMAND.match(data)
    if command is not None:
        verb = command[1].decode("ascii", "replace").upper()
        pipelined = len(COMMAND.findall(data)) > 1
        return Said(verb, pipelined or verb not in LOOKING_COMMANDS, _expires(data))
    cached = KEEPING.match(data) or OF_A_KEY.match(data)
    if cached is not None:
        return _of_memcached(*(part.decode() for part in cached.groups()))
    if _is_about_the_connection(data):
        return None
    if data[:2] == b"\x17\x03":
        return Said(SEND, clock=True)  # TLS: what it says, nobody can tell
    text = _text(data)
    statement = STATEMENT.search(text)
    if (
        statement is None
        or statement.start() > FIRST
        or WORD.search(text, 0, statement.start())
        or data.startswith(SYNC)
    ):
        return Said(SEND, clock=CLOCK.search(text) is not None)
    return _of_sql(text, statement)


def _of_memcached(verb: str, until: str = "0") -> Said:
    return Said(verb.upper(), not verb.startswith("get"), until != "0" or verb in ("touch", "gat", "gats"))


def _expires(data: bytes) -> bool:
    """Whether commands of Redis, or scripts that they bring along, make it look at its clock."""
    scripts = (data[script.end() : script.end() + int(script[1])] for script in SCRIPT.finditer(data))
    return EXPIRY.search(data) is not None or any(map(EXPIRY_IN_SCRIPT.search, scripts))


def _text(data: bytes) -> bytes:
    """Without what comes before a statement: its length, which may look like letters, its name, and comments."""
    begins = 0
    if _is_of_mysql(data):
        begins = 7 if data[5:7] == b"\0\1" else 5  # no attributes of the query, and one set of them
    elif data[:1] == b"Q":
        begins = 5
    elif data[:1] == b"P":
        begins = data.find(b"\0", 5) + 1
    comments = BEFORE.match(data, begins)
    return data[comments.end() if comments is not None else begins :]


def _is_of_mysql(data: bytes) -> bool:
    """COM_QUERY or COM_STMT_PREPARE: before it comes its length, which may look like the first letter of one of Postgres's."""
    size = int.from_bytes(data[:3], "little") + 4
    whole = size == len(data) or (size > len(data) == MOST_READ and data[:1] not in (b"P", b"Q"))
    return whole and data[3:4] == b"\0" and data[4:5] in (b"\3", b"\x16")


def _of_sql(data: bytes, statement: re.Match[bytes]) -> Said:
    *verbs, table = (part.decode("utf-8", "replace") if part is not None else "" for part in statement.groups())
    verb = next(filter(None, verbs)).split()[0].upper()
    at = statement.start()
    looks = verb in LOOKS and MORE.match(data, at) is None and all(map(_only_looks, CALL.findall(data, at)))
    clock = CLOCK.search(data) is not None or (verb in CALLING and not all(map(_tells_no_time, CALL.findall(data, at))))
    several = b";" in data[statement.end() :].rstrip(b"; \n\0")
    return Said(f"{verb} {table}".strip(), several or not looks, clock)


def _only_looks(called: tuple[bytes, bytes]) -> bool:
    schema, name = (part.strip(b'"').lower() for part in called)
    return schema in SYSTEM_SCHEMAS and (name in LOOKING_CALLS or LOOKING_FAMILIES.match(name) is not None)


def _tells_no_time(called: tuple[bytes, bytes]) -> bool:
    """Whether no clock is looked at in it, but for those that CLOCK names."""
    return _only_looks(called) or called[1].strip(b'"').lower() in TIMELESS_CALLS


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
