"""Where Quarry's files are kept: on disk, in memory, in S3."""

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

__all__ = [
    "FileStore",
    "KeyTaken",
    "MemoryStore",
    "NoSuchKey",
    "Store",
    "StoreError",
    "Timed",
    "check_key",
    "check_s3_key",
]


_IMPOSSIBLE = {
    errno.ENAMETOOLONG: "a name in it is too long for this file system",
    errno.ENOTDIR: "a part of it is a file already",
    errno.EISDIR: "it is a folder already",
}


class StoreError(Exception):
    """A store could not do what was asked: the message says which key and why."""


class NoSuchKey(StoreError):
    """Nothing is kept under that key."""


class KeyTaken(StoreError):
    """Something is kept under that key already, and the write was exclusive."""


class Store(Protocol):
    """Bytes under keys, keys being paths with ``/`` relative to a root.

    Every method raises StoreError for a key that is empty, absolute, or has an empty, ``.`` or ``..`` part.
    """

    @property
    def url(self) -> str:
        """The root as notifications name it: ``file:///abs/root`` or ``s3://bucket[/prefix]``."""
        ...

    @property
    def backend(self) -> str:
        """What Quarry's metrics call it: ``fs`` or ``s3``."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, replacing what is there."""
        ...

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        ...

    def get(self, key: str) -> bytes:
        """What is kept under ``key``; raises NoSuchKey."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix`` (any string, ``""`` for all), sorted bytewise."""
        ...

    def exists(self, key: str) -> bool:
        """Whether something is kept under ``key``."""
        ...

    def delete(self, key: str) -> None:
        """Forget ``key``; nothing happens if it is free."""
        ...

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` (None: nothing) by ``new``, atomically; False, and no change, if it is not there."""
        ...

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Leave what a writer killed inside `swap` leaves: the key of a stray temporary file, or None if nothing."""
        ...


def check_key(key: str) -> None:
    """Raise StoreError for a key that is not a plain relative path."""
    # One scan finds the rare suspect; only those are taken apart.
    if (not key or "/." in key or "//" in key or key[0] in "./" or key[-1] == "/" or "\0" in key) and (
        "\0" in key or any(part in ("", ".", "..") for part in key.split("/"))
    ):
        raise StoreError(f"key {key!r} would leave the root; keys are relative, without empty, '.' or '..' parts")


def check_s3_key(url: str, base: str, key: str) -> None:
    """Raise StoreError for a key that `check_key` refuses, or that is too long for S3 below the prefix ``base``."""
    check_key(key)
    if len(base) + len(key) > 255 and len((base + key).encode()) > 1024:
        raise StoreError(f"{url}/{key}: longer than the 1,024 bytes S3 allows a key")


class Timed:
    """A store whose files have times: those of its clock (nanoseconds since 1970), where it has one."""

    _clock: Callable[[], int] | None

    @contextmanager
    def as_of(self, at: int) -> Iterator[None]:
        """What is written meanwhile was written at that time, in nanoseconds since 1970, as far as a clock is kept."""
        before = self._clock
        self._clock = None if before is None else lambda: at
        try:
            yield
        finally:
            self._clock = before


class FileStore(Timed):
    """A store in a folder, made at the first write: files 0644, folders 0755, a swapped file 0600.

    A swap keeps Lode's protocol: an empty ``<key>.lock`` beside it, a temporary ``.lode-cas-<number>``, a rename.
    One process writes at a time: the lock file is there to be seen, and not locked. With ``clock`` (nanoseconds since
    1970), files and folders carry its time as their mtime.
    """

    backend = "fs"

    def __init__(self, root: Path | str, *, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock
        self.root = Path(root).absolute()
        self._root = str(self.root)
        self._folders: set[str] = set()
        self._changed: list[str] = []
        umask = os.umask(0o022)
        os.umask(umask)
        # Only an unusual umask costs the extra call that sets modes right.
        self._strict_umask = bool(umask & 0o755)

    def __repr__(self) -> str:
        return f"FileStore({self._root!r})"

    @property
    def url(self) -> str:
        """The root as ``file://`` URL; as Quarry writes it, not escaped."""
        return f"file://{self._root}"

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, written in place."""
        self._write(key, data, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        try:
            self._write(key, data, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            raise KeyTaken(f"{self._path(key)}: exists already; a data file is created once") from None

    def get(self, key: str) -> bytes:
        """What is kept under ``key``; raises NoSuchKey."""
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchKey(f"{self._path(key)}: no such file") from None
        with open(descriptor, "rb") as file:
            return file.read()

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``, sorted bytewise."""
        if prefix.startswith("/") or ".." in prefix.split("/"):
            raise StoreError(f"prefix {prefix!r} would leave the root; prefixes are relative, without '..'")
        base = prefix.rpartition("/")[0]
        return self._walk(f"{base}/" if base else "", prefix)

    def exists(self, key: str) -> bool:
        """Whether there is a file under ``key``."""
        return os.path.isfile(self._path(key))

    def delete(self, key: str) -> None:
        """Remove the file; nothing happens if there is none. Folders stay."""
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._path(key))

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` (None: no file) by ``new`` through a temporary file and a rename."""
        lock = f"{key}.lock"
        if not os.path.exists(self._path(lock)):
            self._write(lock, b"", os.O_WRONLY | os.O_CREAT)
        try:
            present: bytes | None = self.get(key)
        except NoSuchKey:
            present = None
        if present != expected:
            return False
        path = self._path(key)
        os.rename(self._path(self._temporary(key, new)), path)
        if self._clock is not None:
            self._stamp(self._clock(), path[: path.rindex("/")])
        return True

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Leave the temporary file of a swap that never renamed it; its key."""
        self._write(f"{key}.lock", b"", os.O_WRONLY | os.O_CREAT)
        return self._temporary(key, new)

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        """The keys below ``folder`` ("" or with a slash at its end), sorted bytewise; one folder in memory at a time."""
        names: list[str] = []
        # ValueError: a name with a NUL, which no folder has.
        with (
            suppress(FileNotFoundError, NotADirectoryError, ValueError),
            os.scandir(f"{self._root}/{folder}") as entries,
        ):
            names = sorted(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries)
        for name in names:
            key = folder + name
            if name[-1] != "/":
                if key.startswith(prefix):
                    yield key
            elif key.startswith(prefix) or prefix.startswith(key):
                yield from self._walk(key, prefix)

    def _temporary(self, key: str, new: bytes) -> str:
        # Go takes a random number; this one is as good and the same every time.
        temporary = f"{key.rpartition('/')[0]}/.lode-cas-{zlib.crc32(new)}".lstrip("/")
        self._write(temporary, new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        return temporary

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._root}/{key}"

    def _write(self, key: str, data: bytes, flags: int, mode: int = 0o644) -> None:
        path = self._path(key)
        folder = path[: path.rindex("/")]
        descriptor, now = self._open(path, folder, flags, mode), 0
        try:
            if self._strict_umask:
                os.fchmod(descriptor, mode)
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
            if self._clock is not None:
                now = self._clock()
                os.utime(descriptor, ns=(now, now))
        finally:
            os.close(descriptor)
        if self._clock is not None:
            self._stamp(now, folder, *self._changed)
            self._changed.clear()

    def _open(self, path: str, folder: str, flags: int, mode: int) -> int:
        try:
            try:
                if folder not in self._folders:
                    self._make(folder)
                return os.open(path, flags, mode)
            except FileNotFoundError:
                # Somebody removed the tree since: worlds are built again in the same place.
                self._folders.clear()
                self._changed.clear()
                self._make(folder)
                return os.open(path, flags, mode)
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                raise StoreError(f"{path}: {_IMPOSSIBLE[error.errno]}; S3 and memory can keep it") from error
            raise

    def _stamp(self, now: int, *paths: str) -> None:
        for path in paths:
            os.utime(path, ns=(now, now))

    def _make(self, folder: str) -> None:
        if len(folder) <= len(self._root):
            if not os.path.isdir(folder):
                os.makedirs(folder, 0o755, exist_ok=True)
                if self._strict_umask:
                    os.chmod(folder, 0o755)
            self._folders.add(folder)
            return
        above = folder[: folder.rindex("/")]
        if above not in self._folders:
            self._make(above)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o755)
            if self._strict_umask:
                os.chmod(folder, 0o755)
            self._changed.append(above)
        self._folders.add(folder)


class MemoryStore:
    """A store in memory; it has no lock and no temporary files, as S3 has none."""

    backend = "fs"

    def __init__(self, url: str = "file:///memory") -> None:
        self.url = url
        self._data: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``."""
        check_key(key)
        self._data[key] = bytes(data)

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        if key in self._data:
            raise KeyTaken(f"{key}: exists already; a data file is created once")
        self.put(key, data)

    def get(self, key: str) -> bytes:
        """What is kept under ``key``; raises NoSuchKey."""
        check_key(key)
        try:
            return self._data[key]
        except KeyError:
            raise NoSuchKey(f"{key}: no such key") from None

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``, sorted bytewise."""
        return iter(sorted(key for key in self._data if key.startswith(prefix)))

    def exists(self, key: str) -> bool:
        """Whether something is kept under ``key``."""
        check_key(key)
        return key in self._data

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        check_key(key)
        self._data.pop(key, None)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` by ``new``; False if something else is there."""
        check_key(key)
        if self._data.get(key) != expected:
            return False
        self._data[key] = bytes(new)
        return True

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Nothing is left behind."""
        check_key(key)
        return None
