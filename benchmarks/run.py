"""Run the benchmarks, all or those named, and fail where a limit is not kept."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys

ALL = (
    *("decision", "overhead", "streams", "battle", "budget", "kernel", "render", "complete"),
    *("vote", "grid", "browser"),
)


def main(names: list[str]) -> int:
    """Each benchmark in a process of its own, so that no one's imports burden another."""
    if len(names) == 1 and os.environ.get("SMARTROUTER_BENCH_CHILD"):
        figures = importlib.import_module(f"benchmarks.{names[0]}").run()
        for figure in figures:
            print(figure.line(), flush=True)
        return sum(not figure.kept for figure in figures)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    failed = 0
    for name in names or ALL:
        child = [sys.executable, "-m", "benchmarks.run", name]
        failed += subprocess.run(
            child, env={**os.environ, "SMARTROUTER_BENCH_CHILD": "1"}
        ).returncode
    print(f"{failed} limits not kept" if failed else "every limit kept")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
