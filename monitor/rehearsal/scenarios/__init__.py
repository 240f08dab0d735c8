"""The scenarios of `drawbridge rehearse`, in the order in which they are played."""

from __future__ import annotations

from typing import Final

from monitor.rehearsal.scenario import Scenario
from monitor.rehearsal.scenarios.blind import Blind
from monitor.rehearsal.scenarios.bridge_forgery import BridgeForgery
from monitor.rehearsal.scenarios.busy_day import BusyDay
from monitor.rehearsal.scenarios.flash_loan_price import FlashLoanPrice, FlashLoanPriceBomb
from monitor.rehearsal.scenarios.hot_key_theft import HotKeyTheft
from monitor.rehearsal.scenarios.reentrancy import Reentrancy
from monitor.rehearsal.scenarios.repeated_market import RepeatedMarket
from monitor.rehearsal.scenarios.waits_out import WaitsOut

SCENARIOS: Final[tuple[Scenario, ...]] = (
    HotKeyTheft(),
    BridgeForgery(),
    RepeatedMarket(),
    Reentrancy(),
    FlashLoanPrice(),
    FlashLoanPriceBomb(),
    WaitsOut(),
    BusyDay(),
    Blind(),
)
