"""
JSON schemas: whether one is valid, and how a value differs from what it says. Layer 0: knows nobody.

The only user of the library `jsonschema`, which takes longer to import than all the rest of a short run; so it is
imported when a value is looked at. No schema makes it fetch another one.
"""

import re
from collections.abc import Mapping
from typing import Any

_MOST = 5  # problems that are told
_LONGEST = 300  # characters of one, which may quote the value
_TOO_DEEP = "it is nested too deeply"
_NEWEST = "https://json-schema.org/draft/2020-12/schema"
# Drafts without the scheme, which people get wrong. In draft 3 `required` is another thing, that no service knows.
_DRAFTS = {
    **{f"//json-schema.org/draft-0{n}/schema": f"http://json-schema.org/draft-0{n}/schema#" for n in (4, 6, 7)},
    **{f"//json-schema.org/draft/{year}/schema": f"https://json-schema.org/draft/{year}/schema"
       for year in ("2019-09", "2020-12")},
}  # fmt: skip


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema itself, be it that it refers to what is not in it; `None` when it is valid."""
    from jsonschema.exceptions import SchemaError
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    try:
        validator, document = _read(schema)
        validator.check_schema(document)
        whole: Resource[Any] = Resource.from_contents(document, default_specification=DRAFT202012)
        missing = _missing(whole, Registry().with_resource("", whole).resolver_with_root(whole))
    except SchemaError as exc:
        return _told(exc)
    except RecursionError:
        return _TOO_DEEP
    except Exception as exc:  # the library raises whatever comes of a schema that its draft calls valid
        return f"it cannot be used ({exc})"
    return None if missing is None else f"it refers to {missing}, which is not in it"


def _read(schema: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What holds values against a schema of its draft, and the schema with that draft's own name."""
    from jsonschema.validators import Draft202012Validator, validator_for

    said = schema.get("$schema", _NEWEST)
    name = re.sub(r"^https?:|#$", "", said) if isinstance(said, str) else ""
    if name not in _DRAFTS:
        raise ValueError(f"$schema {said!r} is no draft that is known here")
    document = {**schema, "$schema": _DRAFTS[name]} if "$schema" in schema else dict(schema)
    return validator_for(document, Draft202012Validator), document


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

    from referencing import Registry
    from referencing.exceptions import Unresolvable

    nowhere: Registry[Any] = Registry()  # with the library's own, it would fetch `$ref` from anywhere
    validator, document = _read(schema)
    try:
        return [_told(error) for error in islice(validator(document, registry=nowhere).iter_errors(value), _MOST)]
    except Unresolvable as exc:
        return [f"the schema refers to {exc.ref}, which is not in it"]
    except RecursionError:
        return [_TOO_DEEP]
    except Exception as exc:  # the library raises whatever comes of a number that is too large for it
        return [f"it cannot be held against the schema ({exc})"]


def _told(error: Any) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")
    message = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]}…"
    return f"{place}: {message}" if place else message
