"""Charts of match weights: how the evidence of one pair adds up, and what a model thinks of fields.

Here: drawing, from numbers and names of fields. Not here: reading (`explain.py`), and values of
records: no chart can show one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from cdp_assets.identity.evidence import Evidence
from cdp_assets.identity.match_model import MatchModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOR: Final = "#2f8f5b"
_AGAINST: Final = "#c2452d"
_TOTAL: Final = "#4f43dd"


def waterfall(evidence: Evidence, title: str = "What speaks for one person, in bits") -> Figure:
    """The evidence of one pair, from the prior, field by field, to the match weight."""
    # Imported here: half a second that loading the definitions need not pay.
    from matplotlib.figure import Figure

    fields = [weight for weight in evidence.weights if not weight.is_missing]
    labels = ["before any evidence", *(f"{w.field}: {w.label}" for w in fields), "match weight"]
    steps = [evidence.prior, *(w.bits for w in fields)]
    starts = [0.0, *accumulate(steps)][: len(steps)]
    figure = Figure(figsize=(7, 0.34 * len(labels) + 1.1), layout="tight")
    axes = figure.subplots()
    rows = range(len(labels))
    axes.barh(
        list(rows),
        [*steps, evidence.match_weight],
        left=[*starts, 0.0],
        color=[_TOTAL, *(_FOR if w.bits >= 0 else _AGAINST for w in fields), _TOTAL],
    )
    for row, bits, start in zip(rows, [*steps, evidence.match_weight], [*starts, 0.0], strict=True):
        axes.annotate(
            f"{bits:+.1f}",
            (max(start, start + bits), row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.axvline(0, color="#888888", linewidth=0.8)
    _finish(axes, labels, title)
    return figure


def model_chart(model: MatchModel) -> Figure:
    """What each level of each comparison weighs, in bits, before term frequencies."""
    from matplotlib.figure import Figure

    bars = [
        (f"{comparison.name}: {level.label}", level.weight)
        for comparison in model.comparisons
        for level in comparison.levels
        if not level.is_null
    ]
    figure = Figure(figsize=(7, 0.2 * len(bars) + 0.9), layout="tight")
    axes = figure.subplots()
    axes.barh(
        range(len(bars)),
        [bits for _, bits in bars],
        color=[_FOR if bits >= 0 else _AGAINST for _, bits in bars],
    )
    axes.axvline(0, color="#888888", linewidth=0.8)
    _finish(axes, [label for label, _ in bars], f"What a level weighs, model {model.version}")
    return figure


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element, to stand in a page."""
    from matplotlib import rc_context

    image = io.StringIO()
    # Text as text, and neither a date nor a random id: the same numbers give the same page.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "cdp"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(image, format="svg", metadata=nothing)
    text = image.getvalue()
    return text[text.index("<svg") :]


def _finish(axes: Any, labels: Sequence[str], title: str) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.use_sticky_edges = False
    axes.margins(x=0.12, y=0.02)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("bits: each doubles the odds", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
