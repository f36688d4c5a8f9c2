"""What moto holds of somebody else's: put aside for as long as a world, or the AWS of a test, is there, and put back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import model_data, reset_model_data
from moto.moto_api._internal import mock_random
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from pytest_quarry.bus import names
from pytest_quarry.bus.topology import Topology

PutBack = Callable[[], None]
_all: Any = BackendDict


def everything() -> PutBack:
    """Moto is empty from now on, until what it held is put back in the place of what it holds then."""
    backends = [(service, dict(service.items())) for service in _all._instances]
    buckets, luck = dict(s3_backends.bucket_accounts), mock_random.getstate()
    # For its dashboard moto holds on to all it ever made, and a reset of S3 disposes of it.
    made = [(model, model.instances_tracked) for model in _models()]
    for service, _ in backends:
        service.clear()
    _all._instances.clear()
    s3_backends.bucket_accounts.clear()
    reset_model_data()

    def put_back() -> None:
        BackendDict.reset()
        reset_model_data()
        for service, held in backends:
            service.update(held)
        _all._instances.extend(service for service, _ in backends)
        s3_backends.bucket_accounts.update(buckets)
        for model, instances in made:
            model.instances_tracked = instances
        mock_random.setstate(luck)

    return put_back


def _models() -> list[Any]:
    return [model for models in model_data.values() for model in models.values()]


def namesakes(topology: Topology) -> PutBack:
    """Moto has nothing by a topology's names from now on, until what it had is put back in the place of what it has then.

    What is made meanwhile by other names stays.
    """
    luck = mock_random.getstate()
    sns: Any = sns_backends[names.ACCOUNT][names.REGION]
    before = _taken(topology, sns.subscriptions)
    others = frozenset(sns.subscriptions)

    def put_back() -> None:
        mock_random.setstate(luck)
        if sns_backends[names.ACCOUNT][names.REGION] is sns:  # else somebody has reset moto: nothing of it is there
            _taken(topology, others).dispose()
            before.put_back()

    return put_back


@dataclass(frozen=True)
class _Taken:
    """What moto has by a topology's names."""

    queues: dict[str, Any]
    topics: dict[str, Any]
    subscriptions: dict[str, Any]
    where: tuple[str, str] | None  # the bucket is: its partition and account
    bucket: Any
    tags: dict[str, Any]

    def put_back(self) -> None:
        sqs_backends[names.ACCOUNT][names.REGION].queues.update(self.queues)
        sns: Any = sns_backends[names.ACCOUNT][names.REGION]
        sns.topics.update(self.topics)
        sns.subscriptions.update(self.subscriptions)
        if self.where is not None:
            s3 = _s3(self.where)
            s3.buckets[names.BUCKET] = self.bucket
            s3.tagger.tags.update(self.tags)
            s3_backends.bucket_accounts[names.BUCKET] = self.where

    def dispose(self) -> None:
        """Close the files in which moto has what the bucket held."""
        if self.where is not None:
            keys = self.bucket.keys
            versions = itertools.chain.from_iterable(keys.getlist(key) for key in list(keys))
            for each in (*versions, *self.bucket.multiparts.values()):
                if hasattr(each, "dispose"):  # a delete marker has nothing
                    each.dispose()


def _taken(topology: Topology, others: Container[str]) -> _Taken:
    """Take it out of moto, and but for these `others` all that is subscribed with the queues."""
    sqs: Any = sqs_backends[names.ACCOUNT][names.REGION]
    sns: Any = sns_backends[names.ACCOUNT][names.REGION]
    queues = {topology.queue, topology.dead_letter_queue} & {*sqs.queues}
    receiving = {names.arn("sqs", name) for name in (topology.queue, topology.dead_letter_queue)}
    subscriptions = [
        arn
        for arn, each in sns.subscriptions.items()
        if each.topic.arn == topology.topic_arn or (each.endpoint in receiving and arn not in others)
    ]
    where, bucket, tags = s3_backends.bucket_accounts.pop(names.BUCKET, None), None, {}
    if where is not None:
        s3 = _s3(where)
        bucket, arn = s3.buckets.pop(names.BUCKET), f"arn:{where[0]}:s3:::{names.BUCKET}"
        tagged = [each for each in s3.tagger.tags if each == arn or each.startswith(f"{arn}/")]
        tags = {each: s3.tagger.tags.pop(each) for each in tagged}
    return _Taken(
        queues={name: sqs.queues.pop(name) for name in queues},
        topics={arn: sns.topics.pop(arn) for arn in [topology.topic_arn] if arn in sns.topics},
        subscriptions={arn: sns.subscriptions.pop(arn) for arn in subscriptions},
        where=where,
        bucket=bucket,
        tags=tags,
    )


def _s3(where: tuple[str, str]) -> Any:
    partition, account = where
    return s3_backends[account][partition]
