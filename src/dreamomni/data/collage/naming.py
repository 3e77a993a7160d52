"""Plurals, articles and other names of things."""

_IRREGULAR_PLURALS = {
    "bus": "buses",
    "cactus": "cacti",
    "fish": "fish",
    "knife": "knives",
    "leaf": "leaves",
    "scissors": "scissors",
    "sheep": "sheep",
    "snowman": "snowmen",
}
_ALIASES = {
    "airplane": "plane",
    "bike": "bicycle",
    "icecream": "ice cream",
    "letter": "envelope",
    "present": "gift",
    "telephone": "phone",
    "tee shirt": "shirt",
    "automobile": "car",
    "sailboat": "boat",
}
_PAIRS = frozenset({"scissors"})
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"
# Written with a vowel, spoken with a consonant, and the other way round.
_CONSONANT_SOUNDS = ("uni", "use", "euro", "one")
_VOWEL_SOUNDS = ("hour", "honest")


def plural(name: str) -> str:
    """English plural of a thing's name; only the last word changes ("ice creams")."""
    head, space, last = name.rpartition(" ")
    if last in _IRREGULAR_PLURALS:
        return head + space + _IRREGULAR_PLURALS[last]
    if last.endswith(_SIBILANTS):
        return name + "es"
    if last.endswith("y") and len(last) > 1 and last[-2] not in _VOWELS:
        return name[:-1] + "ies"
    return name + "s"


def article(name: str, before: str | None = None) -> str:
    """What goes in front of one thing: "a", "an" or "a pair of".

    Args:
        name: the thing.
        before: the word that will stand between the article and the name ("red"), if any.
    """
    if name in _PAIRS:
        return "a pair of"
    word = (before or name).lower()
    if word.startswith(_VOWEL_SOUNDS):
        return "an"
    if word.startswith(_CONSONANT_SOUNDS):
        return "a"
    return "an" if word[0] in _VOWELS else "a"


def resolve_alias(name: str) -> str:
    """Our name for a thing known by another word; the word itself when we have none."""
    return _ALIASES.get(name, name)
