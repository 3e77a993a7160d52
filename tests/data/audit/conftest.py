import pytest

from dreamomni.config import load_recipe
from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.shapes import SHAPES


@pytest.fixture(scope="session")
def audit_engine() -> CollageEngine:
    """Every sticker, shape, colour and background, on small canvases."""
    return CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=[96x96, 128x96]"]))


@pytest.fixture(scope="session")
def vocabulary(audit_engine: CollageEngine) -> Vocabulary:
    return Vocabulary(frozenset(audit_engine.names) | frozenset(SHAPES), PALETTE, frozenset(BACKGROUNDS))


@pytest.fixture(scope="session")
def held_out(audit_engine: CollageEngine) -> tuple[str, float]:
    return audit_engine.recipe.held_out.salt, audit_engine.recipe.held_out.fraction
