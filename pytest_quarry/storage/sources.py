"""What the reader reads from: a folder, or a bucket through boto3. It shares no code with what writes there."""

import errno
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

__all__ = ["Bucket", "Folder", "source"]

# A folder that is not there, any more perhaps, or has a name that none can have (ValueError: one with a NUL).
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Folder:
    """The files below a folder, keys sorted bytewise; links to folders are not followed.

    Listing raises OSError for a folder that cannot be read, and for a root that is none.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") or "/"

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``."""
        return self._beginning(prefix, in_order=True)

    def scan(self, prefix: str) -> Iterator[str]:
        """The same in any order: then not even the names in one folder need to be held."""
        return self._beginning(prefix, in_order=False)

    def _beginning(self, prefix: str, in_order: bool) -> Iterator[str]:
        folder = prefix.rpartition("/")[0]
        return (key for key in self._below(f"{folder}/" if folder else "", in_order) if key.startswith(prefix))

    def _below(self, folder: str, in_order: bool) -> Iterator[str]:
        names = self._names(folder)
        for name in sorted(names) if in_order else names:
            if name.endswith("/"):
                yield from self._below(folder + name, in_order)
            else:
                yield folder + name

    def _names(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield f"{entry.name}/"
                    elif not _leads_to_a_folder(entry):
                        yield entry.name
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in ABSENT:
                raise
            os.scandir(self._root).close()  # only where the root is a folder does one that is absent hold nothing

    def get(self, key: str) -> bytes:
        """The bytes of a file."""
        with open(f"{self._root}/{key}", "rb") as file:  # pathlib would keep the names for ever
            return file.read()


def _leads_to_a_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or out of reach
        return False


class Bucket:
    """The objects of an S3 bucket below a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._base = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._base + prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"][len(self._base) :]

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        answer = self._client.get_object(Bucket=self._bucket, Key=self._base + key)
        content: bytes = answer["Body"].read()
        return content


def source(root: "str | os.PathLike[str]", client: Any = None) -> Folder | Bucket:
    """What a path or URL names: a folder, ``file:///folder``, or ``s3://bucket[/prefix]``, read with ``client``.

    Raises ValueError for other URLs.
    """
    text = os.fspath(root)
    if text.startswith("s3://"):
        if client is None:
            import boto3

            client = boto3.client("s3")
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not bucket:
            raise ValueError(f"{text!r} names no bucket; expected s3://bucket or s3://bucket/prefix")
        return Bucket(client, bucket, prefix)
    if client is not None:
        raise ValueError(f"{text!r} is no s3:// URL; only those are read with a client")
    if text.startswith("file://"):
        # Quarry does not escape them; others do.
        path = text.removeprefix("file://")
        return Folder(path if os.path.isdir(path) else unquote(path))
    if "://" in text:
        raise ValueError(f"{text!r}: there are folders, file:///… and s3://bucket[/prefix]")
    return Folder(text)
