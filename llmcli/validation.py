"""
JSON schemas: whether one is valid, and how a value differs from what it says. Layer 0: knows nobody.

The only user of the library `jsonschema`, which takes longer to import than all the rest of a short run; so it is
imported when a value is looked at. No schema makes it fetch another one.
"""

from collections.abc import Mapping
from typing import Any

_MOST = 5  # problems that are told
_LONGEST = 300  # characters of one, which may quote the value


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema itself, be it that it refers to what is not in it; `None` when it is valid."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    try:
        validator_for(schema, Draft202012Validator).check_schema(dict(schema))
    except SchemaError as exc:
        return _told(exc)
    whole: Resource[Any] = Resource.from_contents(dict(schema), default_specification=DRAFT202012)
    missing = _missing(whole, Registry().with_resource("", whole).resolver_with_root(whole))
    return None if missing is None else f"it refers to {missing}, which is not in it"


def _missing(schema: Any, resolver: Any) -> str | None:
    """What a schema, or one inside it, refers to and has not."""
    from referencing.exceptions import Unresolvable

    said = schema.contents if isinstance(schema.contents, dict) else {}
    for reference in (said.get("$ref"), said.get("$dynamicRef")):
        try:
            if isinstance(reference, str):
                resolver.lookup(reference)
        except Unresolvable:
            return reference
    inside = (_missing(each, resolver.in_subresource(each)) for each in schema.subresources())
    return next((found for found in inside if found is not None), None)


def problems(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """How a value differs from what the schema says, each with its place; nothing when it does not."""
    from itertools import islice

    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    nowhere: Registry[Any] = Registry()  # with the library's own, it would fetch `$ref` from anywhere
    validator = validator_for(schema, Draft202012Validator)(dict(schema), registry=nowhere)
    try:
        return [_told(error) for error in islice(validator.iter_errors(value), _MOST)]
    except Unresolvable as exc:
        return [f"the schema refers to {exc.ref}, which is not in it"]


def _told(error: Any) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")
    message = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]}…"
    return f"{place}: {message}" if place else message
