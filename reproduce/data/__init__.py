"""The data sets of the paper, and embedded stand-ins that need no network."""

from reproduce.data.fallback import FALLBACK, Resolution, resolve
from reproduce.data.images import ImageData
from reproduce.data.registry import DATASETS, SPLITS, load
from reproduce.data.sources import DataUnavailable

__all__ = [
    "DATASETS",
    "FALLBACK",
    "SPLITS",
    "DataUnavailable",
    "ImageData",
    "Resolution",
    "load",
    "resolve",
]
