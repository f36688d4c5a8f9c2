"""Mocked SNS and SQS: names, delivery, and AWS on moto."""
