"""Names of the parts of the canvas."""

WHERE: dict[str, tuple[str, ...]] = {
    "upper left": (
        "in the upper left",
        "in the top left corner",
        "in the upper left corner",
        "at the top left",
    ),
    "upper right": (
        "in the upper right",
        "in the top right corner",
        "in the upper right corner",
        "at the top right",
    ),
    "lower left": (
        "in the lower left",
        "in the bottom left corner",
        "in the lower left corner",
        "at the bottom left",
    ),
    "lower right": (
        "in the lower right",
        "in the bottom right corner",
        "in the lower right corner",
        "at the bottom right",
    ),
    "top": ("at the top", "at the top in the middle"),
    "bottom": ("at the bottom", "at the bottom in the middle"),
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "center": ("in the center", "in the middle"),
}
