"""Videos that are still being made: files that grow, segment lists and network streams, followed in a rolling window.

>>> from himmel.video import LiveVideo
>>> with LiveVideo("rtsp://camera.local/stream") as live:  # doctest: +SKIP
...     for event in live.events():
...         print(event)
"""

from himmel.video.live.live import LiveState, LiveVideo
from himmel.video.live.results import LiveEvent, LiveSpan

__all__ = ["LiveEvent", "LiveSpan", "LiveState", "LiveVideo"]
