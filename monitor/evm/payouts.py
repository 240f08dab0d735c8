"""What watched assets pay out to strangers, from the transfers of one transaction.

Counted are ether and tokens that some asset lists; never what reverts, or what the same destination gives back in the
same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.evm.sighting import Sighting
from monitor.evm.tokens import TRANSFER
from monitor.model.assets import Asset
from monitor.model.chain import Transaction, Transfer
from monitor.model.ports import Assets, Prices
from monitor.model.units import NATIVE, Address, ChainId, Usd, Wei


def payers(sighting: Sighting, assets: Assets, *, own: bool = False) -> Iterator[tuple[Asset, list[Transfer]]]:
    """Each asset that paid somebody in this transaction, with what it paid; by address.

    Not its cold wallet nor its known destinations, unless `own`.
    """
    listed = [t for t in sighting.effects.transfers if t.amount > 0 and _counts(sighting.chain_id, t, assets)]
    for sender in sorted({t.sender for t in listed}):
        asset = assets.at(sighting.chain_id, sender)
        if asset is None:
            continue
        paid = payouts(sender, sighting.transaction, listed)
        if not own:
            paid = [t for t in paid if not is_own(asset, t.to)]
        if paid:
            yield asset, paid


def payouts(payer: Address, transaction: Transaction, transfers: Sequence[Transfer]) -> list[Transfer]:
    """What one address pays out, as its signer asked for it.

    A plain ERC-20 transfer of its own counts as the calldata says, since a token may take a fee out of it or beside it;
    everything else counts as it moved.
    """
    left = [t for t in transfers if t.sender == payer and t.to != payer]
    asked = _asked(payer, transaction)
    if asked is not None and any((t.token, t.to) == (asked.token, asked.to) for t in left):
        return [asked, *(t for t in left if t.token != asked.token)]
    net: dict[tuple[Address, Address], int] = {}
    for t in transfers:
        if t.sender != t.to and payer in (t.sender, t.to):
            other, amount = (t.to, t.amount) if t.sender == payer else (t.sender, -t.amount)
            net[t.token, other] = net.get((t.token, other), 0) + amount
    return [t for t in left if net[t.token, t.to] > 0]


def is_own(asset: Asset, to: Address) -> bool:
    """Whether the owner named this destination himself."""
    return to == asset.cold_address or to in asset.known_destinations


def worth(chain_id: ChainId, transfers: Sequence[Transfer], prices: Prices) -> Usd | None:
    """The value of transfers in micro-dollars as far as prices are known; None where none is."""
    known = [usd for t in transfers if (usd := prices.usd(chain_id, t.token, t.amount)) is not None]
    return Usd(sum(known)) if known else None


def _counts(chain_id: ChainId, transfer: Transfer, assets: Assets) -> bool:
    return transfer.token == NATIVE or assets.token(chain_id, transfer.token) is not None


def _asked(payer: Address, transaction: Transaction) -> Transfer | None:
    data = transaction.data
    if transaction.sender != payer or transaction.to is None or data[:4] != TRANSFER or len(data) < 68:
        return None
    return Transfer(transaction.to, payer, Address(data[16:36]), Wei(int.from_bytes(data[36:68], "big")))
