"""Errors a user can mend. Each message is one sentence: what is wrong, with the numbers, and how to mend it.

Mistakes of our own stay `AssertionError`, `ValueError` and the like; the command line shows their traceback.
"""


class DreamOmniError(Exception):
    """Base of everything raised on purpose. The command line prints the message and ends with `exit_code`."""

    exit_code = 2
    agreed = False
    """Set where all processes of a run raise this error together."""
    told_elsewhere = False
    """Set where another of them prints it."""


class ConfigError(DreamOmniError):
    """A recipe, an override, a device or a dtype that cannot be used."""


class RequestError(DreamOmniError):
    """A request that cannot be served: a bad image, prompt, size or option."""


class DataError(DreamOmniError):
    """Training or evaluation data that is missing, damaged, or cannot be made as its recipe asks."""


class CheckpointError(DreamOmniError):
    """A checkpoint or a model folder whose files are missing or damaged."""


class ModelError(DreamOmniError):
    """A model that is unknown, or that cannot do what is asked of it."""


class TrainingError(DreamOmniError):
    """A training run that cannot go on: its loss is not finite, or another trainer uses its folder."""


class ProcessLostError(TrainingError):
    """Another process of a training run has ended, so this one cannot go on."""


class OutputError(DreamOmniError):
    """A result that cannot be written where it was asked for."""
