"""A gallery as HTML, with the pictures by relative path."""

import html
import json
from collections.abc import Sequence

from dreamomni.inference.gallery.exhibits import Exhibit
from dreamomni.inference.gallery.picture import CARD, INK, LINE, MUTED, PAGE, words_of
from dreamomni.inference.gallery.questions import SECTIONS


def render_page(exhibits: Sequence[Exhibit], title: str) -> str:
    """The same as HTML, with the pictures by relative path."""
    sections = []
    for section in SECTIONS:
        for heading, kind in zip(section.headings, section.kinds, strict=True):
            figures = "\n".join(_figure(exhibit) for exhibit in exhibits if exhibit.kind == kind)
            if figures:
                sections.append(f'<h2>{heading}</h2>\n<div class="grid">\n{figures}\n</div>')
    options = json.dumps(exhibits[0].result.provenance.model_dump(mode="json"), indent=2) if exhibits else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dreamomni gallery</title>
<style>
body {{ margin: 0 auto; max-width: 1280px; padding: 32px 24px; background: {PAGE}; color: {INK};
  font: 16px/1.45 system-ui, sans-serif; }}
h1 {{ margin: 0; }} h2 {{ margin: 36px 0 12px; font-size: 20px; }}
p.note {{ margin: 4px 0 0; color: {MUTED}; }}
.grid {{ display: flex; flex-wrap: wrap; gap: 18px; }}
figure {{ margin: 0; padding: 12px; background: {CARD}; border: 1px solid {LINE}; border-radius: 10px; }}
.row {{ display: flex; gap: 10px; }}
.row div {{ width: 168px; color: {MUTED}; font-size: 13px; text-align: center; }}
img {{ display: block; width: 168px; border-radius: 6px; }}
figcaption {{ max-width: 524px; margin-top: 8px; contain: inline-size; }}
pre {{ overflow: auto; padding: 12px; background: {CARD}; border: 1px solid {LINE}; border-radius: 10px;
font-size: 12px; }} </style>
</head>
<body>
<h1>dreamomni</h1>
<p class="note">{html.escape(title)}</p>
{chr(10).join(sections)}
<h2>How the first picture was made</h2>
<p class="note">Every result PNG carries the same record in its metadata.</p>
<pre>{html.escape(options)}</pre>
</body>
</html>
"""


def file_name(exhibit: Exhibit, label: str) -> str:
    """Where a picture of an exhibit lies, from the folder of the page."""
    return f"pictures/{exhibit.name}-{label.replace(' ', '-')}.png"


def _figure(exhibit: Exhibit) -> str:
    labels = [label for label, _ in exhibit.pictures]
    images = "".join(
        f'<div><img src="{file_name(exhibit, label)}" alt="{label}">{label if len(labels) > 1 else ""}</div>'
        for label in labels
    )
    words = html.escape(words_of(exhibit))
    return f'<figure><div class="row">{images}</div><figcaption>{words}</figcaption></figure>'
