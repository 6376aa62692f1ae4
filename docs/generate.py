"""Write the pages that the code tells, so that they cannot say anything else."""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from smartrouter_serve import config
from smartrouter_serve.magics import commands
from smartrouter_serve.magics.help import describe
from smartrouter_serve.magics.magics import SmartRouterMagics
from smartrouter_serve.providers.registry import ROWS

FOLDER = Path(__file__).parent
_INTRODUCTION = """# Configuration

Written from the code by `make docs`; do not edit it by hand.

`smartrouter.toml` is looked for in the working folder, then in the user's configuration folder;
`SMARTROUTER_CONFIG` names another file. `smartrouter init` writes a commented one. Precedence: an
argument, then `SMARTROUTER_*` variables (`BASELINE`, `POLICY`, `THINK`, `PROJECT`), then the file. An
unknown key is an error that names the nearest known one.

`SMARTROUTER_HOME` moves all state: the ledger, pulled models, keys. `SMARTROUTER_PASSPHRASE` protects
the key file by a passphrase instead of a second file; `SMARTROUTER_KEYRING=off` keeps keys out of the
system keyring.
"""


def field_docs(cls: type[BaseModel]) -> dict[str, str]:
    """The docstrings that stand under a class's fields."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for one, two in zip(body.body, body.body[1:], strict=False):
        if isinstance(one, ast.AnnAssign) and isinstance(two, ast.Expr):
            value = two.value
            if isinstance(value, ast.Constant) and isinstance(one.target, ast.Name):
                docs[one.target.id] = " ".join(str(value.value).split())
    return docs


def default(field: FieldInfo) -> str:
    """A field's default as TOML writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def table(cls: type[BaseModel]) -> str:
    """The keys of one table that are values."""
    docs = field_docs(cls)
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in cls.model_fields.items():
        if nested(field.annotation) is None:
            lines.append(f"| `{name}` | {default(field)} | {docs.get(name, '')} |")
    return "\n".join(lines)


def nested(annotation: Any) -> type[BaseModel] | None:
    """The table that a key holds, or holds by name."""
    if get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def keys_table() -> str:
    """Which variables hold which provider's key."""
    lines = ["| provider | key | address | other regions |", "|---|---|---|---|"]
    for row in ROWS.values():
        regions = ", ".join(f"{place}: `{url}`" for place, url in row.regions.items())
        keys = " or ".join(f"`{name}`" for name in row.key_env) or "none"
        lines.append(f"| `{row.name}` | {keys} | `{row.base_url or 'this machine'}` | {regions} |")
    return "\n".join(lines)


def configuration() -> str:
    """Every key of `smartrouter.toml`."""
    parts = [_INTRODUCTION, "## Top level\n", table(config.Settings), ""]
    for name, field in config.Settings.model_fields.items():
        inner = nested(field.annotation)
        if inner is not None:
            by_name = ".NAME" if get_origin(field.annotation) is dict else ""
            text = inspect.getdoc(inner) or ""
            parts += [f"## `[{name}{by_name}]`\n", f"{text}\n", table(inner), ""]
    parts += [
        "## Keys\n",
        (
            "From `api_key` in the provider's table, else one of these variables, else the vault "
            "(`smartrouter keys set NAME`). `OLLAMA_HOST` is read as Ollama reads it.\n"
        ),
        keys_table(),
        "",
    ]
    return "\n".join(parts)


_OPTIONS = """# Options of the magics

Written from the code by `make docs`; do not edit it by hand. A cell prints the same with `%%route?`,
and Tab offers options, values and names.
"""


def options() -> str:
    """Every option of every magic, and the words of `%smartrouter`."""
    parts = [_OPTIONS]
    for name in ("route", "arena", "costs"):
        parser = getattr(SmartRouterMagics, name).parser
        parts.append(f"## {_heading(name)}\n")
        for group in parser._action_groups:  # noqa: SLF001
            rows = [describe(action) for action in group._group_actions]  # noqa: SLF001
            if rows:
                told = [
                    f"| `{_cell(r.option)}` | {_cell(r.text)} | `{_cell(r.example)}` |"
                    for r in rows
                ]
                head = f"| {group.title.lower()} | | example |\n|---|---|---|\n"
                parts.append(head + "\n".join(told) + "\n")
    words = [f"| `{_cell(line)}` | {_cell(said)} |" for line, said in commands.lines()]
    return "\n".join([*parts, "## All magics\n", "| write | what it does |\n|---|---|", *words, ""])


def _heading(name: str) -> str:
    parser = getattr(SmartRouterMagics, name).parser
    cell = any(not action.option_strings for action in parser._actions)  # noqa: SLF001
    return f"`%%{name}` and `%{name}`" if cell else f"`%{name}`"


def _cell(text: str) -> str:
    """Text inside a table."""
    return text.replace("|", "\\|")


_FRONT_ENDS = """# Front ends

Written from `docs/frontends.toml` by `make docs`; do not edit it by hand. What was not tried says so.

| front end | what happens | tested by |
|---|---|---|
"""


def front_ends() -> list[dict[str, Any]]:
    """The rows of the table of front ends."""
    rows: list[dict[str, Any]] = tomllib.loads((FOLDER / "frontends.toml").read_text("utf-8"))[
        "row"
    ]
    return rows


def front_end_table() -> str:
    """What a cell does where, and which test saw it."""
    lines = [
        f"| {row['front_end']} | {row['behaviour']} | "
        f"{', '.join(f'`{_cell(test)}`' for test in row['tested_by']) or 'not tried'} |"
        for row in front_ends()
    ]
    return _FRONT_ENDS + "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "options.md": options,
    "frontends.md": front_end_table,
}


if __name__ == "__main__":
    for page, write in PAGES.items():
        (FOLDER / page).write_text(write(), "utf-8")
        sys.stdout.write(f"wrote {page}\n")
