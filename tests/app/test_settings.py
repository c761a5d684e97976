from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.__main__ import main, shown_default
from app.errors import InvalidSettings
from app.events.event_types import DEFAULT_RULES, EventRules
from app.hosts import is_loopback
from app.settings import (
    Settings,
    flag,
    load_event_rules,
    load_settings,
    variable,
)

ROOT = Path(__file__).parents[2]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ENCORE_"):
            monkeypatch.delenv(name)
    # main() writes flags into the environment: let that end with the test.
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_the_defaults_serve_this_machine_only() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.models == Path("models")
    assert settings.api_key is None
    assert (settings.max_body_bytes, settings.verify_bytes) == (2**22, 2**28)


@pytest.mark.parametrize("folder", ["/nonexistent/folder", "/proc/version"])
def test_a_folder_for_the_state_has_to_be_one(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("ENCORE_STATE", folder)
    with pytest.raises(
        InvalidSettings, match=r"ENCORE_STATE is .* expected a folder that is there"
    ):
        load_settings()


def test_variables_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCORE_PORT", "8001")
    monkeypatch.setenv("ENCORE_MODELS", "/srv/models")
    monkeypatch.setenv("ENCORE_VERIFY_BYTES", "2GiB")
    monkeypatch.setenv("ENCORE_LOG_LEVEL", "WARNING")
    settings = load_settings()
    assert (settings.port, settings.models) == (8001, Path("/srv/models"))
    assert (settings.verify_bytes, settings.log_level) == (2**31, "warning")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(variable(name), "")
    assert load_settings() == Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ENCORE_PORT", "eighty", "a valid integer"),
        ("ENCORE_PORT", "65536", "less than or equal to 65535"),
        ("ENCORE_PORT", "-1", "greater than or equal to 0"),
        ("ENCORE_WORKERS", "0", "greater than or equal to 1"),
        ("ENCORE_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("ENCORE_POLL_SECONDS", "0", "greater than 0"),
        ("ENCORE_POLL_SECONDS", "nan", "finite number"),
        ("ENCORE_VERIFY_BYTES", "12XB", "could not interpret byte unit"),
        ("ENCORE_MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("ENCORE_ALLOW_UNAUTHENTICATED", "perhaps", "a valid boolean"),
        ("ENCORE_PROTECT", "read", "reads, metrics, docs, found 'read'; did you mean reads?"),
        ("ENCORE_PROTECT", "docs,metric", "found 'metric'; did you mean metrics?"),
        ("ENCORE_PROTECT", "everything", "expected reads, metrics, docs, found 'everything'"),
        ("ENCORE_PROTECT", "reads metrics", "found 'reads metrics'"),
        ("ENCORE_ALLOWED_HOSTS", "serve,http://a", "'http://a' is no host"),
        ("ENCORE_CORS_ORIGINS", "https://a.example/", "without a slash at the end"),
    ],
)
def test_a_bad_value_is_named_with_the_expected_one(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name} is '{value}': ")
    assert expected in str(caught.value)


def test_each_bad_value_has_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCORE_PORT", "x")
    assert main(["--workers", "y"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(":")[1] for line in printed.err.splitlines()] == [
        " ENCORE_PORT is 'x'",
        " ENCORE_WORKERS is 'y'",
    ]


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCORE_API_KEY", "k")
    monkeypatch.setenv("ENCORE_PROTECT", " Docs, reads ,,docs")
    monkeypatch.setenv("ENCORE_ALLOWED_HOSTS", "Serve,*.example.org,[::1]")
    monkeypatch.setenv("ENCORE_CORS_ORIGINS", "https://A.example:443,http://localhost:1")
    settings = load_settings()
    assert settings.protect == ("docs", "reads")
    assert settings.allowed_hosts == ("serve", "*.example.org", "::1")
    assert settings.cors_origins == ("https://a.example", "http://localhost:1")
    for name in ("PROTECT", "ALLOWED_HOSTS", "CORS_ORIGINS"):
        monkeypatch.setenv(f"ENCORE_{name}", " , ")
    settings = load_settings()
    assert settings.protect == settings.allowed_hosts == settings.cors_origins == ()


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("ENCORE_PROTECT", "reads,docs", "Set a key, or leave it out"),
        ("ENCORE_CORS_ORIGINS", "*", "Set a key, or name the origins"),
    ],
)
def test_what_makes_no_sense_without_a_key_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    hint: str,
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENCORE_ALLOW_UNAUTHENTICATED", "true")
    for key in ("", None):
        if key is None:
            monkeypatch.delenv("ENCORE_API_KEY")
        else:
            monkeypatch.setenv("ENCORE_API_KEY", key)
        assert main([]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith(f"error: {name} is {value!r}, and no ENCORE_API_KEY is set")
        assert hint in printed
    monkeypatch.setenv("ENCORE_API_KEY", "k")
    load_settings()


@pytest.mark.parametrize("key", ["with space", "new\nline", "schlüssel"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCORE_API_KEY", key)
    assert main([]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ENCORE_API_KEY is **********: expected printable ASCII")
    assert key not in printed


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "example.org"])
def test_listening_for_others_wants_a_key(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ENCORE_HOST", host)
    with pytest.raises(InvalidSettings, match="no ENCORE_API_KEY is set") as caught:
        load_settings()
    assert "ENCORE_ALLOW_UNAUTHENTICATED=true" in str(caught.value)
    monkeypatch.setenv("ENCORE_ALLOW_UNAUTHENTICATED", "true")
    assert load_settings().host == host
    monkeypatch.setenv("ENCORE_ALLOW_UNAUTHENTICATED", "")
    monkeypatch.setenv("ENCORE_API_KEY", "k")
    assert load_settings().host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    assert Settings(host=host).api_key is None


def test_help_shows_every_setting_with_its_variable_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name, info in Settings.model_fields.items():
        assert info.description
        assert info.description in text
        if name in ("api_key", "database_url"):  # a command line is readable by others
            assert variable(name) in text
            assert flag(name) not in text
        else:
            assert flag(name) in text
            assert f"[{variable(name)}, default {shown_default(info)}]" in text


def test_each_rule_of_events_has_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().event_rules == load_event_rules() == DEFAULT_RULES
    values = {"PLAY_UNITS": "1.5", "LIKE_UNITS": "2.5", "SKIP_UNITS": "3.5", "SKIP_DAYS": "4.5"}
    for name, value in values.items():
        monkeypatch.setenv(f"ENCORE_{name}", value)
    rules = EventRules(play=1.5, like=2.5, skip=3.5, skip_days=4.5)
    assert Settings().event_rules == load_event_rules() == rules


def test_the_rules_of_events_do_not_depend_on_other_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENCORE_HOST", EVERYWHERE)
    monkeypatch.setenv("ENCORE_PORT", "none")
    assert load_event_rules() == DEFAULT_RULES
    monkeypatch.setenv("ENCORE_SKIP_DAYS", "-1")
    with pytest.raises(InvalidSettings, match=r"^ENCORE_SKIP_DAYS is '-1': expected [^\n]*$"):
        load_event_rules()


def test_the_docs_list_every_setting_with_its_default_and_sentence() -> None:
    lines = (ROOT / "docs" / "settings.md").read_text().splitlines()
    rows = {}
    for line in lines:
        if match := re.match(r"\| `(ENCORE_\w+)` \| `([^`]*)` \| (.*) \|$", line):
            rows[match[1]] = (match[2], match[3])
    assert rows == {
        variable(name): (shown_default(info), info.description)
        for name, info in Settings.model_fields.items()
    }
