"""A notebook open in a browser: run cells, stop them, read what they show and hold."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.jupyter import JupyterServer

_READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.content?.widgets?.length > 0 && panel.context?.isReady;
}"""
_KERNEL = """async () => {
    const session = window.jupyterapp.shell.currentWidget.sessionContext;
    await session.ready;
    await session.session.kernel.info;
}"""
_RUN = """(index) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = index;
    notebook.deselectAll();
    window.running = window.jupyterapp.commands.execute('notebook:run-cell');
}"""
_EDIT = """([index, source]) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.widgets[index].model.sharedModel.setSource(source);
}"""
_OUTPUTS = """(index) =>
    window.jupyterapp.shell.currentWidget.content.widgets[index].model.toJSON().outputs"""
_TRUSTED = """(index) =>
    window.jupyterapp.shell.currentWidget.content.widgets[index].model.trusted"""
_SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
_IS_IDLE = """(index) => {
    const model = window.jupyterapp.shell.currentWidget.content.widgets[index].model;
    return model.executionState === 'idle' && model.executionCount !== null;
}"""


class NotebookPage:
    """One notebook in one browser page. Cells are named by their number from 0."""

    def __init__(self, page: Page, server: JupyterServer, name: str) -> None:
        self.page, self.server, self.name = page, server, name

    def open(self, *, kernel: bool = True) -> None:
        """Open it; wait for the cells, and for the kernel unless there is to be none."""
        self.page.goto(self.server.url(self.name))
        if not kernel:
            self.page.locator(".jp-Dialog-footer").get_by_text("No Kernel", exact=True).click()
        self.page.wait_for_function(_READY)
        if kernel:
            self.page.evaluate(_KERNEL)

    def run(self, index: int) -> list[dict[str, Any]]:
        """Run a cell to its end; its outputs."""
        self.start(index)
        return self.finish(index)

    def start(self, index: int) -> None:
        """Set a cell going."""
        self.page.evaluate(_RUN, index)

    def finish(self, index: int) -> list[dict[str, Any]]:
        """Wait until the cell that was started has ended; its outputs."""
        self.page.evaluate("async () => { await window.running }")
        return self.outputs(index)

    def wait_for_idle(self, index: int) -> None:
        """Wait until the cell has run, also where Run All started it."""
        self.page.wait_for_function(_IS_IDLE, arg=index)

    def write(self, index: int, source: str) -> None:
        """Replace a cell's source."""
        self.page.evaluate(_EDIT, [index, source])

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """What the cell holds, as it would be saved."""
        outputs: list[dict[str, Any]] = self.page.evaluate(_OUTPUTS, index)
        return outputs

    def trusted(self, index: int) -> bool:
        """Whether the front end lets the cell's outputs do what they like."""
        return bool(self.page.evaluate(_TRUSTED, index))

    def cell(self, index: int) -> Locator:
        """The cell on the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def area(self, index: int) -> Locator:
        """What the cell shows."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def text(self, index: int) -> str:
        """The words that a person sees in the cell's outputs, without spaces at the ends."""
        return self.area(index).inner_text().strip()

    def interrupt(self) -> None:
        """Click the stop button of the toolbar."""
        self.page.locator('[data-jp-item-name="interrupt"]').click()

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate(_SAVE)

    def reload(self) -> None:
        """Load the page anew, with a new kernel."""
        self.server.shut_down_kernels()
        self.open()


def vote(notebook: NotebookPage, index: int, button: str) -> None:
    """Click on a battle's button, and wait until the cell is what is saved: without buttons."""
    area = notebook.area(index)
    area.get_by_role("button", name=button, exact=True).click()
    expect(area.get_by_role("button")).to_have_count(0)
    expect(area.get_by_text("You voted")).to_be_visible()
