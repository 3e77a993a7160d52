"""What a recipe may say about the things that words leave open."""

from pydantic import Field

from dreamomni.config import StrictConfig


class HabitOptions(StrictConfig):
    """How a picture looks where its words do not say.

    By default everything that is not said is drawn at random, so that one prompt has many pictures. A small
    network spends most of its training on that choice; a world with habits leaves it little to choose.

    Attributes:
        usual_colours: Name of a thing -> its colour where the words do not say one.
        reading_order: Whether things of a text-to-image picture without a said place stand in the cells of a
            grid in the order of the words: side by side, then row by row. Needs `arrangement: slots`.
        mirror: Whether things are mirrored now and then.
    """

    usual_colours: dict[str, str] = Field(default_factory=dict)
    reading_order: bool = False
    mirror: bool = True
