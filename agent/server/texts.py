"""Messages in the caller's language, as OpenProject localises them (reference section 1.4).

German stands for "not English": a client that dispatches on messages instead of identifiers is caught by it.
"""

ENGLISH = {
    "unauthenticated": "You need to be authenticated to access this resource.",
    "wrong_credentials": "You did not provide the correct credentials.",
    "not_found": "The requested resource could not be found.",
    "work_package_not_found": "The work package you are looking for cannot be found or has been deleted.",
    "forbidden": "You are not authorized to access this resource.",
    "unproven": "This request does not come from the board's own page as it is now. Reload the page and try again.",
    "conflict": "Could not update the resource because of conflicting modifications.",
    "multiple": "Multiple field constraints have been violated.",
    "bad_request": "Bad request: {reason}",
    "disk_full": "The board's disk is full: nothing was changed.",
    "internal": "An internal error has occurred. {reason}",
    "body_too_large": "The body of this request is too large: at most {bytes} bytes of it are read.",
    "text_too_large": "A text is too long: at most {most} characters are kept. Attach it as a file instead.",
    "page_too_large": "The texts on this page are longer than {most} characters together: ask for a smaller page, or for `select`.",
    "files_too_many": "A work package has at most {most} files. Delete one, or pack several into one.",
    "comments_too_large": "Your comments on this work package are too long together: at most {most} characters are kept.",
    "no_json": "The request could not be parsed as JSON.",
    "read_only": "{name} was attempted to be written but is not writable.",
    "blank": "{name} can't be blank.",
    "too_long": "{name} is too long (maximum is 255 characters).",
    "not_listed": "{name} is not set to one of the allowed values.",
    "not_a_number": "{name} is not a number.",
    "date_format": "Invalid format for property '{attribute}': Expected format like 'YYYY-MM-DD (ISO 8601 date only)', but got '{value}'.",
    "duration_format": "Invalid format for property '{attribute}': Expected format like 'PT12H30M (ISO 8601 duration)', but got '{value}'.",
    "ratio_range": "% Complete must be between 0 and 100.",
    "work_below_remaining": "Work must be greater than or equal to remaining work.",
    "remaining_above_work": "Remaining work must be lower than or equal to work.",
    "work_missing": "Work must be set when remaining work and % complete are set.",
    "remaining_missing": "Remaining work must be set when work and % complete are set.",
    "remaining_at_end": "Remaining work must be 0h when % complete is 100%.",
    "ratio_missing": "% Complete must be set when work and remaining work are set.",
    "ratio_without_work": "% Complete cannot be set when work is zero.",
    "ratio_mismatch": "% Complete does not match work and remaining work.",
    "category_missing": "Category does not exist.",
    "category_elsewhere": "Category must be of the same project as the work package.",
    "user_invalid": "User is invalid.",
    "file_too_large": "File is too large (maximum size is {bytes} Bytes).",
    "file_missing": "The file of the upload is missing.",
    "multipart": "The request could not be parsed as multipart/form-data with the parts metadata and file.",
    "version_used": "The version cannot be deleted: work packages are assigned to it.",
    "upload_type": "Expected CONTENT-TYPE to be 'multipart/form-data' but got '{found}'.",
    "name_taken": "{name} has already been taken.",
    "link_kind": "For property '{attribute}' a link like {expected} is expected, but got '{value}'.",
    "due_before_start": "Finish date must be greater than or equal to the start date.",
    "duration_positive": "Duration must be greater than 0.",
    "not_assignable": "The chosen user is not allowed to be '{name}' for this work package.",
    "no_transition": "Status is invalid because no valid transition exists from old to new status for the current user's roles.",
    "parent_missing": "Parent does not exist.",
    "parent_invisible": "Parent may not be accessed.",
    "parent_milestone": "Parent cannot be a milestone.",
    "parent_self": "Parent cannot be assigned to itself.",
    "parent_related": "Parent A work package cannot be linked to one of its subtasks.",
    "parent_too_deep": "Parent lies too deep: there may be {levels} levels of work packages. Choose one further up.",
    "too_many_moved": "This would change the dates of more than {most} other work packages: take one of the relations or parents between them away first.",
    "relation_taken": "Related work package has already been taken.",
    "relation_circular": "This relation would create a circular dependency.",
    "relation_target_missing": "The selected work package could not be found.",
    "relation_uneditable": "The selected work package cannot be added because you do not have edit permissions for the selected work package.",
    "relation_undeletable": "This relation cannot be deleted because you do not have edit permissions for the selected work package.",
    "internal_comment_plan": "Internal Journal requires at least the Professional enterprise plan.",
    "internal_comment_off": "Internal Journal is disabled for this project.",
    "filter_unknown": "{name} filter does not exist.",
    "filter_operator": "{name} Operator is not set to one of the allowed values.",
    "filter_values": "{name} filter has invalid values.",
    "filter_integer": "{name} is not an integer.",
    "filter_date": "{name} is not a valid date.",
    "filter_date_time": "{name} is not a valid date time.",
    "schema_filters": "The query parameter 'filters' is missing or malformed.",
    "query_syntax": "{reason}",
    "sort_unknown": "Can't sort by column: {name}",
    "group_unknown": "Can't group by: {name}",
    "select_unknown": "The requested select of {name} is not supported. Supported selects are {supported}.",
    "updated_by_child": "Updated automatically by changing values within child work package",
    "retracted": "The changes were retracted.",
    "relates": "related to",
}

GERMAN = {
    "not_found": "Die angeforderte Ressource konnte nicht gefunden werden.",
    "forbidden": "Sie sind nicht berechtigt, auf diese Ressource zuzugreifen.",
    "conflict": "Die Ressource konnte wegen parallelen Zugriffs nicht aktualisiert werden.",
    "multiple": "Mehrere Felder verletzen ihre Bedingungen.",
    "no_transition": "Status ist ungültig, da kein valider Übergang vom alten zum neuen Status für die aktuelle Rolle des Nutzers existiert.",
    "updated_by_child": "Automatisch durch die Änderungen in Unteraufgabe",
    "blocks": "blockiert",
    "follows": "folgt",
    "requires": "erfordert",
    "duplicates": "dupliziert",
    "includes": "beinhaltet",
    "relates": "verwandt mit",
}


def text(key: str, language: str, **values: str) -> str:
    """The message `key` in `language`, in English where there is no translation."""
    message = ENGLISH.get(key, key)
    if language == "de":
        message = GERMAN.get(key, message)
    # Values echo what the caller sent, which need not be encodable.
    return message.format(**values).encode(errors="replace").decode()


def child_note(child_id: int, language: str) -> str:
    """The note left on an ancestor that changed because a child did (reference section 5.4)."""
    if language == "de":
        return f"_{GERMAN['updated_by_child']} #{child_id} aktualisiert_\n"
    return f"_{ENGLISH['updated_by_child']} #{child_id}_\n"
