"""What a system call that waits is about: the memory, the folders and the open files of the process that made it."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

AT_FDCWD = -100
MOST_NAME = 4096
PAGE = 4096
OWN = (
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/fd", "/proc/self/fd"),
    ("/proc/self", "/proc/{process}"),
    ("/proc/thread-self", "/proc/{process}/task/{thread}"),
)


def signed(value: int) -> int:
    """A C int in a register."""
    return ctypes.c_int(value & 0xFFFFFFFF).value


def read(tid: int, address: int, size: int) -> bytes:
    """So many bytes of its memory. Raises OSError where they are not there."""
    with open(f"/proc/{tid}/mem", "rb", 0) as memory:
        memory.seek(address)
        return memory.read(size)


def write(tid: int, address: int, data: bytes) -> None:
    """Put so many bytes into its memory. Raises OSError where they cannot be."""
    with open(f"/proc/{tid}/mem", "r+b", 0) as memory:
        memory.seek(address)
        memory.write(data)


def text(tid: int, address: int) -> str:
    """A C string of its memory, as a path."""
    found = b""
    with open(f"/proc/{tid}/mem", "rb", 0) as memory:
        while len(found) < MOST_NAME:
            memory.seek(address + len(found))
            part = memory.read(PAGE - (address + len(found)) % PAGE)  # the next page may not be there
            found += part
            if b"\0" in part or not part:
                break
    return os.fsdecode(found.split(b"\0", 1)[0])


def path_of(tid: int, descriptor: int) -> str:
    """The path that an open file of it has now; nothing where it cannot be told."""
    try:
        return os.readlink(f"/proc/{tid}/fd/{descriptor}")
    except OSError:
        return ""


def path_at(tid: int, folder: int, address: int) -> str:
    """The absolute path that a call names, relative to an open folder or to its working directory."""
    name = text(tid, address)
    if not name.startswith("/"):
        base = os.readlink(f"/proc/{tid}/cwd") if signed(folder) == AT_FDCWD else path_of(tid, signed(folder))
        name = f"{base}/{name}"
    folder_name, _, last = name.rstrip("/").rpartition("/")
    if last in ("", ".", ".."):
        return real(tid, name)
    return f"{real(tid, folder_name or '/').rstrip('/')}/{last}"  # the last part may be a link that is meant itself


def real(tid: int, path: str) -> str:
    """The path without links, as the process sees it: what is its own of /proc and /dev is not ours."""
    for ours, theirs in OWN:
        if path == ours or path.startswith(ours + "/"):
            path = theirs.format(process=process_of(tid), thread=tid) + path[len(ours) :]
    return os.path.realpath(path)


def status(tid: int, field: str) -> str:
    """A field of its status."""
    with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
    return ""


def top_of_stack(process: int) -> int:
    """Where its stack begins. Raises ValueError where that is not told."""
    with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as line:
        address = int(line.read().rpartition(")")[2].split()[25])  # the 28th field, startstack
    if not address:
        raise ValueError(f"where the stack of process {process} begins is not told")
    return address


def words(process: int) -> bytes:
    """Its command, word by word."""
    with open(f"/proc/{process}/cmdline", "rb") as line:
        return line.read()


def process_of(tid: int) -> int:
    """The process a thread belongs to."""
    return int(status(tid, "Tgid") or tid)


def lineage(tid: int) -> list[int]:
    """The process a thread belongs to, and its ancestors up to this one."""
    found = [process_of(tid)]
    while (parent := int(status(found[-1], "PPid") or 0)) > 1 and parent != os.getpid():
        found.append(parent)
    return found


def umask(tid: int) -> int:
    """The mode bits it does not want in what it makes."""
    return int(status(tid, "Umask") or "22", 8)


def gathered(tid: int, address: int, count: int) -> bytes:
    """The bytes of an array of iovecs."""
    size = struct.calcsize("@PN")
    vectors = read(tid, address, size * count)
    return b"".join(read(tid, base, length) for base, length in struct.iter_unpack("@PN", vectors) if length)


def seconds(tid: int, address: int, parts: float = 1e9) -> float:
    """A timespec of its memory, or a timeval, whose second has a million parts."""
    whole, part = struct.unpack("=qq", read(tid, address, 16))
    return float(whole + part / parts)


def address(tid: int, at: int, size: int) -> tuple[str, int] | str | None:
    """Where a socket is to lead: host and port, or the path of a local one; None for anything else."""
    data = read(tid, at, min(size, 128)) if at else b"\0\0"
    family = struct.unpack_from("=H", data)[0]
    if family == socket.AF_INET:
        port, packed = struct.unpack_from("!H4s", data, 2)
        return socket.inet_ntop(socket.AF_INET, packed), port
    if family == socket.AF_INET6:
        port, packed = struct.unpack_from("!H4x16s", data, 2)
        return socket.inet_ntop(socket.AF_INET6, packed), port
    if family == socket.AF_UNIX:
        return os.fsdecode(data[2:].split(b"\0", 1)[0])
    return None


def elsewhere(tid: int, at: int, size: int) -> str | None:
    """The address and port of another machine that a socket is to reach; None where it stays on this one."""
    found = address(tid, at, size)
    if not isinstance(found, tuple):
        return None
    host, port = found
    local = host in ("::1", "::") or host.startswith(("127.", "0.", "::ffff:127."))
    return None if local else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
