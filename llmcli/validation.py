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
    """What is wrong with a schema itself; `None` when it is valid."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(schema, Draft202012Validator).check_schema(dict(schema))
    except SchemaError as exc:
        return _told(exc)
    return None


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
