# %% [markdown]
# # Evaluate a method of your own
#
# A method says how a video becomes a prompt. This one shows only the first and the last picture of a video, and is
# asked the same questions as two methods that come with himmel. It needs `pip install ".[train]"`.

# %%
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from himmel import HimmelConfig, Session, Video
from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.runs.compare import compare_folders
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.runner import Asker, run_benchmark
from himmel.methods.answer import describe_frames
from himmel.methods.choice import build
from himmel.methods.frames import FramesMethod
from himmel.methods.protocol import Read
from himmel.nano.assets import get_nano_host
from himmel.nano.export import write_clips

get_nano_host()

# %% [markdown]
# What is read of a file is a frozen dataclass of its own: equal readings of one video are done once. `FramesMethod`
# does the rest, as for any method that shows frames to the host alone, without an adapter.


# %%
@dataclass(frozen=True)
class EndsReading:
    """As many pictures from the beginning of a video as from its end."""

    num_frames: int

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Decode them, and nothing that lies between."""
        half = range(min(self.num_frames // 2, video.num_frames))
        indices = sorted({*half, *(video.num_frames - 1 - k for k in half)})
        found = video.frames(indices, threads=threads)
        return Read(found.frames, describe_frames(video, found), notes=found.notes, seconds=dict(found.seconds))


@dataclass(frozen=True, kw_only=True)
class Ends(FramesMethod):
    """Shows how a video begins and how it ends."""

    name: ClassVar[str] = "ends"
    num_frames: int = 2

    def reading(self, config: HimmelConfig | None) -> EndsReading:
        """See `Method.reading`."""
        return EndsReading(self.num_frames)


# %% [markdown]
# Questions come from any benchmark that himmel knows, or from a file. Here they are about a few rendered clips, whose
# motion is known. With so few of them, figures say nothing: `himmel nano clips` renders hundreds.

# %%
work = Path("own-baseline")
written = write_clips(work / "clips", clips=6, questions_per_clip=2)
questions = benchmark("file")
items = questions.load(written.questions, split=None)
print(len(items), "questions, such as:", items[0].question, items[0].choices)

# %% [markdown]
# A run is a folder with a line for each answer. `Ends()` goes in where methods by name go, and an interrupted run
# continues.

# %%
session = Session()
runs = []
for method in (Ends(), build("dense", num_frames=2), build("himmel")):
    run = work / "runs" / method.name
    summary = run_benchmark(
        questions,
        items,
        name=written.questions.name,
        data=written.questions.parent,
        folder=run,
        asker=Asker(session=session, method=method),
        posing=Posing(),
    )
    runs.append(run)
    print(f"{method.name}: {summary.overall.accuracy.correct} of {summary.overall.accuracy.total} right")

# %% [markdown]
# The first run against each of the others, on the same questions, corrected for the number of tests.

# %%
for pair in compare_folders(runs).pairs:
    print(f"{pair.first} and {pair.second}: difference {pair.difference:+.0%}, p = {pair.p_value:.2f}")
