"""Sample consumers, sound and broken: what the kit tests itself with, and examples to read.

`SAMPLES` lists them; the modules that hold them are imported when a sample's suite is asked for.
"""

from pytest_quarry.samples import (
    listed_concurrency,
    listed_handlers,
    listed_lambdas,
    listed_limits,
    listed_metadata,
    listed_outside,
    listed_pollers,
    listed_publishers,
    listed_reading,
    listed_workers,
)
from pytest_quarry.samples.sample import Sample

__all__ = ["SAMPLES", "Sample"]

SAMPLES: tuple[Sample, ...] = (
    *listed_handlers.SOUND_HANDLERS,
    *listed_lambdas.SOUND_LAMBDAS,
    *listed_workers.SOUND_WORKERS,
    *listed_pollers.SOUND_POLLERS,
    *listed_publishers.SOUND_PUBLISHERS,
    *listed_metadata.SOUND_METADATA,
    *listed_concurrency.SOUND_TOGETHER,
    *listed_outside.SOUND_OUTSIDE,
    *listed_handlers.BROKEN_HANDLERS,
    *listed_limits.BROKEN_LIMITS,
    *listed_lambdas.BROKEN_LAMBDAS,
    *listed_lambdas.BROKEN_POWERTOOLS,
    *listed_workers.BROKEN_WORKERS,
    *listed_workers.BROKEN_TURNS,
    *listed_handlers.BROKEN_MATCHING,
    *listed_reading.BROKEN_READING,
    *listed_pollers.BROKEN_READING,
    *listed_pollers.BROKEN_POLLERS,
    *listed_publishers.BROKEN_PUBLISHERS,
    *listed_metadata.BROKEN_METADATA,
    *listed_concurrency.BROKEN_TOGETHER,
    *listed_outside.BROKEN_OUTSIDE,
)
