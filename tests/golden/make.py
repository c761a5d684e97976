"""Makes the golden artifacts of the format versions that have none yet.

Run once when a new format version appears, from the root of the repository, and commit what it
writes; the folders of older versions stay as they are, because they must load forever:

    python -m tests.golden.make

It writes ``tests/golden/format-<n>/<version>/`` and beside it ``expected.json``, the exact answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.artifacts.format import ALS_ALONE, FORMAT_VERSIONS
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import PopularityBy, Query, Strategy
from tests.builders import CREATED_AT, interactions_of, random_plays, small_model, with_linear
from training.publishing.publish import publish

HERE: Final = Path(__file__).parent

USER_IDS: Final = ["", ".", "a/b", "Ünï©ode", "\U0001f3b8", "x" * 256, "%2F", "nothing played"]
ITEM_IDS: Final = [
    "name:AC/DC",
    "name:Sigur Rós",
    "b7ffd2af-418f-4be2-bdd1-22f8b48613da",
    "..",
    "name:坂本龍一",
    "name:Björk",
    "name:Bjo\u0308rk",
    "name:\u202ertl",
    "name: ",
    "name:'\"\\",
]
ITEM_NAMES: Final = [
    "AC/DC",
    "Sigur Rós",
    "Nine Inch Nails",
    "",
    "坂本龍一",
    "Björk",
    "Bjo\u0308rk",
    "\u202ertl",
    " ",
    "'\"\\",
]

QUERIES: Final[dict[str, dict[str, Any]]] = {
    "from the list": {"n": 3},
    "past the list": {"n": 20},
    "second page": {"n": 2, "offset": 2},
    "excluded": {"n": 3, "exclude": ["name:AC/DC", "name:坂本龍一", "nobody"]},
    "candidates": {"n": 5, "candidates": ["..", "name:Björk", "name:Bjo\u0308rk", "name: "]},
    "with seen": {"n": 4, "include_seen": True},
    "popularity": {"n": 4, "strategy": "popularity"},
}


def golden_model(format_version: int) -> Model:
    """Trains the model: two users without history, one item without listeners.

    That of a format with blocks has a linear one beside ALS, of random factors.
    """
    plays = random_plays(np.random.default_rng(1), n_users=8, n_items=10, density=0.25)
    plays[7] = 0
    plays[:, 9] = 0
    interactions = interactions_of(
        plays, user_ids=USER_IDS, item_ids=ITEM_IDS, item_names=ITEM_NAMES
    )
    if format_version == ALS_ALONE:
        return small_model(interactions, factors=4, list_length=4)
    return with_linear(small_model(interactions, factors=4), 3, list_length=4)


def answers(model: Model) -> dict[str, Any]:
    """Returns what a model answers to each query for each user, exactly, by ids."""
    result: dict[str, Any] = {}
    for by in PopularityBy:
        recommender = Recommender(model, popularity_by=by)
        for name, fields in QUERIES.items():
            strategy = Strategy(fields.get("strategy", "auto"))
            for user_id in [*USER_IDS, None]:
                answer = recommender.recommend(Query(user_id, **fields | {"strategy": strategy}))
                result[f"{by} · {name} · {user_id!r}"] = {
                    "source": str(answer.source),
                    "items": [
                        [model.items.id(item), None if np.isnan(score) else score, str(source)]
                        for item, score, source in zip(
                            answer.items,
                            answer.scores,
                            answer.sources,
                            strict=True,
                        )
                    ],
                }
    return result


def main() -> None:
    """Writes the golden artifact of each format that has none."""
    missing = [one for one in FORMAT_VERSIONS if not (HERE / f"format-{one}").exists()]
    if not missing:
        sys.exit("each format has a golden artifact, and none is ever made anew")
    for format_version in missing:
        _write(format_version, HERE / f"format-{format_version}")


def _write(format_version: int, folder: Path) -> None:
    model = golden_model(format_version)
    card = {
        "dataset": {"name": "golden", "note": "Sigur Rós, 坂本龍一"},
        "parameters": {"factors": 4},
        "metrics": {},
    }
    version = publish(model, folder, card=card, created_at=CREATED_AT).version
    for name in (".lock", "current"):
        (folder / name).unlink(missing_ok=True)
    expected = {
        "version": version,
        "names": dict(zip(ITEM_IDS, ITEM_NAMES, strict=True)),
        "user_factors": model.user_factors.tolist(),
        "answers": answers(model),
    }
    text = json.dumps(expected, separators=(",", ":"))
    (folder / "expected.json").write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
