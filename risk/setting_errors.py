"""What is wrong with settings, in words, and what to do about it."""

from __future__ import annotations

import re

from pydantic import BaseModel, ValidationError

from risk.errors import RiskcalError, SettingsError

_WORDS = {
    "missing": ("a required setting is missing", "Declare it; there is no default"),
    "extra_forbidden": ("unknown key", "Remove it or mend its spelling"),
    "tuple_type": ("must be a list", 'Write it as ["...", "..."], or each table of a list under [[its name]]'),
    "list_type": ("must be a list", 'Write it as ["...", "..."], or each table of a list under [[its name]]'),
    "mapping_type": ("must be a table", "Write its settings under [its name]"),
    "dict_type": ("must be a table", "Write its settings under [its name]"),
    "model_type": ("must be a table", "Write its settings under [its name]"),
    "model_attributes_type": ("must be a table", "Write its settings under [its name]"),
    "int_type": ("must be a whole number", "Write digits without quotes or a point, such as 7"),
    "int_parsing": ("must be a whole number", "Write digits without quotes or a point, such as 7"),
    "int_from_float": ("must be a whole number", "Write digits without quotes or a point, such as 7"),
    "float_type": ("must be a number", "Write digits without quotes, such as 0.5"),
    "float_parsing": ("must be a number", "Write digits without quotes, such as 0.5"),
    "bool_type": ("must be true or false", "Write it without quotes"),
    "bool_parsing": ("must be true or false", "Write it without quotes"),
    "string_type": ("must be a text", "Write it in quotes"),
}
"""What pydantic finds, in words, and what to do."""


def settings_error(error: ValidationError, file: str) -> SettingsError:
    """The first wrong field, its value and a remedy, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    kind = first["type"]
    path = ".".join(str(part) for part in first["loc"])
    own = first.get("ctx", {}).get("error")
    value = None if kind == "missing" or isinstance(first["input"], (dict, list, BaseModel)) else first["input"]
    remedy: str | None
    if isinstance(own, RiskcalError):
        message, remedy = own.message, own.remedy
        value = value if own.value is None else own.value
    else:
        plain = re.sub(r"^(Value error, |Input should )", "", first["msg"])
        message, remedy = _WORDS.get(kind, (plain if own is not None else f"must {plain}", None))
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return SettingsError(f"{message}{more}", file=file, field=path or None, value=value, remedy=remedy)
