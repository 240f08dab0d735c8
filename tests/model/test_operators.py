"""Who may do what: each role all that the one before may, and a token that is only known by its digest."""

from __future__ import annotations

import hashlib
from typing import get_args

import pytest

from monitor.model.errors import ConfigurationError, DrawbridgeError, Refused
from monitor.model.operators import Operator, Role, Verb, least_role, recognised

ROLES: tuple[Role, ...] = get_args(Role)
VERBS: tuple[Verb, ...] = get_args(Verb)


def operator(name: str, token: str = "", role: Role = "operator") -> Operator:
    return Operator(name, role, hashlib.sha256(token.encode()).hexdigest() if token else "")


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"read"}),
        ("operator", {"read", "disarm", "arm"}),
        ("approver", {"read", "disarm", "arm", "approve", "reject"}),
        ("admin", set(VERBS)),
    ],
)
def test_each_role_may_all_that_the_one_before_may(role: Role, may: set[Verb]) -> None:
    assert {verb for verb in VERBS if operator("ann", role=role).may(verb)} == may


def test_nobody_who_only_looks_may_disarm() -> None:
    assert least_role("disarm") == "operator"
    assert least_role("approve") == "approver"


def test_a_token_finds_its_owner_among_others() -> None:
    known = [operator("ann", "a-secret"), operator("bob", "b-secret"), operator("eve")]
    assert recognised(known, "b-secret") == known[1]


@pytest.mark.parametrize("token", ["", "wrong", "a-secret ", "\udcff"])
def test_another_token_finds_nobody(token: str) -> None:
    assert recognised([operator("ann", "a-secret"), operator("eve")], token) is None


def test_the_digest_of_nothing_is_no_credential() -> None:
    empty = Operator("eve", "admin", hashlib.sha256(b"").hexdigest())
    assert recognised([empty], "") is None


def test_a_refusal_carries_its_gate_and_a_configuration_all_of_its_faults() -> None:
    refused, faults = Refused("fork", "not the pauser"), ConfigurationError(("a.yaml:1: x", "a.yaml:2: y"))
    assert (str(refused), refused.gate, refused.reason) == ("fork: not the pauser", "fork", "not the pauser")
    assert (str(faults), faults.faults) == ("a.yaml:1: x\na.yaml:2: y", ("a.yaml:1: x", "a.yaml:2: y"))
    assert isinstance(refused, DrawbridgeError)
