"""Where the videos of a corpus are listed: folders, tables, archives, other machines."""

from himmel.data.sources.listing import list_videos
from himmel.data.sources.video import SourceVideo, as_file

__all__ = ["SourceVideo", "as_file", "list_videos"]
