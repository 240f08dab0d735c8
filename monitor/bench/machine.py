"""What machine the figures are of: without it a figure says nothing."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from monitor.bench.figure import percentile

FLUSHES = 200


def machine(directory: Path) -> dict[str, object]:
    """Processor, interpreter, system, and what a flush of 4 kB costs on the disk that holds `directory`."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "os": platform.platform(),
        "fdatasync_ms": round(percentile(flushes(directory, FLUSHES), 0.5) * 1e3, 4),
    }


def flushes(directory: Path, count: int) -> list[float]:
    """Seconds of one flush each, after a write of 4 kB to a file that grows, as a write-ahead log does."""
    flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    took = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(count):
            os.write(file.fileno(), bytes(4096))
            began = perf_counter()
            flush(file.fileno())
            took.append(perf_counter() - began)
    return took


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; the peak where the system does not say."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
