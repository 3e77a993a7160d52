"""A gallery of what a model can do: fixed prompts, and tasks with a known truth, as PNG and HTML.

Nothing is picked: one seed, every result shown. What is asked beside the prompts comes from the held-out
split of the world, so that the combinations in it were never trained on.
"""

from dreamomni.inference.gallery.exhibits import Exhibit, describe, make_exhibits
from dreamomni.inference.gallery.writing import Gallery, write_gallery

__all__ = ["Exhibit", "Gallery", "describe", "make_exhibits", "write_gallery"]
