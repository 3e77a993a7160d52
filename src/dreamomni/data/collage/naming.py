"""Plurals, articles and other names of things."""

import functools

_IRREGULAR_PLURALS = {
    "bus": "buses",
    "cactus": "cacti",
    "child": "children",
    "deer": "deer",
    "dice": "dice",
    "fish": "fish",
    "foot": "feet",
    "goose": "geese",
    "jellyfish": "jellyfish",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "potato": "potatoes",
    "scarf": "scarves",
    "sheep": "sheep",
    "shelf": "shelves",
    "snowman": "snowmen",
    "tomato": "tomatoes",
    "tooth": "teeth",
    "volcano": "volcanoes",
    "wolf": "wolves",
    "woman": "women",
}
_ALIASES = {
    "airplane": "plane",
    "aubergine": "eggplant",
    "automobile": "car",
    "ax": "axe",
    "bike": "bicycle",
    "bread": "loaf",
    "chili": "chili pepper",
    "couch": "sofa",
    "die": "dice",
    "doughnut": "donut",
    "fire": "flame",
    "hamburger": "burger",
    "handbag": "purse",
    "hen": "chicken",
    "icecream": "ice cream",
    "ladybird": "ladybug",
    "letter": "envelope",
    "lightbulb": "light bulb",
    "lightning": "lightning bolt",
    "loaf of bread": "loaf",
    "lorry": "truck",
    "motorbike": "motorcycle",
    "necktie": "tie",
    "paint brush": "paintbrush",
    "pants": "trousers",
    "popsicle": "ice pop",
    "present": "gift",
    "raindrop": "drop",
    "rucksack": "backpack",
    "sailboat": "boat",
    "sledge": "sled",
    "spade": "shovel",
    "spanner": "wrench",
    "tee shirt": "shirt",
    "telephone": "phone",
    "tv": "television",
    "wristwatch": "watch",
}
_PAIRS = frozenset(
    {
        "binoculars",
        "glasses",
        "headphones",
        "jeans",
        "pants",
        "pliers",
        "scissors",
        "shorts",
        "sunglasses",
        "trousers",
    }
)
NEVER_MIRRORED = frozenset({"stop sign"})
"""Things with letters on them: mirrored they would be wrong."""
_REMEMBERED = 16384
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"
# Written with a vowel, spoken with a consonant, and the other way round.
_CONSONANT_SOUNDS = ("uni", "use", "uku", "eu", "ewe", "one")
_VOWEL_SOUNDS = ("hour", "honest", "heir", "x-ray")


@functools.lru_cache(maxsize=_REMEMBERED)
def plural(name: str) -> str:
    """English plural of a thing's name; only the last word changes ("ice creams")."""
    head, space, last = name.rpartition(" ")
    if last in _PAIRS:
        return name
    if last in _IRREGULAR_PLURALS:
        return head + space + _IRREGULAR_PLURALS[last]
    if last.endswith(_SIBILANTS):
        return name + "es"
    if last.endswith("y") and len(last) > 1 and last[-2] not in _VOWELS:
        return name[:-1] + "ies"
    return name + "s"


@functools.lru_cache(maxsize=_REMEMBERED)
def article(name: str, before: str | None = None) -> str:
    """What goes in front of one thing: "a", "an" or "a pair of".

    Args:
        name: the thing.
        before: the word that will stand between the article and the name ("red"), if any.
    """
    if is_pair(name):
        return "a pair of"
    word = (before or name).lower()
    if word.startswith(_VOWEL_SOUNDS):
        return "an"
    if word.startswith(_CONSONANT_SOUNDS):
        return "a"
    return "an" if word[0] in _VOWELS else "a"


@functools.lru_cache(maxsize=_REMEMBERED)
def is_pair(name: str) -> bool:
    """Whether one thing of this name is a plural in grammar: "the scissors are", "a pair of scissors is"."""
    return name.rpartition(" ")[2] in _PAIRS


def resolve_alias(name: str) -> str:
    """Our name for a thing known by another word; the word itself when we have none."""
    return _ALIASES.get(name, name)


def names_clash(first: str, second: str) -> bool:
    """Whether one name may be taken for the other: a "hot air balloon" is a "balloon" too."""
    return first == second or first.endswith(f" {second}") or second.endswith(f" {first}")
