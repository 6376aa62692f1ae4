"""What a model says runs nothing and fetches nothing, in any front end. A canary counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter import export

PAYLOADS = (
    "<script>top.owned = 1; fetch('{canary}/script')</script>",
    "<img src=x onerror=\"top.owned = 1; fetch('{canary}/onerror')\">",
    "<img src='{canary}/img.png'>",
    "![image]({canary}/markdown.png)",
    "![image][reference]\n\n[reference]: {canary}/reference.png",
    "<iframe srcdoc=\"<script>top.owned = 1; fetch('{canary}/srcdoc')</script>\"></iframe>",
    "<iframe src='{canary}/frame'></iframe>",
    "<svg onload=\"top.owned = 1; fetch('{canary}/svg')\"><image href='{canary}/svg.png'/></svg>",
    "<details open ontoggle=\"top.owned = 1; fetch('{canary}/toggle')\">x</details>",
    "<input autofocus onfocus=\"top.owned = 1; fetch('{canary}/focus')\">",
    "<form action='{canary}/form'><button>Go on</button></form>",
    "<div style=\"background: url('{canary}/css.png')\">x</div>",
    "<style>body {{ background: url('{canary}/style.png') }}</style>",
    "<link rel=stylesheet href='{canary}/link.css'><base href='{canary}/'>",
    '<meta http-equiv=refresh content="0;url={canary}/meta">',
    "<video src='{canary}/video' autoplay></video><audio src='{canary}/audio' autoplay></audio>",
    "<object data='{canary}/object'></object><embed src='{canary}/embed'>",
    "[click](javascript:top.owned=1) <a href='javascript:top.owned=1'>click</a>",
    "[click](JaVaScRiPt&#58;top.owned=1) [click](data:text/html,<script>top.owned=1</script>)",
    "$\\href{{javascript:top.owned=1}}{{click}}$ $\\style{{background:url({canary}/maths)}}{{x}}$",
    "`````html\n<img src='{canary}/fence'>\n`````",
    "| a |\n|---|\n| <img src='{canary}/cell'> |",
)
LAST = "The last line."


class Canary(BaseHTTPRequestHandler):
    """Notes every path that is asked for."""

    fetched: list[str]

    def do_GET(self) -> None:
        """Note it and say no."""
        self.fetched.append(self.path)
        self.send_error(404)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the paths that were fetched from it."""
    fetched: list[str] = []
    handler = type("Noting", (Canary,), {"fetched": fetched})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", fetched
        server.shutdown()
        thread.join()


def harmless(page: Page, outputs: str) -> None:
    """Nothing has run, and no link or element could."""
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.owned === undefined")
    # MathJax writes javascript: links itself where maths asks for them.
    strangers = ":is(script, iframe, img, svg, form, style, input:not(.jupyter-widgets input))"
    assert page.locator(f"{outputs} {strangers}").count() == 0
    links = page.locator(f"{outputs} a").evaluate_all("all => all.map(a => a.protocol)")
    assert set(links) <= {"http:", "https:", "mailto:"}


def test_the_canary_notices(lab, upstream, open_notebook, canary):
    """The same payloads as raw HTML do fetch and do run: the tests below would see it."""
    address, fetched = canary
    staying = [payload for payload in PAYLOADS if "refresh" not in payload]  # the page leaves
    text = "".join(staying).format(canary=address)
    notebook = open_notebook(
        lab, f"from IPython.display import display\ndisplay({{'text/html': {text!r}}}, raw=True)"
    )
    notebook.run(1)
    notebook.page.wait_for_function("window.owned === 1")
    notebook.page.wait_for_load_state("networkidle")
    assert {"/img.png", "/css.png", "/onerror"} <= set(fetched)


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
def test_an_answer_runs_nothing_and_fetches_nothing(
    frontend, request, upstream, open_notebook, canary, context
):
    """In the cell of an answer, of a battle, after a reload, and on the exported page."""
    server, (address, fetched) = request.getfixturevalue(frontend), canary
    answer = "\n\n".join((*PAYLOADS, LAST)).format(canary=address)
    cells = ("%%route --no-cache -m lab/small\nHi", "%%arena --no-cache -m lab/small,lab/large\nHi")
    notebook = open_notebook(server, *cells)
    for _ in range(3):
        upstream.reply(answer)
    for index, shown in ((1, 1), (2, 2)):
        notebook.run(index)
        expect(notebook.area(index).get_by_text(LAST)).to_have_count(shown)
    harmless(notebook.page, ".jp-OutputArea-output")
    notebook.save()
    notebook.reload()
    expect(notebook.area(1).get_by_text(LAST)).to_be_visible()
    harmless(notebook.page, ".jp-OutputArea-output")
    page = context.new_page()
    page.route("https://**", lambda route: route.abort())  # nbconvert's own MathJax
    page.goto(export(server.root / notebook.name).as_uri())
    expect(page.get_by_text(LAST)).to_have_count(3)
    harmless(page, ".jp-OutputArea-output")
    assert fetched == []
