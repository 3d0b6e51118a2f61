"""The work package that a request is about."""

from . import work_package
from .call import Call
from .errors import not_found
from .work_package import WorkPackage


def visible(call: Call, id_: int) -> WorkPackage:
    """The work package with this id, else 404: missing or not visible, nobody can tell."""
    item = work_package.load_one(call.db, id_)
    if item is None or item.project_id not in call.viewer.projects:
        raise not_found("work_package_not_found")
    return item
