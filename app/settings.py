"""The settings of the service, from ``ENCORE_*`` variables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.comma_lists import Areas, Hosts, Origins
from app.errors import InvalidSettings
from app.events.event_types import DEFAULT_RULES, EventRules
from app.hosts import ANY, is_loopback
from app.recommend.newcomer_rules import DEFAULT_NEWCOMER_RULES, NewcomerRules
from app.store.address import check_url
from app.store.deadlines import Deadlines
from app.variables import PREFIX, check_spelling, describe, flag, variable

__all__ = ["Settings", "check_variables", "flag", "load_event_rules", "load_settings", "variable"]


class _FromVariables(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)


class Settings(_FromVariables):
    """The settings, each from one variable; an empty variable counts as unset."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; one that other machines can reach needs an API key.",
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="Port to listen on; 0 takes a free one, which the start line names.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Key that protected calls need in the header X-API-Key; printable ASCII.",
    )
    allow_unauthenticated: bool = Field(
        default=False,
        description="Lets the service listen beyond loopback without a key: everyone who reaches "
        "it may then administer it. With a key set it has no effect.",
    )
    protect: Areas = Field(
        default=(),
        description="What wants the key as well, beside calls that write or show a person's data: "
        "reads (lists and other calls that read), metrics, docs; several with commas.",
    )
    allowed_hosts: Hosts = Field(
        default=(),
        description="Hosts that requests may name in the headers Host and Origin, in addition to "
        "localhost and loopback addresses: names, addresses, *.example.org, or * for any; "
        "separated by commas. Unset: any host with a key, no other without one.",
    )
    cors_origins: Origins = Field(
        default=(),
        description="Origins of web pages that may call the service from a browser, as "
        "https://example.org, or * for any, which needs a key; several with commas.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Worker processes; they share the model's pages in memory.",
    )
    models: Path = Field(
        default=Path("models"),
        description="Folder of published models, which training writes and the service follows.",
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///encore.db"),
        description="Where events are stored: sqlite:///FILE (sqlite:////FILE for an absolute "
        "path), or postgresql://USER:PASSWORD@HOST:PORT/DATABASE, which several hosts may share.",
    )
    store_read_seconds: float = Field(
        default=0.5,
        ge=0.05,
        le=60,
        allow_inf_nan=False,
        description="Seconds in which the event store has to answer questions that lists wait for; "
        "after that lists come from the model and from cached events.",
    )
    store_write_seconds: float = Field(
        default=5.0,
        ge=0.05,
        le=60,
        allow_inf_nan=False,
        description="Seconds in which events have to be stored, counted from when they come in; "
        "after that they are refused with 503.",
    )
    state: Path | None = Field(
        default=None,
        description="Folder for a file with the erased users (as hashes) and the unavailable "
        "artists, which the service reads if it starts while the event store is unreachable. "
        "Unset: the host's shared memory, which a restart of the machine empties.",
    )
    play_units: float = Field(
        default=DEFAULT_RULES.play,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="What a play counts for, in units of the model; P plays of an artist count "
        "for log2(1 + P) times as much.",
    )
    like_units: float = Field(
        default=DEFAULT_RULES.like,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="What a like counts for, in units of the model.",
    )
    skip_units: float = Field(
        default=DEFAULT_RULES.skip,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="What each skip takes away, in units of the model.",
    )
    skip_days: float = Field(
        default=DEFAULT_RULES.skip_days,
        ge=0,
        le=3650,
        allow_inf_nan=False,
        description="Days for which a skip hides the artist from its user.",
    )
    new_artist_listeners: int = Field(
        default=DEFAULT_NEWCOMER_RULES.min_listeners,
        ge=1,
        le=1000,
        description="Listeners that a new artist, known from events only, needs to get into lists "
        "before the next training.",
    )
    new_artist_length: float = Field(
        default=DEFAULT_NEWCOMER_RULES.length_quantile,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How high such an artist may rank: the length of its vector, as a quantile of "
        "the lengths of established artists' vectors.",
    )
    poll_seconds: float = Field(
        default=0.5,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds between two looks of a worker at models/current and at its files.",
    )
    verify_bytes: ByteSize = Field(
        default=ByteSize(256 * 2**20),
        ge=0,
        description="Models up to this size are verified at once before they serve, larger ones in "
        "the background while another one serves; in bytes, or with a unit as in 256MiB.",
    )
    max_body_bytes: ByteSize = Field(
        default=ByteSize(4 * 2**20),
        ge=1,
        description="Largest request body; in bytes, or with a unit as in 4MiB.",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Connections at once, for each worker; further clients get 503, except calls "
        "of /health and /metrics.",
    )
    head_seconds: float = Field(
        default=15.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds in which the head of a request has to be complete, from the "
        "connection or from its first byte on.",
    )
    body_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Longest pause in seconds while a body is sent; all of it may take this long "
        "and a second more for each 1000 bytes.",
    )
    send_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Longest pause in seconds while a client reads an answer; all of it may take "
        "this long and a second more for each 1000 bytes.",
    )
    keep_alive_seconds: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds for which a connection may wait for its next request; longer than "
        "the idle time of the proxy in front.",
    )
    shutdown_seconds: int = Field(
        default=10,
        ge=1,
        le=3600,
        description="Seconds that requests have after SIGTERM; those without an answer get 503 "
        "then.",
    )
    live_queue: int = Field(
        default=128,
        ge=1,
        le=100_000,
        description="Requests that may wait for live scoring at once, for each worker, of short "
        "lists and of long ones each; more are refused with 503.",
    )
    live_wait_seconds: float = Field(
        default=0.5,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Seconds that a request may wait for live scoring before it is refused "
        "with 503.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least serious messages that are logged; debug also logs every request.",
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("api_key")
    @classmethod
    def _is_sendable(cls, key: SecretStr | None) -> SecretStr | None:
        # A header can carry no other characters safely, so another key could never be sent.
        if key and not all("!" <= character <= "~" for character in key.get_secret_value()):
            raise ValueError("expected printable ASCII characters without spaces")
        return key

    @field_validator("database_url")
    @classmethod
    def _names_a_store(cls, url: SecretStr) -> SecretStr:
        check_url(url.get_secret_value())
        return url

    @field_validator("state")
    @classmethod
    def _can_be_written(cls, folder: Path | None) -> Path | None:
        if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise ValueError("expected a folder that is there and can be written to")
        return folder

    @model_validator(mode="after")
    def _is_guarded(self) -> Settings:
        if self.api_key or self.allow_unauthenticated or is_loopback(self.host):
            return self
        raise ValueError(
            f"{PREFIX}HOST is {self.host!r}, which other machines may reach, and no "
            f"{PREFIX}API_KEY is set. Set a key, listen on 127.0.0.1, or accept that everyone "
            f"may administer the service with {PREFIX}ALLOW_UNAUTHENTICATED=true"
        )

    @model_validator(mode="after")
    def _has_the_key_that_it_wants(self) -> Settings:
        if self.api_key:
            return self
        if self.protect:
            raise ValueError(
                f"{PREFIX}PROTECT is {','.join(self.protect)!r}, and no {PREFIX}API_KEY is set, "
                "so nobody could call what it names. Set a key, or leave it out"
            )
        if ANY in self.cors_origins:
            raise ValueError(
                f"{PREFIX}CORS_ORIGINS is '*', and no {PREFIX}API_KEY is set, so every web page "
                "that somebody opens could administer the service. Set a key, or name the origins"
            )
        return self

    @property
    def newcomer_rules(self) -> NewcomerRules:
        """How new artists get into lists."""
        return NewcomerRules(
            min_listeners=self.new_artist_listeners, length_quantile=self.new_artist_length
        )

    @property
    def deadlines(self) -> Deadlines:
        """How long the service waits for the event store."""
        return Deadlines(self.store_read_seconds, self.store_write_seconds)

    @property
    def event_rules(self) -> EventRules:
        """How many units each type of event counts."""
        return _event_rules(self)


_SECRETS: Final = frozenset({"api_key", "database_url"})
# The setting of each event rule.
_RULE_SETTINGS: Final = {
    "play": "play_units",
    "like": "like_units",
    "skip": "skip_units",
    "skip_days": "skip_days",
}
if _RULE_SETTINGS.keys() != {rule.name for rule in fields(EventRules)}:
    raise TypeError("each field of EventRules needs a setting in _RULE_SETTINGS")
_RULE_FIELDS: Final[dict[str, Any]] = {
    name: (Settings.model_fields[name].annotation, Settings.model_fields[name])
    for name in _RULE_SETTINGS.values()
}
# These settings only, for programs that count events without running a service.
_RuleSettings: Final = create_model("_RuleSettings", __base__=_FromVariables, **_RULE_FIELDS)


def _event_rules(settings: BaseSettings) -> EventRules:
    return EventRules(**{rule: getattr(settings, name) for rule, name in _RULE_SETTINGS.items()})


def check_variables() -> Sequence[str]:
    """Returns the names beginning with ``ENCORE_`` that nothing reads.

    Raises:
        InvalidSettings: a name is misspelt; the message has a line for each.
    """
    spelling = check_spelling(os.environ, map(variable, Settings.model_fields))
    if spelling.misspelt:
        raise InvalidSettings("\n".join(spelling.misspelt))
    return spelling.unknown


def load_settings() -> Settings:
    """Reads the settings from the environment.

    Raises:
        InvalidSettings: a setting is misspelt or invalid, or two contradict each other; the message
            has a line for each.
    """
    check_variables()
    with _described():
        return Settings()


def load_event_rules() -> EventRules:
    """Reads the event rules, and no other setting, from the environment.

    Raises:
        InvalidSettings: a rule is invalid; the message has a line for each.
    """
    with _described():
        return _event_rules(_RuleSettings())


@contextmanager
def _described() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        lines = [describe(entry, _SECRETS) for entry in error.errors(include_url=False)]
        raise InvalidSettings("\n".join(lines)) from None  # its cause would show the key
