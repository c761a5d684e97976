"""A mixed load for a service that runs for a long time: every call, in many forms."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

from app.model.model import Model
from benchmarks.load import HOST

_LISTENERS: Final = 30_000
_ARTISTS_OF_ONE: Final = 10


class Client:
    """Sends requests on one connection, which it renews now and then."""

    def __init__(self, port: int, counts: Counter[str]) -> None:
        self._port = port
        self._counts = counts
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def ask(self, method: str, target: str, body: Any = None, expected: int = 200) -> bytes:
        """Returns the body of an answer.

        Raises:
            AssertionError: the status is neither the expected one nor 503.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        data = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, target, data, headers)
            answer = self._connection.getresponse()
            read = answer.read()
        except (http.client.HTTPException, OSError):
            self.renew()  # an idle connection was closed
            self._counts["broken"] += 1
            return b""
        self._counts[f"{answer.status}"] += 1
        if answer.status not in {expected, 503}:
            raise AssertionError(f"{method} {target}: {answer.status} {read[:300]!r}")
        return read

    def renew(self) -> None:
        """Closes the connection; the next request opens another one."""
        self._connection.close()


class Load:
    """The requests.

    Args:
        model: the model, for ids of users and artists.
        fresh: how many artists that nobody knew before are played in a second.
    """

    def __init__(self, model: Model, fresh: float) -> None:
        self.users = list(model.users.strings)
        self.artists = [model.items.id(index) for index in range(len(model.items))]
        self.version = model.version
        self.fresh_interval = 1 / fresh if fresh else float("inf")
        self._fresh = 0
        self._last_fresh = time.monotonic()
        # The first half of the listeners are users of the model, the others are new.
        self.listeners = self.users[: _LISTENERS // 2]
        self.listeners += [f"listener {number}" for number in range(_LISTENERS // 2)]

    def event(self, rng: random.Random) -> dict[str, Any]:
        """Returns an event of an artist that its user has listened to before."""
        place = rng.randrange(len(self.listeners))
        return self._event(place, rng.randrange(_ARTISTS_OF_ONE))

    def _event(self, place: int, number: int) -> dict[str, Any]:
        artist = self.artists[(place * 17 + number * 31) % len(self.artists)]
        return {"user_id": self.listeners[place], "artist_id": artist}

    def fill(self, ask: Callable[..., bytes]) -> None:
        """Fills the caches of the service but for those that a model begins anew.

        Events are sent again until they are stored, since later calls rely on them.
        """
        for start in range(0, len(self.listeners), 500):
            places = range(start, start + 500)
            events = [self._event(one, number) for one in places for number in range(10)]
            while b'"stored"' not in ask("POST", "/events", {"events": events}):
                time.sleep(1)
        for start in range(0, len(self.listeners), 500):
            ask("POST", "/recommend/batch", {"user_ids": self.listeners[start : start + 500]})
        for number in range(1500):  # more than queries are remembered
            ask("GET", f"/recommend/{self.users[0]}?n={1 + number % 500}&offset={number // 500}")
        for user in self.users[:6000]:  # more than ids are remembered
            ask("GET", f"/recommend/{user[:-1]}%{ord(user[-1]):02x}")

    def visit_all_artists(self, ask: Callable[..., bytes]) -> None:
        """Fills what a model caches: every artist is in an answer."""
        for start in range(0, len(self.artists), 500):
            chosen = self.artists[start : start + 500]
            ask("POST", "/recommend", {"candidates": chosen, "n": 500, "include_seen": True})

    def fill_buffers(self, ask: Callable[..., bytes], rng: random.Random) -> None:
        """Sends the largest requests there are."""
        ask("POST", "/events", {"events": [self.event(rng) for _ in range(10_000)]})
        ask("POST", "/recommend/batch", {"user_ids": rng.choices(self.users, k=200), "n": 500})
        ask("GET", f"/recommend/{rng.choice(self.users)}?n=500&offset=10000")
        ask("GET", f"/users/{quote(rng.choice(self.listeners))}?n=1000")
        ask("POST", "/events", {"events": [{"x": 1}] * 20_000}, expected=422)

    def next(self, client: Client, rng: random.Random) -> None:
        """Sends one request, drawn at random."""
        ((_, kind),) = rng.choices(_KINDS, [weight for weight, _ in _KINDS])
        kind(self, client, rng)

    def list(self, client: Client, rng: random.Random) -> None:
        """Requests a list with options that the hot route knows."""
        options: dict[str, Any] = {"n": rng.choice([5, 10, 10, 20, 50, 100])}
        if rng.random() < 0.3:
            options["offset"] = rng.choice([10, 20, 50])
        if rng.random() < 0.2:
            options["exclude"] = rng.choices(self.artists, k=rng.randrange(1, 30))
        if rng.random() < 0.1:
            options["strategy"] = rng.choice(["als", "popularity"])
        user = rng.choice(self.users)
        client.ask("GET", f"/recommend/{user}?{urlencode(options, doseq=True)}")

    def live_list(self, client: Client, rng: random.Random) -> None:
        """Requests a list that is ranked live."""
        options: dict[str, Any] = rng.choice(
            [
                {"include_seen": "true"},
                {"discovery": round(rng.random(), 2)},
                {"explore": round(rng.random(), 2)},
                {"n": rng.randrange(100, 500)},
                {"offset": rng.randrange(100, 10_000)},
            ]
        )
        client.ask("GET", f"/recommend/{rng.choice(self.users)}?{urlencode(options)}")

    def listener_list(self, client: Client, rng: random.Random) -> None:
        """Requests the list of a user with events."""
        client.ask("GET", f"/recommend/{quote(rng.choice(self.listeners))}?n=10")

    def unknown(self, client: Client, rng: random.Random) -> None:
        """Requests the list of a user that nobody knows."""
        client.ask("GET", f"/recommend/stranger-{rng.randrange(10**12)}")

    def query(self, client: Client, rng: random.Random) -> None:
        """Requests a list by a body."""
        chosen = rng.sample(self.artists, rng.randrange(1, 200))
        listens = [{"artist_id": artist, "plays": 3} for artist in chosen]
        body: dict[str, Any] = rng.choice(
            [{"candidates": chosen}, {"exclude": chosen}, {"listens": listens}]
        )
        client.ask("POST", "/recommend", body | {"user_id": rng.choice(self.users)})

    def batch(self, client: Client, rng: random.Random) -> None:
        """Requests many lists."""
        body = {"user_ids": rng.choices(self.users + self.listeners, k=rng.randrange(1, 200))}
        client.ask("POST", "/recommend/batch", body)

    def events(self, client: Client, rng: random.Random) -> None:
        """Sends events, now and then of an artist that nobody knew before."""
        events = [self.event(rng) for _ in range(rng.choice([1, 1, 1, 10, 100]))]
        if time.monotonic() - self._last_fresh > self.fresh_interval:
            self._last_fresh = time.monotonic()
            self._fresh += 1
            artist = f"fresh {self._fresh}"
            events += [
                {"user_id": one, "artist_id": artist, "artist_name": artist}
                for one in rng.sample(self.listeners, 4)
            ]
        client.ask("POST", "/events", {"events": events})

    def history(self, client: Client, rng: random.Random) -> None:
        """Requests what is known of a user."""
        client.ask("GET", f"/users/{quote(rng.choice(self.listeners))}")

    def popular(self, client: Client, rng: random.Random) -> None:
        """Requests rankings."""
        options: dict[str, Any] = {"n": rng.randrange(1, 500), "offset": rng.randrange(1000)}
        if rng.random() < 0.1:
            options = {"days": rng.choice([1, 7, 30])}
        options["by"] = rng.choice(["plays", "listeners"])
        client.ask("GET", f"/popular?{urlencode(options)}")

    def look(self, client: Client, rng: random.Random) -> None:
        """Looks at the service."""
        target = rng.choice(["/metrics", "/health/ready", "/health/live", "/model"])
        client.ask("GET", target)

    def refused(self, client: Client, rng: random.Random) -> None:
        """Sends what is refused."""
        target, status = rng.choice([("/recommend/a?n=0", 422), ("/nowhere", 404)])
        client.ask("GET", target, expected=status)

    def erasure(self, client: Client, rng: random.Random) -> None:
        """Erases a user that has just come."""
        user = f"passer-by {rng.randrange(1000)}"
        event = {"user_id": user, "artist_id": rng.choice(self.artists)}
        client.ask("POST", "/events", {"events": [event]})
        client.ask("DELETE", f"/users/{quote(user)}")

    def large(self, client: Client, rng: random.Random) -> None:
        """Sends one of the largest requests, on a connection of its own."""
        client.renew()
        if rng.random() < 0.5:
            client.ask("POST", "/events", {"events": [self.event(rng) for _ in range(2_000)]})
        else:
            body = {"user_ids": rng.choices(self.users, k=200), "n": 500}
            client.ask("POST", "/recommend/batch", body)


_KINDS: Final[list[tuple[float, Callable[[Load, Client, random.Random], None]]]] = [
    (400, Load.list),
    (100, Load.live_list),
    (150, Load.listener_list),
    (30, Load.unknown),
    (40, Load.query),
    (10, Load.batch),
    (100, Load.events),
    (20, Load.history),
    (40, Load.popular),
    (20, Load.look),
    (20, Load.refused),
    (2, Load.erasure),
    (2, Load.large),
]
