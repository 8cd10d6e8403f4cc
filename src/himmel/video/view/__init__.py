"""What is in a file, for people to look at: an overlay video, and a page with a scrubber."""

from himmel.video.view.overlay import draw_overlay
from himmel.video.view.page import draw_page

__all__ = ["draw_overlay", "draw_page"]
