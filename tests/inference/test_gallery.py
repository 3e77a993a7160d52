import re

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.inference import gallery


def test_the_fixed_prompts_use_the_words_that_they_are_checked_for() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    words = {word.removesuffix("s") for prompt in gallery.PROMPTS for word in re.findall(r"\w+", prompt)}
    assert words & set(engine.names) == gallery._PROMPT_NAMES
    assert words & set(engine.colours) == gallery._PROMPT_COLOURS


def test_a_world_without_those_things_is_asked_for_its_own() -> None:
    recipe = load_recipe("mini-world", CollageRecipe, ["names=[apple, boat, cat, key, moon, flower]"])
    prompts = [one.request.prompt for one in gallery._ask_words(recipe, 0)]
    assert len(prompts) == len(gallery.PROMPTS)
    assert all(re.search("apple|boat|cat|key|moon|flower", prompt) for prompt in prompts)


def test_a_world_of_single_things_is_asked_for_single_things() -> None:
    recipe = load_recipe("mini-v0-single", CollageRecipe)
    prompts = [one.request.prompt for one in gallery._ask_words(recipe, 0)]
    assert prompts == list(gallery.SINGLE_PROMPTS)
    assert {one.kind for one in gallery._ask_edits(recipe, 0)} == {"add", "remove", "replace"}
    assert all(len(one.request.images) == 1 for one in gallery._ask_edits(recipe, 0))


def test_long_words_are_wrapped_and_cut() -> None:
    font = gallery._font(16)
    lines = gallery._wrap("many " * 40, font, 100)
    assert len(lines) == gallery._MAX_LINES
    assert lines[-1].endswith("...")
    assert all(font.getlength(line) <= 130 for line in lines)
