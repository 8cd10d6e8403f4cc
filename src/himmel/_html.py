"""Small pieces of HTML that need nothing outside themselves: texts that are escaped, tables, pictures in the page."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

_TABLE = "border-collapse:collapse;text-align:left"
_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"


def data_address(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them all; `kind` is their media type, such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture(content: bytes, kind: str, *, says: str) -> str:
    """An image with a text for those who can't see it, as wide as there is room at most."""
    return f'<img src="{data_address(content, kind)}" alt="{escape(says)}" style="max-width:100%">'


def facts(rows: Mapping[str, str]) -> str:
    """A table of names and what is said about each; empty texts are left out."""
    lines = (
        f'<tr><th scope="row" style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(text)}</td></tr>'
        for name, text in rows.items()
        if text
    )
    return f'<table style="{_TABLE}"><tbody>{"".join(lines)}</tbody></table>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with headings."""
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(column)}</th>' for column in columns)
    cells = ("".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
