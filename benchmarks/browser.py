"""What a person waits for in a real JupyterLab: drawing, stopping, saving.

The page itself measures: it notes when the kernel sent each update (the message's own date), and
when a frame with that update was painted. Both clocks are this machine's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from anyio.from_thread import start_blocking_portal

from benchmarks.bench import Figure
from benchmarks.paced import Paced, essay
from tests.browser.jupyter import JupyterServer, jupyter
from tests.browser.lab import LOAD, chromium, configure, new_context
from tests.browser.notebook_page import NotebookPage, vote

ROUNDS, STOPS, BATTLES = 2, 12, 10
ROUTE = "%%route --no-cache -m lab/m1\nGo on {0}"
EIGHT = "%%arena --no-cache -m " + ",".join(f"lab/m{n}" for n in range(1, 9)) + "\nGo on {0}"
TWO = "%%arena --no-cache -m lab/m1,lab/m2\nGo on {0}"

_WATCH = """() => {
    const clock = () => performance.timeOrigin + performance.now();
    const marks = text => (text.match(/t\\d{5}/g) ?? []).length;
    const panel = window.jupyterapp.shell.currentWidget;
    const watch = window.watch = {sent: [], painted: [], changed: 0, interrupted: 0, idle: 0};
    const kernel = panel.sessionContext.session.kernel;
    kernel.iopubMessage.connect((_, message) => {
        const html = message.content.data?.['text/html'];
        if (html) watch.sent.push([Date.parse(message.header.date), marks(html)]);
        if (message.content.execution_state === 'idle') watch.idle = clock();
    });
    const area = document.querySelectorAll('.jp-Notebook .jp-Cell')[1];
    new MutationObserver(() => {
        requestAnimationFrame(() => setTimeout(() => {
            watch.changed = clock();
            watch.painted.push([watch.changed, marks(area.textContent)]);
        }));
    }).observe(area, {childList: true, subtree: true, characterData: true});
    document.querySelector('[data-jp-item-name="interrupt"]').addEventListener(
        'click', () => { watch.interrupted = clock(); }, {capture: true});
}"""
_INTERRUPT_SENT = """() => performance.timeOrigin + performance.getEntriesByType('resource')
    .filter(entry => entry.name.includes('/interrupt')).at(-1).requestStart"""
_QUIET = "() => performance.timeOrigin + performance.now() - window.watch.changed > 1000"


class Bench:
    """A notebook in a page, in front of the paced upstream."""

    def __init__(self, page: Any, server: JupyterServer, upstream: Paced) -> None:
        self.page, self.server, self.upstream = page, server, upstream
        self.notebook = NotebookPage(page, server, "bench.ipynb")
        self.kernel: psutil.Process

    def open(self, *cells: str) -> None:
        """A fresh kernel that has answered once, so that nothing is imported while it is timed."""
        self.server.shut_down_kernels()
        self.server.write(
            "bench.ipynb", LOAD, ROUTE.format("warm"), "import os; os.getpid()", *cells
        )
        self.notebook.open()
        self.notebook.run(0)
        self.upstream.gap = 0.0
        self.upstream.reply(essay(20, 800))
        self.notebook.run(1)
        [pid] = self.notebook.run(2)
        self.kernel = psutil.Process(int(pid["data"]["text/plain"]))
        self.page.evaluate(_WATCH)

    def stream(self, cell: str, lanes: int, size: int) -> tuple[list[float], float, float]:
        """Run a cell at ten tokens a second a lane.

        Answers milliseconds from each update's sending to its pixels, from the last token to the
        last paint, and the share of a core that the kernel took.
        """
        self.open()
        self.notebook.write(1, cell)
        self.upstream.gap = 0.1
        for _ in range(lanes):
            self.upstream.reply(essay(100, size))
        before, started = sum(self.kernel.cpu_times()[:2]), time.monotonic()
        self.notebook.run(1)
        share = (sum(self.kernel.cpu_times()[:2]) - before) / (time.monotonic() - started)
        self.page.wait_for_function(_QUIET)
        watch = self.page.evaluate("window.watch")
        late = watch["changed"] - self.upstream.last_token_at * 1000
        return _lags(watch["sent"], watch["painted"]), late, share

    def stop(self) -> tuple[float, float]:
        """Milliseconds from the click to the idle kernel, and from the interrupt to the hang-up."""
        self.upstream.gap = 0.1
        self.upstream.reply(essay(400, 8000))
        self.notebook.start(1)
        self.notebook.area(1).get_by_text("t00003").wait_for()
        self.notebook.interrupt()
        self.notebook.finish(1)
        watch = self.page.evaluate("window.watch")
        closed = self.upstream.hung_up_at * 1000 - self.page.evaluate(_INTERRUPT_SENT)
        return watch["idle"] - watch["interrupted"], closed


def _lags(sent: list[list[float]], painted: list[list[float]]) -> list[float]:
    """Milliseconds from each update that brought something new to the first frame with it."""
    lags, most = [], 0.0
    for at, marks in sent:
        if marks > most:
            most = marks
            lags.append(next(when for when, shown in painted if shown >= marks and when >= at) - at)
    return lags


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@contextmanager
def _bench() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="smartrouter-bench-") as name,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Paced()) as upstream,
        jupyter("lab", Path(name), configure(Path(name), upstream.address)) as server,
        chromium() as browser,
        new_context(browser) as context,
    ):
        page = context.new_page()
        page.add_init_script("performance.setResourceTimingBufferSize(10000)")
        yield Bench(page, server, upstream)


def _drawing(bench: Bench) -> list[Figure]:
    figures = []
    for name, cell, lanes, size, limit in (
        ("one answer of 4 kB", ROUTE, 1, 4000, 60),
        ("8 columns of 2 kB", EIGHT, 8, 2000, 100),
    ):
        rounds = [bench.stream(cell.format(n), lanes, size) for n in range(ROUNDS)]
        lags = [lag for found, _, _ in rounds for lag in found]
        late, share = max(late for _, late, _ in rounds), max(share for _, _, share in rounds)
        median = f"median {statistics.median(lags):.0f} ms of {len(lags)} updates"
        figures += [
            Figure(name=f"Update to pixels, {name}, p95", value=_p95(lags), unit="ms", limit=limit, peer=median),
            Figure(name=f"Last token to last paint, {name}", value=late, unit="ms", limit=200),
        ]  # fmt: skip
    figures.append(
        Figure(name="Kernel at 8 columns, all it does", value=share * 100, unit="%", limit=25)
    )
    return figures


def _stopping(bench: Bench) -> list[Figure]:
    bench.open()
    rounds = [bench.stop() for _ in range(STOPS)]
    idle, closed = [i for i, _ in rounds], [c for _, c in rounds]
    return [
        _stopped("Stop button to idle kernel, p95", idle, 400),
        _stopped("Interrupt to closed upstream connection, p95", closed, 150),
    ]


def _stopped(name: str, values: list[float], limit: float) -> Figure:
    median = f"median {statistics.median(values):.0f} ms of {len(values)}"
    return Figure(name=name, value=_p95(values), unit="ms", limit=limit, peer=median)


def _saving(bench: Bench) -> list[Figure]:
    bench.open(*(TWO.format(number) for number in range(BATTLES)))
    for number in range(BATTLES):
        for _ in range(2):
            bench.upstream.reply(essay(50, 2000))
        bench.notebook.run(3 + number)
        vote(bench.notebook, 3 + number, "1")
    bench.notebook.save()
    saved = (bench.server.root / "bench.ipynb").read_text("utf-8")
    name = f"Saved notebook of {BATTLES} battles of 2 × 2 kB"
    widgets = saved.count("application/vnd.jupyter.widget")
    return [
        Figure(name=name, value=len(saved.encode()) / 1000, unit="kB", limit=300),
        Figure(name="… widgets in it after the votes", value=widgets, unit="", limit=0),
    ]


def run() -> list[Figure]:
    """All of it in one JupyterLab."""
    parts: tuple[Callable[[Bench], list[Figure]], ...] = (_drawing, _stopping, _saving)
    with _bench() as bench:
        return [figure for part in parts for figure in part(bench)]
