"""One engine a kernel, and what is left of it: loads, unloads, reloads, forks, restarts."""

from __future__ import annotations

import ast
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.magics.lab import FIRST, notebook

CENSUS = """
def census():
    import gc, threading
    import comm, psutil
    gc.collect()
    shell, me = get_ipython(), psutil.Process()
    return {
        "threads": sorted(t.name for t in threading.enumerate()),
        "children": sum(c.status() != psutil.STATUS_ZOMBIE for c in me.children(recursive=True)),
        "files": sorted(f.path for f in me.open_files() if "history" not in f.path),
        "connections": sum(c.status == "ESTABLISHED" and c.raddr.port == PORT
                           for c in me.net_connections("tcp")),
        "hooks": {n: len(f) for n, f in shell.events.callbacks.items()},
        "transformers": (len(shell.input_transformers_cleanup), len(shell.input_transformers_post)),
        "matchers": len(shell.Completer.custom_matchers),
        "comms": len(comm.get_comm_manager().comms),
        "magics": sorted(n for kind in shell.magics_manager.magics.values() for n in kind),
        "looks": {m: len(f.type_printers) for m, f in shell.display_formatter.formatters.items()},
    }
"""
ENGINES = """
def engines():
    import gc
    from smartrouter_serve.engine.core import Engine
    gc.collect()
    return sum(isinstance(o, Engine) for o in gc.get_objects())
"""


@pytest.fixture
def book(tmp_path):
    """A kernel of its own for each test, with `census()` and `engines()`."""
    with notebook(tmp_path) as live:
        port = live.upstream.base_url.rsplit(":", 1)[1].split("/")[0]
        live.run(f"PORT = {port}\n{CENSUS}\n{ENGINES}")
        live.run("from smartrouter_serve import Router")
        yield live


@pytest.fixture
def weights() -> Path:
    """The folder of the small local models."""
    home = os.environ.get("SMARTROUTER_TEST_MODELS")
    if not home:
        pytest.skip("SMARTROUTER_TEST_MODELS names a home with the small models")
    return Path(home) / "models"


def ask(book, code: str):
    """Run a cell that must go well."""
    output = book.run(code)
    assert output.status == "ok", output.block or output.streams
    return output


def value(book, expression: str):
    """The value of an expression in the kernel."""
    return ast.literal_eval(book.value(expression))


def outcomes(book) -> dict[str, int]:
    """Settled calls by how they ended; none is left open."""
    assert value(book, "Router().sync.query('unconfirmed')") == []
    rows = value(book, "Router().sync.query('usage', by='outcome')")
    return {row["key"]: row["calls"] for row in rows}


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has asked for its exit status does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def until(true: Callable[[], object]) -> bool:
    """Look until something is true, for thirty seconds at the most."""
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(true())


USES = {
    "magic": "%%route -m lab/small --session talk -o reply\nSAY one",
    "await": 'reply = await Router().route("SAY one", model="lab/small", session="talk")',
    "sync": 'reply = Router().sync.route("SAY one", model="lab/small", session="talk")',
    "context": 'async with Router() as r:\n    reply = await r.route("SAY one", model="lab/small", session="talk")',
    "thread": (
        "import threading\n"
        "def work():\n"
        '    global reply; reply = Router().sync.route("SAY one", model="lab/small", session="talk")\n'
        "t = threading.Thread(target=work); t.start(); t.join()"
    ),
    "sync in a coroutine": (
        "async def f():\n"
        '    return Router().sync.route("SAY one", model="lab/small", session="talk")\n'
        "reply = await f()"
    ),
    "asyncio.run in a thread": (
        "import asyncio, concurrent.futures\n"
        "async def f():\n"
        '    return await Router().route("SAY one", model="lab/small", session="talk")\n'
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n"
        "    reply = pool.submit(asyncio.run, f()).result()"
    ),
}


def test_every_way_works_on_one_engine(book):
    """A session goes on whichever way it is asked; there is one engine and one ledger's writer."""
    for turn, code in enumerate(USES.values()):
        ask(book, code)
        assert value(book, "reply.text") == "one"
        assert len(book.upstream.bodies[-1]["messages"]) == 2 * turn + 1
    assert len(book.upstream.bodies) == len(USES)
    assert value(book, "engines()") == 1
    assert value(book, "census()['threads'].count('smartrouter-ledger')") == 1
    assert value(book, "census()['threads'].count('smartrouter-loop')") == 1
    [row] = value(book, "Router().sync.query('usage', by='model')")
    assert row["calls"] == len(USES)
    assert f"{2 * len(USES)}" in book.run("%smartrouter sessions").plain


def test_a_repeated_call_is_cached_whichever_way_it_comes(book):
    """Asked by a magic, answered from the cache for `await` and `.sync`, and the other way."""
    ask(book, "%%route -m lab/small -o reply\nSAY two")
    for code in (
        'reply = await Router().route("SAY two", model="lab/small")',
        'reply = Router().sync.route("SAY two", model="lab/small")',
        "%%route -m lab/small -o reply\nSAY two",
    ):
        ask(book, code)
        assert value(book, "reply.cached, reply.text") == (True, "two")
    assert len(book.upstream.bodies) == 1


def test_a_battle_is_voted_on_from_anywhere(book):
    """A battle of Python's, a vote by the magic; a battle of the magic's, a vote from Python."""
    ask(book, 'b = await Router().arena("Hello", models=["lab/small", "lab/large"])')
    assert "lab/large" in ask(book, "%smartrouter vote {b.id} 2").plain
    ask(book, "%%arena -m lab/small,lab/large -o b\nHello")
    assert value(book, "(await Router().vote(b.id, '1'))['winner']") == "lab/small"


def test_closing_a_router_leaves_the_engine_to_the_others(book):
    """`aclose` of one user; the stream of another goes on, connections stay open."""
    ask(book, "%%route -m lab/small\nHello")
    before = value(book, "census()")
    ask(book, 'async with Router() as r:\n    await r.route("SAY x", model="lab/small")')
    ask(book, "Router().sync.close()")
    assert value(book, "census()") == before
    assert value(book, "engines()") == 1


def test_a_router_with_its_own_configuration_keeps_its_own_engine(book):
    """It neither sees the session nor ends with the magics' engine."""
    ask(book, "%%route -m lab/small --session talk\nHello")
    ask(book, "import os; mine = Router(os.environ['SMARTROUTER_CONFIG'])")
    ask(book, 'await mine.route("SAY x", model="lab/small", session="talk")')
    ask(book, 'mine.sync.route("SAY x", model="lab/small", session="talk")')
    assert [len(body["messages"]) for body in book.upstream.bodies] == [1, 1, 1]
    assert value(book, "engines()") == 3
    ask(book, "%unload_ext smartrouter_serve")
    ask(book, 'mine.sync.route("SAY y", model="lab/small")')
    ask(book, 'await mine.route("SAY y", model="lab/small")\nawait mine.aclose()')


def test_unloading_leaves_nothing(book):
    """No thread, file, connection, hook, transformer, matcher, magic, formatter or comm."""
    ask(book, "import smartrouter_serve.magics.magics")
    ask(book, "%unload_ext smartrouter_serve")
    before = value(book, "census()")
    for _ in range(2):
        ask(book, "%load_ext smartrouter_serve")
        for code in USES.values():
            ask(book, code)
        ask(book, "%%arena -m lab/small,lab/large -o b\nHello")
        ask(book, "%smartrouter vote {b.id} 1")
        ask(book, "%costs")
        assert book.run('await Router().route("x", model="denied/one")').status == "error"
        assert book.run("%%route -m denied/one\nx").status == "error"
        ask(book, "%unload_ext smartrouter_serve")
        assert value(book, "census()") == before
    assert book.run("%%route -m lab/small\nHello").status == "error"


def test_loading_again_adds_nothing(book):
    """A second `%load_ext` and any number of `%reload_ext`."""
    ask(book, "%%route -m lab/small\nHello")
    before = value(book, "census()")
    ask(book, "%load_ext smartrouter_serve\n%load_ext smartrouter_serve")
    for _ in range(3):
        ask(book, "%reload_ext smartrouter_serve")
        ask(book, "%%route --no-cache -m lab/small\nHello")
    assert value(book, "census()") == before
    assert book.complete("%%route --pol").count("--policy") == 1


def test_a_session_outlives_the_extension(book):
    """What was said and answered stays as long as the kernel."""
    ask(book, "%%route -m lab/small --session talk\nHello")
    ask(book, "%reload_ext smartrouter_serve")
    ask(book, "%%route -m lab/small --session talk\nAnd then?")
    assert len(book.upstream.bodies[-1]["messages"]) == 3
    ask(book, "%%route -m lab/small -o again\nHello alone")
    ask(book, "%reload_ext smartrouter_serve")
    ask(book, "%%route -m lab/small -o again\nHello alone")
    assert value(book, "again.cached") is True


def test_autoreload(book, tmp_path):
    """With `%autoreload 2` a module that uses Router changes, and so do ours: all goes on."""
    module = tmp_path / "mine.py"
    module.write_text(
        "from smartrouter_serve import Router\n"
        "def ask():\n    return Router().sync.route('SAY x', model='lab/small', cache=False).text\n"
    )
    ask(book, "%load_ext autoreload\n%autoreload 2")
    ask(book, "import mine")
    assert value(book, "mine.ask()") == "x"
    ask(book, "%%route -m lab/small --session talk\nHello")
    before = value(book, "census()")
    module.write_text(module.read_text().replace(".text", ".text * 2"))
    os.utime(module, (2e9, 2e9))
    assert value(book, "mine.ask()") == "xx"
    ask(
        book,
        "import os, smartrouter_serve.shared as s, smartrouter_serve.background as b, importlib\n"
        "importlib.reload(b); importlib.reload(s)",
    )
    assert value(book, "mine.ask()") == "xx"
    ask(book, "%%route -m lab/small --session talk\nAnd then?")
    assert len(book.upstream.bodies[-1]["messages"]) == 3
    assert value(book, "census()") == before


def test_a_changed_key_holds_from_the_next_call_on(book):
    """Every way sees it; a stream that runs goes on under the old one; sessions go on."""
    ask(book, "%%route -m lab/small --session talk -o reply\nHello")
    ask(
        book,
        "import asyncio\n"
        'events = Router().stream("WAIT", model="lab/small")\n'
        "first = await anext(events)\n"
        "while type(first).__name__ != 'TextDelta': first = await anext(events)",
    )
    ask(book, "import os; os.environ['SMARTROUTER_BASELINE'] = 'lab/small'")
    ask(book, 'reply = await Router().route("SAY x", model="lab/small", session="talk")')
    assert value(book, "reply.baseline") == "lab/small"
    assert len(book.upstream.bodies[-1]["messages"]) == 3
    assert not book.upstream.cancelled.is_set()
    assert value(book, "engines()") == 2
    ask(book, "await events.aclose()")
    assert book.upstream.cancelled.wait(10)
    assert until(lambda: value(book, "engines()") == 1)
    [row] = value(
        book, "[r for r in Router().sync.query('usage', by='outcome') if r['key'] == 'cancelled']"
    )
    assert row["calls"] == 1


def test_a_broken_configuration_is_one_block_until_it_is_mended(book, tmp_path):
    """And then the cell works again; the session was not lost."""
    file = tmp_path / "smartrouter.toml"
    good = file.read_text()
    ask(book, "%%route -m lab/small --session talk\nHello")
    file.write_text(good.replace("baseline", "baselime", 1))
    for code in (USES["magic"], USES["await"], USES["sync"]):
        failed = book.run(code)
        assert failed.status == "error"
        assert "did you mean 'baseline'" in failed.block
    file.write_text(good)
    ask(book, USES["magic"])
    assert len(book.upstream.bodies[-1]["messages"]) == 3


def test_the_stop_button_ends_an_awaited_stream(book):
    """Cancelled upstream and in the ledger when the cell ends; the next cell runs."""
    code = (
        "from IPython.display import display\n"
        "async for event in Router().stream('WAIT', model='lab/small'):\n"
        "    display(getattr(event, 'text', ''))"
    )
    stopped = book.run(code, interrupt_at=FIRST.strip())
    assert stopped.error[0] in ("CancelledError", "KeyboardInterrupt")
    assert book.upstream.cancelled.wait(10)
    ask(book, "%%route --no-cache -m lab/small\nHello")
    assert outcomes(book) == {"ok": 1, "cancelled": 1}


def test_the_stop_button_ends_an_awaited_route(book):
    """The same while nothing is shown."""

    def stop() -> None:
        assert until(lambda: book.upstream.bodies)
        os.kill(book.manager.provisioner.pid, signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    stopped = book.run("await Router().route('WAIT', model='lab/small')")
    thread.join()
    assert stopped.error[0] in ("CancelledError", "KeyboardInterrupt")
    assert book.upstream.cancelled.wait(10)
    ask(book, "%%route --no-cache -m lab/small\nHello")
    assert outcomes(book) == {"ok": 1, "cancelled": 1}


def test_the_stop_button_ends_a_blocking_route(book):
    """`.sync` in a cell: KeyboardInterrupt, after the settlement."""
    code = (
        "from IPython.display import display\n"
        "for event in Router().sync.stream('WAIT', model='lab/small'):\n"
        "    display(getattr(event, 'text', ''))"
    )
    stopped = book.run(code, interrupt_at=FIRST.strip())
    assert stopped.error[0] == "KeyboardInterrupt"
    assert book.upstream.cancelled.wait(10)
    assert outcomes(book) == {"cancelled": 1}


def test_tasks_that_run_on_while_a_magic_runs(book):
    """Two cells' tasks and a magic at once: each gets its own answer."""
    ask(
        book,
        "import asyncio\na = asyncio.create_task(Router().route('SAY aaa', model='lab/small'))",
    )
    ask(book, "b = asyncio.create_task(Router().route('SAY bbb', model='lab/large'))")
    ask(book, "%%route -m lab/small -o c\nSAY ccc")
    assert value(book, "(await a).text, (await b).text, c.text") == ("aaa", "bbb", "ccc")
    assert value(book, "engines()") == 1


def test_breaking_off_a_stream_cancels_upstream(book):
    """`break` with `aclosing`, and cancelling the task."""
    ask(
        book,
        "import asyncio\nfrom contextlib import aclosing\n"
        "async with aclosing(Router().stream('WAIT', model='lab/small')) as events:\n"
        "    async for event in events:\n"
        "        if type(event).__name__ == 'TextDelta': break",
    )
    assert book.upstream.cancelled.wait(10)
    book.upstream.cancelled.clear()
    ask(
        book,
        "started = asyncio.Event()\n"
        "async def follow():\n"
        "    async for event in Router().stream('WAIT', model='lab/small'):\n"
        "        if type(event).__name__ == 'TextDelta': started.set()\n"
        "task = asyncio.create_task(follow())\n"
        "await started.wait()\n"
        "task.cancel()\n"
        "await asyncio.wait([task])",
    )
    assert book.upstream.cancelled.wait(10)
    [row] = value(book, "Router().sync.query('usage', by='outcome')")
    assert (row["key"], row["calls"]) == ("cancelled", 2)


def test_a_fork_works_on_both_sides(book):
    """A child asks, goes on with the session, and ends; the parent goes on; all is in one ledger."""
    ask(book, "%%route -m lab/small --session talk\nHello")
    ask(
        book,
        "import multiprocessing as mp, os\n"
        "mine = Router(os.environ['SMARTROUTER_CONFIG'])\n"
        "mine.sync.route('SAY mine', model='lab/large')\n"
        "def work(queue):\n"
        "    with mine.sync as own:\n"
        "        assert own.route('SAY own', model='lab/large').text == 'own'\n"
        "    with Router().sync as router:\n"
        "        queue.put(router.route('SAY child', model='lab/small', session='talk').text)\n"
        "context = mp.get_context('fork')\n"
        "queue = context.Queue()\n"
        "child = context.Process(target=work, args=(queue,))\n"
        "child.start()\n"
        "said = queue.get(timeout=30)\n"
        "child.join(30)",
    )
    assert value(book, "said, child.exitcode") == ("child", 0)
    assert len(book.upstream.bodies[-1]["messages"]) == 3
    ask(book, "%%route -m lab/small --session talk -o reply\nSAY parent")
    assert value(book, "reply.text") == "parent"
    row, large = value(
        book, "sorted(Router().sync.query('usage', by='model'), key=lambda r: -r['calls'])"
    )
    assert large["calls"] == 2
    assert (row["calls"], row["cost"]) == (3, "0.000066000")
    ask(book, "assert mine.sync.route('SAY on', model='lab/large').text == 'on'")


def test_a_restarted_kernel_leaves_no_process(book):
    """The old kernel's process is gone with all its children, and the new one works."""
    ask(book, USES["magic"])
    old = psutil.Process(value(book, "__import__('os').getpid()"))
    family = [old, *old.children(recursive=True)]
    book.manager.restart_kernel()
    book.client.wait_for_ready(timeout=30)
    assert not any(lives(one) for one in family)
    ask(book, "%load_ext smartrouter_serve")
    assert "lab/small" in ask(book, "%costs").plain
    ask(book, USES["magic"])


def test_values_look_good(book):
    """A reply: the answer rendered and its cost line; a battle: a table; a decision: its rows."""
    ask(book, "%%route -m lab/small -o reply\nSAY **bold** <script>x</script>")
    shown = ask(book, "reply")
    assert "<strong>bold</strong>" in shown.html
    assert "<script" not in shown.html
    assert "lab/small · pinned" in shown.html
    assert "lab/small · pinned" in shown.plain
    assert "text/markdown" not in next(iter(shown.shown.values()))
    assert book.value("[reply]").startswith("[Reply('**bold** <script>")
    assert book.run("print(reply)").streams.strip() == "**bold** <script>x</script>"
    ask(book, "%%arena -m lab/small,lab/large -o battle\nSAY words")
    table = ask(book, "battle")
    assert "lab/large" in table.plain
    assert table.html.count("<tr>") == 3
    decision = ask(book, "reply.decision")
    assert "lab/small" in decision.html
    ask(book, "%%arena --blind -m lab/small,lab/large -o hidden\nSAY words")
    assert "lab/" not in ask(book, "hidden").plain + ask(book, "hidden").html


@pytest.mark.model
def test_the_local_models_process_goes_with_the_extension(book, tmp_path, weights):
    """It stays for a second kernel's sake as long as `keep_alive` says, and then ends."""
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "smollm2-135m.gguf").symlink_to(weights / "smollm2-135m.gguf")
    with (tmp_path / "smartrouter.toml").open("a") as file:
        file.write("\n[local]\nkeep_alive = 1\ncontext = 1024\n")
    ask(book, "%unload_ext smartrouter_serve")
    before = value(book, "census()")
    ask(book, "%load_ext smartrouter_serve")
    ask(book, "%%route -m local/smollm2-135m --max-tokens 4\nHello")
    [server] = psutil.Process(value(book, "__import__('os').getpid()")).children()
    ask(book, "%unload_ext smartrouter_serve")
    assert until(lambda: not lives(server))
    assert value(book, "census()") == before
