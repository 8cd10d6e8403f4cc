"""What the sound of a file says without being decoded: how near its loudness comes to a decoder's, and what it costs.

    nice python -m benchmarks.sound [-o FILE.json]

Loudness: sounds whose level swells and ebbs are encoded by FFmpeg's AAC encoder at several rates. For each the
loudness of slots of 50 ms is compared with the RMS of what FFmpeg decodes, in dB: correlation, mean difference and its
standard deviation. Cost: seconds of a decomposition (8 anchors of 16 steps, one thread) of ten minutes of 720p with
stereo sound, without and with it, in turn, least of five.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import long_clip
from himmel.video import Video

SECONDS, SLOT, QUIETEST = 24, 0.05, -70.0
KINDS = ("white noise", "pink noise", "voice", "two tones")
MINUTES, ROUNDS = 10, 5


@dataclass(frozen=True)
class Agreement:
    """One encoding: what it was made of, and loudness as it was read against the decoder's, in dB."""

    sound: str
    rate: int
    bits_per_second: int
    slots: int
    correlation: float
    mean: float
    deviation: float


def sound(kind: str, seconds: int, rate: int) -> NDArray[np.float32]:
    """A sound between about -60 and -5 dB, [n]."""
    rng, time = np.random.default_rng(0), np.arange(seconds * rate) / rate
    level = -32 + 22 * np.sin(2 * np.pi * time / 7) + 5 * np.sin(2 * np.pi * time * 1.3)
    if kind == "two tones":
        plain = np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 1760 * time) / 2
    elif kind == "voice":
        pitch = 120 * time + 3 * np.sin(2 * np.pi * 0.8 * time)
        plain = sum(np.sin(2 * np.pi * part * pitch + part) / part**1.2 for part in range(1, 25))
        plain = plain + 0.1 * rng.standard_normal(len(time))
    else:
        spectrum = np.fft.rfft(rng.standard_normal(len(time)))
        spectrum /= np.maximum(np.arange(len(spectrum)), 50) ** (0.5 if kind == "pink noise" else 0)
        plain = np.fft.irfft(spectrum, len(time))
    return (plain / plain.std() * 10 ** (level / 20) * 0.5).astype(np.float32)


def write(path: Path, samples: NDArray[np.float32], rate: int, bit_rate: int) -> None:
    """Small grey pictures with this sound."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = add_sound(output, rate, bit_rate, "mono")
        for _ in range(25 * len(samples) // rate):
            output.mux(video.encode(av.VideoFrame.from_ndarray(np.full((64, 64), 128, np.uint8), format="gray")))
        output.mux(video.encode(None))
        for packet in encoded(audio, samples[None]):
            output.mux(packet)


def add_sound(output: av.container.OutputContainer, rate: int, bit_rate: int, layout: str) -> av.AudioStream:
    """A stream of AAC."""
    stream = output.add_stream("aac", rate=rate, layout=layout)
    stream.bit_rate = bit_rate
    return stream


def encoded(stream: av.AudioStream, samples: NDArray[np.float32]) -> Iterator[av.Packet]:
    """Packets of samples [channels, n]."""
    for start in range(0, samples.shape[1], 1024):
        part = np.ascontiguousarray(samples[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=stream.layout.name)
        frame.rate, frame.pts = stream.rate, start
        yield from stream.encode(frame)
    yield from stream.encode(None)


def agreement(folder: Path, kind: str, rate: int, bit_rate: int) -> Agreement:
    """Encode, read and decode one sound."""
    path = folder / "sound.mp4"
    write(path, sound(kind, SECONDS, rate), rate, bit_rate)
    video = Video(path)
    # As many intervals as make slots of the right length.
    anchors = round(SECONDS / SLOT / 32)
    found = video.decompose(num_anchors=anchors, anchor_mode="exact", steps_per_interval=1, sound=True)
    begins = [*(anchor.time for anchor in found.anchors), found.duration]
    edges = np.concatenate([np.linspace(one, two, 33)[:-1] for one, two in itertools.pairwise(begins)])
    slots = np.concatenate([interval.sound for interval in found.intervals if interval.sound is not None], axis=1)
    with av.open(str(path)) as container:
        frames = [(float(frame.time or 0), frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    samples = np.concatenate([part for _, part in frames]).astype(float)
    at = np.round((edges - frames[0][0] + video.start) * rate).astype(int)
    pairs = list(itertools.pairwise(at))
    truth = np.array([10 * np.log10(np.mean(samples[max(one, 0) : two] ** 2) + 1e-12) for one, two in pairs])
    here = (slots[3, :-1] > 0.9) & (truth > QUIETEST)
    difference = slots[1, :-1][here] - truth[here]
    correlation = float(np.corrcoef(slots[1, :-1][here], truth[here])[0, 1])
    return Agreement(
        kind, rate, bit_rate, int(here.sum()), correlation, float(difference.mean()), float(difference.std())
    )


def cost(folder: Path) -> dict[str, float]:
    """Seconds of a decomposition without and with sound, for each minute of video."""
    silent, path = folder / "silent.mp4", folder / "long.mp4"
    long_clip(silent, minutes=MINUTES)
    music = np.stack([sound(kind, 60 * MINUTES, 48000) for kind in ("voice", "pink noise")])
    with av.open(str(silent)) as source, av.open(str(path), "w") as output:
        pictures = source.streams.video[0]
        copy, audio = output.add_stream_from_template(pictures), add_sound(output, 48000, 128_000, "stereo")
        for packet in source.demux(pictures):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
        for packet in encoded(audio, music):
            output.mux(packet)
    seconds: dict[str, list[float]] = {"without": [], "sound": []}
    for _ in range(ROUNDS):
        for with_sound in (False, True):
            found = Video(path).decompose(sound=with_sound, threads=1)
            if with_sound:
                seconds["sound"].append(found.seconds["sound"])
            else:
                seconds["without"].append(sum(found.seconds.values()))
    return {name: min(values) / MINUTES for name, values in seconds.items()}


def main() -> None:
    """Print a line for each encoding, then the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = []
        for kind, (rate, bits) in itertools.product(KINDS, ((48000, 128_000), (48000, 64_000), (22050, 32_000))):
            one = agreement(folder, kind, rate, bits)
            found.append(one)
            print(
                f"{one.sound:12} {one.rate:6} Hz {one.bits_per_second // 1000:4} kbit/s: correlation "
                f"{one.correlation:.3f}, mean {one.mean:+.1f} dB, deviation {one.deviation:.1f} dB, {one.slots} slots"
            )
        seconds = cost(folder)
    print(f"a minute of video: {seconds['without']:.3f} s without sound, {seconds['sound']:.3f} s more with it")
    if output is not None:
        content = {"loudness": [asdict(one) for one in found], "seconds_per_minute": seconds}
        output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
