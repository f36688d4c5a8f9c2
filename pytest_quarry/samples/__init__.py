"""Sample consumers, sound and broken: what the kit tests itself with, and examples to read.

`SAMPLES` lists them; the modules that hold them are imported when a sample's suite is asked for.
"""

from pytest_quarry.samples import listed_handlers, listed_pollers
from pytest_quarry.samples.sample import Sample

__all__ = ["SAMPLES", "Sample"]

SAMPLES: tuple[Sample, ...] = (
    *listed_handlers.SOUND_HANDLERS,
    *listed_pollers.SOUND_POLLERS,
    *listed_handlers.BROKEN_HANDLERS,
    *listed_handlers.BROKEN_MATCHING,
    *listed_handlers.BROKEN_READING,
    *listed_pollers.BROKEN_READING,
    *listed_pollers.BROKEN_POLLERS,
)
