"""`%costs` and the status in a real kernel, on a terminal, and with a real ledger."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import nbclient
import nbformat
import pytest

from smartrouter_serve import background
from smartrouter_serve.assemble import build_ledger
from smartrouter_serve.client import Router
from smartrouter_serve.config import load
from smartrouter_serve.engine.ports import Entry, Hold, Scope
from smartrouter_serve.types import Usage
from smartrouter_serve.widgets.costs import Costs
from smartrouter_serve.widgets.width import cells
from tests.magics.lab import configure, notebook, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "costs.ipynb"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A notebook that has not spent anything yet."""
    with notebook(tmp_path_factory.mktemp("fresh")) as live:
        yield live


@pytest.fixture(scope="module")
def spent(book):
    """A notebook that has: 22 micro-dollars with one model, 300 with the other."""
    for model in ("lab/small", "lab/large"):
        assert book.run(f"%route --no-cache -m {model} Hello").status == "ok"
    return book


def test_an_empty_ledger_says_what_to_try_first(fresh):
    """One line with a line to paste, also where a span was asked for; -o is empty."""
    for options in ("", "--since 7d", "--interactive"):
        cell = fresh.run(f"%costs -o rows {options}")
        assert cell.status == "ok", cell.block
        assert re.fullmatch(r"Nothing was spent.* Try: %route What is .*\?", cell.plain)
    assert fresh.value("len(rows)") == "0"


def test_the_picture_comes_first_and_the_table_under_it(spent):
    """One output of HTML and text: sums, baseline, share, then the models."""
    cell = spent.run("%costs")
    [bundle] = cell.shown.values()
    assert set(bundle) == {"text/html", "text/plain"}
    assert cell.html.index("data:image/svg+xml") < cell.html.index("lab/small")
    assert cell.plain.startswith("$0.00032 spent, $0.00020 saved against lab/large")
    assert "other   ████████████ 100% · $0.00032 · 2 calls" in cell.plain


def test_the_frame_and_the_csv_hold_the_ledgers_figures(spent):
    """A DataFrame that can be summed; exact dollars in the file, in the kernel's folder."""
    cell = spent.run("%costs --by model --csv costs.csv -o frame")
    assert cell.status == "ok", cell.block
    assert (
        spent.value("round(frame.cost.sum() * 1e6), list(frame.key)")
        == "(322, ['lab/large', 'lab/small'])"
    )
    text = (
        spent.value("print(open('costs.csv').read())")
        or spent.run("print(open('costs.csv').read())").streams
    )
    rows = list(csv.DictReader(text.splitlines()))
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal("0.000322")


def test_without_pandas_the_variable_is_a_list(spent):
    """As the query gave it."""
    spent.run("import sys; kept = sys.modules.get('pandas'); sys.modules['pandas'] = None")
    spent.run("%costs -o rows")
    spent.run("sys.modules['pandas'] = kept")
    assert spent.value("[row['key'] for row in rows]") == "['lab/large', 'lab/small']"


def test_interactive_carries_the_picture_for_those_who_cannot_draw_it(spent):
    """Plotly's part first, the SVG and the text beside it, then the table."""
    cell = spent.run("%costs --interactive")
    assert cell.status == "ok", cell.block
    figure, table = cell.shown.values()
    assert set(figure) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
    assert "data:image/svg+xml" in figure["text/html"]
    assert "lab/small" in table["text/plain"]


def test_without_plotly_interactive_says_what_to_paste(spent):
    """One block with the line."""
    spent.run("import sys; kept = sys.modules.get('plotly'); sys.modules['plotly'] = None")
    cell = spent.run("%costs --interactive")
    spent.run("sys.modules.pop('plotly') if kept is None else sys.modules.update(plotly=kept)")
    assert cell.status == "error"
    assert '%pip install "smartrouter-serve[lab]"' in cell.block


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--by modle", "Did you mean model?"),
        ("--by Provider", "provider"),
        ("--since 7days", "Did you mean 7d?"),
        ("--since 3", "Did you mean 3d?"),
        ("--since ²d", "Write 12h, 7d or 4w"),
        ("--since 99999999999d", "Write 12h, 7d or 4w"),
        ("--csv no/such/folder/x.csv", "cannot be written"),
        ("--csv .", "cannot be written"),
        ("--interactve", "--interactive"),
    ],
)
def test_wrong_options_name_the_nearest(spent, options, said):
    """One readable block."""
    cell = spent.run(f"%costs {options}")
    assert cell.status == "error"
    assert said in cell.block
    assert "Traceback" not in cell.block


def test_a_csv_of_somebody_else_is_not_overwritten(spent):
    """It stays as it was."""
    spent.run("open('mine.csv', 'w').write('a,b')")
    assert "was not written by %costs" in spent.run("%costs --csv mine.csv").block
    assert spent.value("open('mine.csv').read()") == "'a,b'"


def test_the_status_shows_providers_the_last_decision_and_the_next_step(spent):
    """Those with a key first; lines to paste at the end."""
    spent.run("%route --no-cache -m lab/small --session thesis Hello")
    text = spent.run("%smartrouter").plain
    assert text.startswith("embedded · policy balanced · baseline lab/large")
    assert text.index("lab ") < text.index("zhipu")
    assert re.search(r"zhipu +.*keys set zhipu", text)
    assert "Sessions: thesis" in text
    assert "Last decision: lab/small was pinned" in text
    assert "    %costs --since 7d" in text
    paste = next(line for line in text.splitlines() if line.startswith("    %arena"))
    assert spent.run(paste.replace("denied/one", "lab/large")).status == "ok"


def test_the_first_run_shows_the_two_ways_on(tmp_path):
    """No key and no model: two lines, each of which can be pasted."""
    with notebook(tmp_path) as book:
        config = tmp_path / "smartrouter.toml"
        config.write_text("[providers.ollama]\nenabled = false\n", "utf-8")
        text = book.run("%smartrouter").plain
        first, second = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        assert first == "!smartrouter local pull smollm2"
        compile(second, "cell", "exec")
        assert "getpass" in second


def test_a_budget_is_a_bar_and_words(tmp_path):
    """What is left of one dollar after 22 micro-dollars, and of a limit that is passed."""
    with notebook(tmp_path) as book:
        config = tmp_path / "smartrouter.toml"
        budgets = '[budgets.daily]\nlimit = 1\n[budgets.tiny]\nlimit = 0.00002\nwindow = "week"\nhard = false\n'
        config.write_text(config.read_text("utf-8") + budgets, "utf-8")
        assert book.run("%route --no-cache -m lab/small Hello").status == "ok"
        text = book.run("%smartrouter").plain
        assert re.search(r"daily +██████████ +99% left: \$1\.0000 of \$1\.00 a day", text)
        assert re.search(r"tiny +·{10} +0% left: \$0 of \$0\.000020 a week, soft", text)


def test_a_state_folder_that_cannot_be_used_is_one_block(tmp_path):
    """It is a file: said in a line, with the way out."""
    with notebook(tmp_path) as book:
        (tmp_path / "home").rename(tmp_path / "moved")
        (tmp_path / "home").write_text("in the way", "utf-8")
        book.run("%unload_ext smartrouter_serve\n%load_ext smartrouter_serve")
        cell = book.run("%costs")
        assert cell.status == "error"
        assert "SMARTROUTER_HOME" in cell.block
        assert len(cell.block.splitlines()) == 2
        assert book.run("%smartrouter").status == "ok"


def test_a_narrow_terminal_gets_narrow_text(tmp_path):
    """IPython on a terminal of 44 columns: no line of the costs is wider, no sequence in it."""
    with serving() as upstream:
        env = dict(os.environ) | configure(tmp_path, upstream)
        env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "COLUMNS": "44"}
        script = "%load_ext smartrouter_serve\n%route --no-cache -m lab/small Hello\n%costs\n"
        command = [
            sys.executable,
            "-m",
            "IPython",
            "--simple-prompt",
            "--no-banner",
            "--colors=NoColor",
        ]
        done = subprocess.run(
            command,
            input=script,
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    shown = done.stdout[done.stdout.rindex("$0.000022 spent") :].partition("In [")[0]
    assert "Share of the spend" in shown
    assert "<" not in shown
    assert "\x1b" not in shown
    assert max(map(cells, shown.split("\n"))) <= 44


def test_origins_follow_the_catalog(home):
    """Chinese, western, local and others, a model that is gone by its provider; sums agree."""
    models = {
        "zhipu/glm-5": "chinese", "zhipu/gone-long-ago": "chinese", "openrouter/openai/gpt-5.2": "western",
        "local/smollm2-135m": "local", "nobody/x": "other", "mine/y": "chinese",
    }  # fmt: skip
    config = home.parent / "work" / "smartrouter.toml"
    config.write_text(
        '[providers.mine]\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\n'
        'models = ["mine/y"]\njurisdiction = "CN"\n',
        "utf-8",
    )

    async def spend() -> None:
        ledger = build_ledger(load())
        for number, model in enumerate(models, 1):
            bound = dict.fromkeys(("least_nanos", "likely_nanos", "most_nanos"), 10**6)
            grant = await ledger.reserve(Hold(run="r", lane="", scope=Scope(model=model), **bound))
            entry = Entry(
                outcome="ok", cost_nanos=10**number, usage=Usage(), baseline="b", baseline_nanos=5
            )
            await ledger.settle(grant, entry)
        await ledger.aclose()

    background.run(spend())
    router = Router().sync
    try:
        costs = Costs.ask(router, "model", "7d")
    finally:
        router.close()
    assert {row["model"]: row["origin"] for row in costs.days} == models
    sums = costs.spending(90)
    assert sums.spent["chinese"] == Decimal("0.001000110")
    assert sums.total == sum(Decimal(row["cost"]) for row in costs.rows) == Decimal("0.001111110")
    assert sums.saved == sum(Decimal(row["saved"]) for row in costs.rows)
    assert sums.buckets[-1].last == costs.last


def test_the_example_is_clean():
    """No outputs are stored, no key and no path."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert not re.search(r"sk-|/home/|/work/|/root/", EXAMPLE.read_text("utf-8"))
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.model
def test_the_example_runs_on_the_local_model(monkeypatch, tmp_path):
    """No cell fails; the picture, the frame and the file are there, and local models cost nothing."""
    home = os.environ.get("SMARTROUTER_TEST_MODELS")
    if not home:
        pytest.skip("SMARTROUTER_TEST_MODELS names a home with the small models")
    for name, value in (("HOME", home), ("KEYRING", "off")):
        monkeypatch.setenv(f"SMARTROUTER_{name}", value)
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbclient.NotebookClient(notebook, timeout=100).execute()
    shown = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    [costs] = shown["%costs"]
    assert "data:image/svg+xml" in costs.data["text/html"]
    assert re.search(r"local/smollm2-135m +\d+ .*\$0 ", costs.data["text/plain"])
    assert "chat" in shown["spent"][0].data["text/plain"]
    assert (tmp_path / "costs.csv").read_text("utf-8").startswith("day,calls,")
