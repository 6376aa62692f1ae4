"""The local provider on real models: answers, limits, cancelling, and what is missing."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from smartrouter_serve import Router
from smartrouter_serve.config import Settings
from smartrouter_serve.engine.ports import Listed, Request
from smartrouter_serve.errors import ContextOverflow, Overloaded, TruncatedStream
from smartrouter_serve.processes import lives
from smartrouter_serve.providers import local
from smartrouter_serve.providers.catalog import load_catalog
from smartrouter_serve.providers.local import LocalProvider, store
from smartrouter_serve.providers.local.server import LlamaServer, Running
from tests.local.conftest import QWEN, SMOL, Given, link
from tests.local.hub import weights
from tests.providers.exchange import Heard, a_request, listen

pytestmark = [
    pytest.mark.model,
    # It is meant to outlive the object that started it.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]
MODELS = load_catalog().models
SMALLEST, MIDDLE = MODELS[f"local/{SMOL}"], MODELS[f"local/{QWEN}"]


def running(settings: Settings, name: str = SMOL) -> Running:
    """The process of a model that is loaded."""
    table = settings.local
    found = LlamaServer(
        settings.home, store.path(settings.home, name), table.context, table
    ).running()
    assert found is not None
    return found


def kill(server: Running) -> None:
    """Let a server crash."""
    process = psutil.Process(int(server.owner.partition(":")[0]))
    process.kill()
    process.wait(10)


async def how_it_ended(provider: LocalProvider, request: Request) -> str:
    """The finish of an answer, or its error as text, so that no traceback keeps what it opened."""
    try:
        return (await listen(provider, request)).finishes[0]
    except Overloaded as error:
        return str(error)


async def busy_slots(server: Running) -> int:
    """How many answers the server is writing."""
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
        answer = await client.get("/slots", headers={"authorization": f"Bearer {server.key}"})
    return sum(slot["is_processing"] for slot in answer.json())


async def test_a_real_answer_streams(smol: Path, provider: LocalProvider) -> None:
    """Many pieces, one finish, real usage; the time that loading took is told once."""
    pieces: list[float] = []
    loads: list[float] = []
    heard = Heard()
    request = a_request(SMALLEST, "Tell me about the sea.", max_tokens=40, temperature=0.0)
    async with provider.stream(request) as chunks:
        async for chunk in chunks:
            heard.hear(chunk)
            loads.append(chunk.load_seconds)
            pieces += [time.monotonic()] if chunk.text else []
    assert len(pieces) > 20
    assert pieces[-1] - pieces[0] > 0.1
    assert len(heard.text) > 60
    assert heard.finishes == ["length"]
    assert heard.usage is not None
    assert heard.usage.output_tokens == 40
    assert 10 < heard.usage.input_tokens < 60
    assert loads[0] > 0.05
    assert not any(loads[1:])


async def test_the_half_billion_adds_up(qwen: Path, provider: LocalProvider) -> None:
    """The model that is meant to be stronger than the smallest is: 17 + 25."""
    question = "What is 17 + 25? Answer with the number only."
    heard = await listen(provider, a_request(MIDDLE, question, max_tokens=20, temperature=0.0))
    assert "42" in heard.text
    assert heard.finishes == ["stop"]


async def test_options_reach_the_model(qwen: Path, settings: Settings) -> None:
    """JSON is JSON, a stop word stops and is not said."""
    first, second = LocalProvider(settings), LocalProvider(settings)
    try:
        about = "Give the capital of France as JSON with the key capital."
        as_json = {"type": "json_object"}
        heard = await listen(
            first,
            a_request(MIDDLE, about, max_tokens=60, temperature=0.0, response_format=as_json),
        )
        assert "Paris" in json.dumps(json.loads(heard.text))
        count = "Count from 1 to 9: write only the digits with spaces between them."
        heard = await listen(
            second, a_request(MIDDLE, count, max_tokens=40, temperature=0.0, stop=("5",))
        )
        assert "4" in heard.text
        assert "5" not in heard.text
        assert heard.finishes == ["stop"]
    finally:
        await first.aclose()
        await second.aclose()
        local.stop(settings)


async def test_ten_questions_in_a_row_are_all_answered(smol: Path, provider: LocalProvider) -> None:
    """llama.cpp closes the connection after a stream, whatever its headers say: nobody notices."""
    ends = [
        await how_it_ended(provider, a_request(SMALLEST, "Hi", max_tokens=2)) for _ in range(10)
    ]
    gc.collect()
    assert ends == ["length"] * 10


async def test_no_connection_pool_is_left_open(smol: Path, settings: Settings) -> None:
    """However the server ends, `aclose` closes all that was opened."""
    code = f"""
import anyio, gc, warnings
from pathlib import Path
from smartrouter_serve import config
from smartrouter_serve.errors import ProviderError
from smartrouter_serve.providers.local import LocalProvider, stop
from smartrouter_serve.providers.local.provider import LlamaServer
from tests.local.test_local_provider import SMALLEST, kill, running
from tests.providers.exchange import a_request, listen
settings = config.load(environment={{"SMARTROUTER_HOME": {str(settings.home)!r}}})
async def main():
    provider = LocalProvider(settings)
    await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    found = running(settings)
    kill(found)
    async def still_there(self):
        return found
    LlamaServer.ensure, kept = still_there, LlamaServer.ensure
    try:
        await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    except ProviderError as error:
        assert type(error).__name__ == "Overloaded", error
    LlamaServer.ensure = kept
    await provider.aclose()
anyio.run(main)
gc.collect()
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Unclosed" not in ran.stderr


async def test_a_second_kernel_finds_it_loaded_and_the_prompt_read(
    smol: Path, settings: Settings
) -> None:
    """Another provider uses the same process: no loading, and the prompt comes from its cache."""
    first, second = LocalProvider(settings), LocalProvider(settings)
    request = a_request(SMALLEST, "Tell me about the sea. " * 20, max_tokens=3)
    try:
        cold = await listen(first, request)
        server = running(settings)
        warm = await listen(second, request)
        assert running(settings) == server
    finally:
        await first.aclose()
        await second.aclose()
        local.stop(settings)
    assert warm.load_seconds < cold.load_seconds / 4
    assert cold.usage is not None
    assert warm.usage is not None
    assert cold.usage.cached_tokens == 0
    assert warm.usage.cached_tokens > 100
    assert warm.usage.input_tokens == cold.usage.input_tokens


async def test_a_prompt_past_the_window_is_told_as_that(smol: Path, settings_with: Given) -> None:
    """The window is the configured one, to the token's hundred: below it answers, above it tells."""
    settings = settings_with(context=1_024)
    first, second = LocalProvider(settings), LocalProvider(settings)
    try:
        heard = await listen(first, a_request(SMALLEST, "word " * 900, max_tokens=4))
        assert heard.usage is not None
        assert 900 < heard.usage.input_tokens < 1_024
        with pytest.raises(ContextOverflow, match="too long") as caught:
            await listen(second, a_request(SMALLEST, "word " * 1_100, max_tokens=4))
        assert "larger window" in caught.value.remedy
    finally:
        await first.aclose()
        await second.aclose()
        local.stop(settings)


async def test_an_endless_answer_ends_at_the_window(smol: Path, settings_with: Given) -> None:
    """Without a limit the window is the limit, and the answer says so."""
    settings = settings_with(context=256)
    provider = LocalProvider(settings)
    try:
        story = a_request(SMALLEST, "Write a very long story.", temperature=0.0)
        heard = await listen(provider, story)
    finally:
        await provider.aclose()
        local.stop(settings)
    assert heard.finishes == ["length"]
    assert heard.usage is not None
    assert 250 <= heard.usage.input_tokens + heard.usage.output_tokens <= 256


async def test_answers_at_once_have_a_window_each(smol: Path, settings_with: Given) -> None:
    """Four stories of nearly half a window are all told, at once or one after the other."""
    settings = settings_with(context=512)
    provider = LocalProvider(settings)
    ends: list[str] = []

    async def ask(number: int) -> None:
        story = f"Tell me a long story about the number {number}."
        request = a_request(SMALLEST, story, max_tokens=200, temperature=0.0)
        ends.append(await how_it_ended(provider, request))

    try:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(ask, number)
    finally:
        await provider.aclose()
        local.stop(settings)
    gc.collect()
    assert set(ends) <= {"length", "stop"}
    assert len(ends) == 4


async def test_short_answers_at_once_are_all_given(smol: Path, provider: LocalProvider) -> None:
    """More questions than slots: each gets its own answer of its own length."""
    lengths: dict[int, int] = {}

    async def ask(number: int) -> None:
        request = a_request(SMALLEST, f"Tell me about {number}.", max_tokens=number)
        heard = await listen(provider, request)
        assert heard.usage is not None
        lengths[number] = heard.usage.output_tokens

    async with anyio.create_task_group() as tasks:
        for number in range(2, 9):
            tasks.start_soon(ask, number)
    assert lengths == {number: number for number in range(2, 9)}


async def test_leaving_an_answer_stops_it_upstream(
    smol: Path, provider: LocalProvider, settings: Settings
) -> None:
    """The slot is free within a second; left alone the answer would take many."""
    story = a_request(SMALLEST, "Write a very long story.", max_tokens=1_500)
    async with provider.stream(story) as chunks, aclosing(chunks):
        async for chunk in chunks:
            if chunk.text:
                break
        assert await busy_slots(running(settings)) == 1
    with anyio.fail_after(1):
        while await busy_slots(running(settings)):
            await anyio.sleep(0.02)


# Not strict: a fast machine has read the whole prompt in that time.
async def test_a_cancel_while_the_prompt_is_read_stops_it_upstream(
    smol: Path, settings_with: Given
) -> None:
    """An interrupt before the first token ends the reading, too."""
    settings = settings_with(context=8_192)
    provider, other = LocalProvider(settings), LocalProvider(settings)
    try:
        await listen(other, a_request(SMALLEST, "Hi", max_tokens=1))
        server = running(settings)
        long = a_request(SMALLEST, "word " * 6_000, max_tokens=500)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, provider, long)
            with anyio.fail_after(10):
                while not await busy_slots(server):
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(20):
            while await busy_slots(server):
                await anyio.sleep(0.05)
    finally:
        await provider.aclose()
        await other.aclose()
        local.stop(settings)


async def test_a_crash_in_mid_answer_is_a_cut_stream_and_mended_by_the_next(
    smol: Path, provider: LocalProvider, settings: Settings
) -> None:
    """What had arrived stays, the error can be retried, and the next call has a new process."""
    heard = Heard()
    story = a_request(SMALLEST, "Write a very long story.", max_tokens=1_500)
    with pytest.raises(TruncatedStream):
        async with provider.stream(story) as chunks:
            async for chunk in chunks:
                heard.hear(chunk)
                if len(heard.text) > 20:
                    kill(running(settings))
    assert len(heard.text) > 20
    assert heard.finishes == []
    again = await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    assert again.finishes == ["length"]
    assert again.load_seconds > 0.05


async def test_a_crash_between_answers_is_not_noticed(
    smol: Path, provider: LocalProvider, settings: Settings
) -> None:
    """The next call starts it anew and answers."""
    await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    kill(running(settings))
    heard = await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    assert heard.finishes == ["length"]


async def test_a_model_that_does_not_start_lets_another_one_answer(
    provider: LocalProvider, settings: Settings
) -> None:
    """A broken file is a fault of the provider's, which the engine falls back from."""
    store.folder(settings.home).mkdir(exist_ok=True)
    store.path(settings.home, SMOL).write_bytes(weights(10_000))
    with pytest.raises(Overloaded, match="did not start") as caught:
        await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    assert caught.value.fall_back
    assert f"{SMOL}.log" in caught.value.remedy


async def test_closing_ends_the_process_soon(smol: Path, settings: Settings) -> None:
    """A closed provider holds nothing in memory past keep-alive."""
    provider = LocalProvider(settings)
    await listen(provider, a_request(SMALLEST, "Hi", max_tokens=2))
    server = running(settings)
    await provider.aclose()
    with anyio.fail_after(settings.local.keep_alive + 3):
        while lives(server.owner):
            await anyio.sleep(0.05)


async def test_closing_one_provider_leaves_the_other_its_process(
    smol: Path, settings: Settings
) -> None:
    """Two routers in one kernel: the end of one does not cut the answer of the other."""
    first, second = LocalProvider(settings), LocalProvider(settings)
    try:
        await listen(second, a_request(SMALLEST, "Hi", max_tokens=2))
        async with first.stream(a_request(SMALLEST, "Hi", max_tokens=2)) as chunks:
            await second.aclose()
            async for _ in chunks:
                pass
        server = running(settings)
        with anyio.move_on_after(settings.local.keep_alive + 2):
            while lives(server.owner):
                await anyio.sleep(0.05)
        assert lives(server.owner)
    finally:
        await first.aclose()
        local.stop(settings)


async def test_what_is_missing_is_told_with_the_way_out(
    settings: Settings, smol_file: Path, monkeypatch
) -> None:
    """Not installed, not downloaded with its size, and nothing once it is here."""
    provider = LocalProvider(settings)
    hint = provider.missing(SMALLEST)
    assert hint == f"not downloaded: `smartrouter local pull {SMOL}` (98 MB)"
    link(smol_file, settings.home)
    assert LocalProvider(settings).missing(SMALLEST) == ""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert "pip install 'smartrouter-serve[local]'" in LocalProvider(settings).missing(SMALLEST)


async def test_the_list_holds_what_was_pulled(
    provider: LocalProvider, settings: Settings, smol: Path
) -> None:
    """A file of one's own is a model by its name; a piece of a download is none."""
    (store.folder(settings.home) / "half.part").write_bytes(b"GGUF")
    store.path(settings.home, "mine").write_bytes(b"GGUF")
    assert await provider.models() == (Listed(name="mine"), Listed(name=SMOL))


async def test_a_probe_says_how_to_get_a_model(provider: LocalProvider, smol_file: Path) -> None:
    """Without a model it names the command; with one it is well."""
    with pytest.raises(Overloaded) as caught:
        await provider.probe()
    assert "smartrouter local pull smollm2" in caught.value.remedy


async def test_a_probe_is_well_with_a_model(smol: Path, provider: LocalProvider) -> None:
    """A pulled model is enough; nothing is loaded for it."""
    await provider.probe()


async def test_a_file_of_ones_own_can_be_asked(smol_file: Path, settings: Settings) -> None:
    """`smartrouter local pull FILE.gguf` says that `local/STEM` is ready: it is."""
    link(smol_file, settings.home).rename(store.path(settings.home, "mine"))
    try:
        async with Router(config=settings) as router:
            reply = await router.route("Hello", model="local/mine", max_tokens=3)
        assert reply.model == "local/mine"
        assert reply.cost == 0
    finally:
        local.stop(settings)


async def test_the_router_answers_without_a_key(smol: Path, settings: Settings) -> None:
    """The whole engine over a real model: free, measured, and in the ledger."""
    try:
        async with Router(config=settings) as router:
            reply = await router.route("Say hello.", model=f"local/{SMOL}", max_tokens=8)
    finally:
        local.stop(settings)
    assert reply.model == f"local/{SMOL}"
    assert reply.text
    assert reply.cost == 0
    assert reply.usage.output_tokens <= 8


def test_the_kernel_does_not_load_llama_cpp(smol: Path, settings: Settings) -> None:
    """Asking a local model leaves its weights and its library in the other process."""
    code = f"""
import sys, anyio
from smartrouter_serve import config
from smartrouter_serve.providers.local import LocalProvider, stop
assert "httpx" not in sys.modules, "importing the provider imports the HTTP client"
from tests.providers.exchange import a_request, listen
settings = config.load(environment={{"SMARTROUTER_HOME": {str(settings.home)!r}}})
async def main():
    provider = LocalProvider(settings)
    await listen(provider, a_request("local/{SMOL}", "Hi", max_tokens=2))
    await provider.aclose()
anyio.run(main)
stop(settings)
assert "xllamacpp" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, timeout=60
    )
