"""What answers evaluation cases: a pipeline as the plain function that the runner asks."""

from collections.abc import Sequence

import numpy as np

from dreamomni.evaluation.cases import EvalCase
from dreamomni.evaluation.runner import Generate, Pixels
from dreamomni.inference.opening import Pipeline
from dreamomni.tasks.request import Request, parse_request


def from_pipeline(
    pipe: Pipeline,
    *,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    image_guidance_scale: float | None = None,
) -> Generate:
    """Return a function that answers a batch of cases with one model; None leaves an option to its card.

    Tasks that the model did not learn, and more input images than it takes, are answered with None: they
    count as missing, not as an error.
    """
    options = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    most = pipe.card.max_images

    def request_of(case: EvalCase) -> Request:
        request = case.request
        asked = {name: getattr(request, name) for name in request.model_fields_set} | options
        if request.images:
            asked["image_guidance_scale"] = image_guidance_scale
        return parse_request(asked)

    def generate(cases: Sequence[EvalCase]) -> list[Pixels | None]:
        known = [
            case
            for case in cases
            if case.task in pipe.card.tasks and (most is None or len(case.request.images) <= most)
        ]
        results = iter(pipe.run_batch([request_of(case) for case in known]))
        return [np.array(next(results).images[0]) if case in known else None for case in cases]

    return generate
