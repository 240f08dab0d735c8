"""`drawbridge audit verify`: every hash recomputed, every anchor compared, the first bad row named."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from monitor.cli_show import print_json, say, warn
from monitor.settings import Settings, load_journal
from monitor.store.anchor_key import read_public
from monitor.store.audit import AuditResult, verify
from monitor.store.export import export as export_journal


def verify_journal(path: str, *, export: Path | None, public_key: Path | None, json: bool) -> int:
    """0 intact, 1 broken. Raises JournalLost where there is no journal to read."""
    settings = load_journal(path)
    key = read_public(public_key) if public_key is not None else None
    result, rows = asyncio.run(_verified(settings, key, export))
    if json:
        print_json(asdict(result) | {"intact": result.intact})
    else:
        _show(result, settings)
    if export is not None:
        warn(f"{rows} rows written to {export}")
    return 0 if result.intact else 1


async def _verified(settings: Settings, key: bytes | None, export: Path | None) -> tuple[AuditResult, int]:
    anchor = Path(settings.anchor) if settings.anchor else None
    result = await verify(settings.store, anchor, key)
    return result, await export_journal(settings.store, export) if export is not None else 0


def _show(result: AuditResult, settings: Settings) -> None:
    held = f"{result.rows:,} rows hold, the last is {result.head}"
    anchored = f"{result.anchors} anchors in {settings.anchor} vouch for rows up to {result.anchored_to:,}"
    if result.intact:
        say(f"intact: {held}")
        say(anchored if settings.anchor else "no anchor is configured: a journal that was rewritten whole would pass")
        return
    say(f"BROKEN: {result.why}")
    say(f"{held}; {anchored}")
