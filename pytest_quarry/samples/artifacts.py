"""Loaders of items and artifacts: a sound one, and two that misread how artifacts are stored."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pytest_quarry.samples.handlers import INSERT, Notification, OneTransaction, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Storage

Contents = dict[str, bytes]


class ArtifactStorage(Storage):
    """Puts artifacts together from their chunks."""

    def artifacts(self, folder: str) -> Contents:
        """The committed artifacts of a run by their ids; a chunk that is stored twice counts once."""
        commits, chunks = self.parts(folder)
        return {artifact: b"".join(chunk for _, chunk in sorted(chunks[artifact].items())) for artifact in commits}

    def parts(self, folder: str) -> tuple[dict[str, int], dict[str, dict[int, bytes]]]:
        """The sizes that commit records claim, and the chunks by their numbers, each by artifact."""
        commits: dict[str, int] = {}
        chunks: dict[str, dict[int, bytes]] = defaultdict(dict)
        for record in self.records(self.data_files(folder, "artifact")):
            artifact = record["artifact_id"]
            if record["record_kind"] == "artifact_chunk":
                chunks[artifact][record["seq"]] = base64.b64decode(record["data"])
            elif record["record_kind"] == "artifact_event":
                commits[artifact] = record["size_bytes"]
        return commits, chunks


class LoadsArtifacts(OneTransaction):
    """Items, artifacts and mark in one transaction; an artifact's row names its size."""

    storage: ArtifactStorage

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        folder = self.storage.announced(notification["storage_path"])
        rows: list[tuple[Any, ...]] = [*values(self.storage.items(folder))]
        for artifact, content in self.storage.artifacts(folder).items():
            rows.append((run_id, row_key(artifact, content), None, None))
        with self.database:
            self.database.executemany(INSERT, rows)
            self.mark(run_id)


def row_key(artifact: str, content: bytes) -> str:
    """What the row of an artifact is called."""
    return f"{artifact}: {len(content)} bytes"


class LoadsArtifactsSuite(SqliteHandlerSuite):
    """Items and committed artifacts."""

    loader = LoadsArtifacts
    reader = ArtifactStorage

    def expected(self, run: Any) -> Iterable[str]:
        artifacts = [row_key(artifact.artifact_id, artifact.data) for artifact in run.artifacts]
        return [event.event_id for event in run.items] + artifacts


class EveryChunk(ArtifactStorage):
    """Takes an artifact as stored when there are chunks of it."""

    def artifacts(self, folder: str) -> Contents:
        _, chunks = self.parts(folder)
        return {artifact: b"".join(found[seq] for seq in sorted(found)) for artifact, found in chunks.items()}


class EveryChunkSuite(LoadsArtifactsSuite):
    """Takes chunks that no record commits."""

    reader = EveryChunk


class ClaimedSize(ArtifactStorage):
    """Reads as many bytes as the commit record says."""

    def artifacts(self, folder: str) -> Contents:
        commits, _ = self.parts(folder)
        return {artifact: content[: commits[artifact]] for artifact, content in super().artifacts(folder).items()}


class ClaimedSizeSuite(LoadsArtifactsSuite):
    """Believes the size in the commit record, which is 0 in practice."""

    reader = ClaimedSize
