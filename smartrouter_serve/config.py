"""Settings: `smartrouter.toml` and the environment, read once and passed down.

Precedence: an argument, then `SMARTROUTER_*` variables, then the file, then the defaults here.
This is the only module that reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)

from smartrouter_serve.errors import ConfigError, nearest
from smartrouter_serve.types import Think

FILE_NAME = "smartrouter.toml"
POLICIES = ("cheap", "balanced", "best", "fast")


def parse_policy(text: object) -> str:
    """Check a policy: one of `POLICIES` or a number from 0 (cheap) to 1 (best).

    Raises `ValueError` with the allowed values.
    """
    policy = str(text)
    if policy in POLICIES:
        return policy
    try:
        number = float(policy)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"policy {policy!r} is not one of {', '.join(POLICIES)} or 0..1")
    return policy


Policy = Annotated[str, BeforeValidator(parse_policy)]
Dollars = Annotated[
    Decimal, BeforeValidator(lambda v: Decimal(str(v)) if isinstance(v, float) else v)
]
"""A TOML float is read by its shortest form, so that 0.1 is a tenth."""


class _Source(NamedTuple):
    file: Path | None
    environment: dict[str, str]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderSettings(_Table):
    """`[providers.NAME]`: a known provider's changes, or a provider of your own."""

    kind: str = ""
    """`openai-compatible` or `ollama` for a provider of your own; empty for a known one."""
    base_url: str = ""
    """The address; every known provider's can be overridden."""
    api_key: SecretStr | None = None
    """`vault:NAME`, `env:NAME`, or the key itself."""
    models: tuple[str, ...] = ()
    """Model ids that this provider serves beside the catalog's."""
    context: int = Field(default=32768, gt=0)
    """Window of the models named here, in tokens."""
    max_output: int = Field(default=8192, gt=0)
    """Longest answer of the models named here, in tokens."""
    quality: float = Field(default=0.6, ge=0, le=1)
    """Prior quality of the models named here."""
    capabilities: tuple[str, ...] = ("tools", "json")
    """What the models named here can do: tools, images, json, json_schema, think, think_off."""
    jurisdiction: str = ""
    """ISO country whose law the provider is under, for `[residency]`."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request."""
    enabled: bool = True
    """False leaves the provider out."""


class PriceSettings(_Table):
    """`[prices."GLOB"]`: dollars a million tokens; wins over every table."""

    input: Dollars = Field(ge=0)
    """A million input tokens."""
    output: Dollars = Field(ge=0)
    """A million output tokens, thinking included."""
    cached_input: Dollars | None = Field(default=None, ge=0)
    """A million input tokens read from the provider's cache; the input price where left out."""
    cache_write: Dollars | None = Field(default=None, ge=0)
    """A million input tokens written to the provider's cache; the input price where left out."""


class BudgetSettings(_Table):
    """`[budgets.NAME]`: a limit on spend; without a filter it holds for everything."""

    limit: Dollars = Field(gt=0)
    """US dollars."""
    window: Literal["hour", "day", "week", "month", "total"] = "day"
    """Local calendar time; a week starts on Monday."""
    hard: bool = True
    """A hard budget is never passed; a soft one stops new calls once it is spent."""
    user: str = ""
    """Only spend of this user counts; empty for everybody's."""
    project: str = ""
    """Only spend of this project counts."""
    provider: str = ""
    """Only spend at this provider counts."""
    model: str = ""
    """Only spend on models of this glob counts: `zhipu/*`."""


class GroupSettings(_Table):
    """`[groups.NAME]`: a battle group."""

    models: tuple[str, ...] = Field(min_length=1)
    """Model names, each maybe with fixed parameters: `local/smollm2-135m@temperature=0`."""


class ResidencySettings(_Table):
    """`[residency]`: where prompts may go."""

    deny: tuple[str, ...] = ()
    """ISO countries: providers under these jurisdictions are never used."""


class LocalSettings(_Table):
    """`[local]`: the local models."""

    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 takes every core."""
    context: int = Field(default=8192, gt=0)
    """Window that a local model is opened with, at most its own, in tokens."""
    keep_alive: float = Field(default=15, ge=0)
    """Seconds that a local model stays in memory after its last user is gone."""


class ResilienceSettings(_Table):
    """`[resilience]`: patience and its limits."""

    deadline: float = Field(default=300, gt=0)
    """Seconds after which a call is given up."""
    connect_timeout: float = Field(default=10, gt=0)
    """Seconds that a connection may take."""
    first_token_timeout: float = Field(default=60, gt=0)
    """Seconds without a first token after which the next model is asked."""
    idle_timeout: float = Field(default=60, gt=0)
    """Seconds without another token after which a stream counts as cut."""
    attempts: int = Field(default=3, ge=1)
    """Tries at one model, the first included."""
    retry_share: float = Field(default=0.2, ge=0, le=1)
    """Retries allowed, as a share of all requests."""
    hedge: bool = False
    """Ask a second model when the first has no token after its own p95."""
    breaker_failures: int = Field(default=5, ge=1)
    """Failures in a row that open a model's circuit."""
    breaker_seconds: float = Field(default=30, gt=0)
    """How long an open circuit waits before it lets one call try."""


class Settings(_Table):
    """Everything that can be configured."""

    baseline: str = "openrouter/anthropic/claude-opus-4.6"
    """The model that savings are measured against."""
    policy: Policy = "balanced"
    """`cheap`, `balanced`, `best`, `fast` or a number from 0 (cheap) to 1 (best)."""
    think: Think = "off"
    """Thinking where a call does not say."""
    project: str = ""
    """Name that spend is booked under; empty takes the folder's name."""
    confirm_above: Dollars | None = Field(default=None, ge=0)
    """A cell that may cost more than so many US dollars (p90) asks first; left out: none asks."""
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    budgets: dict[str, BudgetSettings] = Field(default_factory=dict)
    groups: dict[str, GroupSettings] = Field(default_factory=dict)
    residency: ResidencySettings = ResidencySettings()
    local: LocalSettings = LocalSettings()
    resilience: ResilienceSettings = ResilienceSettings()

    _home: Path = PrivateAttr()
    _file: Path | None = PrivateAttr()
    _environment: dict[str, str] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Keep where the settings came from; made by hand they come from this process."""
        source = context if isinstance(context, _Source) else _Source(None, dict(os.environ))
        self._file, self._environment = source
        self._home = _home_of(source.environment)

    @property
    def home(self) -> Path:
        """The folder of all state: `SMARTROUTER_HOME`, else the user's data folder."""
        return self._home

    @property
    def file(self) -> Path | None:
        """The file that was read, if any."""
        return self._file

    def env(self, *names: str) -> str | None:
        """The first of these variables that was set and not empty when the settings were read."""
        return next((self._environment[n] for n in names if self._environment.get(n)), None)


def _home_of(environment: Mapping[str, str]) -> Path:
    given = environment.get("SMARTROUTER_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_data_dir("smartrouter"))


def find(environment: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file: `SMARTROUTER_CONFIG`, the working folder's, the user's; or none."""
    environment = os.environ if environment is None else environment
    if given := environment.get("SMARTROUTER_CONFIG"):
        return Path(given).expanduser()
    places = (Path.cwd() / FILE_NAME, Path(platformdirs.user_config_dir("smartrouter")) / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def notebook_path() -> str:
    """The path of the notebook that this kernel belongs to, where Jupyter tells it."""
    return os.environ.get("JPY_SESSION_NAME", "")


def in_cell() -> bool:
    """Whether a notebook's cell started this process: nobody can type into it then."""
    return "JPY_PARENT_PID" in os.environ


def fingerprint() -> tuple[Any, ...]:
    """What settings and keys depend on: when it changes, they are worth reading anew."""
    path = find()
    mine = {
        name: value
        for name, value in os.environ.items()
        if name.endswith("_API_KEY") or name.startswith("SMARTROUTER_") or name == "OLLAMA_HOST"
    }
    files = [path] if path else []
    files.append(_home_of(os.environ) / "keys.json")
    stamps = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    return (path, stamps, hash(frozenset(mine.items())))


def load(
    source: str | os.PathLike[str] | Settings | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings from a file, or find it; `overrides` win over everything.

    Raises `ConfigError`, with line and column for broken TOML and with the nearest known name for
    an unknown key.
    """
    if isinstance(source, Settings):
        return source
    environment = os.environ if environment is None else environment
    path = Path(source).expanduser() if source is not None else find(environment)
    data = _read(path) if path is not None else {}
    for name in ("baseline", "policy", "think", "project"):
        if value := environment.get(f"SMARTROUTER_{name.upper()}"):
            data[name] = value
    data.update(overrides)
    try:
        return Settings.model_validate(data, context=_Source(path, dict(environment)))
    except ValidationError as error:
        raise ConfigError(_explain(error, path), _REMEDY) from error


_REMEDY = (
    "Mend it, or write a new file with `smartrouter init`; docs/configuration.md has every key."
)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The configuration file {str(path)!r} cannot be read: {error.strerror}.",
            "Check SMARTROUTER_CONFIG, or write a file with `smartrouter init`.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8: byte {error.start} is wrong.", "Save the file as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", _REMEDY) from error


def _explain(error: ValidationError, path: Path | None) -> str:
    """One line for the first fault of a validation."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    file = f"{path}: " if path else ""
    if fault["type"] != "extra_forbidden":
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if "api_key" in fault["loc"] else f" = {fault['input']!r}"
        return f"{file}{where}{given} is wrong: {message}."
    known = _keys_at(fault["loc"][:-1])
    name = str(fault["loc"][-1])
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}."
    return f"{file}unknown key {where!r}; {hint}"


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The known keys of the table at `loc`."""
    table: Any = Settings
    for part in loc:
        if isinstance(table, type) and issubclass(table, BaseModel):
            table = table.model_fields[str(part)].annotation
        elif get_origin(table) is dict:
            table = get_args(table)[1]
    return sorted(getattr(table, "model_fields", ()))
