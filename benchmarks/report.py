"""Medians, percentiles and tables that all benchmarks print alike."""

import os
import statistics
import subprocess
from collections.abc import Sequence

os.environ.setdefault("LANCEDB_LOG", "error")  # read when LanceDB is imported, which is after this


def p50(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile, the nearest measured value."""
    return quantile(values, 0.95)


def quantile(values: Sequence[float], share: float) -> float:
    """Return what so large a share of the values is below, in [0, 1]: the nearest measured value."""
    return sorted(values)[min(len(values) - 1, round(share * len(values)))]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, which the README takes over as it is."""
    cells = [list(columns), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines))


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process has in use."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6
