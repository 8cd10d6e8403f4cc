"""Figures of the report, each a function from results to a matplotlib figure."""
