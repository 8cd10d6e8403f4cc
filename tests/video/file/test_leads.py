"""Recordings cut at a keyframe of an open group of pictures."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from himmel.video import Video
from stamps import read_stamp, stamp

Encode = Callable[..., Path]

X264 = {"g": "12", "bf": "3", "x264-params": "b-adapt=0:scenecut=0:open-gop="}
X265 = {"x265-params": "log-level=none:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0:"}
NOTE = "pictures before the first keyframe depend on pictures that are not in the file: they are left out."


def from_keyframe(source: Path, target: Path, keyframe: int) -> Path:
    """Copy a clip from one of its keyframes on."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        seen = -1
        for packet in old.demux(video=0):
            seen += bool(packet.size) and packet.is_keyframe
            if packet.size and seen >= keyframe:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize(
    ("codec", "options", "lost"),
    [
        ("libx264", X264 | {"x264-params": X264["x264-params"] + "1"}, 3),
        ("libx265", {"x265-params": X265["x265-params"] + "open-gop=1"}, 3),
        ("mpeg2video", {"g": "12", "bf": "2"}, 2),
        ("libx264", X264 | {"x264-params": X264["x264-params"] + "0"}, 0),
        # Leading pictures that need nothing from before their keyframe (RADL).
        ("libx265", {"x265-params": X265["x265-params"] + "open-gop=0:radl=2"}, 0),
    ],
)
def test_leading_pictures_that_cannot_be_decoded_do_not_exist(
    codec: str, options: dict, lost: int, tmp_path: Path, encode_clip: Encode
) -> None:
    whole = encode_clip("whole.mkv", [stamp(k) for k in range(60)], codec=codec, options=options)
    path = from_keyframe(whole, tmp_path / "cut.mkv", 2)
    with av.open(str(path)) as container:
        plain = [read_stamp(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    video = Video(path)
    assert video.num_frames == len(plain)
    assert video.times[0] == 0
    assert [note for note in video.notes if NOTE in note] == ([f"{lost} {NOTE}"] if lost else [])
    read = video.decompose(num_anchors=len(plain), anchor_mode="exact")
    assert [read_stamp(anchor.image) for anchor in read.anchors] == plain
    few = video.decompose(num_anchors=4, anchor_mode="exact")
    assert few.anchors[0].frame == 0
    assert len(few.intervals) == 4
    assert few.notes == video.notes


def test_each_recording_has_its_own(tmp_path: Path, encode_clip: Encode) -> None:
    """The second one's leading pictures must not be predicted from the first one's pictures."""
    options = {"g": "12", "bf": "2"}
    whole = encode_clip("whole.mpg", [stamp(k) for k in range(60)], codec="mpeg2video", options=options)
    cut = from_keyframe(whole, tmp_path / "cut.mpg", 2)
    both = tmp_path / "both.mpg"
    both.write_bytes(whole.read_bytes() + cut.read_bytes())
    video = Video(both)
    with av.open(str(cut)) as container:
        plain = [read_stamp(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert f"2 {NOTE}" in video.notes
    read = video.decompose(num_anchors=video.num_frames, anchor_mode="exact")
    assert [read_stamp(anchor.image) for anchor in read.anchors] == [*range(60), *plain]
