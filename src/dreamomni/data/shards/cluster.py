"""Shards on a Ray cluster: one core task per shard, nothing through the object store but numbers.

All nodes must see the output folder under the same path, and have dreamomni with the `data` extra installed.
"""

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import cv2

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.writer import Report, make_shard
from dreamomni.errors import ConfigError, DataError, DreamOmniError

_ENGINES: dict[str, CollageEngine] = {}
"""The engine of a worker process, kept from task to task: building one costs more than drawing with it."""


def require_ray() -> ModuleType:
    """Return ray.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install 'dreamomni[data]'") from None
    return ray


def run_ray(
    job: ShardJob, shards: Sequence[int], identity: Mapping[str, Any], num_tasks: int, report: Report
) -> None:
    """Make shards as Ray tasks, `num_tasks` at a time.

    A task whose node is lost is tried again elsewhere; its shard comes out the same.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster where `RAY_ADDRESS` says.
        DataError: A task was lost for good.
        DreamOmniError: What stopped a task.
    """
    ray = require_ray()
    ours = not ray.is_initialized()
    if ours:
        connect(ray, num_tasks)
    try:
        task = ray.remote(num_cpus=1, max_retries=3)(_make)
        waiting = list(reversed(shards))
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < num_tasks:
                shard = waiting.pop()
                running[task.remote(job, shard, dict(identity))] = shard
            ready, _ = ray.wait(list(running), num_returns=1)
            shard = running.pop(ready[0])
            outcome = _result(ray, ready[0], shard)
            if outcome is None:
                waiting.insert(0, shard)
            else:
                report(*outcome)
    finally:
        if ours:
            ray.shutdown()


def connect(ray: ModuleType, num_tasks: int) -> None:
    """Join the cluster at `RAY_ADDRESS`, or start one here with room for `num_tasks` tasks.

    Raises:
        ConfigError: There is none at that address, or none can be started.
    """
    quiet = {"log_to_driver": False, "logging_level": "warning"}
    try:
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
        else:
            ray.init(address="local", num_cpus=num_tasks, include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster can be reached: {' '.join(str(error).split())}") from None


def _result(ray: ModuleType, reference: Any, shard: int) -> tuple[int, dict[str, int]] | None:
    try:
        outcome: tuple[int, dict[str, int]] | None = ray.get(reference)
        return outcome
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, DreamOmniError):
            raise cause from None
        raise
    except ray.exceptions.RayError as error:
        raise DataError(
            f"shard {shard} was lost on the cluster ({type(error).__name__}): "
            "see that the workers have memory enough, then give the same command to go on"
        ) from None


def _make(job: ShardJob, shard: int, identity: dict[str, Any]) -> tuple[int, dict[str, int]] | None:
    """One task: the number of indices and what was rejected; None while another process has the shard."""
    cv2.setNumThreads(1)
    key = repr((identity, job.recipe))
    engine = _ENGINES.get(key)
    if engine is None:
        _ENGINES.clear()
        engine = _ENGINES[key] = job.make_engine()
    stats = make_shard(job, shard, engine, identity)
    return None if stats is None else (len(job.indices(shard)), dict(stats["rejected"]))
