"""The benchmarks of the report, four about motion, and files of one's own."""

from himmel.evaluation.benchmarks.choice import BENCHMARK_NAMES, benchmark

__all__ = ["BENCHMARK_NAMES", "benchmark"]
