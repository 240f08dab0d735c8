"""The routes: who may do what, what they answer, and what they never say."""

from __future__ import annotations

import json

import pytest

from monitor.clock import ManualClock
from monitor.http.auth import FAILURES_A_MINUTE
from monitor.http.limits import MAX_BODY
from tests.http.http_builders import KEY, FakeView, client, entry

READS = ("/readyz", "/metrics", "/api/v1/incidents", "/api/v1/incidents/7", "/api/v1/events", "/openapi.json")
ORDERS = ("/api/v1/approvals/7/pause/ab", "/api/v1/disarm", "/api/v1/arm")


async def test_livez_needs_no_credential_and_tells_whether_the_loop_turns() -> None:
    view = FakeView()
    async with client(view) as http:
        answer = await http.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"live": True})
        view.live = False
        assert (await http.get("/livez")).status_code == 503


@pytest.mark.parametrize("path", READS)
async def test_everything_else_needs_a_credential_to_read(path: str) -> None:
    async with client(FakeView()) as http:
        answer = await http.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    async with client(FakeView(), role="viewer") as http:
        assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize("path", ORDERS)
async def test_orders_need_a_credential(path: str) -> None:
    view = FakeView()
    async with client(view) as http:
        assert (await http.post(path, json={"reason": "x", "approve": True})).status_code == 401
    assert view.told == []


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("viewer", "/api/v1/disarm", 403),
        ("viewer", "/api/v1/approvals/7/pause/ab", 403),
        ("operator", "/api/v1/disarm", 200),
        ("operator", "/api/v1/arm", 200),
        ("operator", "/api/v1/approvals/7/pause/ab", 403),
        ("approver", "/api/v1/disarm", 200),
        ("approver", "/api/v1/approvals/7/pause/ab", 200),
        ("admin", "/api/v1/arm", 200),
    ],
)
async def test_a_role_may_do_what_it_may_and_no_more(role: str, path: str, status: int) -> None:
    view = FakeView()
    async with client(view, role=role) as http:
        body = {"approve": True} if "approvals" in path else {"reason": "drill"}
        answer = await http.post(path, json=body)
        assert answer.status_code == status
        assert len(view.told) == (status == 200)
        if status == 403:
            assert f"{role} is {role}; this needs" in answer.json()["error"]


async def test_an_order_carries_the_name_of_who_gave_it() -> None:
    view = FakeView()
    async with client(view, role="approver") as http:
        await http.post("/api/v1/disarm", json={"reason": "drill"})
        await http.post("/api/v1/approvals/7/pause/ab", json={"approve": True})
        await http.post("/api/v1/approvals/7/pause/ab", json={"approve": False, "reason": "a rehearsal"})
    assert view.told == [
        ("disarm", "approver", "drill"),
        ("approve", "7/pause/ab", "approver"),
        ("reject", "7/pause/ab", "approver", "a rehearsal"),
    ]


async def test_an_order_that_is_refused_says_why() -> None:
    view = FakeView()
    view.why_not = "action 7/pause/ab does not wait for a person: it is sent"
    async with client(view, role="admin") as http:
        answer = await http.post("/api/v1/approvals/7/pause/ab", json={"approve": True})
        assert (answer.status_code, answer.json()) == (409, {"error": view.why_not})


async def test_readyz_names_what_is_stale() -> None:
    view = FakeView()
    view.stale = ["devnet: no block seen yet"]
    async with client(view, role="viewer") as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["stale"]) == (503, ["devnet: no block seen yet"])


async def test_metrics_are_what_prometheus_reads() -> None:
    async with client(FakeView(), role="viewer") as http:
        text = (await http.get("/metrics")).text
    assert "# TYPE drawbridge_events_total counter\ndrawbridge_events_total 12.0\n" in text
    assert 'drawbridge_health{component="head:\\"x\\""} 0.5' in text


async def test_incidents_are_shown_for_people() -> None:
    async with client(FakeView(), role="viewer") as http:
        listed = (await http.get("/api/v1/incidents")).json()
        assert listed["incidents"][0]["opened_at"] == "1970-01-01T00:00:00.000Z"
        assert listed["incidents"][0]["loss_seen_usd"] == 1.5
        assert listed["incidents"][0]["subject"] == {"kind": "key", "id": KEY}
        assert listed["waiting"][0]["id"] == "7/pause/ab"
        assert (await http.get("/api/v1/incidents/7")).json()["id"] == "7"
        assert (await http.get("/api/v1/incidents/8")).status_code == 404


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic dG9rZW4=",
        "token-of-admin",
        "Bearer token-of-admi",
        "Bearer " + "x" * 9_000,
    ],
)
async def test_a_wrong_credential_is_401_whatever_it_looks_like(authorization: str) -> None:
    async with client(FakeView()) as http:
        assert (await http.get("/readyz", headers={"Authorization": authorization})).status_code == 401


async def test_many_wrong_credentials_are_429_and_a_right_one_still_passes() -> None:
    clock, view = ManualClock(), FakeView()
    async with client(view, clock=clock) as http:
        wrong = {"Authorization": "Bearer guess"}
        for _ in range(FAILURES_A_MINUTE):
            assert (await http.get("/readyz", headers=wrong)).status_code == 401
        answer = await http.get("/readyz", headers=wrong)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
        right = {"Authorization": "Bearer token-of-operator"}
        assert (await http.post("/api/v1/disarm", json={"reason": "now"}, headers=right)).status_code == 200
        clock.advance(61)
        assert (await http.get("/readyz", headers=wrong)).status_code == 401


async def test_a_large_body_is_refused_declared_or_not() -> None:
    view = FakeView()
    async with client(view, role="admin") as http:
        declared = await http.post("/api/v1/disarm", content=b"x" * (MAX_BODY + 1))
        assert declared.status_code == 413

        async def endless() -> object:
            for _ in range(100):
                yield b" " * 4_096

        streamed = await http.post("/api/v1/disarm", content=endless())  # type: ignore[arg-type]
        assert streamed.status_code == 413
        assert streamed.json() == {"error": f"a body of at most {MAX_BODY} bytes"}
    assert view.told == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 10_000,
        b"null",
        b'{"reason": 5}',
        b'{"reason": ""}',
        b'{"reason": "x", "force": true}',
        b"\xff",
    ],
)
async def test_a_body_that_is_not_meant_is_one_line(body: bytes) -> None:
    view = FakeView()
    async with client(view, role="admin") as http:
        headers = {"content-type": "application/json"}
        answer = await http.post("/api/v1/disarm", content=body, headers=headers)
        assert answer.status_code in (400, 422)
        assert list(answer.json()) == ["error"]
        assert "\n" not in answer.json()["error"]
    assert view.told == []


async def test_no_answer_holds_a_traceback_or_may_be_cached() -> None:
    view = FakeView()
    async with client(view, role="viewer") as http:
        answer = await http.get("/api/v1/incidents/broken")
        assert (answer.status_code, answer.json()) == (500, {"error": "internal fault: ZeroDivisionError"})
        view.unreachable = True
        answer = await http.get("/api/v1/incidents/7")
        assert (answer.status_code, answer.json()) == (503, {"error": "journal: no answer within 5 s"})
        assert answer.headers["cache-control"] == "no-store"
        assert (await http.get("/nope")).json() == {"error": "Not Found"}
        assert (await http.put("/api/v1/disarm")).json() == {"error": "Method Not Allowed"}


async def test_events_are_sent_as_they_come_with_their_number() -> None:
    view = FakeView()
    view.more = [entry(3), None, entry(9)]
    async with client(view, role="viewer") as http:
        text = (await http.get("/api/v1/events", headers={"Last-Event-ID": "2"})).text
    assert view.asked_after == 2
    assert view.steps_closed == 1
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "retry: 1000"
    assert blocks[2] == ": alive"
    assert blocks[1].startswith("id: 3\nevent: step\ndata: ")
    told = json.loads(blocks[1].partition("data: ")[2])
    assert (told["seq"], told["event"], told["faults"]) == (3, "Tick", ["something"])
    assert told["seen_at"].startswith("1970-01-01")


@pytest.mark.parametrize("last", ["", "x", "-1", "9" * 40, "٣"])
async def test_a_strange_last_event_id_means_from_now_on(last: str) -> None:
    view = FakeView()
    async with client(view, role="viewer") as http:
        await http.get("/api/v1/events", headers=[(b"Last-Event-ID", last.encode())])
    assert view.asked_after is None


async def test_the_description_lists_every_route() -> None:
    async with client(FakeView(), role="viewer") as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert set(paths) == {
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/incidents",
        "/api/v1/incidents/{incident_id}",
        "/api/v1/events",
        "/api/v1/approvals/{action_id}",
        "/api/v1/disarm",
        "/api/v1/arm",
    }
