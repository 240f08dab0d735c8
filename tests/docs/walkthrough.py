"""A document as somebody follows it: files are saved, commands are typed into one terminal, answers are compared.

```sh blocks are typed; ```yaml, ```solidity and ```python blocks are saved under the name in their first comment. Each
line of a ```text block must appear in what the terminal shows since the last one, in any order; `…` is anything.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BLOCK: Final = re.compile(r"^```(sh|text|yaml|solidity|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANSWER_S: Final = 60.0
DONE: Final = "__typed__"


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    kind: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """What a file block is to be saved as."""
        return self.text.splitlines()[0].lstrip("#/ ")


def blocks(document: str, *, after: str = "", before: str = "") -> Iterator[Block]:
    """Those between two headings, or all."""
    start, end = document.index(after), document.index(before) if before else len(document)
    for found in BLOCK.finditer(document, start, end):
        yield Block(found[1], found[2], document.count("\n", 0, found.start()) + 1)


@dataclass
class Terminal:
    """A shell; what it and its background processes show is read as it comes."""

    process: Process
    folder: Path
    replaced: Mapping[str, str]
    shown: list[str] = field(default_factory=list)

    async def follow(self, block: Block) -> None:
        """Do what one block says. Raises AssertionError where the answer is another."""
        text = block.text
        for written, here in self.replaced.items():
            text = text.replace(written, here)
        match block.kind:
            case "sh":
                await self._type(text, block)
            case "text":
                await self._compare(text.splitlines(), block)
            case _:
                path = self.folder / block.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    async def _type(self, text: str, block: Block) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\necho {DONE}\n".encode())
        await self.process.stdin.drain()
        while (line := await self._line(f"line {block.line}: a command of this block never ended")) != DONE:
            self.shown.append(line)

    async def _compare(self, lines: list[str], block: Block) -> None:
        waiting = {line: _pattern(line) for line in lines if line.strip()}
        count = {line: lines.count(line) for line in waiting}
        while missing := [line for line in waiting if self._matches(waiting[line]) < count[line]]:
            said = "\n".join(self.shown)
            self.shown.append(await self._line(f"line {block.line}: never shown: {missing}; shown was:\n{said}"))
        self.shown.clear()

    def _matches(self, pattern: re.Pattern[str]) -> int:
        return sum(1 for line in self.shown if pattern.fullmatch(line.strip()))

    async def _line(self, otherwise: str) -> str:
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise AssertionError(otherwise) from None
        assert line, otherwise
        return line.decode().rstrip("\n")


@asynccontextmanager
async def terminal(
    folder: Path, environment: Mapping[str, str], replaced: Mapping[str, str]
) -> AsyncIterator[Terminal]:
    """A bash of its own process group; whatever it started ends with it."""
    process = await asyncio.create_subprocess_exec(
        "bash", cwd=folder, env=dict(environment), stdin=PIPE, stdout=PIPE, stderr=STDOUT, start_new_session=True
    )
    try:
        yield Terminal(process, folder, replaced)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """End the shell and all that it started: they are its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    await process.wait()


def _pattern(line: str) -> re.Pattern[str]:
    words = (r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in line.strip().split("…"))
    return re.compile(".*".join(words))
