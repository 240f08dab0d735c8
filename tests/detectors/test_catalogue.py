"""The catalogue as a whole: names, data sheets, and that nothing hostile makes a detector raise or grow."""

from __future__ import annotations

import inspect
import math
import pathlib
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors import CATALOGUE
from detectors.sheet import section
from monitor.evm.invariants import parse
from monitor.evm.loss import standard_probes
from monitor.model import events as model_events
from monitor.model.actions import Attack
from monitor.model.chain import CallFrame, Effects, Log, Reading, Transaction, Transfer
from monitor.model.codec import encode
from monitor.model.events import AnyEvent, PendingSimulated, SimulationDone, StateRead, Tick, TransactionMined
from monitor.model.ports import Detector
from monitor.model.units import NATIVE, NOBODY, Address, Hash, Wei
from tests.detectors.builders import (
    CHAIN,
    CUSTOMER,
    DAI,
    POOL,
    SCAM,
    SISTER,
    THIEF,
    USDC,
    VAULT,
    WALLET,
    asset,
    authorised,
    complete,
    context,
    hash_of,
    head,
    transaction,
)
from tests.detectors.fakes import START, FakeContext, Run

NAMES = list(CATALOGUE)
FILES = {path.stem for path in pathlib.Path(detectors.__file__).parent.glob("*.py")} - {"__init__", "sheet", "options"}
CAPS = {"proof": 11.5, "strong": math.log(100), "bytecode": 3.5, "fakeable": 2.5, "negative": 0.0}


def test_every_file_is_in_the_catalogue() -> None:
    assert set(NAMES) == FILES


@pytest.mark.parametrize("name", NAMES)
def test_id_and_file_and_key_are_one_name(name: str) -> None:
    made = CATALOGUE[name]()
    assert made.about.id == name == type(made).__module__.removeprefix("detectors.")


@pytest.mark.parametrize("name", NAMES)
def test_a_data_sheet_is_complete(name: str) -> None:
    about = CATALOGUE[name]().about
    known = {n for n, kind in vars(model_events).items() if inspect.isclass(kind)}
    assert set(about.watches) <= known
    assert about.threats
    assert 0 < about.weight <= CAPS[about.evidence] + 0.01
    assert min(map(len, (about.title, about.blind_spots, about.runbook))) > 20
    assert about.half_life_s > 0 or about.evidence == "proof"


@pytest.mark.parametrize("name", NAMES)
def test_its_module_says_where_the_weight_comes_from(name: str) -> None:
    assert "Weight:" in (sys.modules[f"detectors.{name}"].__doc__ or "")
    assert "Weight:" in section(CATALOGUE[name])


@pytest.mark.parametrize("name", NAMES)
def test_options_are_keywords_with_defaults(name: str) -> None:
    for parameter in inspect.signature(CATALOGUE[name]).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


OPTIONS = [(name, option) for name in NAMES for option in inspect.signature(CATALOGUE[name]).parameters]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
@pytest.mark.parametrize("value", ["many", -1, None, 10**30, True, [1]])
def test_an_option_without_sense_is_refused_with_what_is_allowed(name: str, option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option} is .*is allowed"):
        CATALOGUE[name](**{option: value})


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_may_be_written_out(name: str) -> None:
    written = {p.name: p.default for p in inspect.signature(CATALOGUE[name]).parameters.values()}
    assert CATALOGUE[name](**written).about.id == name


def everything() -> FakeContext:
    """A wallet, two sister vaults with an invariant, a pool without a price, and a confirmed attack."""
    rule = parse("totalAssets() >= totalSupply()", asset=VAULT)
    found = context(
        asset(),
        asset("vault", kind="contract", address=VAULT, family="vaults", ledger="", invariants=(rule,)),
        asset("sister", kind="contract", address=SISTER, family="vaults", ledger=""),
        asset("pool", kind="contract", address=POOL, ledger="", tokens=(SCAM,)),
    )
    found.attacks = [Attack((transaction(1, sender=THIEF, to=VAULT, data=b"\1\2\3\4"),), "vault", THIEF, mined=True)]
    return found


ADDRESSES = st.sampled_from([WALLET, VAULT, SISTER, POOL, CUSTOMER, THIEF, USDC, DAI, SCAM, NATIVE, NOBODY])
AMOUNTS = st.integers(0, 2**256 - 1) | st.sampled_from([0, 1, 10**18, 2**256 - 1])
BYTES = st.binary(max_size=80)
WORDS = st.none() | st.binary(max_size=40) | AMOUNTS.map(lambda n: n.to_bytes(32, "big"))
PROBES = st.sampled_from([probe for a in everything().assets.all() for probe in standard_probes(a)])
EFFECTS = st.builds(
    Effects,
    ok=st.booleans(),
    gas_used=st.integers(0, 2**64),
    transfers=st.lists(st.builds(Transfer, ADDRESSES, ADDRESSES, ADDRESSES, AMOUNTS.map(Wei)), max_size=6).map(tuple),
    logs=st.lists(
        st.builds(Log, ADDRESSES, st.lists(BYTES, max_size=4).map(tuple), BYTES, st.integers(0, 9)), max_size=3
    ).map(tuple),
    calls=st.lists(
        st.builds(
            CallFrame,
            st.integers(0, 5),
            st.sampled_from(["CALL", "STATICCALL", "DELEGATECALL", "CREATE", "SELFDESTRUCT", ""]),
            ADDRESSES,
            st.none() | ADDRESSES,
            AMOUNTS.map(Wei),
            BYTES,
            st.sampled_from(["", "reverted"]),
        ),
        max_size=8,
    ).map(tuple),
    readings=st.lists(st.builds(Reading, PROBES, WORDS, WORDS), max_size=6).map(tuple),
)
TRANSACTIONS = st.builds(
    Transaction,
    hash=st.integers(1, 20).map(hash_of),
    sender=ADDRESSES,
    to=st.none() | ADDRESSES,
    nonce=st.integers(0, 3),
    value=AMOUNTS.map(Wei),
    gas=st.integers(0, 2**64),
    max_fee=st.integers(0, 2**64),
    max_priority_fee=st.integers(0, 2**64),
    data=BYTES | AMOUNTS.map(lambda n: b"\xa9\x05\x9c\xbb" + THIEF.rjust(32, b"\0") + n.to_bytes(32, "big")),
)
EVENTS = st.one_of(
    st.builds(
        TransactionMined,
        chain_id=st.just(CHAIN),
        transaction=TRANSACTIONS,
        block_number=st.integers(0, 5),
        block_hash=st.integers(0, 5).map(hash_of),
        timestamp=st.integers(0, 2**40),
        index=st.integers(0, 3),
        effects=EFFECTS,
    ),
    st.builds(
        PendingSimulated,
        chain_id=st.just(CHAIN),
        transaction=TRANSACTIONS,
        base=st.just(Hash(bytes(32))),
        base_number=st.integers(0, 5),
        effects=EFFECTS,
        not_includable=st.sampled_from(["", "nonce"]),
        agrees=st.booleans(),
    ),
    st.builds(
        StateRead,
        chain_id=st.just(CHAIN),
        block_number=st.integers(0, 5),
        block_hash=st.integers(0, 5).map(hash_of),
        readings=st.lists(st.builds(Reading, PROBES, WORDS, WORDS), max_size=6).map(tuple),
    ),
    st.builds(
        SimulationDone,
        chain_id=st.just(CHAIN),
        key=st.sampled_from(["x", "repeated_attack:vault:tx:0x" + hash_of(1).hex() + ":sister#1"]),
        base=st.just(Hash(bytes(32))),
        base_number=st.just(1),
        effects=st.lists(EFFECTS, max_size=2).map(tuple),
    ),
    st.builds(authorised, AMOUNTS, to=ADDRESSES, sequence=st.integers(0, 9)),
    st.builds(complete, st.integers(0, 9), at=st.integers(0, START * 2)),
    st.builds(head, st.integers(1, 9)),
    st.just(Tick()),
)


@st.composite
def stories(draw: st.DrawFn) -> list[AnyEvent]:
    """Composite, so that hypothesis does not print the whole strategy with each example."""
    return draw(st.lists(EVENTS, min_size=1, max_size=6))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(stories())
def test_no_effects_however_hostile_make_it_raise_or_claim_without_sense(name: str, story: list[AnyEvent]) -> None:
    watching = Run(CATALOGUE[name](), everything())
    for signal in watching.signals(*story):
        assert signal.detector == name
        assert math.isfinite(signal.weight)
        assert signal.weight <= CAPS[signal.evidence] + 0.01
        assert (signal.evidence == "proof") == (signal.fact is not None or signal.threat == "blind")
        assert len(signal.because) < 2_000
        assert signal.roots
    watching.reload()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(stories())
def test_a_memory_saved_before_every_event_changes_nothing(name: str, story: list[AnyEvent]) -> None:
    steady, shaken = Run(CATALOGUE[name](), everything()), Run(CATALOGUE[name](), everything())
    for event in story:
        shaken.reload()
        assert shaken.feed(event) == steady.feed(event)
    assert encode(steady.detector.state) == encode(shaken.detector.state)


def flood(make: Callable[..., Detector], count: int) -> int:
    """Bytes of memory after so many different payments to so many different addresses."""
    watching = Run(make(), everything())
    for n in range(count):
        to = Address((10**6 + n).to_bytes(20, "big"))
        tx = transaction(1000 + n, sender=to, to=VAULT, data=b"x" * 100)
        moved = tuple(Transfer(t, payer, to, Wei(10**18)) for t in (NATIVE, USDC) for payer in (WALLET, VAULT))
        calls = tuple(CallFrame(d, "CALL", to, VAULT, Wei(0), b"abcd") for d in range(5))
        effects = Effects(True, 1, transfers=moved, calls=calls)
        event = TransactionMined(
            chain_id=CHAIN,
            transaction=tx,
            block_number=n // 100,
            block_hash=hash_of(n // 100),
            timestamp=START // 10**9,
            index=n % 100,
            effects=effects,
        )
        watching.feed(event, after_s=0.1)
    return len(encode(watching.detector.state))


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_bounded_whatever_is_paid_to_whom(name: str) -> None:
    few, many = flood(CATALOGUE[name], 2_000), flood(CATALOGUE[name], 6_000)
    assert many < 2_500_000
    assert many < 2.2 * few + 10_000
