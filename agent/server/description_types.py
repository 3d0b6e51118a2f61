"""The shapes of what is sent and what comes back, as JSON Schema (OpenAPI 3.1)."""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NUMBER_OR_NULL: Schema = {"type": ["integer", "null"]}
_ID: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_DAY_OR_NULL: Schema = {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\d$"}
_DURATION_OR_NULL: Schema = {"type": ["string", "null"], "pattern": "^P"}
_MARKUP: Schema = {
    "type": "object",
    "required": ["format", "raw", "html"],
    "properties": {"format": {"enum": ["markdown", "plain", "custom"]}, "raw": _TEXT_OR_NULL, "html": _TEXT},
}
_LINK: Schema = {
    "type": "object",
    "required": ["href"],
    "properties": {"href": _TEXT_OR_NULL, "title": _TEXT_OR_NULL, "method": _TEXT, "templated": _FLAG},
}


def _links(*names: str) -> Schema:
    return {"type": "object", "required": list(names), "properties": dict.fromkeys(names, _LINK)}


def _resource(kind: str, links: Schema, optional: Schema | None = None, /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["_type", *properties, "_links"],
        "properties": {"_type": {"const": kind}, **properties, **(optional or {}), "_links": links},
    }


_ERROR_ID: Schema = {"type": "string", "pattern": "^urn:openproject-org:api:v3:errors:"}

TYPES: dict[str, Schema] = {
    "Error": {
        "type": "object",
        "required": ["_type", "errorIdentifier", "message"],
        "properties": {
            "_type": {"const": "Error"},
            "errorIdentifier": _ERROR_ID,
            "message": _TEXT,
            "_embedded": {"type": "object"},
        },
    },
    "Root": _resource("Root", _links("self", "configuration", "user", "workPackages"), {"coreVersion": _TEXT}, instanceName=_TEXT),
    "Configuration": _resource(
        "Configuration",
        _links("self"),
        maximumAttachmentFileSize=_ID,
        maximumAPIV3PageSize=_ID,
        perPageOptions={"type": "array", "items": _ID},
    ),
    "UserPreferences": _resource("UserPreferences", _links("self", "user"), timeZone=_TEXT),
    "User": _resource("User", _links("self"), {"login": _TEXT, "email": _TEXT, "admin": _FLAG}, id=_ID, name=_TEXT, avatar=_TEXT),
    "Group": _resource("Group", _links("self"), id=_ID, name=_TEXT),
    "Membership": _resource("Membership", _links("self", "project", "principal"), id=_ID, createdAt=_TIME, updatedAt=_TIME),
    "Role": _resource("Role", _links("self"), id=_ID, name=_TEXT),
    "Status": _resource(
        "Status", _links("self"), id=_ID, name=_TEXT, isClosed=_FLAG, isDefault=_FLAG, isReadonly=_FLAG, position=_ID, color=_TEXT_OR_NULL
    ),
    "Type": _resource(
        "Type", _links("self"), id=_ID, name=_TEXT, isDefault=_FLAG, isMilestone=_FLAG, position=_ID, color=_TEXT_OR_NULL
    ),
    "Priority": _resource(
        "Priority", _links("self"), id=_ID, name=_TEXT, isDefault=_FLAG, isActive=_FLAG, position=_ID, color=_TEXT_OR_NULL
    ),
    "CustomOption": _resource("CustomOption", _links("self"), id=_ID, value=_TEXT),
    "Category": _resource("Category", _links("self", "project"), id=_ID, name=_TEXT),
    "Version": _resource(
        "Version", _links("self", "definingProject"), id=_ID, name=_TEXT, description=_MARKUP, startDate=_DAY_OR_NULL, endDate=_DAY_OR_NULL,
        status={"enum": ["open", "locked", "closed"]},
    ),
    "Project": _resource(
        "Project", _links("self", "workPackages", "types", "versions", "categories"), id=_ID, identifier=_TEXT, name=_TEXT, active=_FLAG,
        public=_FLAG, description=_MARKUP, createdAt=_TIME, updatedAt=_TIME,
    ),
    "WorkPackage": _resource(
        "WorkPackage",
        _links("self", "schema", "type", "status", "priority", "project", "author", "assignee", "responsible", "version", "parent"),
        {
            "startDate": _DAY_OR_NULL, "dueDate": _DAY_OR_NULL, "date": _DAY_OR_NULL, "duration": _DURATION_OR_NULL,
            "remainingTime": _DURATION_OR_NULL, "_embedded": {"type": "object"},
        },
        id=_ID, lockVersion={"type": "integer", "minimum": 0}, subject=_TEXT, description=_MARKUP, scheduleManually=_FLAG,
        estimatedTime=_DURATION_OR_NULL, percentageDone=_NUMBER_OR_NULL, createdAt=_TIME, updatedAt=_TIME,
    ),
    "Activity": {
        **_resource(
            "Activity", _links("self", "workPackage", "user"), id=_ID, comment=_MARKUP, details={"type": "array", "items": _MARKUP},
            version=_ID, internal=_FLAG, createdAt=_TIME, updatedAt=_TIME,
        ),
    },
    "EmojiReaction": _resource("EmojiReaction", _links("self"), id=_TEXT),
    "Attachment": _resource(
        "Attachment", _links("self", "author", "container", "downloadLocation"), id=_ID, fileName=_TEXT,
        fileSize={"type": "integer", "minimum": 0}, description=_MARKUP, contentType=_TEXT, createdAt=_TIME,
    ),
    "Relation": _resource(
        "Relation", _links("self", "from", "to"), {"lag": _NUMBER_OR_NULL}, id=_ID, name=_TEXT, type=_TEXT, reverseType=_TEXT,
        description=_TEXT_OR_NULL,
    ),
    "Schema": _resource("Schema", {"type": "object"}, subject={"type": "object"}, status={"type": "object"}),
    "Form": {
        "type": "object",
        "required": ["_type", "_embedded", "_links"],
        "properties": {
            "_type": {"const": "Form"},
            "_embedded": {"type": "object", "required": ["payload", "schema", "validationErrors"]},
            "_links": _links("self", "validate"),
        },
    },
    "Notification": _resource("Notification", _links("self"), id=_ID),
    "TimeEntry": _resource("TimeEntry", _links("self"), id=_ID),
    "Query": _resource("Query", _links("self"), id=_ID),
    "QueryFilter": _resource("QueryFilter", _links("self"), id=_TEXT),
    "QueryOperator": _resource("QueryOperator", _links("self"), id=_TEXT, name=_TEXT),
    "QueryFilterInstanceSchema": _resource(
        "QueryFilterInstanceSchema", _links("self"), name={"type": "object"}, filter={"type": "object"}, operator={"type": "object"}
    ),
}  # fmt: skip
TYPES["Activity"]["properties"]["_type"] = {"enum": ["Activity", "Activity::Comment"]}

_HREF: Schema = {"type": "object", "properties": {"href": _TEXT_OR_NULL}}
_RAW: Schema = {"type": "object", "properties": {"raw": _TEXT_OR_NULL}}
_LINKED = ("project", "type", "status", "priority", "parent", "assignee", "responsible", "version", "category")
_JSON = "application/json"

BODIES: dict[str, tuple[str, Schema]] = {
    "WorkPackageWrite": (_JSON, {
        "type": "object",
        "properties": {
            "lockVersion": {"type": "integer"}, "subject": _TEXT, "description": _RAW, "startDate": _TEXT_OR_NULL, "dueDate": _TEXT_OR_NULL,
            "date": _TEXT_OR_NULL, "duration": _TEXT_OR_NULL, "estimatedTime": _TEXT_OR_NULL, "remainingTime": _TEXT_OR_NULL,
            "percentageDone": _NUMBER_OR_NULL, "scheduleManually": _FLAG, "ignoreNonWorkingDays": _FLAG,
            "_links": {"type": "object", "properties": dict.fromkeys(_LINKED, _HREF)},
        },
    }),
    "CommentWrite": (_JSON, {"type": "object", "required": ["comment"], "properties": {"comment": _RAW, "internal": _FLAG}}),
    "CommentChange": (_JSON, {"type": "object", "required": ["comment"], "properties": {"comment": _TEXT}}),
    "RelationWrite": (_JSON, {
        "type": "object",
        "properties": {
            "type": _TEXT, "lag": _NUMBER_OR_NULL, "description": _TEXT_OR_NULL, "_links": {"type": "object", "properties": {"to": _HREF}},
        },
    }),
    "WatcherWrite": (_JSON, {"type": "object", "required": ["user"], "properties": {"user": _HREF}}),
    "VersionWrite": (_JSON, {
        "type": "object",
        "properties": {
            "name": _TEXT, "description": _RAW, "startDate": _TEXT_OR_NULL, "endDate": _TEXT_OR_NULL, "status": _TEXT,
            "_links": {"type": "object", "properties": {"definingProject": _HREF}},
        },
    }),
    "Upload": ("multipart/form-data", {
        "type": "object",
        "required": ["metadata", "file"],
        "properties": {
            "metadata": {"type": "object", "properties": {"fileName": _TEXT, "contentType": _TEXT, "description": _RAW}},
            "file": {"type": "string", "format": "binary"},
        },
    }),
    "Text": ("text/plain", _TEXT),
}  # fmt: skip
