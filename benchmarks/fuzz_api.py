"""Schemathesis over the whole schema: a service gets thousands of generated requests.

    python -m benchmarks.fuzz_api --models /tmp/models

A service with SQLite is started twice, without a key and with one. Each gets 3,000 requests or more
(``--cases``), valid ones and invalid ones: the examples of the schema, values at and beyond each
bound, and random ones. A failure is a 5xx, a status, header or body that the schema does not have,
invalid data that are taken, valid data that are refused, an unknown method that is answered with
anything but 405 and ``Allow``, and a protected call that answers without the right key.

All checks of schemathesis are made except for these:

- ``use_after_free`` and ``ensure_resource_availability`` follow links between calls, of which the
  schema has none: an erased user may be erased again, and gets lists.
- ``object_level_authorization`` needs several users of the API; there is one key.
- ``allow_header_conformance`` of ``/recommend/batch``: GET with this path is the list of a user
  called ``batch``, which ``Allow`` names and the schema does not.
- ``negative_data_rejection`` of ``/events`` where the answer says which events are refused.
- ``positive_data_acceptance`` where JSON Schema cannot express what is refused:
  ``benchmarks/fuzz_rules.py`` has those rules.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.conditions import conditions
from tests.server import serving

RESULTS: Final = Path(__file__).parent / "results" / "fuzz_api.json"
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
_ROOT: Final = Path(__file__).parents[1]
_RULES: Final = "benchmarks.fuzz_rules"
_KEY: Final = "fuzz-key-8f1c2a9e5d"
_AUTH: Final = f"""
[auth.openapi.ApiKey]
api_key = "{_KEY}"
"""


def fuzz(
    models: Path, *, with_key: bool, examples: int, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Starts a service and sends it generated requests.

    Args:
        models: the models folder of the service.
        with_key: whether the service has a key, which the requests have as well.
        examples: generated requests for each operation, beside those at the bounds.
        options: more options of ``st run``.

    Returns:
        the number of ``cases``, ``failures`` by title, what ``st`` printed as ``text``, and its
        ``seed``.

    Raises:
        RuntimeError: schemathesis has ended early.
    """
    variables = {"ENCORE_API_KEY": _KEY} if with_key else {}
    with serving(models, **variables) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, report = folder / "schemathesis.toml", folder / "report.json"
        config.write_text(_AUTH if with_key else "")
        url = f"http://127.0.0.1:{server.port}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"),
                *(f"{url}/openapi.json", f"--url={url}", f"--checks={','.join(CHECKS)}"),
                *("--phases=examples,coverage,fuzzing", f"--max-examples={examples}"),
                *("--continue-on-failure", "--generation-database=none", "--no-color"),
                *("--suppress-health-check=all", "--warnings=off"),
                *("--report=json", f"--report-json-path={report}", *options),
            ],
            cwd=folder,  # it leaves files
            env={**os.environ, "PYTHONPATH": str(_ROOT), "SCHEMATHESIS_HOOKS": _RULES},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(done.stdout + done.stderr)
        found = json.loads(report.read_text())
        status, log = server.end()
    faults = log.count("Traceback")
    if not found["complete"] or found["errors"]:
        raise RuntimeError(done.stdout)
    return {
        "cases": found["test_cases"]["generated"],
        "failures": {one["title"]: one["count"] for one in found["failures"]},
        "refused by rules that the schema cannot express": found["filtered"],
        "tracebacks in the log": faults,
        "exit status": status,
        "operations": found["operations"]["tested"],
        "seed": found["seed"],
        "text": done.stdout,
    }


def main() -> None:
    """Fuzzes without and with a key, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--seed", type=int, help="of the requests; drawn if left out")
    options = parser.parse_args()
    seed = [] if options.seed is None else [f"--seed={options.seed}"]
    results = {}
    for name, with_key in (("without a key", False), ("with a key", True)):
        # Ten operations of fourteen have parameters or bodies to vary.
        result = fuzz(options.models, with_key=with_key, examples=options.cases // 10, options=seed)
        print(result.pop("text"))
        results[name] = result
    entry = {"conditions": conditions(), "schemathesis": version("schemathesis")}
    RESULTS.write_text(json.dumps({**entry, "checks": CHECKS, **results}, indent=2) + "\n")
    if any(result["failures"] or result["cases"] < options.cases for result in results.values()):
        raise SystemExit("error: there are failures, or too few cases")


if __name__ == "__main__":
    main()
