"""The engine that a notebook's users share, and the loop that it lives on."""

from __future__ import annotations

import asyncio
import builtins
import threading
from contextlib import aclosing

import anyio
import pytest

from smartrouter_serve import background, shared
from smartrouter_serve.calls import TextDelta
from smartrouter_serve.client import Router
from smartrouter_serve.engine.ports import Chunk
from smartrouter_serve.testing import ScriptedProvider, scripted_engine
from smartrouter_serve.types import Battle, Contestant, Decision, Reply, Usage


@pytest.fixture
def provider(home, monkeypatch):
    """One scripted model behind every engine that is assembled, in what looks like a notebook."""
    provider = ScriptedProvider("lab")
    provider.script("lab/x", "one two three")
    monkeypatch.setattr(
        "smartrouter_serve.assemble.build_engine",
        lambda settings, context=None: scripted_engine([provider], home=settings.home),
    )
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    yield provider
    shared.close()
    assert not any(thread.name == "smartrouter-loop" for thread in threading.enumerate())


def test_a_plain_script_shares_nothing(home):
    """`Router()` has an engine of its own, on the caller's loop."""
    assert not shared.in_notebook()
    assert not isinstance(Router().backend, shared.Share)


async def test_many_loops_one_engine(provider):
    """Threads, a loop a thread, and this one at once: every call is answered, by one engine."""
    answers: list[str] = []

    def blocking() -> None:
        answers.extend(Router().sync.route("hi", cache=False).text for _ in range(5))

    def looping() -> None:
        async def ask() -> None:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(Router().route("hi", cache=False)) for _ in range(5)]
            answers.extend(one.result().text for one in asked)

        asyncio.run(ask())

    threads = [threading.Thread(target=work) for work in (blocking, looping) * 3]
    for thread in threads:
        thread.start()
    answers.extend([(await Router().route("hi", cache=False)).text for _ in range(5)])
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0)
    assert answers == ["one two three"] * 35
    rows = await Router().query("usage", by="model")
    assert [row["calls"] for row in rows] == [35]
    assert [t.name for t in threading.enumerate()].count("smartrouter-ledger") == 1


async def test_events_keep_their_order(provider):
    """Over the hop between the loops, and errors keep their class."""
    events = [event async for event in Router().stream("hi")]
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["one ", "two ", "three"]


async def test_the_last_user_closes_the_engine(provider):
    """Not the first; and a router that was closed works again."""
    first, second = Router(), Router()
    await first.route("hi")
    await second.route("hi")
    await first.aclose()
    assert shared._notebook.is_open
    await second.aclose()
    assert not shared._notebook.is_open
    await first.route("hi", cache=False)
    assert shared._notebook.is_open
    assert len(provider.requests) == 2


@pytest.mark.parametrize("how", ["break", "aclose", "cancel", "timeout"])
async def test_leaving_a_relayed_stream_settles_it(provider, how):
    """However it is left, the upstream is cancelled and the money booked when it is left."""
    provider.script("lab/hang", [Chunk(text="one "), anyio.Event()])
    router, heard = Router(), asyncio.Event()

    async def follow(*, stop: bool = False) -> None:
        async with aclosing(router.stream("hi", model="lab/hang")) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    heard.set()
                    if stop:
                        break

    if how == "break":
        await follow(stop=True)
    elif how == "aclose":
        events = router.stream("hi", model="lab/hang")
        while not isinstance(await anext(events), TextDelta):
            pass
        await events.aclose()
    elif how == "cancel":
        task = asyncio.create_task(follow())
        await heard.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                task = asyncio.create_task(heard.wait())
                task.add_done_callback(lambda _: limit.reschedule(0))
                await follow()
    assert provider.under_way == 0
    assert provider.cancelled == 1
    rows = await router.query("usage", by="outcome")
    assert [(row["key"], row["calls"]) for row in rows] == [("cancelled", 1)]


def test_a_call_whose_loop_is_gone_is_cancelled(provider):
    """A loop that ends under its stream leaves nothing running."""
    provider.script("lab/hang", [Chunk(text="one "), anyio.Event()])

    async def leave_it() -> None:
        events = Router().stream("hi", model="lab/hang")
        while not isinstance(await anext(events), TextDelta):
            pass

    asyncio.run(leave_it())
    rows = Router().sync.query("usage", by="outcome")
    assert [row["key"] for row in rows] == ["cancelled"]
    assert provider.under_way == 0


def test_an_interrupt_before_the_work_began_does_not_hang(monkeypatch):
    """The loop is busy, the work has not started, and the person stops it."""
    free, started = threading.Event(), []

    async def work() -> None:
        started.append(1)

    def interrupted(self, timeout=None):
        monkeypatch.undo()
        free.set()
        raise KeyboardInterrupt

    background.loop().call_soon_threadsafe(free.wait)
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        background.run(work())


def test_an_interrupted_call_is_settled_before_it_is_told(monkeypatch):
    """What was used is booked when `KeyboardInterrupt` arrives."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    wait, calls = threading.Event.wait, []

    def interrupted(self, timeout=None):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return wait(self, timeout)

    background.loop()
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        background.run(work())
    monkeypatch.undo()
    assert ended == [1]


def test_the_loop_stays_for_a_router_with_its_own_engine(home):
    """And ends when that is closed; the next use starts another."""
    provider = ScriptedProvider("lab")
    provider.script("lab/x", "one")
    router = Router(backend=scripted_engine([provider], home=home))
    assert router.sync.route("hi").text == "one"
    shared.close()
    assert router.sync.route("hi", cache=False).text == "one"
    router.sync.close()
    shared.close()
    assert not any(thread.name == "smartrouter-loop" for thread in threading.enumerate())
    assert background.run(asyncio.sleep(0, "again")) == "again"
    background.stop()


PROMPT = "a very long prompt with sk-secret in it"
REPLY = Reply(
    id="r1",
    text="The capital of France is Paris. " * 9 + "\u202e\x1b[2J",
    model="lab/x",
    usage=Usage(input_tokens=5, output_tokens=7),
    cost_nanos=22_000,
    decision=Decision(model="lab/x", reason="cheap"),
)
BATTLE = Battle(
    id="b1",
    prompt=PROMPT,
    contestants=(Contestant(label="lab/x", model="lab/x", reply=REPLY),) * 2,
    winner="lab/x",
    cost_nanos=44_000,
)


def test_the_repr_is_short():
    """One line, without the prompt and without what drives a terminal; `print` gives the text."""
    assert repr(REPLY) == (
        "Reply('The capital of France is Paris. The capital of France is Par…', lab/x, $0.000022)"
    )
    assert repr(BATTLE) == "Battle(b1, 2 contestants, lab/x won, $0.000044)"
    assert repr(REPLY.decision) == "Decision(lab/x, balanced, chat, 0 candidates)"
    assert str(REPLY) == REPLY.text
    assert "\x1b" not in repr(
        Reply(
            **{n: getattr(REPLY, n) for n in ("id", "model", "usage", "decision")},
            text="\x1b[2J\u202e",
            cost_nanos=None,
        )
    )
    assert str(BATTLE) == repr(BATTLE)
