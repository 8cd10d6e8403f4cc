"""Benchmarks, scoring, intervals and tables."""
