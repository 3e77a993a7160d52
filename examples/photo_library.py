"""Make a library of four public-domain photographs, those that scikit-image ships, to paste stickers on.

pip install --no-deps scikit-image
python examples/photo_library.py out/photos
dreamomni data assets build out/photos --out out/photos.assets --licence CC0-1.0 --held-out 0
dreamomni data sample photos --set assets=out/photos.assets --set background_styles.photo=1.0 --out out/look
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

# What each shows, so that words can name it. All four are CC0 or in the public domain:
# https://scikit-image.org/docs/stable/api/skimage.data.html
PHOTOGRAPHS = {
    "chelsea.png": "a close portrait of a tabby",
    "coffee.png": "a wooden table with a cup of coffee",
    "hubble_deep_field.jpg": "a night sky full of galaxies",
    "rocket.jpg": "a rocket launch by night",
}


def main(folder: Path) -> None:
    """Copy the photographs and their captions into `folder`/backgrounds."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("scikit-image is not installed: pip install --no-deps scikit-image")
    backgrounds = folder / "backgrounds"
    backgrounds.mkdir(parents=True, exist_ok=True)
    for name, caption in PHOTOGRAPHS.items():
        source = Path(package.origin).parent / "data" / name
        shutil.copy(source, backgrounds / name)
        (backgrounds / name).with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")
    print(backgrounds)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/photos"))
