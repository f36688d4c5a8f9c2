"""Rows and mark in one transaction of DynamoDB; why that was cancelled is looked at, or is not."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.sound_aws import dynamo
from pytest_quarry.samples.sound_lambdas import MOST_ACTIONS, DynamoRowsSuite, KeyedRows, in_parts, put


class MarksWithItsRows(KeyedRows):
    """Puts rows by their keys, the last of them together with a mark that may not be there yet."""

    def load(self, run_id: str, notification: Notification) -> None:
        *others, last = in_parts(self.items(notification), MOST_ACTIONS - 1)
        for part in others:
            dynamo().transact_write_items(TransactItems=[put(item) for item in part])
        mark = {
            "TableName": "loaded-runs",
            "Item": {"run_id": {"S": run_id}},
            "ConditionExpression": "attribute_not_exists(run_id)",
        }
        try:
            dynamo().transact_write_items(TransactItems=[*map(put, last), {"Put": mark}])
        except ClientError as error:
            if not self.is_there_already(error.response):
                raise

    def is_there_already(self, refused: Any) -> bool:
        """Whether another invocation has marked the run: the last reason is that of the mark."""
        codes = [reason["Code"] for reason in refused.get("CancellationReasons", [])]
        return codes[-1:] == ["ConditionalCheckFailed"]


class MarksWithItsRowsSuite(DynamoRowsSuite):
    """A transaction that is cancelled for its condition is a run that is loaded, and for nothing else."""

    loader = MarksWithItsRows


class TakesCancelledForLoaded(MarksWithItsRows):
    """Takes every transaction that was cancelled for one of a run that is loaded."""

    def is_there_already(self, refused: Any) -> bool:
        return bool(refused["Error"]["Code"] == "TransactionCanceledException")


class TakesCancelledForLoadedSuite(DynamoRowsSuite):
    """A conflict with another transaction is taken for a run that is loaded."""

    loader = TakesCancelledForLoaded
