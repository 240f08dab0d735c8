"""The text of a notice: everything that a person needs at 4 a.m., and nothing that an attacker can do with it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.actions import ActionClass, Notify
from monitor.model.incidents import Assessment, Contribution, Incident
from monitor.model.signals import Subject
from monitor.model.units import Instant, Usd
from monitor.notify.templates import MAX_BODY, MAX_LINE, MAX_TITLE, Details, body_of, neutral, title_of


def notice(**changes: Any) -> Notify:
    fields: dict[str, Any] = {
        "id": "main:17/notify/critical",
        "incident": "main:17",
        "assets": ("hot-1",),
        "action_class": ActionClass.OBSERVE,
        "cause": 17,
        "because": "p 0.990, proven",
        "severity": "critical",
        "title": "hot-1 is being drained",
    }
    return Notify(**{**fields, **changes})


def term(counted: float, *, detector: str = "sweep", because: str = "three assets to one address") -> Contribution:
    return Contribution(detector, 0, counted, counted, because)


def assessment(*terms: Contribution) -> Assessment:
    return Assessment(
        Subject("asset", "hot-1"), "stolen_key", 1e-3, 4.6, 0.99, 2, 1, proof=True, lower=0.95, upper=0.998, terms=terms
    )


INCIDENT = Incident(
    "main:17",
    "stolen_key",
    Subject("asset", "hot-1"),
    ("hot-1",),
    Instant(0),
    "responding",
    0.99,
    True,
    Usd(1_234_567_890_000),
    ("main:17/pause",),
)


def test_a_notice_says_what_where_why_what_was_done_and_what_to_do() -> None:
    known = Details(
        INCIDENT,
        assessment(term(2.5), term(11.5, detector="unledgered_outflow", because="no entry in a complete ledger")),
        done=("paused vault-1 through its guardian, block 120",),
    )
    assert body_of(notice(), known).splitlines() == [
        "What: hot-1 is being drained",
        "Where: hot-1",
        "Incident: main:17",
        "State: responding, loss seen 1,234,567 USD",
        "Because: p 0.990, proven",
        "Score: p 0.990 (between 0.950 and 0.998, 2 independent groups, proven)",
        "  +11.50 unledgered_outflow: no entry in a complete ledger",
        "  +2.50 sweep: three assets to one address",
        "Done: paused vault-1 through its guardian, block 120",
        "To do: Drop everything: drawbridge incidents main:17. To stop automatic action: drawbridge disarm.",
    ]
    assert title_of(notice()) == "[critical] hot-1 is being drained"


@pytest.mark.parametrize(
    ("severity", "todo"),
    [("info", "To do: Nothing."), ("warning", "To do: Look at it today"), ("page", "To do: Look at it now")],
)
def test_what_to_do_follows_the_severity(severity: str, todo: str) -> None:
    assert todo in body_of(notice(severity=severity))
    assert "Done: nothing yet." in body_of(notice(severity=severity))


def test_what_to_do_may_be_said_in_words() -> None:
    body = body_of(notice(), Details(todo=("rotate the key", "call the bank")), held_back=4)
    assert "To do: rotate the key\nTo do: call the bank\n4 more of this incident and severity were held back." in body


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("@everyone <!channel> <@U123>", "(at)everyone ‹!channel› ‹(at)U123›"),
        ("＠everyone ＜!here＞", "(at)everyone ‹!here›"),
        ("http://evil.example/x https：//evil", "http[:]//evil.example/x https[:]//evil"),
        ("[approve](https://evil)", "[approve] (https[:]//evil)"),
        ("www.evil.example", "www[.]evil.example"),
        ("a\r\nDone: all is well\x1b[2J\x07", "a Done: all is well·[2J·"),
        ("safe\u202egnp.exe \u200b\u2066x", "safe·gnp.exe ··x"),
        ("`rm` *bold* ~~struck~~ |spoiler| \\n", "'rm' ∗bold∗ ∼∼struck∼∼ ¦spoiler¦ /n"),
        ("Z" + "\u0335" * 500, "Z" + "\u0335" * 2),
        ("\ud800lone", "·lone"),
        ("  many   spaces\u3000here ", "many spaces here"),
    ],
)
def test_text_of_an_attacker_is_only_text(hostile: str, shown: str) -> None:
    assert neutral(hostile) == shown
    body = body_of(notice(title=hostile, because=hostile, assets=(hostile,)))
    assert hostile not in body or hostile == shown
    assert body.count("\n") == body_of(notice()).count("\n"), "no line can be added"


@given(text=st.text(max_size=2_000))
def test_whatever_the_text_it_is_one_bounded_harmless_line(text: str) -> None:
    plain = neutral(text)
    assert len(plain) <= MAX_LINE
    assert not set(plain) & set("@<>`\n\r\x1b\u202e\u200b")
    assert "://" not in plain
    assert all(unicodedata.category(character)[0] != "C" for character in plain)
    plain.encode()


@given(text=st.text(max_size=5_000), count=st.integers(0, 400))
def test_a_notice_is_bounded_whatever_is_in_it(text: str, count: int) -> None:
    known = Details(
        INCIDENT, assessment(*[term(0.1, because=text)] * count), done=(text,) * count, todo=(text,) * count
    )
    big = notice(title=text, because=text, assets=(text,) * count, incident=text)
    assert len(body_of(big, known)) <= MAX_BODY
    assert len(title_of(big)) <= MAX_TITLE + 20


def test_a_long_list_says_how_much_is_left_out() -> None:
    body = body_of(notice(assets=tuple(f"vault-{n}" for n in range(20))), Details(None, assessment(*[term(0.1)] * 15)))
    assert "vault-11 and 8 more" in body
    assert "… and 3 smaller terms" in body
