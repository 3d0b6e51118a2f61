"""Filters that look for words as SQL (reference section 2.2): in one property, in several, in comments, in names of files."""

from .filter_dates import Condition
from .params import Filter
from .store import Value

_PLACES = {
    "subject": ("subject", "{found}"),
    "description": ("description", "{found}"),
    "comment": ("notes", "EXISTS (SELECT 1 FROM journals WHERE work_package_id = work_packages.id AND {found})"),
    "attachment_file_name": (
        "file_name",
        "EXISTS (SELECT 1 FROM attachments WHERE work_package_id = work_packages.id AND {found})",
    ),
}
_MOST_WORDS = 100
"""Different words that are looked for: SQLite takes a thousand conditions in a row."""
_SEARCHED = ("subject", "description", "comment", "attachment_file_name")
NAMES = (*_PLACES, "search", "subject_or_id", "typeahead")
_OPEN = "EXISTS (SELECT 1 FROM statuses WHERE id = status_id AND is_closed = ?)"
_NAMED = "contains((SELECT name FROM {table} WHERE id = {column}), ?)"


def containing(column: str, words: str) -> Condition:
    """Each of the words stands in the column, whatever the case: the operator `~` [L]; `%` and `_` mean themselves.

    SQLite's own LIKE takes as many steps as text and word have characters multiplied, and none of them is counted.
    """
    return f"contains({column}, ?)", [" ".join(_words(words))]


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(text.split()))[:_MOST_WORDS]


def _in_place(name: str, words: str) -> Condition:
    column, place = _PLACES[name]
    found, values = containing(column, words)
    return place.format(found=found), values


def condition(filter_: Filter) -> Condition:
    """The condition of one of these filters."""
    words = next(value for value in filter_.values if value.strip())
    if filter_.name in _PLACES:
        found, values = _in_place(filter_.name, words)
        return f"{'NOT ' if filter_.operator == '!~' else ''}{found}", values
    if filter_.name == "search":
        places = [_in_place(name, words) for name in _SEARCHED]
        return " OR ".join(sql for sql, _ in places), [value for _, values in places for value in values]
    if filter_.name == "subject_or_id":
        found, values = containing("subject", words)
        return f"{found} OR CAST(id AS TEXT) = ?", [*values, words.strip()]
    parts = [_part(part) for part in _words(" ".join(filter_.values))]
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
    number = part.removeprefix("#")
    if number.isascii() and number.isdecimal():
        clauses.append("contains(CAST(id AS TEXT), ?)")
        values.append(number)
    return " OR ".join(clauses), values
