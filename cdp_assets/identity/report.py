"""An explanation for people: as text, and as one HTML page with its charts.

Here: wording and layout. Record ids, names of fields and weights always; values of records only
where the caller passes them. Not here: finding any of it (`explain.py`).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from cdp_assets.identity.evidence import Evidence
from cdp_assets.identity.explain import Change, Explanation, Ownership, Step, weakest
from cdp_assets.identity.references import Reference
from cdp_assets.identity.waterfall import as_svg, waterfall

# Values by record id and field; empty unless somebody asked to see them.
Values = Mapping[str, Mapping[str, str]]

_TIERS = {0: "a person's decision", 1: "a unique id", 2: "a contact value", 3: "a device"}


def explanation_lines(explanation: Explanation, values: Values) -> Iterator[str]:
    """The explanation as text."""
    yield verdict(explanation)
    yield from _notes(explanation)
    hung_on = weakest(explanation.path)
    for number, step in enumerate(explanation.path, start=1):
        yield ""
        yield f"{number}. {step_line(step)}{_mark(step, hung_on, explanation.path)}"
        evidence = explanation.evidence.get(step.pair)
        if evidence is not None:
            yield from evidence_lines(evidence, values)
    for obstacle in explanation.obstacles:
        yield f"- {obstacle.sentence}"
        if obstacle.pair is not None:
            yield f"    {obstacle.pair[0]}  |  {obstacle.pair[1]}"
    if not explanation.path:
        for evidence in explanation.evidence.values():
            yield ""
            yield f"Most speaks for {evidence.left_record_id} and {evidence.right_record_id}:"
            yield from evidence_lines(evidence, values)


def verdict(explanation: Explanation) -> str:
    """The answer in one sentence."""
    sentence = _verdict(explanation)
    return sentence[0].upper() + sentence[1:] if sentence.startswith("the ") else sentence


def _verdict(explanation: Explanation) -> str:
    names = f"{explanation.left.name} and {explanation.right.name}"
    if explanation.left.records == explanation.right.records:
        return f"{names} are the same record" + ("." if _is_single(explanation) else "s.")
    if not explanation.is_one:
        whose = " and ".join(
            f"{side.name} ({_whose(side, explanation)})"
            for side in (explanation.left, explanation.right)
        )
        return f"{whose} are not one customer."
    customer = ", ".join(explanation.common_customers)
    if not explanation.path:
        return (
            f"{names} are one customer, {customer}, but no link holds them together now: the "
            "customer is held back, and keeps what it had."
        )
    links = len(explanation.path)
    return f"{names} are one customer, {customer}, by {links} link{'s' * (links > 1)}."


def step_line(step: Step) -> str:
    """One link in one line."""
    what = f" on {step.identifier_type}" if step.identifier_type else ""
    return (
        f"{step.left_record_id} -> {step.right_record_id}: {step.rule}{what}, "
        f"version {step.rule_version}, tier {step.tier} ({_tier(step)}), score {step.score:.4f}"
    )


def evidence_lines(evidence: Evidence, values: Values) -> Iterator[str]:
    """The weights of a pair, field by field, in bits."""
    yield f"     {evidence.prior:+7.2f}  before any evidence"
    for weight in evidence.weights:
        if weight.is_missing:
            continue
        common = "common" if weight.rarity < 0 else "rare"
        rarity = f" ({weight.rarity:+.2f} for how {common} it is)" if weight.rarity else ""
        yield f"     {weight.bits:+7.2f}  {weight.field}: {weight.label}{rarity}"
    missing = ", ".join(weight.field for weight in evidence.weights if weight.is_missing)
    if missing:
        yield f"              say nothing: {missing}"
    veto = f", vetoed: {evidence.veto}" if evidence.veto else ""
    doubt = ", and too little for the model to be sure of" if evidence.is_doubtful else ""
    yield (
        f"     {evidence.match_weight:+7.2f}  match weight, "
        f"a probability of {evidence.probability:.4%}{veto or doubt}"
    )
    for record in (evidence.left_record_id, evidence.right_record_id):
        if record in values:
            told = "; ".join(f"{name} {value}" for name, value in values[record].items())
            yield f"              {record}: {told}"


def ownership_lines(
    owners: Sequence[Ownership], changes: Sequence[Change], at: datetime
) -> Iterator[str]:
    """Whose customer each record was at a time, and what happened since."""
    yield f"At {at:%Y-%m-%d %H:%M:%S} UTC:"
    for owner in owners:
        then = owner.then or "nobody's customer"
        now = "the same now" if owner.then == owner.now else f"now {owner.now or 'nobody'}"
        yield f"  {owner.record_id}: {then} ({now})"
    if changes:
        yield "Since then:"
    for change in changes:
        other = f" from {change.other_customer_id}" if change.other_customer_id else ""
        rule = f" ({change.rule})" if change.rule else ""
        yield (
            f"  {change.occurred_at:%Y-%m-%d %H:%M:%S}  {change.event} "
            f"{change.customer_id}{other}{rule}"
        )


def explanation_page(explanation: Explanation, values: Values, extra: Iterable[str] = ()) -> str:
    """The explanation as one HTML page that needs nothing else: no script, no network."""
    parts = [f"<h1>{html.escape(verdict(explanation))}</h1>"]
    parts += [f"<p>{html.escape(note)}</p>" for note in _notes(explanation)]
    hung_on = weakest(explanation.path)
    for number, step in enumerate(explanation.path, start=1):
        mark = _mark(step, hung_on, explanation.path)
        parts.append(f"<h2>{number}. {html.escape(step_line(step) + mark)}</h2>")
        evidence = explanation.evidence.get(step.pair)
        parts += _evidence_html(evidence, values) if evidence is not None else []
    if explanation.obstacles:
        items = "".join(_obstacle_html(o.sentence, o.pair) for o in explanation.obstacles)
        parts.append(f"<ul>{items}</ul>")
    if not explanation.path:
        for evidence in explanation.evidence.values():
            parts += _evidence_html(evidence, values)
    parts += [f"<pre>{html.escape(line)}</pre>" for line in ("\n".join(extra),) if line]
    return _PAGE.format(title="Why one customer, or why not", body="\n".join(parts))


def _evidence_html(evidence: Evidence, values: Values) -> list[str]:
    lines = "\n".join(evidence_lines(evidence, values))
    return [as_svg(waterfall(evidence)), f"<pre>{html.escape(lines)}</pre>"]


def _obstacle_html(sentence: str, pair: tuple[str, str] | None) -> str:
    records = f"<br><code>{html.escape(' | '.join(pair))}</code>" if pair else ""
    return f"<li>{html.escape(sentence)}{records}</li>"


def _notes(explanation: Explanation) -> list[str]:
    notes = [side.note for side in (explanation.left, explanation.right) if side.note]
    for side in (explanation.left, explanation.right):
        count = len(_customers_of(side, explanation))
        if count > 1 and explanation.is_one:
            notes.append(f"{side.name} belongs to {count} customers; shown is the nearest.")
    return notes


def _whose(side: Reference, explanation: Explanation) -> str:
    customers = sorted(_customers_of(side, explanation))
    if not customers:
        return "no customer"
    return customers[0] if len(customers) == 1 else f"{len(customers)} customers"


def _customers_of(side: Reference, explanation: Explanation) -> set[str]:
    return {explanation.customers[r] for r in side.records if r in explanation.customers}


def _is_single(explanation: Explanation) -> bool:
    return len(explanation.left.records) == 1


def _mark(step: Step, hung_on: Step | None, path: Sequence[Step]) -> str:
    return "  <- the weakest link" if step == hung_on and len(path) > 1 else ""


def _tier(step: Step) -> str:
    return "the model" if step.rule == "probabilistic" else _TIERS.get(step.tier, "a rule")


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; }}
body {{ max-width: 60rem; }}
h1 {{ font-size: 1.25rem; }}
h2 {{ font-size: 1rem; margin-top: 2rem; }}
h1, h2, code {{ overflow-wrap: anywhere; }}
pre {{ background: #f6f6f8; padding: 0.75rem; overflow-x: auto; }}
svg {{ max-width: 100%; height: auto; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
