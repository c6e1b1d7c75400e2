"""Small charts for asset metadata, where a person would rather look than read.

Not here: which asset shows what; personal data (labels are days, sizes and field names).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bar_chart(
    labels: Sequence[object], values: Sequence[float], *, title: str, y_label: str
) -> dg.MarkdownMetadataValue:
    """A bar chart as an image that the Dagster UI shows in place.

    Args:
        labels: one per bar, in order; at most a dozen are written under the axis.
        values: the heights.
        title: what the chart shows.
        y_label: the unit of the heights.
    """
    # Imported here: half a second that loading the definitions need not pay.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="tight")
    axes = figure.subplots()
    positions = range(len(labels))
    axes.bar(positions, values, color="#4f43dd")
    step = max(1, -(-len(labels) // 12))
    axes.set_xticks(
        list(positions)[::step], [str(label) for label in labels][::step], rotation=30, ha="right"
    )
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    return as_markdown(figure, title)


def as_markdown(figure: Figure, title: str) -> dg.MarkdownMetadataValue:
    """A figure as an image that the Dagster UI shows in place."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=90)
    encoded = base64.b64encode(image.getvalue()).decode("ascii")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
