"""Which words of a sample are learned from: a user's, or the standard format (DreamOmni2 section 3.2)."""

from dreamomni.errors import DataError
from dreamomni.seeding import derive_seed
from dreamomni.tasks.sample import TrainingSample
from dreamomni.tasks.standard import standard_edit, standard_generation
from dreamomni.training.lora_config import Words


def words_of(sample: TrainingSample, words: Words) -> str:
    """The prompt of a sample.

    Args:
        sample: With `details["standard"]`, where it has standard words.
        words: "user"; "standard"; or "mixed", which tosses a coin that belongs to the sample, and takes the
            user's words where there are no others.

    Raises:
        DataError: Standard words are asked for, and the sample has none.
    """
    if words == "user":
        return sample.instruction
    standard = standard_words(sample)
    if words == "mixed":
        heads = derive_seed(0, "words", sample.key) % 2 == 0
        return sample.instruction if standard is None or heads else standard
    if standard is None:
        raise DataError(
            f"sample {sample.key} of kind {sample.kind} has no words in the standard format: say words: user "
            "or mixed, or take kinds with references"
        )
    return standard


def spoken(words: Words) -> dict[str, str]:
    """What a cache's identity says of the words; nothing for a user's, so that older caches stay valid."""
    return {} if words == "user" else {"words": words}


def standard_words(sample: TrainingSample) -> str | None:
    """The standard words of a sample, or None where it has none.

    Raises:
        DataError: They are there and cannot be used.
    """
    said = sample.details.get("standard")
    if said is None:
        return None
    try:
        if sample.task == "edit":
            return standard_edit(said["instruction"], said["caption"])
        return standard_generation(said["caption"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"sample {sample.key} has damaged words in details.standard: {error}") from None
