"""Files of which a part is missing, and files that only look so."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from himmel.errors import VideoError
from himmel.video import Video
from odd_files import box, change_pid, full_box, sample_entry, take_apart, write_mp4

Encode = Callable[..., Path]


def cut(source: Path, share: float) -> Path:
    """The beginning of a file."""
    data = source.read_bytes()
    path = source.with_name(f"cut{share}_{source.name}")
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("edits", [[(30, 20)], [(20, 0)], [(5, 2), (10, 30)]])
def test_an_edit_list_leaves_out_and_cuts_nothing_short(
    edits: list[tuple[int, int]], tmp_path: Path, encode_clip: Encode
) -> None:
    track = take_apart(encode_clip("a.mp4", num_frames=60, options={"g": "10"}))
    video = Video(write_mp4(tmp_path / "b.mp4", track.samples, [track.entry], track.size, edits=edits))
    assert video.num_frames == sum(count for count, _ in edits)
    assert video.notes == ()


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "frag_keyframe+empty_moov+default_base_moof"])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_a_fragmented_file_that_is_cut_short(flags: str, share: float, encode_clip: Encode) -> None:
    whole = encode_clip("a.mp4", num_frames=60, options={"g": "12"}, container_options={"movflags": flags})
    assert Video(whole).notes == ()
    video = Video(cut(whole, share))
    assert video.num_frames < 60
    assert [note for note in video.notes if note.startswith("The file is cut short: ")]


def test_a_fragmented_file_that_ends_with_a_fragments_head(encode_clip: Encode) -> None:
    """Its last box of pictures is not even begun, or lacks all but its first bytes, or all of the head is missing."""
    options = {"movflags": "frag_keyframe+empty_moov"}
    whole = encode_clip("a.mp4", num_frames=60, options={"g": "12"}, container_options=options)
    data = whole.read_bytes()
    last = data.rindex(b"mdat") - 4
    for end in (last, last + 4, last + 8, data.rindex(b"moof") + 4):
        path = whole.with_name("b.mp4")
        path.write_bytes(data[:end])
        assert any(note.startswith("The file is cut short: ") for note in Video(path).notes), end - last


@pytest.mark.parametrize("scheme", [b"cenc", b"cbcs"])
def test_encryption_is_called_so(scheme: bytes, tmp_path: Path, encode_clip: Encode) -> None:
    track = take_apart(encode_clip("a.mp4", num_frames=20))
    protection = box(b"sinf", box(b"frma", b"avc1"), full_box(b"schm", scheme, b"\0\1\0\0"))
    entry = sample_entry(b"encv", track.size, box(b"avcC", track.config), protection)
    path = write_mp4(tmp_path / "b.mp4", track.samples, [entry], track.size)
    with pytest.raises(VideoError) as caught:
        Video(path)
    assert str(caught.value) == (
        f"{str(path)!r} is encrypted (scheme {scheme.decode()!r}); decrypt it with its key first."
    )


def test_a_scrambled_transport_stream(encode_clip: Encode) -> None:
    path = encode_clip("a.ts")
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        if int.from_bytes(data[at + 1 : at + 3]) & 0x1FFF == 256:
            data[at + 3] |= 0xC0
            data[at + 4 : at + 188] = bytes(byte ^ 0x5A for byte in data[at + 4 : at + 188])
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"is encrypted; decrypt it with its key first\.$"):
        Video(path)


def test_an_animated_webp(tmp_path: Path) -> None:
    """PIL writes one; before release 9, FFmpeg reads still ones alone."""
    from PIL import Image

    pictures = [Image.new("RGB", (64, 48), (20 * k, 0, 0)) for k in range(5)]
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    if av.library_versions["libavcodec"] >= (63, 0, 0):
        assert Video(path).num_frames == 5
    else:
        with pytest.raises(VideoError, match=r"is an animated WebP picture, which FFmpeg cannot decode; convert it"):
            Video(path)
    pictures[0].save(path)
    assert Video(path).num_frames == 1


def test_pictures_that_go_on_under_another_pid_are_told(encode_clip: Encode) -> None:
    options = {"g": "25", "bf": "0"}
    before = encode_clip("a.ts", num_frames=50, options=options).read_bytes()
    after = encode_clip("b.ts", num_frames=50, options=options, shift=50).read_bytes()
    path = encode_clip("c.ts", num_frames=1)
    path.write_bytes(before + change_pid(after, 256, 300))
    video = Video(path)
    assert video.num_frames == 50
    assert video.notes == (
        "The video continues in another stream of the file (PID 300, not 256), which is not read: to read it, split"
        " the file where the stream changes.",
    )


@pytest.mark.parametrize(
    ("name", "codec", "how"),
    [
        ("a.mp4", "libx264", {}),
        ("a.mov", "mpeg4", {}),
        ("a.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.flv", "libx264", {}),
        ("a.asf", "wmv2", {}),
    ],
)
def test_a_recording_that_is_appended_where_it_cannot_be_read_is_told(
    name: str, codec: str, how: dict, encode_clip: Encode
) -> None:
    """Tables at one place in the file tell all there is; formats that are read on are joined (test_times.py)."""
    path = encode_clip(name, codec=codec, options={"g": "10"}, **how)
    assert Video(path).notes == ()
    path.write_bytes(path.read_bytes() * 2)
    note = "The file contains another recording after this one, which is not read: to read it, split the file there."
    assert note in Video(path).notes


def test_two_programmes_side_by_side_are_no_parts(tmp_path: Path, encode_clip: Encode) -> None:
    path = tmp_path / "two.ts"
    clip = encode_clip("a.mp4", num_frames=60)
    with av.open(str(path), "w") as new, av.open(str(clip)) as one, av.open(str(clip)) as two:
        streams = [new.add_stream_from_template(old.streams.video[0]) for old in (one, two)]
        for pair in zip(one.demux(video=0), two.demux(video=0), strict=True):
            for stream, packet in zip(streams, pair, strict=True):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
    assert Video(path).notes == ()
