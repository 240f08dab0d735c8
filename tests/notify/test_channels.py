"""Telling people: once, in time, through whatever channel takes it, and without showing an address."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.model.ports import Notifier
from monitor.model.units import SECOND, Instant
from monitor.notify.channels import AppriseNotifier, ConsoleChannel
from monitor.notify.dedup import BURST, MAX_KEPT, Told
from monitor.notify.templates import Details
from tests.notify.test_templates import notice

# apprise imports imghdr, which Python 3.11 deprecates
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TOKEN = "s3cr3t-webhook-token"
SHORT = "t0k3n"  # an address without a kind is all secret


class Webhook:
    """A service that takes, refuses or hangs."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.status, self.release = 200, threading.Event()
        self.release.set()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.release.wait(20)
                webhook.got.append(json.loads(body))
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/{TOKEN}"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.release.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join(10)


@contextmanager
def notifier(*urls: str, **options: Any) -> Iterator[tuple[AppriseNotifier, ManualClock, list[str]]]:
    clock, written = ManualClock(), list[str]()
    made = AppriseNotifier(urls, clock=clock, **{"console": written.append, **options})
    yield made, clock, written
    made.close()


class TestSending:
    async def test_reaches_every_channel_and_says_which_took_it(self, webhook: Webhook) -> None:
        with notifier(webhook.url, webhook.url) as (made, _, written):
            assert await made.send(notice()) == ("console", "json-1", "json-2")
        assert len(webhook.got) == 2
        assert webhook.got[0]["title"] == "[critical] hot-1 is being drained"
        assert "To do: Drop everything" in webhook.got[0]["message"]
        assert webhook.got[0]["type"] == "failure"
        assert written[0].startswith("[critical] hot-1 is being drained\nWhat: ")

    async def test_adds_what_is_known_of_the_incident(self) -> None:
        with notifier(details=lambda told: Details(done=(f"paused for {told.incident}",))) as (made, _, written):
            await made.send(notice())
        assert "Done: paused for main:17" in written[0]

    async def test_templates_and_escapes_in_the_text_are_not_carried_out(self, webhook: Webhook) -> None:
        with notifier(webhook.url) as (made, _, _):
            await made.send(notice(title="{{app_id}} :smile: a\\nb"))
        assert "{{app_id}} :smile: a/nb" in webhook.got[0]["message"]

    async def test_a_channel_that_fails_holds_no_other_up(self, webhook: Webhook) -> None:
        webhook.status = 500
        with notifier(webhook.url, "json://127.0.0.1:9/x", "nosuch://x", "", "::::") as (made, _, _):
            assert await made.send(notice()) == ("console",)

    async def test_a_channel_that_hangs_is_given_up_at_its_deadline(self, webhook: Webhook) -> None:
        webhook.release.clear()
        with notifier(webhook.url, deadline_s=0.3) as (made, _, _):
            async with asyncio.timeout(5):
                assert await made.send(notice()) == ("console",)
            webhook.release.set()

    async def test_a_broken_console_is_a_channel_that_fails(self) -> None:
        def broken(text: str) -> None:
            raise BrokenPipeError

        assert not await ConsoleChannel(broken).deliver("info", title="t", body="b")

    async def test_after_closing_nothing_is_sent_and_nothing_raised(self, webhook: Webhook) -> None:
        with notifier(webhook.url) as (made, _, _):
            made.close()
            assert await made.send(notice()) == ("console",)

    async def test_without_channels_nobody_is_told(self) -> None:
        with notifier(console=None) as (made, _, _):
            assert await made.send(notice()) == ()

    async def test_check_names_the_addresses_that_are_not_understood(self, webhook: Webhook) -> None:
        with notifier(webhook.url, f"nosuch://{TOKEN}", "") as (made, _, _):
            faults = await made.check()
        assert faults == (
            "notify: nosuch-2: apprise does not understand this address (refused)",
            "notify: unknown-3: apprise does not understand this address (refused)",
        )
        assert webhook.got == []

    def test_it_is_a_notifier(self) -> None:
        with notifier() as (made, _, _):
            kept: Notifier = made
            assert kept is made


class TestOnce:
    async def test_an_equal_notice_is_told_once_a_window(self) -> None:
        with notifier() as (made, clock, written):
            assert await made.send(notice()) == ("console",)
            assert await made.send(notice()) == ("console",)
            assert len(written) == 1
            clock.advance(300)
            await made.send(notice())
            assert len(written) == 2

    async def test_an_escalation_and_another_incident_get_through_at_once(self) -> None:
        with notifier() as (made, _, written):
            await made.send(notice(severity="warning"))
            await made.send(notice(severity="critical"))
            await made.send(notice(incident="main:18"))
            assert len(written) == 3

    async def test_news_of_the_same_incident_get_through_until_it_is_a_flood(self) -> None:
        with notifier() as (made, clock, written):
            for number in range(10):
                await made.send(notice(title=f"news {number}"))
            assert len(written) == BURST
            clock.advance(301)
            await made.send(notice(title="later news"))
            assert "7 more of this incident and severity were held back." in written[-1]
            await made.send(notice(title="last news"))
            assert "held back" not in written[-1]

    async def test_what_nobody_took_is_tried_again(self, webhook: Webhook) -> None:
        webhook.status = 500
        with notifier(webhook.url, console=None) as (made, _, _):
            assert await made.send(notice()) == ()
            webhook.status = 200
            assert await made.send(notice()) == ("json-1",)

    @given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 400)), max_size=60))
    def test_in_any_window_a_title_is_told_once_and_titles_are_few(self, steps: list[tuple[int, int, int]]) -> None:
        told, now, sent = Told(300), Instant(0), list[tuple[int, int, int]]()
        for incident, title, wait_s in steps:
            now = Instant(now + wait_s * SECOND)
            one = notice(incident=str(incident), title=str(title))
            if told.earlier(one, now) is None:
                told.note(one, now, ("console",))
                sent.append((incident, title, now // SECOND))
        for incident, title, at in sent:
            window = [(i, t) for i, t, when in sent if i == incident and at <= when < at + 300]
            assert len(window) <= 2 * BURST
            assert window.count((incident, title)) <= 2, "windows are fixed: one may end and another begin"

    def test_memory_is_bounded(self) -> None:
        told = Told(300)
        for number in range(MAX_KEPT * 2):
            told.note(notice(incident=str(number)), Instant(0), ("console",))
        assert told.earlier(notice(incident="0"), Instant(1)) is None
        assert told.earlier(notice(incident=str(MAX_KEPT * 2 - 1)), Instant(1)) == ("console",)


class TestNothingSecretIsShown:
    async def test_not_in_repr_log_or_output(self, webhook: Webhook, capfd: pytest.CaptureFixture[str]) -> None:
        stream, root = io.StringIO(), logging.getLogger()
        handler = logging.StreamHandler(stream)
        root.addHandler(handler)
        webhook.status = 403
        urls = (webhook.url, f"json://127.0.0.1:9/{TOKEN}", f"slack://{TOKEN}", f"nosuch://{TOKEN}", TOKEN, SHORT)
        with notifier(*urls) as (made, _, written):
            await made.send(notice())
            faults = await made.check()
            shown = [repr(made), *map(repr, made._channels), *faults, *written]
        root.removeHandler(handler)
        out = capfd.readouterr()
        everything = "\n".join([*shown, stream.getvalue(), out.out, out.err])
        assert TOKEN not in everything
        assert SHORT not in everything
