"""`himmel streams`: a video's motion and residual as arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from himmel._progress import working
from himmel._text import list_seconds
from himmel.choices import AnchorMode, Backend, Cell, Every
from himmel.cli.checks import check_picture, check_writable
from himmel.cli.console import print_json, print_rows
from himmel.cli.options import Json, Picture, Threads, VideoFile, refuse_given
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.video import Decomposition


def streams(
    video: VideoFile,
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The .npz file to write; with --every a folder.", show_default=False),
    ],
    anchors: Annotated[int, typer.Option(min=1, max=64, help="How many anchor frames to decode.")] = 8,
    steps: Annotated[int, typer.Option(min=1, max=128, help="How many moments to read per interval.")] = 16,
    anchor_mode: Annotated[
        AnchorMode, typer.Option(help="Anchors at keyframes (cheap), at exactly even times, or where scenes begin.")
    ] = "keyframe",
    backend: Annotated[
        Backend,
        typer.Option(
            help="bitstream parses H.264 without decoding it; libav takes the vectors that FFmpeg exports; coviar "
            "accumulates MPEG-4 vectors; proxy estimates optical flow; auto takes the best that the file allows."
        ),
    ] = "auto",
    accumulate: Annotated[
        bool,
        typer.Option(
            "--accumulate", help="Follow motion and residual back to the start of each interval (as CoViAR does)."
        ),
    ] = False,
    cell: Annotated[
        Cell | None, typer.Option(help="Side of a map's cell in pixels. Default: by the size of the video.")
    ] = None,
    rgb_difference: Annotated[
        bool,
        typer.Option(
            "--rgb-difference", help="Also decode each step, and write how it differs from the picture before it."
        ),
    ] = False,
    sound: Annotated[
        bool,
        typer.Option("--sound", help="Also write how large and how loud the sound's packets are; none is decoded."),
    ] = False,
    every: Annotated[
        Every | None,
        typer.Option(
            help="Write every picture's maps, or its motion vectors one by one, into a folder of .npz files. If "
            "you run it again, it continues where it stopped."
        ),
    ] = None,
    threads: Threads = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Write a video's motion and residual maps, with their times, as arrays. Needs no model."""
    if every is not None:
        refuse_given(
            context,
            "--every",
            "anchors",
            "steps",
            "anchor_mode",
            "accumulate",
            "rgb_difference",
            "sound",
            "threads",
            "picture",
        )
        write_every(video, output, every=every, cell=cell, backend=backend, as_json=as_json)
        return
    if output.suffix != ".npz":
        raise UsageError(f"Output {str(output)!r} does not end in .npz; the streams are written as a NumPy archive.")
    check_writable(output)
    check_picture(picture)
    from himmel.video import Video, draw_streams, save_streams

    # Accumulation reads every picture, and the backend coviar may encode them all first.
    with working("Reading the video"):
        decomposition = Video(video).decompose(
            num_anchors=anchors,
            anchor_mode=anchor_mode,
            steps_per_interval=steps,
            cell=cell,
            backend=backend,
            accumulate=accumulate,
            threads=threads,
            rgb_difference=rgb_difference,
            sound=sound,
        )
    save_streams(decomposition, output)
    if picture is not None:
        draw_streams(decomposition, picture)
    summary = summarise_streams(decomposition, output=output, picture=picture)
    if as_json:
        print_json(summary)
    else:
        print_streams(summary)


def write_every(video: str, folder: Path, *, every: Every, cell: Cell | None, backend: Backend, as_json: bool) -> None:
    """Write all pictures into a folder, and say what was written."""
    from himmel.video import Video, save_every

    with working("Reading the video"):
        saved = save_every(Video(video), folder, what=every, cell=cell, backend=backend)
    summary = {**saved.about, "pictures_written": saved.num_pictures, "output": str(folder), "files": len(saved.shards)}
    if as_json:
        print_json(summary)
        return
    print_rows(
        {
            "video": f"{summary['video']}: {summary['codec']}, {summary['width']} x {summary['height']}, "
            f"{summary['duration']:.2f} s, {summary['num_frames']} pictures",
            "backend": f"{summary['backend']} ({summary['backend_reason']}); residual {summary['residual_kind']}, "
            f"distances {summary['distance_kind']}",
            "written": f"{every} of {saved.num_pictures} pictures; {folder} holds {len(saved.shards)} files",
        }
    )


def summarise_streams(decomposition: "Decomposition", *, output: Path, picture: Path | None) -> dict[str, Any]:
    """What `himmel streams` says about the file it wrote, ready for JSON."""
    return {
        "video": decomposition.path,
        "codec": decomposition.codec,
        "width": decomposition.width,
        "height": decomposition.height,
        "duration": decomposition.duration,
        "num_frames": decomposition.num_frames,
        "average_rate": decomposition.average_rate,
        "backend": decomposition.backend,
        "backend_reason": decomposition.backend_reason,
        "residual_kind": decomposition.residual_kind,
        "distance_kind": decomposition.distance_kind,
        "accumulated": decomposition.accumulated,
        "cell": decomposition.cell,
        "grid": list(decomposition.grid),
        "anchors": [
            {"frame": one.frame, "time": one.time, "keyframe": one.keyframe, "reason": one.reason}
            for one in decomposition.anchors
        ],
        "intervals": [{"frames": one.frames.tolist(), "times": one.times.tolist()} for one in decomposition.intervals],
        "num_vectors": decomposition.num_vectors,
        "num_damaged": decomposition.num_damaged,
        "notes": list(decomposition.notes),
        "seconds": decomposition.seconds,
        "output": str(output),
        "picture": None if picture is None else str(picture),
    }


def print_streams(summary: dict[str, Any]) -> None:
    """Print what `summarise_streams` found."""
    rows, columns = summary["grid"]
    steps = sum(len(interval["frames"]) for interval in summary["intervals"])
    print_rows(
        {
            "video": f"{summary['video']}: {summary['codec']}, {summary['width']} x {summary['height']}, "
            f"{summary['duration']:.2f} s, {summary['num_frames']} pictures",
            "backend": f"{summary['backend']} ({summary['backend_reason']}); residual {summary['residual_kind']}"
            + (", accumulated" if summary["accumulated"] else ""),
            "grid": f"{rows} rows x {columns} columns of {summary['cell']} x {summary['cell']} pixels",
            "anchors": str(len(summary["anchors"])),
            "intervals": f"{len(summary['intervals'])} with {steps} steps, {summary['num_vectors']:,} motion vectors "
            "read",
            "seconds": list_seconds(summary["seconds"]),
            "written": "\n".join(name for name in (summary["output"], summary["picture"]) if name),
            "note": "\n".join(summary["notes"]),
        }
    )
