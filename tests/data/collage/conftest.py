"""Engines that many tests share; they keep nothing of a sample but sprites."""

import pytest
from collage_worlds import CROWDED, MINI

from dreamomni.data.collage.engine import CollageEngine


@pytest.fixture(scope="session")
def mini() -> CollageEngine:
    """The smallest world."""
    return CollageEngine(MINI)


@pytest.fixture(scope="session")
def crowded() -> CollageEngine:
    """All of the six families' words and shapes, covering each other."""
    return CollageEngine(CROWDED)
