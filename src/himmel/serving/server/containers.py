"""What kinds of files are taken from strangers: those that hold all that they show."""

import errno
from pathlib import Path
from typing import Final

import av

from himmel.errors import VideoError
from himmel.video.file.pyav import LENIENT

# FFmpeg's containers that hold all that they show. Others, such as playlists, name files that requests may not read.
_CONTAINERS: Final = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,vvc,av1,obu,ivf,m4v,h263,mjpeg,mjpeg_2000,flv,live_flv,asf,ogg,"
    "rm,mxf,gxf,nut,nsv,wtv,dv,dirac,vc1,vc1test,avs,avs2,avs3,cavsvideo,yuv4mpegpipe,gif,apng,webp_pipe,png_pipe,"
    "jpeg_pipe"
)


def check_container(path: Path) -> None:
    """See that a video names no other file: FFmpeg would open it, wherever it is.

    Raises:
        VideoError: it may name others.
    """
    try:
        # FFmpeg compares the names before it opens anything else.
        # Among `options`, PyAV 15 hands it to each stream too, and crashes where FLV has streams that come later.
        with av.open(f"file:{path.absolute()}", container_options={"format_whitelist": _CONTAINERS}, **LENIENT):
            return
    except (av.FFmpegError, OSError) as error:
        # What else is wrong with it is said where it is read.
        if error.errno == errno.EINVAL:
            raise VideoError(
                "The file is a list of others or of a kind that is not read here; send the video itself, such as an"
                " MP4."
            ) from error
