"""The images and how compose runs them: read and linted, since no container engine runs here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings, variable

ROOT = Path(__file__).parent.parent


class TestDockerfile:
    @pytest.fixture
    def stages(self) -> dict[str, list[str]]:
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        text = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
        found: dict[str, list[str]] = {}
        stage: list[str] = []
        for line in filter(None, text.splitlines()):
            if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
                stage = found[match[2]] = [*found.get(match[1], [])]
            else:
                stage.append(line)
        return found

    def test_lints_clean(self) -> None:
        linted = subprocess.run(
            [str(Path(sys.executable).with_name("hadolint")), "Dockerfile"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (linted.returncode, linted.stdout) == (0, "")

    @pytest.mark.parametrize("target", ["serve", "train"])
    def test_image_runs_as_an_unprivileged_user_with_one_blas_thread(
        self, stages: dict[str, list[str]], target: str
    ) -> None:
        lines = stages[target]
        assert "USER 10001:10001" in lines
        assert [line for line in lines if line.startswith("CMD [")]
        assert [line for line in lines if "OPENBLAS_NUM_THREADS=1" in line]

    def test_service_is_the_last_stage_without_training(self, stages: dict[str, list[str]]) -> None:
        assert list(stages)[-1] == "serve"
        assert not [line for line in stages["serve"] if "training" in line]
        assert [line for line in stages["serve"] if line.startswith("HEALTHCHECK")]

    def test_base_is_pinned_to_a_release(self) -> None:
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", text, re.MULTILINE)

    def test_the_image_copies_only_files_that_dockerignore_admits(
        self, stages: dict[str, list[str]]
    ) -> None:
        ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        allowed = {line[1:] for line in ignore if line.startswith("!")}
        copies = {line for lines in stages.values() for line in lines if line.startswith("COPY")}
        sources = {line.split()[1] for line in copies if "--from=" not in line}
        assert {source.partition("/")[0] for source in sources} == allowed


class TestCompose:
    @pytest.fixture
    def services(self) -> Any:
        return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]

    def test_trains_once_then_serves(self, services: Mapping[str, Any]) -> None:
        assert services["train"]["build"]["target"] == "train"
        assert services["serve"]["build"]["target"] == "serve"
        assert services["serve"]["depends_on"] == {
            "train": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy", "required": False},
        }
        assert services["train"]["restart"] == "no"

    def test_is_reachable_from_the_host_only(self, services: Mapping[str, Any]) -> None:
        assert services["serve"]["ports"] == ["127.0.0.1:${ENCORE_PORT:-8000}:8000"]
        assert "ports" not in services["train"]
        assert "ports" not in services["postgres"]

    def test_a_key_ends_the_open_default(self, services: Mapping[str, Any]) -> None:
        environment = services["serve"]["environment"]
        # Handed on as the host has it; with it ENCORE_ALLOW_UNAUTHENTICATED has no effect, and any
        # host will do: tests/app/test_access.py starts the service in this way.
        assert environment["ENCORE_API_KEY"] is None
        assert environment["ENCORE_ALLOW_UNAUTHENTICATED"] == (
            "${ENCORE_ALLOW_UNAUTHENTICATED:-true}"
        )
        assert environment["ENCORE_ALLOWED_HOSTS"] == (
            "${ENCORE_ALLOWED_HOSTS:-serve${ENCORE_API_KEY:+,*}}"
        )
        assert "serve" in services
        for name in ("ENCORE_PROTECT", "ENCORE_CORS_ORIGINS"):
            assert environment[name] is None

    def test_every_setting_of_the_service_is_one(self, services: Mapping[str, Any]) -> None:
        names = {variable(name) for name in Settings.model_fields}
        assert {*services["serve"]["environment"]} <= names

    def test_postgres_is_an_optional_service(self, services: Mapping[str, Any]) -> None:
        assert services["postgres"]["profiles"] == ["postgres"]
        assert "healthcheck" in services["postgres"]
        assert services["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${")
        url = services["serve"]["environment"]["ENCORE_DATABASE_URL"]
        assert url == "${ENCORE_DATABASE_URL:-sqlite:////events/encore.db}"

    @pytest.mark.parametrize("name", ["serve", "train", "postgres"])
    def test_containers_can_change_nothing_but_their_state(
        self, services: Mapping[str, Any], name: str
    ) -> None:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert "privileged" not in service

    def test_service_cannot_write_models(self, services: Mapping[str, Any]) -> None:
        assert services["train"]["volumes"] == ["models:/models", "events:/events"]
        assert services["serve"]["volumes"] == ["models:/models:ro", "events:/events"]

    def test_the_training_script_leaves_a_model_alone(
        self, services: Mapping[str, Any], tmp_path: Path
    ) -> None:
        """Its commands run here, with a stand-in for python that writes down its arguments."""
        models, log = tmp_path / "models", tmp_path / "log"
        models.mkdir()
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\necho "$@" >> {log}\n', encoding="utf-8")
        python.chmod(0o755)
        shell, flags, script = services["train"]["command"]
        command = [shell, flags, script.replace("/models", str(models))]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        subprocess.run(command, env=environment, check=True)
        steps = log.read_text(encoding="utf-8").splitlines()
        assert [step.split()[:3] for step in steps] == [
            ["-m", "training", "generate"],
            ["-m", "training", "train"],
        ]
        # The sample is always made current, so the service that waits for it starts.
        assert steps[1].split()[3:5] == ["--dataset", "synthetic"]
        # Nothing has been heard yet: the event store is not even there.
        assert steps[1].endswith(" --no-events")
        (models / "current").touch()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert log.read_text(encoding="utf-8").splitlines() == steps
