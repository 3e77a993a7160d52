"""Samples as people look at them: a PNG sheet, an HTML page with overlays, a gallery of all tasks."""

from dreamomni.data.sheet.gallery import ROWS, gallery
from dreamomni.data.sheet.page import write_html
from dreamomni.data.sheet.png import contact_sheet

__all__ = ["ROWS", "contact_sheet", "gallery", "write_html"]
