"""What the browser tests share: a scripted upstream on a thread, its configuration, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.servers.openai import FakeOpenAI

LOAD = "%load_ext smartrouter_serve"
CHROMIUM = shutil.which("chromium") or ""
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


class Scripted:
    """A `FakeOpenAI` that runs on a thread of its own."""

    def __init__(self, portal: BlockingPortal, server: FakeOpenAI) -> None:
        self._portal, self.server = portal, server
        self.address, self.reply = server.address, server.reply

    def reset(self) -> None:
        """Forget the script and what happened, before a test."""
        self.server.script.clear()
        self.server.journal.clear()
        for event in (self.server.release, self.server.holding, self.server.hung_up):
            self._portal.call(event.clear)

    def release(self) -> None:
        """Let an answer that holds go on."""
        self._portal.call(self.server.release.set)

    def wait_until_hung_up(self) -> None:
        """Wait until a client has left before its answer was complete."""
        self._portal.call(self.server.hung_up.wait)


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Serve a `FakeOpenAI` while the test goes on."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(FakeOpenAI()) as server,
    ):
        yield Scripted(portal, server)


def configure(folder: Path, address: str) -> dict[str, str]:
    """Eight priced models at the upstream; the environment of a kernel that uses them."""
    models = ", ".join(f'"lab/m{number}"' for number in range(1, 9))
    file = folder / "smartrouter.toml"
    file.write_text(
        f"""
        baseline = "lab/large"
        [providers.lab]
        kind = "openai-compatible"
        base_url = "{address}"
        api_key = "{FakeOpenAI.key}"
        models = ["lab/small", "lab/large", {models}]
        [prices."lab/*"]
        input = 1
        output = 2
        [prices."lab/large"]
        input = 10
        output = 20
        """,
        "utf-8",
    )
    return {
        "SMARTROUTER_CONFIG": str(file),
        "SMARTROUTER_HOME": str(folder / "home"),
        "SMARTROUTER_KEYRING": "off",
    }


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; it asks no address but this machine's."""
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*_QUIET, *sandbox], chromium_sandbox=bool(os.geteuid())
        )
        yield browser
        browser.close()


@contextmanager
def new_context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile in a window of a laptop's size."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()
