"""File operations under the world's directories become boundaries.

Names (open, rename, unlink, mkdir, ...) are seen by an audit hook, however the consumer imported the function.
Contents are seen at the raw write: `open` builds the real text and buffer layers over a `FileIO` that reports, so
data still in a buffer dies with the process, as in life.
"""

from __future__ import annotations

import _io
import builtins
import fcntl
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers import processors
from pytest_quarry.consumers.hooks import folders
from pytest_quarry.consumers.hooks.names import WRITES, replace
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.paths import shown
from pytest_quarry.consumers.protocol import Boundary
from pytest_quarry.consumers.synced import OWN, SYNCED, SYNCED_ONCE, Nameless

real_open = io.open
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def install(link: Link) -> dict[int, Any]:
    """Install the hooks in this process; the replacements of functions that others may hold by name."""
    nameless = Nameless()
    sys.addaudithook(_audit_hook(link, nameless))
    replacements: dict[int, Any] = {id(real_open): _opener(link)}
    builtins.open = io.open = _io.open = replacements[id(real_open)]
    for name in WRITES:
        replace(replacements, os, name, _descriptor_write(link, name))
    for name in ("fsync", "fdatasync"):
        replace(replacements, os, name, _sync(link, nameless, name))
    replace(replacements, os, "sync", _sync_all(link, nameless))
    replace(replacements, os, "open", _open_in_folder(link))
    replace(replacements, os, "utime", _touch(link))
    for name, make in folders.changes(link).items():
        replace(replacements, os, name, make)
    return replacements


def _audit_hook(link: Link, nameless: Nameless) -> Callable[[str, tuple[Any, ...]], None]:
    reporters = {
        "open": _opened,
        "os.rename": _two_names("rename"),
        "os.link": _named(nameless),
        "os.symlink": _linked,
        "os.remove": _one_name("unlink"),
        "os.mkdir": _one_name("mkdir"),
        "os.rmdir": _one_name("rmdir"),
        "os.truncate": _truncated,
        "os.chmod": _metadata("chmod", in_folder=True),
        "os.utime": _metadata("utime", in_folder=True),
        "os.setxattr": _metadata("setxattr", in_folder=False),
        "os.removexattr": _metadata("removexattr", in_folder=False),
        "fcntl.flock": _locked,
        "fcntl.lockf": _locked,
        "subprocess.Popen": _process("start"),
        "os.posix_spawn": _process("start"),
        "os.system": _process("shell"),
        "os.exec": _process("become"),
    }

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        reporter = reporters.get(event)
        if reporter is None or link.inside:
            return
        boundary = reporter(link, arguments)
        if boundary is not None:
            link.boundary(boundary)

    return hook


def _opened(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
    path, _, flags = arguments
    if not isinstance(flags, int) or isinstance(path, int) or not (flags & WRITING or link.reads):
        return None
    name = link.name_of(path)
    if name is not None and not flags & WRITING:
        return None if os.path.isdir(path) else Boundary(f"read {shown(name)}")
    if name is None or os.path.isdir(path):  # a nameless file (O_TMPFILE), or one that its opener will name
        return None
    return Boundary(f"open {shown(name)}", (name,))


def _one_name(verb: str) -> Callable[[Link, tuple[Any, ...]], Boundary | None]:
    def report(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
        path, *rest = arguments  # mkdir has its mode between; the folder's descriptor is last
        name = link.name_of(path, rest[-1] if rest else None)
        return None if name is None else Boundary(f"{verb} {shown(name)}", (name,))

    return report


def _two_names(verb: str) -> Callable[[Link, tuple[Any, ...]], Boundary | None]:
    def report(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
        old, new, old_fd, new_fd = arguments
        names = link.name_of(old, old_fd), link.name_of(new, new_fd)
        known = tuple(name for name in names if name is not None)
        label = f"{verb} {shown(names[0] or str(old))} → {shown(names[1] or str(new))}"
        return Boundary(label, known) if known else None

    return report


def _named(nameless: Nameless) -> Callable[[Link, tuple[Any, ...]], Boundary | None]:
    report = _two_names("link")

    def report_link(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
        boundary = report(link, arguments)
        if boundary is None:
            return None
        return boundary._replace(synced=not nameless.is_unsynced(os.fsdecode(arguments[0])))

    return report_link


def _linked(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
    name = link.name_of(arguments[1], arguments[2])
    return None if name is None else Boundary(f"symlink {shown(name)}", (name,))


def _truncated(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
    if isinstance(arguments[0], int):
        return None  # ftruncate: seen at the function itself
    name = link.name_of(arguments[0])
    return None if name is None else Boundary(f"truncate {shown(name)}", (name,))


def _metadata(verb: str, *, in_folder: bool) -> Callable[[Link, tuple[Any, ...]], Boundary | None]:
    """Marks may be kept there: a mode, a time, an extended attribute, of the file that a link leads to."""

    def report(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
        path, *rest = arguments
        name = link.name_of(path, rest[-1] if in_folder else None)
        if name is None:
            return None
        target = link.name_of(os.path.realpath(path)) if not isinstance(path, int) and os.path.islink(path) else None
        return Boundary(f"{verb} {shown(name)}", (name,) if target is None else (name, target))

    return report


def _locked(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
    descriptor, operation, *_ = arguments
    if operation & fcntl.LOCK_UN:
        return None  # the system's alone: no disk that fails is in its way, and nothing durable changes
    name = link.name_of(descriptor)
    return None if name is None else Boundary(f"lock {shown(name)}", ())


def _process(verb: str) -> Callable[[Link, tuple[Any, ...]], Boundary | None]:
    def report(link: Link, arguments: tuple[Any, ...]) -> Boundary | None:
        processors.leave()  # what it starts has all of them
        return Boundary(f"{verb} {os.path.basename(os.fsdecode(arguments[0]))}")

    return report


def _descriptor_write(link: Link, name: str) -> Callable[[Any], Any]:
    """Wrap a function that writes to a descriptor; only plain `write` can be torn."""
    verb = "truncate" if name == "ftruncate" else "write"
    position = 1 if name == "copy_file_range" else 0

    def make(original: Any) -> Any:
        def write(*arguments: Any, **keywords: Any) -> Any:
            world_name = None if link.inside or not arguments else link.name_of(arguments[position])
            if world_name is None:
                return original(*arguments, **keywords)
            size = len(arguments[1]) if name == "write" else None
            synced = name != "ftruncate" and (_is_synced(arguments[position]) or _is_synced_once(name, arguments))
            about = Boundary(f"{verb} {shown(world_name)}", (world_name,), size, synced=synced)
            keep = link.write_boundary(about)
            if keep is None:
                answer = original(*arguments, **keywords)
                link.stamp(arguments[position])
                return answer
            original(arguments[0], memoryview(arguments[1]).cast("B")[:keep])
            return link.torn()

        return write

    return make


def _is_synced(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & SYNCED)


def _is_synced_once(name: str, arguments: tuple[Any, ...]) -> bool:
    return name == "pwritev" and len(arguments) > 3 and bool(arguments[3] & SYNCED_ONCE)


def _open_in_folder(link: Link) -> Callable[[Any], Any]:
    """Wrap `os.open`: the audit hook is not told of the folder, `dir_fd`; and what was made or emptied has the machine's time."""

    def make(original: Any) -> Any:
        def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if link.inside:
                return int(original(path, flags, mode, dir_fd=dir_fd))
            if dir_fd is None:
                descriptor = int(original(path, flags, mode))
            else:
                name = link.name_of(path, dir_fd) if flags & WRITING else None
                if name is not None:
                    link.boundary(Boundary(f"open {shown(name)}", (name,)))
                with link.aside():
                    descriptor = int(original(path, flags, mode, dir_fd=dir_fd))
            if flags & (os.O_CREAT | os.O_TRUNC):
                folders.changed(link, path, dir_fd)
            return descriptor

        return open

    return make


def _touch(link: Link) -> Callable[[Any], Any]:
    """Wrap `os.utime`: without times it means now, and now is the world's. So it makes a mark of a file that is there."""

    def make(original: Any) -> Any:
        def utime(path: Any, times: Any = None, **keywords: Any) -> None:
            if times is None and keywords.get("ns") is None and not link.inside:
                name = link.name_of(path, keywords.get("dir_fd"))
                if name is not None and _is_there(path, keywords.get("dir_fd")):
                    link.boundary(Boundary(f"touch {shown(name)}", (name,)))
                keywords["ns"] = (link.now * 1000, link.now * 1000)
                with link.aside():
                    original(path, **keywords)
            else:
                original(path, times, **keywords)

        return utime

    return make


def _is_there(path: Any, folder: int | None) -> bool:
    try:
        os.stat(path, dir_fd=folder)
    except (OSError, TypeError, ValueError):  # what it cannot be is for the function itself to say
        return False
    return True


def _sync(link: Link, nameless: Nameless, name: str) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def sync(fd: Any) -> None:
            descriptor = fd if isinstance(fd, int) else fd.fileno()
            world_name = None if link.inside else link.name_of(descriptor)
            if world_name is not None:
                link.boundary(Boundary(f"fsync {shown(world_name)}", (world_name,)))
            original(descriptor)
            if world_name is None:
                nameless.synced(f"{OWN}/{descriptor}")

        sync.__name__ = name
        return sync

    return make


def _sync_all(link: Link, nameless: Nameless) -> Callable[[Any], Any]:
    """Wrap `os.sync`: a boundary, and no more. All that the machine has not written yet could take longer than the guard allows."""

    def make(original: Any) -> Any:
        def sync() -> None:
            if link.inside:
                original()
            else:
                link.boundary(Boundary("sync"))
                nameless.all_synced()

        return sync

    return make


class ReportingFileIO(io.FileIO):
    """A raw file whose every write and truncation is a boundary, under the name it has by then."""

    link: Link
    buffered = True

    def write(self, data: Any) -> int:
        name = self._name_now()
        if name is None:
            return super().write(data)
        view = memoryview(data).cast("B")
        synced = _is_synced(self.fileno())
        about = Boundary(f"write {shown(name)}", (name,), len(view), self.buffered, synced=synced)
        keep = self.link.write_boundary(about)
        if keep is None:
            written = super().write(view)
            self.link.stamp(self.fileno())
            return written
        super().write(view[:keep])
        return self.link.torn()

    def truncate(self, size: int | None = None) -> int:
        name = self._name_now()
        if name is None:
            return super().truncate(size)
        self.link.boundary(Boundary(f"truncate {shown(name)}", (name,)))
        length = super().truncate(size)
        self.link.stamp(self.fileno())
        return length

    def _name_now(self) -> str | None:
        return None if self.closed or self.link.inside else self.link.name_of(self.fileno())


def _opener(link: Link) -> Callable[..., Any]:
    """An `open` that differs from the real one only for files of the world that are opened for writing."""

    def open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        wants = (file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(mode, str) or not set(mode) & set("wax+") or link.inside:
            return real_open(*wants)
        if opener is None and link.name_of(file) is None:
            return real_open(*wants)
        return _layers(link, *wants)

    return open


def _layers(
    link: Link,
    file: Any,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    closefd: bool,
    opener: Any,
) -> Any:
    """The layers the real `open` builds (CPython's Lib/_pyio.py, `open`), over a raw file that reports."""
    binary = "b" in mode
    if binary and (encoding is not None or errors is not None or newline is not None):
        raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
    if buffering == 0 and not binary:
        raise ValueError("can't have unbuffered text I/O")
    if not isinstance(file, int):
        file = os.fspath(file)
    raw = ReportingFileIO(file, mode.replace("b", "").replace("t", "").replace("U", ""), closefd, opener)
    try:
        raw.link = link
        if set(mode) & set("wx") and link.name_of(raw.fileno()) is not None:
            link.stamp(raw.fileno())
        if set(mode) & set("wax") and not isinstance(file, int):
            folders.changed(link, file)
        line_buffering = buffering == 1 and not binary
        raw.buffered = buffering != 0
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = _buffer(raw, mode, size)
        if binary:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering)
        text.mode = mode  # type: ignore[misc]
        return text
    except BaseException:
        raw.close()
        raise


def _buffer(raw: ReportingFileIO, mode: str, size: int) -> Any:
    if "+" in mode:
        return io.BufferedRandom(raw, size)
    return io.BufferedWriter(raw, size)
