"""Bodies of requests as checked fields, and their schemas for /docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError

from .fields import OwnFields
from .refusal import Refusal, refusal_of

Fields = TypeVar("Fields", bound=OwnFields)


async def read_json(request: Request, model: type[Fields]) -> Fields:
    """The fields of a JSON body; :class:`Refusal` for what is not JSON, and for the first field at fault."""
    data = await request.body()
    try:
        return read_fields(json.loads(data, parse_constant=_not_json), model, strict=True)
    except (ValueError, RecursionError):
        raise Refusal("the body is not JSON", code="invalid_json") from None


def read_fields(given: Any, model: type[Fields], *, strict: bool) -> Fields:
    """``given`` as the model's fields; ``strict`` unless numbers come as texts."""
    try:
        return model.model_validate(given, strict=strict)
    except ValidationError as error:
        raise refusal_of(error) from None


def documented(model: type[OwnFields], *media_types: str) -> dict[str, Any]:
    """The request's body as OpenAPI has it, for ``openapi_extra``."""
    schema = model.model_json_schema()
    whole = _inlined(schema, schema.get("$defs", {}))
    return {"requestBody": {"required": True, "content": {kind: {"schema": whole} for kind in media_types}}}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema that needs no other part within another document."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items() if name != "$defs"}


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
