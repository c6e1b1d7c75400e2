"""The suite holds every set to its targets, and says which figure misses."""

from __future__ import annotations

from pathlib import Path

from benchmarks.identity_suite import LabelledSet, missed, table

SET = LabelledSet(
    "town",
    [Path("town.csv")],
    "who",
    "first_name=name",
    targets={"f1": 0.97, "b_cubed": 0.98, "over_merged_share": 0.015, "largest_cluster": 36},
)
FOUND = {
    "records": 1_000,
    "cluster": {"precision": 0.99, "recall": 0.96, "f1": 0.975},
    "b_cubed": {"precision": 0.99, "recall": 0.98, "f1": 0.985},
    "exact_entity_rate": 0.95,
    "over_merged_share": 0.01,
    "largest_cluster": 12,
    "cpu_seconds": 12.3,
    "peak_rss_bytes": 2**29,
}


def test_figures_at_their_targets_are_no_fault():
    exact = {"cluster": {"f1": 0.97}, "b_cubed": {"f1": 0.98}}
    limits = {"over_merged_share": 0.015, "largest_cluster": 36}
    assert missed(SET, FOUND) == []
    assert missed(SET, {**FOUND, **exact, **limits}) == []


def test_shares_must_be_reached_and_sizes_not_passed():
    worse = {"cluster": {**FOUND["cluster"], "f1": 0.9}, "largest_cluster": 40}
    assert missed(SET, {**FOUND, **worse}) == [
        "f1 is 0.9000, and the target is 0.97",
        "largest_cluster is 40.0000, and the target is 36",
    ]


def test_the_table_has_a_line_per_set_and_ends_with_the_verdict():
    *lines, verdict = table([(SET, FOUND), (SET, FOUND)])
    assert len(lines) == 4  # header, two sets, an empty line
    assert "0.9750" in lines[1]
    assert verdict == "Every figure meets its target."
    assert table([(SET, {**FOUND, "over_merged_share": 0.5})])[-1].startswith("town: over_merged")
