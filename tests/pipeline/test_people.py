"""What people do with identity, by the real command line on the tiny company."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import duckdb
import pytest

from cdp_assets.identity.match_model import DEFAULT_MODEL, load_default
from tests.homes import Home


def _ask(home: Home, sql: str) -> list[tuple]:
    with duckdb.connect(str(home.published), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def _state(home: Home) -> dict[str, str]:
    """A hash of every file of a home but the lock, which only says who worked there last."""
    return {
        str(path.relative_to(home.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.path.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_a_matched_pair_is_explained_field_by_field(loaded: Home, tmp_path: Path):
    left, right = _ask(
        loaded,
        """
        select left_record_id, right_record_id from identity.identity_edges
        inner join identity.customer_map as a on left_record_id = a.record_id
        inner join identity.customer_map as b on right_record_id = b.record_id
        where rule = 'probabilistic' and a.customer_id = b.customer_id
        order by all limit 1
        """,
    )[0]
    page = tmp_path / "why.html"
    text = loaded.cdp("explain", left, right, "--html", str(page)).stdout
    assert "are one customer" in text
    *weights, total = (float(bits) for bits in re.findall(r"^ +([+-][\d.]+)  ", text, re.MULTILINE))
    assert len(weights) > 2
    assert sum(weights) == pytest.approx(total, abs=0.1)
    assert weights[0] == pytest.approx(load_default().prior_weight, abs=0.01)
    assert "<svg" in page.read_text()


@pytest.mark.fault("F44")
def test_an_unknown_reference_is_refused_without_being_repeated(loaded: Home):
    done = loaded.cdp("explain", "secret@example.com", "phone:+1", check=False)
    assert done.returncode == 1
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_preview_of_a_stricter_model_splits_customers_and_leaves_the_home_as_it_is(
    loaded: Home, tmp_path: Path
):
    model = json.loads(DEFAULT_MODEL.read_bytes())
    model |= {"version": "strict-1", "probability_two_random_records_match": 1e-12}
    path = tmp_path / "strict.json"
    path.write_text(json.dumps(model))
    labels = tmp_path / "labels.csv"
    (a, b), _ = _likely_strangers(loaded)
    labels.write_text(f"left_record_id,right_record_id,is_match\n{a},{b},false\n")
    before = _state(loaded)
    text = loaded.cdp(
        "identity", "preview", "--model", str(path), "--labels", str(labels), "--json"
    ).stdout
    found = json.loads(text)
    assert found["model"] == "strict-1"
    assert found["customers"]["split"] > 0
    assert any(
        example["event"] == "split" and example["record_id"] for example in found["examples"]
    )
    quality = found["quality"]["truth"]
    assert quality["after"]["recall"] < quality["before"]["recall"]
    assert found["quality"]["labels"]["pairs"] == 1
    assert found["quality"]["labels"]["after"]["precision"] == 1.0
    assert _state(loaded) == before


@pytest.mark.slow
def test_a_trained_model_is_kept_and_used_by_nobody_until_it_is_chosen(
    loaded: Home, tmp_path: Path
):
    home = loaded.copy(tmp_path / "home")
    text = home.cdp("identity", "train").stdout
    version = re.findall(r"^Model (\S+) is kept in the lake", text, re.MULTILINE)[0]
    assert (home.path / "lake" / "models" / "identity" / f"{version}.json").is_file()
    assert "Applying" not in home.cdp("run").stdout
    assert home.hashes() == loaded.hashes()


@pytest.mark.slow
def test_answers_to_the_review_queue_take_effect_with_the_next_run(loaded: Home, tmp_path: Path):
    home = loaded.copy(tmp_path / "home")
    a, b, c, d = (record for pair in _likely_strangers(home) for record in pair)
    home.cdp("review", "answer", a, b, "yes", "--by", "kim")
    home.cdp("review", "answer", c, d, "no", "--by", "kim")
    text = home.cdp("run").stdout
    assert "Applying 2 new decisions" in text
    assert "are one customer" in home.cdp("explain", a, b).stdout
    assert "kim decided on" in home.cdp("explain", c, d).stdout


def _likely_strangers(home: Home) -> list[tuple[str, str]]:
    """Two pairs of contacts of four different customers, in a stable order."""
    rows = _ask(
        home,
        """
        select any_value(record_id order by record_id) from identity.customer_map
        where record_id like 'crm:contact:%' group by customer_id order by 1 limit 4
        """,
    )
    (a,), (b,), (c,), (d,) = rows
    return [(a, b), (c, d)]
