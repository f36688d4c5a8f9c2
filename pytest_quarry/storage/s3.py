"""Quarry's files in S3, or in moto's."""

from collections.abc import Iterator
from typing import Any

from pytest_quarry.storage.stores import KeyTaken, NoSuchKey, check_key, check_s3_key

__all__ = ["S3Store"]

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_REFUSED = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


class S3Store:
    """A store in an existing bucket, below ``prefix``; ``client`` is a boto3 S3 client, a new one if absent.

    Exclusive writes and swaps are conditional puts, so there is no lock and no temporary file.
    """

    backend = "s3"

    def __init__(self, bucket: str, prefix: str = "", *, client: Any = None) -> None:
        if client is None:
            # Importing boto3 takes a fifth of a second, and most worlds are on disk.
            import boto3

            client = boto3.client("s3")
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._base = f"{self.prefix}/" if self.prefix else ""
        if self._base:
            check_key(self.prefix)
        self._client = client

    @property
    def url(self) -> str:
        """``s3://bucket[/prefix]``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``."""
        self._put(key, data)

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        if not self._put(key, data, IfNoneMatch="*"):
            raise KeyTaken(f"{self.url}/{key}: exists already; a data file is created once")

    def get(self, key: str) -> bytes:
        """What is kept under ``key``; raises NoSuchKey."""
        return self._get(key)[0]

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``, sorted bytewise."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._base + prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"][len(self._base) :]

    def exists(self, key: str) -> bool:
        """Whether there is an object under ``key``."""
        check_key(key)
        try:
            self._client.head_object(Bucket=self.bucket, Key=self._base + key)
        except Exception as error:
            if _code(error) in _MISSING:
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if there is none."""
        check_key(key)
        self._client.delete_object(Bucket=self.bucket, Key=self._base + key)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` (None: no object) by ``new`` with a conditional put."""
        if expected is None:
            return self._put(key, new, IfNoneMatch="*")
        try:
            present, tag = self._get(key)
        except NoSuchKey:
            return False
        return present == expected and self._put(key, new, IfMatch=tag)

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Nothing is left behind."""
        check_key(key)
        return None

    def _get(self, key: str) -> tuple[bytes, str]:
        check_key(key)
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._base + key)
        except Exception as error:
            if _code(error) in _MISSING:
                raise NoSuchKey(f"{self.url}/{key}: no such key") from None
            raise
        return answer["Body"].read(), answer["ETag"]

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        check_s3_key(self.url, self._base, key)
        try:
            self._client.put_object(Bucket=self.bucket, Key=self._base + key, Body=data, **condition)
        except Exception as error:
            if condition and _code(error) in _REFUSED:
                return False
            raise
        return True


def _code(error: Exception) -> str:
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""
