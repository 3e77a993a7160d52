import pytest
from collage_worlds import MINI, with_name

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.labels import cosines
from dreamomni.data.collage.recipe import TEXT_TO_IMAGE_KINDS, CollageRecipe


@pytest.mark.parametrize("kind", [kind for kind in TEXT_TO_IMAGE_KINDS if kind != "text"])
def test_prompts_are_satisfied_by_their_pictures(
    crowded: CollageEngine, mini: CollageEngine, kind: str
) -> None:
    for index in range(80):
        engine = mini if index % 2 and kind in MINI.mixture else crowded
        sample = engine.sample(10, index, kind)
        expect = sample.details["expect"]
        for group in expect["include"]:
            assert len(with_name(sample.objects, group["name"], group["colour"])) == group["count"]
        assert sum(group["count"] for group in expect["include"]) == len(sample.objects)
        if expect["relation"] is not None:
            relation = expect["relation"]
            for subject in with_name(sample.objects, relation["subject"]):
                for other in with_name(sample.objects, relation["object"]):
                    assert cosines(subject.box, other.box)[relation["predicate"]] > 0.5
        assert (expect["relation"] is not None) == (" left of " in sample.instruction) or kind != "two"


def test_written_words_are_in_the_prompt_and_on_the_canvas(crowded: CollageEngine) -> None:
    company = set()
    for index in range(120):
        sample = crowded.sample(3, index, "text")
        (label,) = [label for label in sample.objects if label.kind == "text"]
        others = [other for other in sample.objects if other.kind != "text"]
        assert f'"{label.name}"' in sample.instruction
        assert label.colour is not None
        assert label.colour in sample.instruction.lower()
        height, width = sample.target.shape[:2]
        assert label.box.x1 <= width
        assert label.box.y1 <= height
        for other in others:
            assert f"{other.colour} {other.name}" in sample.instruction or f"{other.colour} sign" in (
                sample.instruction
            )
            if sample.details["expect"]["relation"] is None:
                inside = other.box
                assert inside.x0 <= label.box.x0 < label.box.x1 <= inside.x1
                assert inside.y0 <= label.box.y0 < label.box.y1 <= inside.y1
                company.add("plate")
        company |= {other.kind for other in others}
    assert company == {"plate", "shape", "sticker"}


def test_words_on_several_lines_are_one_instance() -> None:
    overrides = ["size=256x256", "text_to_image={text_lines: {3: 1}, text_words: {5: 1}, text_phrases: 0}"]
    overrides.append("text_to_image.text_with={alone: 1}")
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, [*overrides]))
    for index in range(8):
        (label,) = engine.sample(3, index, "text").objects
        assert "\n" not in label.name
        # Three lines of a few letters are no long and flat box.
        assert len(label.name.split()) in (1, 5)
        assert len(label.name.split()) == 1 or label.box.width < 6 * label.box.height
