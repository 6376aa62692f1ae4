"""One upstream and one server a front end for all browser tests; a browser a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser import lab as parts
from tests.browser.jupyter import CHECKOUT, JupyterServer, jupyter
from tests.browser.notebook_page import NotebookPage

expect.set_options(timeout=20_000)
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
def scripted_upstream() -> Iterator[parts.Scripted]:
    """The upstream, as the test before left it."""
    with parts.scripted() as live:
        yield live


@pytest.fixture
def upstream(scripted_upstream: parts.Scripted) -> parts.Scripted:
    """The upstream of every kernel here, with an empty script."""
    scripted_upstream.reset()
    return scripted_upstream


def _server(frontend, tmp_path_factory, upstream, **how) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp(frontend)
    with jupyter(frontend, folder, parts.configure(folder, upstream.address), **how) as server:
        yield server


@pytest.fixture(scope="session")
def lab(tmp_path_factory, scripted_upstream) -> Iterator[JupyterServer]:
    """A JupyterLab."""
    yield from _server("lab", tmp_path_factory, scripted_upstream)


@pytest.fixture(scope="session")
def dark_lab(tmp_path_factory, scripted_upstream) -> Iterator[JupyterServer]:
    """A JupyterLab with the dark theme."""
    yield from _server("lab", tmp_path_factory, scripted_upstream, theme="JupyterLab Dark")


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory, scripted_upstream) -> Iterator[JupyterServer]:
    """A Notebook 7."""
    yield from _server("notebook", tmp_path_factory, scripted_upstream)


@pytest.fixture(scope="session")
def local_models(tmp_path_factory) -> Iterator[JupyterServer]:
    """A JupyterLab whose kernels have the small local models, and no upstream."""
    home = os.environ.get("SMARTROUTER_TEST_MODELS")
    if not home:
        pytest.skip("SMARTROUTER_TEST_MODELS names a home with the two small models")
    environment = {"SMARTROUTER_HOME": home, "SMARTROUTER_KEYRING": "off"}
    with jupyter("lab", tmp_path_factory.mktemp("local"), environment) as server:
        yield server


@pytest.fixture
def kernel_environment(tmp_path, monkeypatch, upstream) -> None:
    """What a kernel needs that this process starts itself."""
    own = parts.configure(tmp_path, upstream.address) | {"PYTHONPATH": str(CHECKOUT)}
    for name, value in own.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; a module's, since Playwright's loop is in the way of tests with their own."""
    with parts.chromium() as live:
        yield live


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile in a window of a laptop's size."""
    with parts.new_context(browser) as context:
        yield context


@pytest.fixture
def open_notebook(context: BrowserContext) -> Iterator[Open]:
    """Write a notebook of these cells under a first one that loads the extension; open and load."""
    servers = []

    def open_(server: JupyterServer, *cells: str) -> NotebookPage:
        servers.append(server)
        name = f"note{next(_names)}.ipynb"
        server.write(name, parts.LOAD, *cells)
        notebook = NotebookPage(context.new_page(), server, name)
        notebook.open()
        assert notebook.run(0) == []
        return notebook

    yield open_
    for server in servers:
        server.shut_down_kernels()
