"""A writer to be killed: appends without end and prints each seq that the journal has called durable.

python append_forever.py URL [LIMIT]     with LIMIT, no file may grow beyond that many bytes, as on a full disk
"""

from __future__ import annotations

import asyncio
import resource
import sys

from monitor.model.errors import JournalLost
from monitor.store.journal import SqlJournal
from tests.store.store_builders import entries

BATCH = 3


async def main(url: str) -> None:
    async with await SqlJournal.open(url) as journal:
        while True:
            first = journal.head.seq + 1
            await journal.append(entries(first, first + BATCH - 1))
            sys.stdout.write(f"{journal.head.seq}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        asyncio.run(main(sys.argv[1]))
    except JournalLost as error:
        sys.exit(str(error))
