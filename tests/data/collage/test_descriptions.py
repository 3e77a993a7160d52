"""Every fact of a description is true of the labels, and none of them is left in doubt."""

import itertools

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.labels import cosines
from dreamomni.data.collage.layout import LOCATIONS, lies_in
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS, counted
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

FEW = "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat]"


def named(sample: TrainingSample, name: str) -> list[ObjectLabel]:
    return [label for label in sample.objects if label.name == name]


@pytest.mark.parametrize("size", ["96x96", "192x96"])
def test_every_statement_is_true_of_the_labels(size: str) -> None:
    recipe = load_recipe("collage-all", CollageRecipe, [FEW, f"size={size}", "max_overlap=0.2"])
    engine = CollageEngine(recipe)
    places, directions, group_counts = set(), set(), set()
    for index in range(60):
        sample = engine.sample(4, index, "description")
        text = sample.instruction.lower()
        height, width = sample.target.shape[:2]
        statements = sample.details["statements"]
        group_counts.add(len(statements))
        assert sum(fact["count"] for fact in statements) == len(sample.objects)
        assert len({fact["name"] for fact in statements}) == len(statements)
        for fact in statements:
            members = named(sample, fact["name"])
            assert len(members) == fact["count"]
            assert {member.colour for member in members} == {fact["colour"]}
            assert counted(fact["count"], fact["name"], fact["colour"]) in text
            assert fact["location"] or fact["predicates"]
            if fact["location"]:
                places.add(fact["location"])
                for member in members:
                    assert lies_in(member.box, fact["location"], Size(width, height), 0.13)
            for predicate in fact["predicates"]:
                directions.add(predicate)
                for member, other in itertools.product(members, named(sample, fact["anchor"])):
                    assert cosines(member.box, other.box)[predicate] > 0.5
            # Whoever is seen from a group has heard of that group before.
            if fact["anchor"]:
                assert text.index(f" {fact['anchor'].split()[-1][:3]}") < len(text)
                order = [item["name"] for item in statements]
                assert order.index(fact["anchor"]) < order.index(fact["name"])
        if "things" in text:
            assert f"{NUMBER_WORDS[len(sample.objects)]} things" in text
    assert len(places) >= 8
    assert places <= set(LOCATIONS)
    assert directions == {"left of", "right of", "above", "below"}
    assert group_counts >= {2, 3, 4}


def test_the_options_decide_how_much_is_described() -> None:
    few = [FEW, "size=128x128", "text_to_image={description_groups: {5: 1.0}, description_things: 5}"]
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, few))
    for index in range(6):
        statements = engine.sample(1, index, "description").details["statements"]
        assert [fact["count"] for fact in statements] == [1] * 5


def test_size_and_place_words_of_shapes_are_true() -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=128x128"]))
    options = engine.recipe.text_to_image
    sizes, places = set(), set()
    for index in range(250):
        sample = engine.sample(6, index, "shapes")
        for fact in sample.details.get("facts", ()):
            (label,) = [item for item in sample.objects if item.name == fact["name"]]
            side = max(label.box.width, label.box.height) / 128
            if fact["size"]:
                low, high = getattr(options, fact["size"])
                assert low - 0.02 <= side <= high + 0.02
                sizes.add(fact["size"])
            if fact["location"]:
                assert lies_in(label.box, fact["location"], Size(128, 128), 0.02)
                places.add(fact["location"])
    assert sizes == {"large", "small"}
    assert len(places) == 9
