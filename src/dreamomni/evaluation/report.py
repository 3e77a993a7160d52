"""A record for people: a table on the terminal and one HTML page with the pictures. Reads records only."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dreamomni.evaluation.cheats import CLASSIC
from dreamomni.evaluation.expectation import (
    EDIT_METRICS,
    REFERENCE_METRICS,
    T2I_METRICS,
    TASK_METRICS,
    Expectation,
    Seen,
)
from dreamomni.evaluation.record import AnswerRecord, CaseRecord, Metrics, Record
from dreamomni.evaluation.scorers import PSNR_CAP
from dreamomni.evaluation.statistics import wilson_interval
from dreamomni.storage import write_text

PAGE_NAME = "index.html"
_PLAIN: dict[str, Any] = {
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
    "show_edge": False,
}
_OWN = ("held-out", "seen")
_FIRST_SCORES = frozenset((T2I_METRICS | EDIT_METRICS | TASK_METRICS | REFERENCE_METRICS).values())
_SHARES = _FIRST_SCORES - {
    name for name in _FIRST_SCORES if name.endswith(("_f1", "_iou", "_order", "_psnr"))
}
_DISTANCES = ("_perceptual", "_mmd")
_FILLED = ("inpaint_", "outpaint_")
_TITLES = {"model": "held-out combinations", "model_seen": "seen combinations, fresh seeds"}


def columns_of(record: Record) -> dict[str, Metrics]:
    """The metrics of all groups by the heading of their column, the model's first."""
    columns = {"held-out": record.metrics}
    if record.metrics_seen:
        columns["seen"] = record.metrics_seen
    return columns | {name.replace("_", " "): metrics for name, metrics in record.cheats.items()}


def metric_text(name: str, metrics: Metrics) -> str:
    """One number with its doubt, in the unit of its metric; "-" where there is none."""
    found = metrics.get(name)
    if found is None or found.mean is None:
        return "-"
    scale, digits, unit = _unit(name)
    text = f"{scale * found.mean:.{digits}f}"
    return (text if found.stderr is None else f"{text} +- {scale * found.stderr:.{digits}f}") + unit


def print_table(record: Record, console: Console | None = None) -> None:
    """Print all metrics, one row each, the answers that need no model beside the model's; fits 80 columns."""
    console = console or Console()
    columns = {name: metrics for name, metrics in columns_of(record).items() if not _is_classic(name)}
    title = f"World evaluation of {record.model.get('name', 'a model')}"
    table = Table(title=title, **_PLAIN)
    table.add_column("metric", no_wrap=True)
    for heading in columns:
        table.add_column(heading.split()[0], justify="right", no_wrap=True)
    for name in _metric_names(columns):
        table.add_row(
            name,
            *(_compact(name, metrics, doubt=heading in _OWN) for heading, metrics in columns.items()),
        )
    console.print(table)
    unscored = sum(m.num_unscored for name, m in record.metrics.items() if name in _FIRST_SCORES)
    console.print(
        f"Per cent (PSNR: dB, at most {PSNR_CAP:.0f}; perceptual and mmd: distances, 0 is best) +- one "
        f"standard error. {unscored} of {_num_cases(record)} held-out cases are unscored, because the "
        "checker misjudges their truth. copy: the source unchanged; other: the truth of another case.",
        highlight=False,
    )
    _print_classic(record, console)
    if record.not_served:
        console.print(f"Not served by the model: {', '.join(record.not_served)}.", highlight=False)


def write_page(record: Record, folder: str | Path) -> Path:
    """Write ``index.html`` into the folder of the record (its pictures are linked, not copied)."""
    path = Path(folder) / PAGE_NAME
    write_text(path, _page(record))
    return path


def _compact(name: str, metrics: Metrics, *, doubt: bool) -> str:
    found = metrics.get(name)
    if found is None or found.mean is None:
        return "-"
    scale, digits, _ = _unit(name)
    if not doubt or found.stderr is None:
        return f"{scale * found.mean:.{digits if doubt or scale == 1 else 0}f}"
    return f"{scale * found.mean:.{digits}f} +-{scale * found.stderr:4.{digits}f}"


def _unit(name: str) -> tuple[int, int, str]:
    """Factor, decimals and sign of a metric."""
    if "psnr" in name:
        return 1, 1, " dB"
    if name.endswith(_DISTANCES):
        return 1, 3, ""
    return 100, 1, " %"


def _is_classic(heading: str) -> bool:
    return heading.replace(" ", "_") in CLASSIC


def _print_classic(record: Record, console: Console) -> None:
    """Filled holes beside what OpenCV makes of the same ones."""
    columns = columns_of(record)
    shown = {name: columns[name] for name in columns if _is_classic(name) or name == "held-out"}
    names = [name for name in record.metrics if name.startswith(_FILLED)]
    if len(shown) < 2 or not names:
        return
    table = Table(title="Holes, beside OpenCV's methods", **_PLAIN)
    table.add_column("metric", no_wrap=True)
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        table.add_row(name, *(_compact(name, metrics, doubt=True) for metrics in shown.values()))
    console.print(table)


def _metric_names(columns: Mapping[str, Metrics]) -> list[str]:
    return list(dict.fromkeys(name for metrics in columns.values() for name in metrics))


def _num_cases(record: Record) -> int:
    return sum(case.split == "held_out" for case in record.cases)


def _page(record: Record) -> str:
    columns = columns_of(record)
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in ("metric", *columns))
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(
            f"<td title='{_title(name, metrics)}'>{html.escape(metric_text(name, metrics))}</td>"
            for metrics in columns.values()
        )
        + "</tr>"
        for name in _metric_names(columns)
    )
    cases = {case.id: case for case in record.cases}
    sections = "".join(
        _section(title, record.answers[group], cases)
        for group, title in _TITLES.items()
        if group in record.answers
    )
    facts = {
        **record.model,
        "recipe": record.recipe_hash[:12],
        **record.settings,
        **{f"features {key}": value for key, value in (record.features or {}).items()},
        **({"not served": ", ".join(record.not_served)} if record.not_served else {}),
        "seconds": record.wall_seconds.get("total"),
        **record.versions,
    }
    listed = " &middot; ".join(f"{html.escape(str(k))} {html.escape(str(v))}" for k, v in facts.items())
    command = f"<pre>{html.escape(record.command)}</pre>" if record.command else ""
    name = html.escape(str(record.model.get("name", "a model")))
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>World evaluation of {name}</title>"
        f"<style>{_STYLE}</style><h1>World evaluation of {name}</h1>{command}<p class='facts'>{listed}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "<p>One standard error after each number. A case whose truth the checker misjudges is unscored. "
        f"PSNR outside the widened mask, capped at {PSNR_CAP:.0f} dB.</p>"
        "<p><label><input type='checkbox' "
        "onchange=\"document.body.classList.toggle('wrong-only',this.checked)\">"
        f" show only what is wrong</label></p>{sections}</html>\n"
    )


def _title(name: str, metrics: Metrics) -> str:
    found = metrics.get(name)
    if found is None or found.mean is None:
        return "not measured"
    text = f"{found.num_scored} scored, {found.num_unscored} unscored"
    if name not in _SHARES or not found.num_scored:
        return text
    low, high = wilson_interval(round(found.mean * found.num_scored), found.num_scored)
    return f"{text}; 95% interval {100 * low:.0f} to {100 * high:.0f} %"


def _section(title: str, answers: Iterable[AnswerRecord], cases: Mapping[str, CaseRecord]) -> str:
    groups: dict[str, list[str]] = {}
    for answer in answers:
        case = cases[answer.case]
        groups.setdefault(case.expectation.metric, []).append(_card(answer, case))
    parts = "".join(
        f"<h3>{html.escape(metric)}</h3><div class='cards'>{''.join(cards)}</div>"
        for metric, cards in groups.items()
    )
    return f"<h2>{html.escape(title)}</h2>{parts}"


def _card(answer: AnswerRecord, case: CaseRecord) -> str:
    judgeable = case.judgeable
    state = ("right" if answer.correct else "wrong") if judgeable else "unscored"
    expected = case.expectation
    pictures = "".join(
        f"<figure>{_picture(path, seen, expected)}<figcaption>{caption}</figcaption></figure>"
        for caption, path, seen in (
            ("source" if not case.references else "image 1", case.source, ()),
            *((f"image {number}", path, ()) for number, path in enumerate(case.references, start=2)),
            ("result", answer.image, answer.seen),
            ("truth", case.truth, ()),
        )
        if path
    )
    decibels = answer.psnr_outside_mask
    outside = "" if decibels is None else f"<br>outside the mask {decibels:.1f} dB"
    reason = _measured(answer) if judgeable else "the checker misjudges the truth of this case"
    return (
        f"<article class='{state}'><p class='prompt'>{html.escape(case.prompt)}</p>{pictures}"
        f"<p><b>{state}</b>: {html.escape(reason)}{outside}</p></article>"
    )


def _measured(answer: AnswerRecord) -> str:
    """Why, with every number that was measured."""
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in answer.values.items())
    return f"{answer.reason} ({numbers})" if len(answer.values) > 1 else answer.reason


def _picture(path: str, seen: Iterable[Seen], expected: Expectation) -> str:
    """A picture with the boxes of what was seen, which show while the pointer is on it."""
    boxes = "".join(
        f"<i title='{html.escape(str(s))} {s.score:.2f}' style='left:{100 * s.box[0] / expected.width:.1f}%;"
        f"top:{100 * s.box[1] / expected.height:.1f}%;"
        f"width:{100 * (s.box[2] - s.box[0]) / expected.width:.1f}%;"
        f"height:{100 * (s.box[3] - s.box[1]) / expected.height:.1f}%'></i>"
        for s in seen
    )
    return f"<span><img loading='lazy' src='{html.escape(path)}' alt=''>{boxes}</span>"


_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;
color:#222;background:#fafafa}.facts,pre{color:#666;font-size:.85em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .7rem;text-align:right}
tbody th{text-align:left;font-weight:500}tbody tr:nth-child(odd){background:#eee}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:.7rem}
article{background:#fff;border-left:5px solid #aaa;padding:.5rem .8rem;border-radius:4px}
.right{border-color:#2a8}.wrong{border-color:#d43}.wrong-only article.right{display:none}
.prompt{font-weight:600;margin:.2rem 0 .5rem}figure{display:inline-block;margin:0 .4rem 0 0}
figcaption{font-size:.75em;color:#666;text-align:center}span{position:relative;display:block}
img{width:96px;image-rendering:pixelated;display:block;border:1px solid #ddd}
i{position:absolute;outline:1px solid #e0f;opacity:0}span:hover i{opacity:1}
"""
