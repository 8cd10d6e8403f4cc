"""Small clips with sound, and what a decoder makes of it."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
RATE = 48000


def swelling(seconds: float, *, rate: int = RATE, seed: int = 0, tilt: float = 0.5) -> Samples:
    """Noise that swells and ebbs between -55 and -5 dB, [1, n]."""
    time = np.arange(int(seconds * rate)) / rate
    level = -30 + 20 * np.sin(2 * np.pi * time / 4) + 5 * np.sin(2 * np.pi * time * 1.3)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(time)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 50) ** tilt
    noise = np.fft.irfft(spectrum, len(time))
    return (noise / noise.std() * 10 ** (level / 20)).astype(np.float32)[None]


def begins_at(start: float, seconds: float, *, rate: int = RATE, seed: int = 0) -> Samples:
    """Silence, and noise from `start` on, [1, n]."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time)) * 0.2
    return np.where(time < start, 0, noise).astype(np.float32)[None]


def write_sound(
    path: Path,
    *tracks: Samples,
    codec: str = "aac",
    rate: int = RATE,
    bit_rate: int = 64_000,
    seconds: float | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    begin: float = 0.0,
) -> Path:
    """A clip of 25 small pictures a second with tracks of sound [channels, n], as long as the first one or `seconds`.

    Args:
        begin: when the sound begins, in seconds.
    """
    picture = np.random.default_rng(7).integers(0, 255, (64, 64, 3), np.uint8)
    length = seconds if seconds is not None else tracks[0].shape[1] / rate
    with av.open(str(path), "w", options=container or {}) as output:
        video = output.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        encoders: list[Any] = []
        for samples in tracks:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
            encoder = output.add_stream(codec, rate=rate, layout=layout, options=options or {})
            encoder.bit_rate = bit_rate
            encoders.append(encoder)
        for number in range(round(length * 25)):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number, 1), format="rgb24")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode())
        for samples, encoder in zip(tracks, encoders, strict=True):
            resampler = av.AudioResampler(format=encoder.format, layout=encoder.layout, rate=rate)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", encoder.layout.name)
            frame.rate = rate
            fifo, time = av.AudioFifo(), round(begin * rate)
            for converted in resampler.resample(frame):
                converted.pts = None
                fifo.write(converted)
            while (part := fifo.read(encoder.frame_size or 1024)) or (part := fifo.read()):
                part.pts = time
                time += part.samples
                output.mux(encoder.encode(part))
            output.mux(encoder.encode())
    return path


def decoded(path: Path, *, channel: int | None = 0, track: int = 0) -> tuple[npt.NDArray[np.float64], Samples]:
    """Times of a track's samples [n] in the file's clock, and the samples of a channel, or the mean of all, [n]."""
    times, found = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[track]):
            samples = frame.to_ndarray()
            found.append(samples.mean(0) if channel is None else samples[channel])
            times.append(float(frame.time or 0) + np.arange(frame.samples) / frame.sample_rate)
    return np.concatenate(times), np.concatenate(found)


def level(times: npt.NDArray[np.float64], samples: Samples, start: float, end: float) -> float:
    """Mean square between two times, in dB."""
    part = samples[(times >= start) & (times < end)].astype(float)
    return float(10 * np.log10(max(float((part**2).mean()), 1e-10)))
