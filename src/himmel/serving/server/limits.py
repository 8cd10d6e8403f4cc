"""What a server lets one request, and all of them together, take."""

from dataclasses import dataclass, fields
from typing import Final

from himmel._checks import check_number, check_whole

MEBIBYTE: Final = 2**20
GIBIBYTE: Final = 2**30
DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that hold for every request; what is over one of them is refused with a sentence.

    Attributes:
        body_bytes: of one request: its JSON with all `data:` URLs, or its multipart upload.
        bodies_bytes: of all requests that are being received, or whose data: URLs and uploads are being kept, at once.
        source_bytes: of one video or picture that comes from a folder or another host.
        spool_bytes: of uploads, downloads and data: URLs on the disk, each counted as 64 KiB at least; what was used
            longest ago goes first.
        sources: videos and pictures in one request.
        messages: in one request.
        text_characters: of all texts of one request.
        duration: of a video, in seconds.
        pixels: of a picture, or of each picture of a video.
        decoded_bytes: of the pictures and maps that are read for one request.
        new_tokens: of one answer; a request that asks for more is refused.
        default_new_tokens: of an answer whose request says nothing.
        requests: under way at once, in any stage.
        queue: requests that wait for the model or for their video to be read.
        batch: requests that are answered together.
        request_seconds: from a request's arrival to the end of its answer.
        receive_seconds: until a request's body is there.
        send_seconds: until a client has taken the next piece of its answer.
        fetch_seconds: of one download.
        read_seconds: of reading one video.
        read_bytes: memory of reading one video beyond what a worker takes anyway; kept on Linux alone.
        workers: processes that read videos.
        watch_seconds: of a watched stream, that are kept.
        watch_bytes: memory for them; the window is shorter where they take more.
        watch_patience: seconds without a picture after which a watched stream is lost.
        drain_seconds: after SIGTERM, until what is under way is given up.

    Raises:
        UsageError: a value is no number, or is not positive, or more than a stream can be watched by.
    """

    body_bytes: int = 64 * MEBIBYTE
    bodies_bytes: int = GIBIBYTE
    source_bytes: int = 2 * GIBIBYTE
    spool_bytes: int = 4 * GIBIBYTE
    sources: int = 64
    messages: int = 64
    text_characters: int = 65_536
    duration: float = 7_200.0
    pixels: int = 2**25
    decoded_bytes: int = 512 * MEBIBYTE
    new_tokens: int = 1_024
    default_new_tokens: int = 256
    requests: int = 512
    queue: int = 512
    batch: int = 8
    request_seconds: float = 300.0
    receive_seconds: float = 60.0
    send_seconds: float = 30.0
    fetch_seconds: float = 60.0
    read_seconds: float = 60.0
    read_bytes: int = 2 * GIBIBYTE
    workers: int = 2
    watch_seconds: float = 300.0
    watch_bytes: int = 256 * MEBIBYTE
    watch_patience: float = 60.0
    drain_seconds: float = 60.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = vars(self)[item.name]
            if isinstance(item.default, float):
                check_number(item.name, value, 0.001, 1e9)
            else:
                check_whole(item.name, value, 1, 2**50)
        check_number("watch_seconds", self.watch_seconds, 3.0, DAY)
        check_number("watch_patience", self.watch_patience, 0.1, DAY)
