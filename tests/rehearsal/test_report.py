"""The page of a rehearsal: nothing overlaps, nothing leaves it, nothing runs in it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.rehearsal.plots import LETTER, STAGES, WIDTH, loss, score, timeline
from monitor.rehearsal.report import percent, write_html

_TEXT = re.compile(r'<text class="(\w+)" x="([-\d.]+)" y="(\d+)" text-anchor="(\w+)">(.*?)</text>')


def _row(**changes: Any) -> dict[str, Any]:
    """One scenario's row, contained as it should be."""
    action = {
        "id": "1/pause/00",
        "kind": "Pause",
        "target": ["vault"],
        "action_class": 2,
        "plan": "assets() >= owed() is broken",
        "before": {
            "valid": "holds",
            "why": "",
            "golden_passed": 1,
            "loss_without_usd": 9_000_000,
            "loss_with_usd": 0,
            "loss_verdict": "holds",
            "variants": [{"name": "fresh caller", "asset": "vault", "verdict": "holds"}],
            "took_ms": 12.5,
        },
        "after": [{"blocks": 1, "holds": "holds", "blocked": "holds"}],
        "tx_hash": "0x" + "ab" * 32,
        "outcome": "verified",
    }
    terms = [{"detector": "value_leaves", "counted": 1.9}, {"detector": "invariant_broken", "counted": 11.5}]
    scores = [{"at_ms": 72_030.0, "subject": "asset:vault", "threat": "exploit", "p": 0.9963, "terms": terms}]
    times = dict(zip((key for key, _, _ in STAGES), (72_000, 72_030, 72_040, 72_050, 84_000, 96_010), strict=True))
    row: dict[str, Any] = {
        "name": "vault", "title": "A vault", "based_on": "nobody", "variant": "one", "autonomous": True, "ok": True,
        "contained": True, "latency_profile": "l1", "mode": "enforce", "blocks_to_containment": 1, "pages": 1,
        "loss_usd": 1_000_000, "loss_without_usd": 9_000_000, "saved_ratio": 0.888, "faults": [], "scores": scores,
        "signals": [{"detector": "invariant_broken", "evidence": "proof", "asset": "vault", "because": "it is"}],
        "actions": [action], "benign": {"sent": 3, "broken": 0, "false_alarms": 0},
    }  # fmt: skip
    return row | times | changes


def _written(path: Path, *rows: dict[str, Any]) -> str:
    totals = {"contained": 1, "of": 1, "saved_ratio": 0.9, "false_alarms": 0, "median_detect_ms": 30.0}
    report = {
        "version": 1, "started_at": "2026-03-01", "seed": 1, "chain_id": 31337, "scenarios": list(rows),
        "totals": totals | {"p95_detect_to_broadcast_ms": None},
    }  # fmt: skip
    write_html(path / "report.html", report)
    return (path / "report.html").read_text(encoding="utf-8")


def _boxes(drawn: str) -> list[tuple[float, float, int, str]]:
    """Left, right, baseline and text of each label, by the width that the drawing reckons with."""
    found = []
    for _, x, y, anchor, text in _TEXT.findall(drawn):
        wide = LETTER * len(unescape(text))
        left = {"start": float(x), "middle": float(x) - wide / 2, "end": float(x) - wide}[anchor]
        found.append((left, left + wide, int(y), unescape(text)))
    return found


@given(st.lists(st.floats(0, 10_000_000) | st.none(), min_size=6, max_size=6))
def test_no_label_of_a_timeline_leaves_the_page_or_covers_another(times: list[float | None]) -> None:
    keys = [key for key, _, _ in STAGES]
    boxes = _boxes(timeline(_row(**dict(zip(keys, times, strict=True)))))
    assert all(left >= -0.1 and right <= WIDTH + 0.1 for left, right, _, _ in boxes)
    for i, (left, right, y, _) in enumerate(boxes):
        for other_left, other_right, other_y, _ in boxes[i + 1 :]:
            assert abs(y - other_y) >= 14 or right <= other_left or other_right <= left


def test_a_timeline_counts_from_the_first_malicious_transaction() -> None:
    said = [text for *_, text in _boxes(timeline(_row()))]
    assert "first malicious transaction  0" in said
    assert "included in a block  +12.000 s" in said


def test_what_was_seen_before_the_attack_has_a_place_too() -> None:
    said = [text for *_, text in _boxes(timeline(_row(detected_at_ms=60_000.0)))]
    assert said.index("detected  -12.000 s") < said.index("first malicious transaction  0")


def test_a_day_without_malice_has_no_timeline() -> None:
    assert "Nothing malicious was sent" in timeline(_row(first_malicious_at_ms=None))


def test_a_score_shows_each_detectors_part_of_it() -> None:
    drawn = score(_row())
    assert "<title>invariant_broken +11.50</title>" in drawn
    assert "<title>value_leaves +1.90</title>" in drawn
    assert "p 0.9963" in drawn


def test_of_many_scores_the_highest_are_drawn_and_the_rest_counted() -> None:
    points = [
        {"at_ms": i, "subject": f"asset:a{i}", "threat": "exploit", "p": i / 40, "terms": []} for i in range(1, 31)
    ]
    drawn = score(_row(scores=points))
    assert ">a30<" in drawn
    assert ">a5<" not in drawn
    assert "16 more that changed little" in drawn


def test_a_bar_of_a_certain_score_starts_where_its_subjects_prior_was() -> None:
    terms = [{"detector": "invariant_broken", "counted": 11.5}, {"detector": "repeated_attack", "counted": 11.5}]
    points = [
        {"at_ms": 1, "subject": "asset:a", "threat": "exploit", "p": 0.99, "terms": terms[:1]},
        {"at_ms": 2, "subject": "asset:a", "threat": "exploit", "p": 1.0, "terms": terms},
    ]
    starts = re.findall(r'<rect class="hue\d" x="([\d.]+)" y="\d+"', score(_row(scores=points)))
    assert starts[0] == starts[1]


def test_a_loss_of_nothing_is_still_drawn() -> None:
    assert "0 USD" in loss(_row(loss_usd=0, loss_without_usd=0))


def test_text_of_a_chain_is_text_and_the_page_has_no_script(tmp_path: Path) -> None:
    hostile = '<script>alert("x")</script>'
    signal = {"detector": hostile, "evidence": "proof", "asset": hostile, "because": hostile}
    terms = [{"detector": hostile, "counted": 3.0}]
    point = {"at_ms": 1.0, "subject": f"asset:{hostile}", "threat": "exploit", "p": 0.5, "terms": terms}
    page = _written(tmp_path, _row(title=hostile, signals=[signal], scores=[point], faults=[hostile], name=hostile))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_a_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = _written(tmp_path, _row(), _row(contained=None, first_malicious_at_ms=None, actions=[], scores=[]))
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "url(" not in page
    assert "@import" not in page


def test_of_many_responses_all_but_the_first_are_folded(tmp_path: Path) -> None:
    page = _written(tmp_path, _row(actions=_row()["actions"] * 10))
    assert "<summary>7 more</summary>" in page


def test_a_ratio_is_never_rounded_up_to_all() -> None:
    assert percent(0.99999) == "99.99 %"
    assert percent(1.0) == "100 %"
    assert percent(None) == "–"
