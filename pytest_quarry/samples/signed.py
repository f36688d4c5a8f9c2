"""Handlers that speak to S3 by an HTTP client of their own, and sign what they ask by botocore's signer."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.sound_lambdas import OUTPUT, OutputObjects, OutputObjectsSuite, as_json

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class SignedBucket:
    """One bucket, at an address of S3."""

    def __init__(self, url: str, bucket: str) -> None:
        self.url = f"{url}/{bucket}"
        self.http = urllib3.PoolManager()
        self.signer = S3SigV4Auth(Credentials("testing", "testing"), "s3", "us-east-1")

    def ask(self, method: str, key: str, body: bytes = b"") -> int:
        """One request; the status of its answer, which is 404 where nothing is there. Raises RuntimeError where S3 refuses it."""
        url = f"{self.url}/{key}"
        request = AWSRequest(method, url, data=body)
        self.signer.add_auth(request)
        answer = self.http.request(method, url, body=body, headers=dict(request.headers.items()), retries=False)
        if answer.status not in (200, 404):
            raise RuntimeError(f"{method} {key}: S3 answers {answer.status}")
        return answer.status


class PutsObject(OutputObjects):
    """Puts a run's object under a name that is the run's."""

    def __init__(self, storage: Storage, bucket: SignedBucket) -> None:
        super().__init__(storage)
        self.bucket = bucket

    def load(self, run_id: str, notification: Notification) -> None:
        self.bucket.ask("PUT", self.key(run_id), as_json(self.items(notification)))


class PutsNewObject(PutsObject):
    """Looks for the run's mark, puts an object under a new name, then the mark."""

    def load(self, run_id: str, notification: Notification) -> None:
        mark = self.key(run_id).replace("output/", "loaded/")
        if self.bucket.ask("HEAD", mark) == 200:
            return
        self.bucket.ask("PUT", f"output/{uuid.uuid4()}.json", as_json(self.items(notification)))
        self.bucket.ask("PUT", mark)


class PutsObjectSuite(OutputObjectsSuite):
    """One object per run, over HTTP."""

    signed: ClassVar[type[PutsObject]] = PutsObject

    def start(self, world: World) -> Any:
        return self.signed(Storage(world.storage_root), SignedBucket(world.endpoint.url, OUTPUT))


class PutsNewObjectSuite(PutsObjectSuite):
    """A new object, then the mark."""

    signed = PutsNewObject
