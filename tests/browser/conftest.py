"""One upstream and one server a front end for all browser tests; a browser a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import lab as parts
from tests.browser.jupyter import JupyterServer, jupyter
from tests.browser.notebook_page import NotebookPage

LOAD = "%load_ext smartrouter_serve"
_names = count()

Open = Callable[..., NotebookPage]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder; skip it where there is no Chromium."""
    here = str(__file__).rpartition("/")[0]
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
            if not parts.CHROMIUM:
                item.add_marker(pytest.mark.skip("Debian's package `chromium` is not installed"))


@pytest.fixture(scope="session")
def _upstream() -> Iterator[parts.Scripted]:
    with parts.scripted() as live:
        yield live


@pytest.fixture
def upstream(_upstream: parts.Scripted) -> parts.Scripted:
    """The upstream of every kernel here, with an empty script."""
    _upstream.reset()
    return _upstream


def _server(frontend, tmp_path_factory, upstream, **how) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp(frontend)
    with jupyter(frontend, folder, parts.configure(folder, upstream.address), **how) as server:
        yield server


@pytest.fixture(scope="session")
def lab(tmp_path_factory, _upstream) -> Iterator[JupyterServer]:
    """A JupyterLab."""
    yield from _server("lab", tmp_path_factory, _upstream)


@pytest.fixture(scope="session")
def dark_lab(tmp_path_factory, _upstream) -> Iterator[JupyterServer]:
    """A JupyterLab with the dark theme."""
    yield from _server("lab", tmp_path_factory, _upstream, theme="JupyterLab Dark")


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory, _upstream) -> Iterator[JupyterServer]:
    """A Notebook 7."""
    yield from _server("notebook", tmp_path_factory, _upstream)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; a module's, since Playwright's loop is in the way of tests with their own."""
    with parts.chromium() as live:
        yield live


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile in a window of a laptop's size."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def open_notebook(context: BrowserContext) -> Iterator[Open]:
    """Write a notebook of these cells under a first one that loads the extension; open and load."""
    servers = []

    def open_(server: JupyterServer, *cells: str) -> NotebookPage:
        servers.append(server)
        name = f"note{next(_names)}.ipynb"
        server.write(name, LOAD, *cells)
        notebook = NotebookPage(context.new_page(), server, name)
        notebook.open()
        assert notebook.run(0) == []
        return notebook

    yield open_
    for server in servers:
        server.shut_down_kernels()
