"""Asking the questions of a benchmark, keeping every answer, and telling runs apart."""
