"""What is protected in the pipeline figures: addresses of the blocks, chosen so that 1 % of transactions touch one.

Half are hot wallets whose payouts a ledger authorised, half contracts with an invariant: every detector has work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from monitor.bench.corpus import TRANSFER, Corpus, Json, Source
from monitor.evm.abi import selector
from monitor.evm.tokens import transfers_of
from monitor.evm.watch import Protected
from monitor.model.assets import Asset, Invariant, Operand, Operation, Token, View
from monitor.model.chain import Probe, Transaction, Transfer
from monitor.model.events import PriceSeen, WithdrawalAuthorised
from monitor.model.units import DOLLAR, NATIVE, NOBODY, SECOND, Address, ChainId, Hash, Instant, Usd, address
from monitor.sources.touched import Touched

CHAIN: Final = ChainId(1)
LEDGER: Final = "main"
SHARE: Final = 0.01
DECIMALS: Final = {  # of what is not 18
    "0xdac17f958d2ee523a2206206994597c13d831ec7": 6,
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48": 6,
    "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599": 8,
}


@dataclass
class _Known:
    """What the corpus shows of one address."""

    touching: set[int]
    paying: set[int]
    tokens: set[str]
    contract: bool = False


def assets_of(corpus: Corpus, *, share: float = SHARE) -> tuple[Asset, ...]:
    """Wallets and contracts that pay out, as many as together are touched by this share of the transactions."""
    known = _survey(corpus)
    wanted = round(share * corpus.transactions)
    wallets = _chosen(known, wanted // 2, contract=False, taken=set())
    taken = set().union(*(known[text].touching for text in wallets))
    contracts = _chosen(known, wanted - len(taken), contract=True, taken=taken)
    return (
        *(_wallet(f"wallet-{i}", text, known[text]) for i, text in enumerate(wallets)),
        *(_contract(f"contract-{i}", text, known[text]) for i, text in enumerate(contracts)),
    )


def prices_of(assets: Iterable[Asset]) -> Iterator[PriceSeen]:
    """A dollar for a token, three thousand for ether: what counts here is that there is a price."""
    for token in sorted({token for asset in assets for token in asset.tokens}, key=lambda each: each.address):
        usd = Usd(3_000 * DOLLAR if token.address == NATIVE else DOLLAR)
        yield PriceSeen(chain_id=CHAIN, token=token.address, usd=usd, decimals=token.decimals, source="bench")


def rows_for(found: Iterable[Touched], assets: Protected, *, first: int, timestamp: int) -> list[WithdrawalAuthorised]:
    """Ledger rows that authorise what these transactions take out of watched wallets."""
    rows: list[WithdrawalAuthorised] = []
    for each in found:
        for moved in transfers_of(each.logs, each.transaction, ()):
            asset = assets.at(CHAIN, moved.sender)
            if asset is not None and asset.ledger:
                rows.append(_row(first + len(rows), each.transaction, moved, timestamp))
    return rows


def _row(sequence: int, tx: Transaction, moved: Transfer, timestamp: int) -> WithdrawalAuthorised:
    return WithdrawalAuthorised(
        ledger=LEDGER,
        id=f"{sequence}:{Hash(tx.hash).hex()[:8]}",
        chain_id=CHAIN,
        token=moved.token,
        to=moved.to,
        amount=moved.amount,
        authorised_at=Instant((timestamp - 60) * SECOND),
        sequence=sequence,
    )


def _survey(corpus: Corpus) -> dict[str, _Known]:
    known: dict[str, _Known] = defaultdict(lambda: _Known(set(), set(), set()))
    at = 0
    for source in corpus.blocks:
        receipts = {receipt["transactionHash"]: receipt for receipt in source.receipts}
        for tx in source.block["transactions"]:
            _note(known, at, tx, receipts.get(tx["hash"], {"logs": []})["logs"])
            at += 1
    _mark_contracts(known, corpus.blocks)
    return known


def _note(known: dict[str, _Known], at: int, tx: Json, logs: list[Json]) -> None:
    data = tx["input"]
    words = {"0x" + data[i + 24 : i + 64] for i in range(10, len(data) - 63, 64) if data[i : i + 24] == "0" * 24}
    for text in {tx["from"], tx["to"] or tx["from"], *words}:
        known[text].touching.add(at)
    if int(tx["value"], 16):
        known[tx["from"]].paying.add(at)
    for log in logs:
        known[log["address"]].touching.add(at)
        for topic in log["topics"][1:]:
            known["0x" + topic[-40:]].touching.add(at)
        if log["topics"] and log["topics"][0] == TRANSFER and len(log["topics"]) == 3:
            payer = known["0x" + log["topics"][1][-40:]]
            payer.paying.add(at)
            payer.tokens.add(log["address"])


def _mark_contracts(known: dict[str, _Known], blocks: Iterable[Source]) -> None:
    """What was called with data or wrote a log has code."""
    for source in blocks:
        for tx in source.block["transactions"]:
            if tx["to"] and len(tx["input"]) > 2:
                known[tx["to"]].contract = True
        for log in (log for receipt in source.receipts for log in receipt["logs"]):
            known[log["address"]].contract = True


def _chosen(known: dict[str, _Known], wanted: int, *, contract: bool, taken: set[int]) -> list[str]:
    """Those that pay most often first, each only as long as not more is touched than wanted."""
    found: list[str] = []
    touched = set(taken)
    ranked = sorted(known.items(), key=lambda pair: (-len(pair[1].paying), pair[0]))
    for text, one in ranked:
        fits = len(touched | one.touching) - len(taken) <= wanted
        if one.contract is contract and one.paying and fits and address(text) != NOBODY and len(found) < 12:
            found.append(text)
            touched |= one.touching
    return found


def _tokens(one: _Known) -> tuple[Token, ...]:
    return (Token(NATIVE), *(Token(address(text), DECIMALS.get(text, 18)) for text in sorted(one.tokens)))


def _wallet(name: str, text: str, one: _Known) -> Asset:
    return Asset(name, "hot_wallet", CHAIN, address(text), owner="bench", tokens=_tokens(one), ledger=LEDGER)


def _contract(name: str, text: str, one: _Known) -> Asset:
    probe = Probe(address(text), selector("totalAssets()"))
    tree = Operation(">=", View(probe, "totalAssets()"), Operand(1))
    invariant = Invariant("totalAssets() >= 1", tree, (probe,))
    tokens = _tokens(one)
    return Asset(name, "contract", CHAIN, address(text), owner="bench", tokens=tokens, invariants=(invariant,))


def others(count: int, seed: bytes) -> Iterator[Address]:
    """Random addresses that occur in no block."""
    random = Random(seed)
    return (Address(random.randbytes(20)) for _ in range(count))
