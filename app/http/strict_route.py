"""A route that refuses malformed queries, JSON and content types that FastAPI would accept."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.http.body_bounds import BodyBounds
from app.http.parameters import check_query, may_repeat, repeatable_parameters

_KINDS: Final = {list: "a bare array", str: "a text", bool: "true or false"}
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Checks the form of the query and the body before FastAPI checks their content."""

    def get_route_handler(self) -> _Handler:
        """Returns the handler of this route."""
        handle = super().get_route_handler()
        repeatable = _query_parameters(self.dependant)
        body = self.body_field
        bounds = None if body is None else BodyBounds.of(body.field_info.annotation)
        form = "" if body is None else _form(body.field_info.annotation)

        async def strict(request: Request) -> Response:
            check_query(request.scope["query_string"].decode(), repeatable)
            if bounds is not None:
                request = _JsonRequest(request.scope, request.receive)
                await request.parse(bounds)
                request.refuse_other_than_object(form)
            return await handle(request)

        return strict


class _JsonRequest(Request):
    """A request whose JSON has been read strictly."""

    _content: Any = None

    async def parse(self, bounds: BodyBounds) -> None:
        """Reads the body.

        Args:
            bounds: how much it may hold.

        Raises:
            HTTPException: it is encoded, 415.
            RequestValidationError: its content type is not JSON, or its content is not, or it
                holds more than the bounds say.
        """
        self._refuse_encoded()
        content_type = self.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type != "application/json":
            _refuse(
                ("header", "content-type"),
                f"expected application/json, found {media_type[:60] or 'none'}; "
                "send the header Content-Type: application/json",
            )
        try:
            parts = [part async for part in self.stream()]
            if bounds.are_needed(sum(map(len, parts))):
                # The thread gives way to the event loop at least at each object.
                self._content = await asyncio.to_thread(_check_and_parse, parts, bounds)
            else:
                self._content = _parse_json(b"".join(parts), bounds)
            # The bytes need not wait for a client that reads its answer slowly. The framework only
            # looks whether there are any.
            self._body = b"{}"
        except json.JSONDecodeError as error:
            _refuse(("body",), f"is not JSON: {error.msg} at character {error.pos}")
        except UnicodeDecodeError as error:
            _refuse(("body",), f"is not UTF-8: byte {error.start} is invalid")
        except RecursionError:
            _refuse(("body",), "is nested too deeply")
        except ValueError as error:
            _refuse(("body",), str(error))

    def refuse_other_than_object(self, form: str) -> None:
        """Refuses a body that is a bare array, text, number or literal.

        Args:
            form: what is expected, as an example of its form.

        Raises:
            RequestValidationError: it is one.
        """
        if self._content is not None and not isinstance(self._content, dict):
            found = _KINDS.get(type(self._content), "a number")
            _refuse(("body",), f"should be an object, {form}, and is {found}")

    def _refuse_encoded(self) -> None:
        for coding in ",".join(self.headers.getlist("content-encoding")).split(","):
            if coding.strip().lower() not in {"", "identity"}:
                raise HTTPException(
                    415,
                    f"bodies are taken without a Content-Encoding, found {coding.strip()[:20]!a}; "
                    "send it uncompressed",
                    headers={"Accept-Encoding": "identity"},
                )

    async def json(self) -> Any:
        """Returns the value that ``parse`` has read."""
        return self._content


def _form(body: Any) -> str:
    """Returns the form of a body, as JSON with the fields that it needs."""
    needed = [f'"{name}": …' for name, field in body.model_fields.items() if field.is_required()]
    return f"{{{', '.join(needed)}}}" if needed else "{…}"


def _check_and_parse(parts: list[bytes], bounds: BodyBounds) -> Any:
    body = b"".join(parts)
    parts.clear()  # what follows needs the memory
    bounds.check(body)
    return _parse_json(body, bounds)


def _parse_json(body: bytes, bounds: BodyBounds) -> Any:
    return json.loads(
        body.decode(),
        # NaN and Infinity are not JSON, but Python writes them; the schema refuses them by name.
        parse_constant=float,
        parse_int=_parse_int,
        object_pairs_hook=partial(_object, bounds),
    )


def _parse_int(digits: str) -> int | float:
    # Python refuses to read very long integers, and no field accepts a number that large.
    return float(digits) if len(digits) > 100 else int(digits)


def _object(bounds: BodyBounds, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    bounds.check_object(len(pairs))
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the field {twice[:100]!a} is given twice; give it once")
    return result


def _refuse(location: tuple[str, ...], message: str) -> NoReturn:
    raise RequestValidationError([{"loc": location, "msg": message, "type": "form"}])


def _query_parameters(dependant: Dependant) -> Mapping[str, bool]:
    """Returns a route's query parameters, and whether each may be repeated."""
    repeatable: dict[str, bool] = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            repeatable |= repeatable_parameters(annotation)
        else:
            repeatable[field.alias] = may_repeat(annotation)
    return repeatable
