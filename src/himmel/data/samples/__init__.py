"""Annotations to learn from: files of questions, answers and conversations about videos, pictures and plain text."""

from himmel.data.samples.order import Group, draw_order
from himmel.data.samples.rows import RowError, parse_row
from himmel.data.samples.sample import KINDS, Cell, Kind, Medium, Sample, Turn
from himmel.data.samples.sets import SetSpec, Unusable, read_set
from himmel.data.samples.table import SampleTable

__all__ = [
    "KINDS",
    "Cell",
    "Group",
    "Kind",
    "Medium",
    "RowError",
    "Sample",
    "SampleTable",
    "SetSpec",
    "Turn",
    "Unusable",
    "draw_order",
    "parse_row",
    "read_set",
]
