"""For every check a sample that was damaged on purpose: the check must say so."""

import dataclasses

import numpy as np
import pytest
from damage import (
    RULE,
    Damage,
    bend_matrix,
    blob_subject,
    changed,
    detail_of,
    first_of,
    flip_mask,
    grey_subject,
    hide_instance,
    hold_out,
    last_operation,
    mask_value,
    move_box,
    move_drag,
    new_id,
    other_caption,
    other_colour,
    other_words,
    shrunk,
    source_dot,
    swap_ids,
    swap_subjects,
    target_dot,
    with_details,
    with_label,
)
from reference_damage import REFERENCE_MUTATIONS

from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.audit.run import CHECKS, audit_sample
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.tasks.sample import Relation

# (check, kind, damage); the sample is the first of its kind that the damage fits.
MUTATIONS: tuple[tuple[str, str, Damage], ...] = (
    ("form", "single", lambda sample: changed(sample, target=sample.target.astype(np.int32))),
    ("form", "single", lambda sample: changed(sample, ids=sample.ids[:-1])),
    ("form", "replace", mask_value),
    ("sizes", "replace", lambda sample: changed(sample, mask=None)),
    ("sizes", "single", lambda sample: changed(sample, images=(sample.target,))),
    ("sizes", "segment", lambda sample: changed(sample, image_ids=())),
    ("changed mask", "replace", flip_mask),
    ("changed mask", "remove", target_dot("outside")),
    ("changed mask", "multi_edit", source_dot("outside")),
    ("changed mask", "drag_move", target_dot("outside")),
    ("changed mask", "segment", target_dot("outside")),
    ("changed mask", "detect", target_dot("outside")),
    ("changed mask", "combined", target_dot("outside")),
    ("outside the hole", "inpaint", target_dot("outside")),
    ("outside the hole", "outpaint", source_dot("outside")),
    ("inside the hole", "inpaint", source_dot("inside")),
    ("inside the hole", "outpaint", detail_of("fill", lambda fill: [fill[0] ^ 1, *fill[1:]])),
    ("inside the hole", "inpaint", lambda sample: with_details(sample, hole="round")),
    ("outpainted edges", "outpaint", flip_mask),
    ("instances in the hole", "inpaint", lambda sample: changed(sample, image_ids=(sample.ids,))),
    ("instances", "two", new_id),
    ("instances", "two", hide_instance),
    ("instances", "two", lambda sample: changed(sample, objects=sample.objects[1:])),
    ("instances", "two", lambda sample: changed(sample, objects=(*sample.objects, sample.objects[0]))),
    ("boxes", "two", move_box),
    ("areas", "two", lambda sample: with_label(sample, area=sample.objects[0].area + 1)),
    ("visibility", "single", lambda sample: with_label(sample, visibility=0.5)),
    ("visibility", "single", lambda sample: with_label(sample, visibility=1.2)),
    ("visibility", "single", lambda sample: with_label(sample, visibility=0.0)),
    ("label kinds", "single", lambda sample: with_label(sample, kind="ghost")),
    ("colours", "colors", lambda sample: with_label(sample, colour=other_colour(sample.objects[0]))),
    ("colours", "colors", lambda sample: with_label(sample, colour="mauve")),
    ("relations", "position", lambda sample: changed(sample, relations=sample.relations[1:])),
    (
        "relations",
        "position",
        lambda sample: changed(sample, relations=(*sample.relations, Relation(1, "above", 1))),
    ),
    ("things that stay", "add", swap_ids),
    ("things that stay", "add", shrunk),
    ("drag points", "drag_move", move_drag(dx=0.5)),
    ("drag points", "drag_scale", move_drag(x=0.00004)),
    ("drag points", "drag_rotate", move_drag(x=-0.003)),
    ("drag points", "drag_move", lambda sample: changed(sample, drags=())),
    (
        "drag points",
        "drag_move",
        lambda sample: changed(sample, drags=(dataclasses.replace(sample.drags[0], instance_id=88),)),
    ),
    ("drag transforms", "drag_move", bend_matrix(0, 2, 3.0)),
    ("drag transforms", "drag_scale", bend_matrix(0, 0, 0.5)),
    ("drag transforms", "drag_rotate", bend_matrix(0, 1, 0.3)),
    ("drag transforms", "drag_rotate", first_of("transforms", operation="move")),
    ("drag transforms", "drag_rotate", detail_of("transforms", lambda records: [])),
    ("drag numbers in words", "drag_move", other_words(r"\(0\.(\d)", r"(0.9\1")),
    ("edge map", "canny", source_dot("corner")),
    ("edge map", "canny", detail_of("low", lambda low: low * 4)),
    ("depth map", "depth", source_dot("corner")),
    ("depth map", "depth", detail_of("levels", lambda levels: dict.fromkeys(levels, 99))),
    ("region map", "segmentation", source_dot("corner")),
    ("region map", "segmentation", lambda sample: changed(sample, image_ids=(sample.ids * 0,))),
    ("subjects", "subject", first_of("subjects", name="ghost")),
    ("subjects", "subject", detail_of("subjects", lambda records: records[1:])),
    ("likeness of subjects", "subject", grey_subject),
    ("likeness of subjects", "subject", blob_subject),
    ("sources as said", "subject", swap_subjects),
    ("places of subjects", "subject", other_words(r"\babove\b", "below")),
    ("filled region", "segment", target_dot("inside")),
    ("filled region", "segment", detail_of("fill", lambda fill: [fill[0] ^ 1, *fill[1:]])),
    ("filled region", "segment", detail_of("fill_colour", lambda name: "mauve")),
    ("drawn boxes", "detect", detail_of("boxes", lambda boxes: [[boxes[0][0] + 1, *boxes[0][1:]]])),
    ("drawn boxes", "detect", detail_of("stroke", lambda stroke: stroke + 1)),
    ("drawn boxes", "detect", target_dot("inside")),
    ("words written", "single", lambda sample: changed(sample, instruction="a  cat", caption="a  cat")),
    ("words written", "replace", lambda sample: changed(sample, instruction="")),
    ("words written", "single", lambda sample: changed(sample, caption="")),
    ("words written", "single", lambda sample: with_details(sample, description=None)),
    ("words written", "remove", other_words(r"^", "{d} ")),
    ("grammar", "counting", other_caption(r"\btwo (\w+)s\b", r"two \1")),
    ("grammar", "replace", other_words(r"\ba (?=[a-z])", "an ")),
    ("numbers, names, colours", "counting", other_caption(r"\bthree\b", "four")),
    ("numbers, names, colours", "colors", other_caption(r"\bred\b", "green")),
    ("numbers, names, colours", "two", other_caption(r" and (?:a|an) .*", "")),
    ("numbers, names, colours", "scene", other_caption(r"^", "a red rocket, ")),
    ("quoted words", "text", other_caption(r'"[^"]+"', '"other"')),
    ("quoted words", "text", other_caption(r'"[^"]+"', "words")),
    ("places and relations", "position", other_caption(r"\bto the left of\b", "to the right of")),
    ("places and relations", "add", other_words(r"\babove\b", "below")),
    ("places and relations", "description", other_caption(r"upper left", "lower right")),
    ("clear references", "remove", other_words(r"\bthe \w+( \w+)?", "the purple anchor")),
    ("clear references", "replace", other_words(r"\bthe ", "the three ")),
    ("marked as said", "segment", detail_of("instances", lambda numbers: [*numbers, 250])),
    ("marked as said", "drag_move", other_words(r"\bthe [a-z ]+", "the cat ")),
    ("edited as recorded", "add", lambda sample: with_details(sample, added=None)),
    ("edited as recorded", "replace", lambda sample: with_details(sample, operation=None)),
    ("edited as recorded", "multi_edit", detail_of("operations", lambda records: records[1:])),
    (
        "edited as said",
        "add",
        other_words(r"\b(?:a|an) [a-z ]+?(?= (?:in|to|on|at|above|below|left)\b|$)", "a cat and a dog"),
    ),
    ("edited as said", "remove", other_words(r"the (?:\w+ )?\w+", "nothing")),
    (
        "edited as said",
        "multi_edit",
        lambda sample: changed(sample, instruction=f"five edits: {sample.instruction}"),
    ),
    ("moved as said", "drag_move", other_words(r"\bto the left\b", "to the right")),
    ("moved as said", "drag_scale", other_words(r"\benlarge\b", "shrink")),
    ("moved as said", "drag_rotate", other_words(r"\bby \d+ degrees", "by 179 degrees")),
    ("stray colours and numbers", "single", other_caption(r"$", " in mint")),
    ("stray colours and numbers", "two", other_caption(r"$", " five")),
    (
        "colour of marks",
        "segment",
        other_words(r"\b(red|blue|green|yellow|purple|pink|orange|brown)\b(?!.*\1)", "cyan"),
    ),
    ("colour of marks", "detect", other_words(r"$", " in cyan")),
    ("marks among edits", "combined", last_operation(fill=[1, 2, 3], box_rgb=[1, 2, 3])),
    ("image numbers", "subject", other_words(r"\bimage \d", "image 9")),
    ("key", "single", lambda sample: changed(sample, key="train.0.1")),
    ("key", "single", lambda sample: changed(sample, index=sample.index + 1)),
    ("key", "single", lambda sample: with_details(sample, split="held_out")),
    ("licences", "single", lambda sample: changed(sample, licences=())),
    ("licences", "single", lambda sample: changed(sample, licences=("GPL-3.0",))),
    ("assets", "single", lambda sample: changed(sample, assets=())),
    ("assets", "single", lambda sample: changed(sample, assets=("apple",))),
    ("assets", "text", lambda sample: changed(sample, assets=())),
    ("held-out combinations", "colors", hold_out),
    *REFERENCE_MUTATIONS,
)


@pytest.mark.parametrize(
    ("check", "kind", "damage"), MUTATIONS, ids=[f"{i}-{m[0]}-{m[1]}" for i, m in enumerate(MUTATIONS)]
)
def test_damage_is_caught(
    check: str,
    kind: str,
    damage: Damage,
    audit_engine: CollageEngine,
    vocabulary: Vocabulary,
    held_out: tuple[str, float],
) -> None:
    RULE["rule"] = audit_engine.recipe.held_out
    # Words differ from sample to sample: take one that the damage fits.
    tried = 0
    for index in range(400):
        sample = audit_engine.sample(3, index, kind)
        try:
            damaged = damage(sample)
        except (AssertionError, KeyError, StopIteration, IndexError):
            continue
        found, asked = audit_sample(damaged, vocabulary, held_out)
        if check not in asked:
            continue
        tried += 1
        if check in {one.check for one in found}:
            clean, _ = audit_sample(sample, vocabulary, held_out)
            assert not clean
            return
        if tried >= 3:
            break
    pytest.fail(f"{check} did not notice what was done to {tried} samples")


def test_every_check_has_a_mutation() -> None:
    assert {check.name for check in CHECKS} == {check for check, _, _ in MUTATIONS}
