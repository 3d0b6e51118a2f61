"""Filters that look for words as SQL (reference section 2.2): in one property, in several, in comments, in names of files."""

import re

from .filter_dates import Condition
from .params import Filter
from .store import Value

_COMMENTED = "EXISTS (SELECT 1 FROM journals WHERE work_package_id = work_packages.id AND contains(notes, ?))"
_ATTACHED = "EXISTS (SELECT 1 FROM attachments WHERE work_package_id = work_packages.id AND contains(file_name, ?))"
_PLACES = {
    "subject": "contains(subject, ?)",
    "description": "contains(description, ?)",
    "comment": _COMMENTED,
    "attachment_file_name": _ATTACHED,
}
_SEARCHED = ("subject", "description", "comment", "attachment_file_name")
NAMES = (*_PLACES, "search", "subject_or_id", "typeahead")
_OPEN = "EXISTS (SELECT 1 FROM statuses WHERE id = status_id AND is_closed = ?)"
_NAMED = "contains((SELECT name FROM {table} WHERE id = {column}), ?)"


def condition(filter_: Filter) -> Condition:
    """The condition of one of these filters."""
    words = next(value for value in filter_.values if value.strip())
    if filter_.name in _PLACES:
        return f"{'NOT ' if filter_.operator == '!~' else ''}{_PLACES[filter_.name]}", [words]
    if filter_.name == "search":
        return " OR ".join(_PLACES[name] for name in _SEARCHED), [words] * len(_SEARCHED)
    if filter_.name == "subject_or_id":
        return "contains(subject, ?) OR CAST(id AS TEXT) = ?", [words, words.strip()]
    parts = [_part(part) for value in filter_.values for part in value.split()]
    return " AND ".join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def _part(part: str) -> Condition:
    """One word of what somebody types: in the subject, the names of project, type and status, or the id."""
    clauses = ["contains(subject, ?)"]
    clauses += [
        _NAMED.format(table=table, column=column)
        for table, column in (("projects", "project_id"), ("types", "type_id"))
    ]
    values: list[Value] = [part] * 3
    if part.lower() in ("open", "closed"):
        clauses.append(_OPEN)
        values.append(int(part.lower() == "closed"))
    else:
        clauses.append(_NAMED.format(table="statuses", column="status_id"))
        values.append(part)
    if number := re.fullmatch(r"#?(\d+)", part, re.ASCII):
        clauses.append("contains(CAST(id AS TEXT), ?)")
        values.append(number[1])
    return " OR ".join(clauses), values
