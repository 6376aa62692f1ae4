"""A real JupyterLab or Notebook 7 on a port of its own, with nothing of the developer's in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import nbformat

Frontend = Literal["lab", "notebook"]

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 60
_MODULES = {"lab": "jupyterlab", "notebook": "notebook"}
_PLACES = {"lab": "lab/tree", "notebook": "notebooks"}
_READY = re.compile(r"(http://127\.0\.0\.1:\d+)/\S*\?token=(\w+)")
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True, slots=True)
class JupyterServer:
    """A running server and the folder that it shows."""

    frontend: Frontend
    address: str
    token: str
    root: Path

    def url(self, name: str) -> str:
        """The page of a notebook in `root`."""
        return f"{self.address}/{_PLACES[self.frontend]}/{name}?reset&token={self.token}"

    def write(self, name: str, *sources: str, kernel: str = "python3") -> None:
        """Write a notebook of these code cells."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        )
        nbformat.write(notebook, self.root / name)

    def read(self, name: str) -> Any:
        """The notebook as it is saved."""
        return nbformat.read(self.root / name, as_version=4)

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels that run."""
        return self._request("GET", "kernels").json()

    def shut_down_kernels(self) -> None:
        """End every session with its kernel."""
        for session in self._request("GET", "sessions").json():
            self._request("DELETE", f"sessions/{session['id']}")

    def _request(self, method: str, path: str) -> httpx.Response:
        headers = {"authorization": f"token {self.token}"}
        response = httpx.request(
            method, f"{self.address}/api/{path}", headers=headers, timeout=PATIENCE
        )
        response.raise_for_status()
        return response


@contextmanager
def jupyter(
    frontend: Frontend,
    folder: Path,
    environment: Mapping[str, str],
    theme: str = "JupyterLab Light",
) -> Iterator[JupyterServer]:
    """Start the front end on `folder/notebooks`; its kernels import this checkout."""
    root = folder / "notebooks"
    root.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", _MODULES[frontend]),
            *("--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.port=0"),
            *(f"--ServerApp.root_dir={root}", "--ServerApp.terminals_enabled=False"),
        ],
        env=_environment(folder, theme) | dict(environment),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            address, token = _wait_until_ready(process)
            drain = threading.Thread(target=deque, args=(process.stderr, 0))
            drain.start()
            server = JupyterServer(frontend, address, token, root)
            yield server
            server.shut_down_kernels()
        finally:
            process.terminate()
        drain.join()


def _wait_until_ready(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Read the server's log up to the line with its address and its token."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := _READY.search(line):
            return found[1], found[2]
    raise RuntimeError("Jupyter did not start:\n" + "".join(said))


def _environment(folder: Path, theme: str) -> dict[str, str]:
    """The variables of a server that finds this checkout, and no file of the developer's."""
    settings = folder / "settings"
    chosen = {**_SETTINGS, "apputils-extension/themes": {"theme": theme}}
    for name, values in chosen.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), "utf-8")
    own = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": settings,
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
        "PYTHONPATH": CHECKOUT,
        "HOME": folder,
    }
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    return kept | {name: str(value) for name, value in own.items()}


def export(notebook: Path) -> Path:
    """Write the notebook as a page beside it."""
    command = [sys.executable, "-m", "nbconvert", "--log-level=ERROR", "--to", "html"]
    subprocess.run([*command, str(notebook)], check=True, capture_output=True)
    return notebook.with_suffix(".html")
