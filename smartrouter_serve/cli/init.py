"""`init`: ask for what is needed, and write a commented `smartrouter.toml`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from smartrouter_serve.config import FILE_NAME, load, parse_policy
from smartrouter_serve.errors import UsageError
from smartrouter_serve.providers.registry import ROWS
from smartrouter_serve.security.vault import Vault

_TEMPLATE = """# Smart Router. Every key, with its default: docs/configuration.md.

# The model that savings are measured against.
baseline = "openrouter/anthropic/claude-opus-4.6"

# cheap, balanced, best, fast, or a number from 0 (cheap) to 1 (best).
policy = "{policy}"

# A cell that may cost more than so many US dollars asks first.
# confirm_above = 0.05

{budget}
# Never send prompts to providers under these jurisdictions (ISO countries).
# [residency]
# deny = ["CN"]

# A provider's address in another region; keys are bound to a region.
# [providers.zhipu]
# base_url = "https://open.bigmodel.cn/api/paas/v4"

# A provider of your own that speaks OpenAI's API.
# [providers.mylab]
# kind = "openai-compatible"
# base_url = "http://127.0.0.1:8080/v1"
# api_key = "vault:mylab"        # or "env:NAME"
# models = ["mylab/llama-70b"]

# Its price, in dollars a million tokens; wins over every table.
# [prices."mylab/*"]
# input = 0.10
# output = 0.20

# A battle group of your own: %%arena -g mine
# [groups.mine]
# models = ["zhipu/glm-5", "local/smollm2-135m"]
"""
_BUDGET = """# At most so many US dollars a day, never passed.
[budgets.daily]
limit = {limit}
window = "day"
hard = true
"""
_NO_BUDGET = """# At most so many US dollars a day, never passed.
# [budgets.daily]
# limit = 5.00
# window = "day"
# hard = true
"""


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Ask nothing; take the defaults.")
@click.option("--path", type=click.Path(path_type=Path), default=Path(FILE_NAME))
def init(path: Path, *, yes: bool) -> None:
    """Write a commented smartrouter.toml."""
    if path.exists():
        if yes:
            raise UsageError(f"{path} exists.", "Remove it first, or give another --path.")
        click.confirm(f"{path} exists. Replace it?", abort=True)
    policy, limit = "balanced", ""
    if not yes:
        policy = click.prompt("Policy", default="balanced", value_proc=_policy)
        limit = click.prompt("Daily budget in US dollars (empty for none)", default="")
    text = _TEMPLATE.format(policy=policy, budget=_budget(limit))
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Give a --path in a folder of yours."
        ) from error
    settings = load(path)
    click.echo(f"wrote {path}")
    if not yes:
        _ask_for_keys(Vault(settings))
        click.echo("A local model needs no key: smartrouter local pull smollm2")
    click.echo("Check everything with: smartrouter doctor")


def _policy(text: str) -> str:
    try:
        return parse_policy(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _budget(limit: str) -> str:
    if not limit.strip():
        return _NO_BUDGET
    try:
        amount = Decimal(limit.strip().removeprefix("$"))
    except InvalidOperation as error:
        raise UsageError(
            f"{limit!r} is not an amount in dollars.", "Write 5 or 0.50, or nothing for none."
        ) from error
    if not amount.is_finite() or amount <= 0:
        raise UsageError("A budget is more than 0 dollars.", "Leave it empty for none.")
    return _BUDGET.format(limit=amount)


def _ask_for_keys(vault: Vault) -> None:
    for row in ROWS.values():
        if row.key_env and click.confirm(f"Have you a key for {row.title}?", default=False):
            click.echo(f"Keys: {row.keys_page}")
            vault.set(row.name, click.prompt("Key", hide_input=True).strip())
