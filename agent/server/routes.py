"""What the board answers to: every path with its handler, and what its answer is, for the description of the API."""

from collections.abc import Callable

import msgspec

from . import (
    activities,
    attachments,
    forms,
    instance,
    lists,
    lookups,
    memberships,
    projects,
    queries,
    relations,
    schemas,
    versions,
    watchers,
    work_packages,
)
from .call import Answer, Call

Handler = Callable[[Call], Answer]


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path: `answer` names what comes back, `[]` in front of it a collection, `body` what is sent."""

    method: str
    path: str
    handler: Handler
    answer: str = ""
    body: str | None = None
    paged: bool = False
    filtered: bool = False


_UNDER_A_PROJECT = (
    Endpoint("GET", "", projects.show, "Project"),
    Endpoint("GET", "/types", projects.types, "[]Type"),
    Endpoint("GET", "/versions", versions.of_project, "[]Version"),
    Endpoint("GET", "/categories", versions.categories, "[]Category"),
    Endpoint("GET", "/available_assignees", lookups.project_assignees, "[]User"),
    Endpoint("GET", "/work_packages", lists.index, "[]WorkPackage", paged=True, filtered=True),
    Endpoint("POST", "/work_packages", work_packages.create, "WorkPackage", body="WorkPackageWrite"),
    Endpoint("POST", "/work_packages/form", forms.creation, "Form", body="WorkPackageWrite"),
    Endpoint("GET", "/queries/filter_instance_schemas", queries.filter_schemas, "[]QueryFilterInstanceSchema"),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "", instance.root, "Root"),
    Endpoint("GET", "/configuration", instance.configuration, "Configuration"),
    Endpoint("GET", "/my_preferences", instance.my_preferences),
    Endpoint("GET", "/users", lookups.users, "[]User", paged=True, filtered=True),
    Endpoint("GET", "/users/me", lookups.me, "User"),
    Endpoint("GET", "/users/{id}", lookups.user, "User"),
    Endpoint("GET", "/users/{id}/preferences", instance.preferences, "UserPreferences"),
    Endpoint("GET", "/principals", lookups.principals, "[]User", paged=True, filtered=True),
    Endpoint("GET", "/groups", instance.nothing, "[]Group", paged=True, filtered=True),
    Endpoint("GET", "/groups/{id}", instance.never, "Group"),
    Endpoint("GET", "/memberships", memberships.index, "[]Membership", paged=True, filtered=True),
    Endpoint("GET", "/memberships/{id}", memberships.show, "Membership"),
    Endpoint("GET", "/roles", memberships.roles, "[]Role"),
    Endpoint("GET", "/roles/{id}", memberships.role, "Role"),
    Endpoint("GET", "/statuses", lookups.statuses, "[]Status"),
    Endpoint("GET", "/statuses/{id}", lookups.status, "Status"),
    Endpoint("GET", "/types", lookups.types, "[]Type"),
    Endpoint("GET", "/types/{id}", lookups.type_, "Type"),
    Endpoint("GET", "/priorities", lookups.priorities, "[]Priority"),
    Endpoint("GET", "/priorities/{id}", lookups.priority, "Priority"),
    Endpoint("GET", "/custom_options/{id}", instance.never, "CustomOption"),
    Endpoint("GET", "/categories/{id}", versions.category, "Category"),
    Endpoint("GET", "/versions", versions.index, "[]Version", filtered=True),
    Endpoint("POST", "/versions", versions.create, "Version", body="VersionWrite"),
    Endpoint("GET", "/versions/{id}", versions.show, "Version"),
    Endpoint("PATCH", "/versions/{id}", versions.update, "Version", body="VersionWrite"),
    Endpoint("DELETE", "/versions/{id}", versions.delete),
    Endpoint("GET", "/versions/{id}/projects", versions.projects, "[]Project"),
    Endpoint("GET", "/versions/{id}/workspaces", versions.projects, "[]Project"),
    Endpoint("GET", "/projects", projects.index, "[]Project", paged=True, filtered=True),
    Endpoint("GET", "/workspaces", projects.index, "[]Project", paged=True, filtered=True),
    *(
        msgspec.structs.replace(endpoint, path=f"/{kind}/{{project}}{endpoint.path}")
        for kind in ("projects", "workspaces")
        for endpoint in _UNDER_A_PROJECT
    ),
    Endpoint("GET", "/work_packages", lists.index, "[]WorkPackage", paged=True, filtered=True),
    Endpoint("POST", "/work_packages", work_packages.create, "WorkPackage", body="WorkPackageWrite"),
    Endpoint("POST", "/work_packages/form", forms.creation, "Form", body="WorkPackageWrite"),
    Endpoint("GET", "/work_packages/available_projects", projects.targets, "[]Project", paged=True),
    Endpoint("GET", "/work_packages/schemas", schemas.index, "[]Schema", filtered=True),
    Endpoint("GET", "/work_packages/schemas/{schema}", schemas.show, "Schema"),
    Endpoint("GET", "/work_packages/{id}", work_packages.show, "WorkPackage"),
    Endpoint("PATCH", "/work_packages/{id}", work_packages.update, "WorkPackage", body="WorkPackageWrite"),
    Endpoint("DELETE", "/work_packages/{id}", work_packages.delete),
    Endpoint("POST", "/work_packages/{id}/form", forms.update, "Form", body="WorkPackageWrite"),
    Endpoint("GET", "/work_packages/{id}/available_assignees", lookups.work_package_assignees, "[]User"),
    Endpoint("GET", "/work_packages/{id}/available_projects", projects.targets, "[]Project", paged=True),
    Endpoint("GET", "/work_packages/{id}/available_watchers", watchers.available, "[]User", paged=True),
    Endpoint(
        "GET",
        "/work_packages/{id}/available_relation_candidates",
        lists.candidates,
        "[]WorkPackage",
        paged=True,
        filtered=True,
    ),
    Endpoint("GET", "/work_packages/{id}/watchers", watchers.index, "[]User"),
    Endpoint("POST", "/work_packages/{id}/watchers", watchers.create, "User", body="WatcherWrite"),
    Endpoint("DELETE", "/work_packages/{id}/watchers/{user}", watchers.delete),
    Endpoint("GET", "/work_packages/{id}/attachments", attachments.index, "[]Attachment"),
    Endpoint("POST", "/work_packages/{id}/attachments", attachments.create, "Attachment", body="Upload"),
    Endpoint("GET", "/work_packages/{id}/activities", activities.index, "[]Activity"),
    Endpoint("POST", "/work_packages/{id}/activities", activities.create, "Activity", body="CommentWrite"),
    Endpoint("GET", "/work_packages/{id}/relations", relations.moved),
    Endpoint("POST", "/work_packages/{id}/relations", relations.create, "Relation", body="RelationWrite"),
    Endpoint("GET", "/activities/{id}", activities.show, "Activity"),
    Endpoint("PATCH", "/activities/{id}", activities.update, "Activity", body="CommentChange"),
    Endpoint("GET", "/activities/{id}/attachments", attachments.of_activity, "[]Attachment"),
    Endpoint("POST", "/activities/{id}/attachments", attachments.create_for_activity, "Attachment", body="Upload"),
    Endpoint("GET", "/activities/{id}/emoji_reactions", instance.emoji_reactions, "[]EmojiReaction"),
    Endpoint("GET", "/attachments/{id}", attachments.show, "Attachment"),
    Endpoint("DELETE", "/attachments/{id}", attachments.delete),
    Endpoint("GET", "/attachments/{id}/content", attachments.content),
    Endpoint("GET", "/relations", relations.index, "[]Relation", paged=True, filtered=True),
    Endpoint("GET", "/relations/{id}", relations.show, "Relation"),
    Endpoint("PATCH", "/relations/{id}", relations.update, "Relation", body="RelationWrite"),
    Endpoint("DELETE", "/relations/{id}", relations.delete),
    Endpoint("GET", "/notifications", instance.nothing, "[]Notification", paged=True, filtered=True),
    Endpoint("GET", "/notifications/{id}", instance.never, "Notification"),
    Endpoint("GET", "/time_entries", instance.nothing, "[]TimeEntry", paged=True, filtered=True),
    Endpoint("GET", "/queries", instance.no_queries, "[]Query", filtered=True),
    Endpoint("GET", "/queries/filter_instance_schemas", queries.filter_schemas, "[]QueryFilterInstanceSchema"),
    Endpoint("GET", "/queries/filter_instance_schemas/{filter}", queries.filter_schema, "QueryFilterInstanceSchema"),
    Endpoint("GET", "/queries/filters/{filter}", queries.filter_, "QueryFilter"),
    Endpoint("GET", "/queries/operators/{operator}", queries.operator, "QueryOperator"),
    Endpoint("POST", "/render/{format}", instance.render, body="Text"),
)
UPLOADS = (attachments.create, attachments.create_for_activity)
"""They read multipart/form-data."""
TEXTS = (instance.render,)
"""They read text/plain."""
WITHOUT_TYPE = (activities.create, activities.update)
"""They look at the body first and at its type not at all: without a type they find their parameter missing [L]."""
