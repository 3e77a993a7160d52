"""Ask a model for every task that its card lists: `python examples/every_task.py [MODEL [FOLDER]]`."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from dreamomni import DreamOmniPipeline
from dreamomni.inference.control_map import make_control_map
from dreamomni.inference.output import save_result
from dreamomni.tasks.request import parse_request

model = sys.argv[1] if len(sys.argv) > 1 else "mini"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/every_task")
pipe = DreamOmniPipeline.from_pretrained(model)

# A picture to work on, the half of it to paint anew, and its edges.
source = pipe("two red stars above a blue house", seed=0).images[0]
mask = Image.new("L", source.size, 0)
ImageDraw.Draw(mask).rectangle((0, 0, source.width // 2, source.height), fill=255)
edges, _ = make_control_map(source, "canny")

wanted = {
    "text_to_image": {"prompt": "a purple umbrella"},
    "edit": {"prompt": "replace the house with a tree", "images": (source,)},
    "inpaint": {"prompt": "a yellow fish and a blue house", "images": (source,), "mask": mask},
    "outpaint": {"images": (source,), "margins": (16, 0, 16, 0)},
    "drag": {"images": (source,), "drags": ((0.25, 0.25, 0.3, 0.0),)},
    "control": {"prompt": "a green house", "images": (edges,), "control": "canny"},
    "subject": {"prompt": "the house of image 1", "images": (source,)},
    "segment": {"prompt": "the house", "images": (source,)},
    "detect": {"prompt": "all stars", "images": (source,), "colour": "green"},
}
requests = [
    parse_request({"task": task, **values}) for task, values in wanted.items() if task in pipe.card.tasks
]
for request, result in zip(requests, pipe.run_batch(requests), strict=True):
    path = folder / f"{request.task}.png"
    save_result(result, request, [path])
    print(path, f"boxes: {list(result.boxes)}" if result.marks else "")
