"""Where the assets of a library come from: folders, annotated photographs, icon sets."""
