from pathlib import Path

import pytest

from dreamomni.inference.kontext.pipeline import KontextPipeline


@pytest.fixture(scope="package")
def kontext(tiny_kontext_dir: Path) -> KontextPipeline:
    """The tiny published folder, on the CPU in float32."""
    pipe = KontextPipeline.from_pretrained(tiny_kontext_dir)
    pipe.set_progress_bar_config(disable=True)
    return pipe
