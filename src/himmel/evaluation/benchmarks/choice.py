"""A benchmark by its name."""

import difflib
from typing import Final, get_args

from himmel.choices import BenchmarkName
from himmel.errors import UsageError
from himmel.evaluation.benchmarks.activitynet_qa import ActivityNetQa
from himmel.evaluation.benchmarks.file import QuestionFile
from himmel.evaluation.benchmarks.longvideobench import LongVideoBench
from himmel.evaluation.benchmarks.mathvision import MathVision
from himmel.evaluation.benchmarks.mathvista import MathVista
from himmel.evaluation.benchmarks.mlvu import Mlvu
from himmel.evaluation.benchmarks.motionbench import MotionBench
from himmel.evaluation.benchmarks.mvbench import MvBench
from himmel.evaluation.benchmarks.ocrbench import OcrBench
from himmel.evaluation.benchmarks.perception_test import PerceptionTest
from himmel.evaluation.benchmarks.realworldqa import RealWorldQa
from himmel.evaluation.benchmarks.tempcompass import TempCompass
from himmel.evaluation.benchmarks.tomato import Tomato
from himmel.evaluation.benchmarks.video_mme import VideoMme
from himmel.evaluation.benchmarks.vinoground import Vinoground
from himmel.evaluation.items import Benchmark

_BENCHMARKS: Final[dict[BenchmarkName, Benchmark]] = {
    "video_mme": VideoMme(),
    "mvbench": MvBench(),
    "mlvu": Mlvu(),
    "longvideobench": LongVideoBench(),
    "perception_test": PerceptionTest(),
    "activitynet_qa": ActivityNetQa(),
    "mathvista": MathVista(),
    "mathvision": MathVision(),
    "ocrbench": OcrBench(),
    "realworldqa": RealWorldQa(),
    "motionbench": MotionBench(),
    "tempcompass": TempCompass(),
    "tomato": Tomato(),
    "vinoground": Vinoground(),
    "file": QuestionFile(),
}
BENCHMARK_NAMES: Final[tuple[BenchmarkName, ...]] = get_args(BenchmarkName)


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name, with its usual settings.

    Raises:
        UsageError: there is none.
    """
    for known, found in _BENCHMARKS.items():
        if known == name:
            return found
    near = difflib.get_close_matches(name, BENCHMARK_NAMES, n=1)
    guess = f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(BENCHMARK_NAMES)}."
    raise UsageError(f"There is no benchmark {name!r}; {guess}")
