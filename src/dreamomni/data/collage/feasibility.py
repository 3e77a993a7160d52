"""What a recipe can never draw, said before the first sample instead of at each of them."""

from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import Look
from dreamomni.data.collage.world import World
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Size

_PAIRS = ("two", "position", "color_attribution", "scene", "description")
"""Kinds that always show two different things of the world at once."""


def check_feasible(recipe: CollageRecipe, world: World, renderer: Renderer) -> None:
    """Make sure that every kind of the mixture can be drawn at all.

    Only what no draw could ever mend is refused; samples that are merely unlucky are rejected one by one.

    Args:
        recipe: What to draw.
        world: Its things.
        renderer: Knows how large they are.

    Raises:
        ConfigError: A kind needs more names than there are, or two things that fit on no canvas together.
    """
    _check_names(recipe, world)
    pairs = [kind for kind in _PAIRS if _weight(recipe, kind) > 0]
    if not pairs or recipe.max_overlap > 0 or recipe.assets:
        return  # things that may overlap always fit, and the pictures of a library are not looked at for this
    low, _ = recipe.object_size(2)
    if all(_is_roomy(size, low, recipe.gap) for size in recipe.size):
        return
    for size in recipe.size:
        if not _is_roomy(size, low, recipe.gap) and not _two_fit(size, low, recipe, world, renderer):
            raise ConfigError(
                f"object_sizes of 2 objects begin at {low:g} of the shorter side, and no two things of that "
                f"size fit on a canvas of {size}, but mixture has {', '.join(pairs)}: lower object_sizes, "
                "give another size, or take these kinds away"
            )


def _check_names(recipe: CollageRecipe, world: World) -> None:
    groups = min(count for count, weight in recipe.text_to_image.description_groups.items() if weight > 0)
    needed = {kind: 2 for kind in (*_PAIRS, "replace", "multi_edit")} | {"description": groups}
    for kind, fewest in needed.items():
        if _weight(recipe, kind) > 0 and len(world.names) < fewest:
            raise ConfigError(
                f"mixture has {kind}, which shows {fewest} different things, but the recipe has "
                f"{len(world.names)} ({', '.join(world.names)}): add names or take the kind away"
            )


def _weight(recipe: CollageRecipe, kind: str) -> float:
    return {str(name): weight for name, weight in recipe.mixture.items()}.get(kind, 0.0)


def _is_roomy(size: Size, low: float, gap: float) -> bool:
    """Whether even two squares of the smallest size stand side by side."""
    return (2 * low + gap) * min(size) <= max(size)


def _two_fit(size: Size, low: float, recipe: CollageRecipe, world: World, renderer: Renderer) -> bool:
    """Whether the two narrowest things stand side by side, or the two flattest one above the other."""
    side, gap = round(low * min(size)), recipe.gap * min(size)
    sprites = [renderer.sprite(Look("sticker", name, (0, 0, 0), side)) for name in world.names]
    widths, heights = (sorted(sprite.width for sprite in sprites), sorted(s.height for s in sprites))
    return sum(widths[:2]) + gap <= size.width or sum(heights[:2]) + gap <= size.height
