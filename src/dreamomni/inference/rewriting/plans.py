"""Plans of requests with references, with the words that a rewriter makes of their prompts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamomni.inference.memory.managed import ManagedMemory
from dreamomni.inference.plan import Plan
from dreamomni.tasks.conditioning import drag_words
from dreamomni.tasks.request import Drag

if TYPE_CHECKING:
    from dreamomni.inference.rewriting.rewriter import Rewriting


def rewrite_plans(pipe: ManagedMemory, plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans in their order; those that have references read what the rewriter made of them.

    Args:
        pipe: Its rewriter is asked, where it has one, on the device of the pipeline.
        plans: A plan says itself whether it is to be rewritten.
    """
    wanted = [number for number, plan in enumerate(plans) if plan.rewrite]
    if pipe.rewriter is None or not wanted:
        return list(plans)
    from dreamomni.inference.rewriting.rewriter import Job

    if pipe.memory is None:
        pipe.rewriter.device = pipe.execution_device
    jobs = [
        Job(plan.prompt, plan.images, "generate" if plan.task == "subject" else "edit")
        for plan in (plans[number] for number in wanted)
    ]
    with pipe._using("vlm"):
        found = dict(zip(wanted, pipe.rewriter.rewrite_all(jobs), strict=True))
    return [_reworded(plan, found[number]) if number in found else plan for number, plan in enumerate(plans)]


def _reworded(plan: Plan, found: "Rewriting") -> Plan:
    warnings = (*plan.warnings, *found.warnings)
    if found.revised_prompt is None:
        return replace(plan, warnings=warnings)
    drags = [Drag(*drag) for drag in plan.structure.get("drags", ())]
    words = drag_words(found.revised_prompt, drags)
    return replace(plan, words=words, revised_prompt=found.revised_prompt, warnings=warnings)
