"""`summary.svg`: one panel for each workload, one bar for each client, drawn by hand."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.report import Row

_LABEL, _PLOT, _LINE, _GAP, _TITLE = 130, 520, 22, 34, 30
_FILL = {"floor": "#9aa5b1", "reference": "#d3d9df", "ours": "#1f7a4d", "peer": "#4a7ebb", "variant": "#a9c3df"}


def draw(panels: Mapping[str, Sequence[Row]]) -> str:
    """Return the picture: bars are median wall time, whiskers min and max, the dark stroke CPU time."""
    parts: list[str] = []
    top = 34
    for name, made in panels.items():
        shown = [row for row in made if not row.failure]
        if shown:
            parts += _panel(name, shown, top)
            top += _TITLE + len(shown) * _LINE + _GAP
    width = _LABEL + _PLOT + 90
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        'font-family="sans-serif" font-size="12" fill="#222">'
    )
    legend = '<text x="10" y="20">bar: median wall time; whisker: min and max; dark line: CPU time; seconds</text>'
    ground = f'<rect width="{width}" height="{top}" fill="#fff"/>'
    return "\n".join([head, ground, legend, *parts, "</svg>", ""])


def _panel(name: str, shown: Sequence[Row], top: int) -> list[str]:
    """Return one panel, its bars scaled to its own longest figure."""
    longest = max(max(max(run.wall for run in row.runs), row.cpu) for row in shown)
    scale = _PLOT / longest
    parts = [f'<text x="10" y="{top + 18}" font-weight="bold">{escape(name)}</text>']
    for index, row in enumerate(shown):
        y = top + _TITLE + index * _LINE
        walls = [run.wall * scale for run in row.runs]
        middle, bar = y + 7, row.wall * scale
        parts += [
            f'<text x="{_LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(row.client)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{bar:.1f}" height="14" fill="{_FILL[row.kind]}"/>',
            f'<path d="M{_LABEL} {y + 16}h{row.cpu * scale:.1f}" stroke="#333" stroke-width="2"/>',
            f'<path d="M{_LABEL + min(walls):.1f} {middle}H{_LABEL + max(walls):.1f}" stroke="#d97706" '
            'stroke-width="2"/>',
            f'<text x="{_LABEL + max(*walls, bar) + 6:.1f}" y="{y + 11}">{row.wall:.2f}</text>',
        ]
    return parts
