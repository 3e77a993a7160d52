"""Which kinds of samples the networks of this package can be trained on."""

from dreamomni.data.collage.recipe import EDIT_KINDS, TEXT_TO_IMAGE_KINDS, CollageRecipe
from dreamomni.errors import ConfigError


def check_kinds(name: str, recipe: CollageRecipe) -> None:
    """Make sure that a data recipe draws only pictures from words and edits of one image.

    Args:
        name: What messages call the recipe.
        recipe: The data recipe.

    Raises:
        ConfigError: It draws tasks that training does not know.
    """
    known = {*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS}
    others = [kind for kind, weight in recipe.mixture.items() if weight > 0 and kind not in known]
    if others:
        raise ConfigError(
            f"data recipe {name!r} draws {', '.join(others)}, but training knows only pictures from words "
            "and edits of one image: take these kinds out of its mixture"
        )
