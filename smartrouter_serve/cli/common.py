"""What the commands share: a router that closes, output as JSON or a table, files of prompts."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from smartrouter_serve.calls import Call, Event
from smartrouter_serve.client import Router, SyncRouter
from smartrouter_serve.errors import UsageError
from smartrouter_serve.providers.catalog import configured_catalog
from smartrouter_serve.widgets.bundle import Bundle
from smartrouter_serve.widgets.terminal import clean
from smartrouter_serve.widgets.tty import colorless, on_terminal

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@contextmanager
def router() -> Iterator[SyncRouter]:
    """A router of this configuration, closed at the end."""
    found = Router()
    try:
        yield found.sync
    finally:
        found.sync.close()


_TICK = 0.05
"""Seconds without an event after which a screen is drawn, and an interrupt noticed."""
_INTERRUPTED = 130


@contextmanager
def stoppable() -> Iterator[None]:
    """Let an interrupt end the command in one line, with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        note("stopped; what was used is in `smartrouter usage`")
        sys.exit(_INTERRUPTED)


@contextmanager
def following(found: SyncRouter, call: Call) -> Iterator[Iterator[Event | None]]:
    """The events of a call, and None whenever nothing comes for a while.

    Ctrl-C raises between two of them, so that nothing drawn is torn in the middle; then the call
    is cancelled and settled. A second Ctrl-C does not wait for that.
    """
    source = found.ticking(call, _TICK)
    presses = 0

    def press(*_: object) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt

    def events() -> Iterator[Event | None]:
        for event in source:
            if presses:
                raise KeyboardInterrupt
            yield event

    before = signal.getsignal(signal.SIGINT)
    ours = before is signal.default_int_handler
    if ours:  # in the background of a script an interrupt may be ignored, and stays so
        signal.signal(signal.SIGINT, press)
    try:
        yield events()
    finally:
        if presses > 1:
            os._exit(_INTERRUPTED)
        try:
            source.close()
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)
        if ours:
            signal.signal(signal.SIGINT, before)


def note(text: str) -> None:
    """Say something beside the answer, on standard error, quietly."""
    text = clean(text)
    dim = on_terminal(sys.stderr) and not colorless()
    click.echo(click.style(text, dim=True) if dim else text, err=True)


@contextmanager
def single_keys() -> Iterator[Callable[[], str]]:
    """Read keys one by one, without an echo; what was typed before is dropped."""
    if sys.platform == "win32":
        yield click.getchar
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield lambda: os.read(keyboard, 1).decode("latin-1")
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


_UNSAFE = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def dumps(data: Any) -> str:
    """JSON for people: other scripts as they are, what could steer a terminal as its escape."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def show(data: Any, bundle: Bundle, *, as_json: bool) -> None:
    """Print data as JSON, or its table."""
    click.echo(dumps(data) if as_json else bundle.text)


def read_stdin() -> str:
    """Standard input as text.

    Raises `UsageError` where it is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"Standard input is not UTF-8: byte {error.start} is wrong.",
            "Convert it first: iconv -f latin1 -t utf-8.",
        ) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file with a `prompt` each.

    Raises `UsageError` with the number of the line that is wrong.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: byte {error.start} is wrong.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    rows = []
    # Not `splitlines`: JSON may hold U+2028 and U+0085, which are no ends of its lines.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: not JSON ({error}).") from error
        prompt = row.get("prompt") if isinstance(row, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            fault = 'no "prompt"' if not isinstance(prompt, str) else "the prompt is empty"
            raise UsageError(
                f"{path}, line {number}: {fault}.", 'Each line is an object with a "prompt".'
            )
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} holds no line.", 'Each line is an object with a "prompt".')
    return rows


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSONL file, whole or not at all."""
    draft = path.with_name(f"{path.name}.tmp")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Give a path in a folder of yours."
        ) from error


def complete_model(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Model names that begin as what was typed, by id or by their last part."""
    return [
        name
        for name in configured_catalog().models
        if name.startswith(incomplete) or name.rpartition("/")[2].startswith(incomplete)
    ]


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The same for the last name of a list that commas join."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in complete_model(ctx, param, last)]


def complete_group(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Battle groups."""
    return [name for name in configured_catalog().groups if name.startswith(incomplete.lower())]
