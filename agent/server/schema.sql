-- The embedded board's tables, named as OpenProject names things. Times are ISO 8601 in UTC with milliseconds, dates YYYY-MM-DD.

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  admin INTEGER NOT NULL DEFAULT 0,
  language TEXT NOT NULL DEFAULT 'en',
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
  digest TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Who is signed in to the page, with which token; the digest is of the cookie. A session goes with its token.
CREATE TABLE sessions (
  digest TEXT PRIMARY KEY,
  token TEXT NOT NULL REFERENCES tokens ON DELETE CASCADE,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_token ON sessions (token);

CREATE TABLE roles (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE role_permissions (
  role_id INTEGER NOT NULL REFERENCES roles ON DELETE CASCADE,
  permission TEXT NOT NULL,
  PRIMARY KEY (role_id, permission)
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
  id INTEGER PRIMARY KEY,
  identifier TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE members (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  role_id INTEGER NOT NULL REFERENCES roles,
  created_at TEXT NOT NULL,
  UNIQUE (project_id, user_id)
) STRICT;
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE statuses (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  position INTEGER NOT NULL,
  color TEXT,
  default_done_ratio INTEGER NOT NULL DEFAULT 0,
  is_default INTEGER NOT NULL DEFAULT 0,
  is_closed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE types (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  position INTEGER NOT NULL,
  color TEXT,
  is_default INTEGER NOT NULL DEFAULT 0,
  is_milestone INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE priorities (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  position INTEGER NOT NULL,
  color TEXT,
  is_default INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE workflows (
  type_id INTEGER NOT NULL REFERENCES types ON DELETE CASCADE,
  role_id INTEGER NOT NULL REFERENCES roles ON DELETE CASCADE,
  old_status_id INTEGER NOT NULL REFERENCES statuses,
  new_status_id INTEGER NOT NULL REFERENCES statuses,
  PRIMARY KEY (type_id, old_status_id, new_status_id, role_id)
) STRICT, WITHOUT ROWID;

-- Text fields only (OpenProject's format "string"): what a fleet needs.
CREATE TABLE custom_fields (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE custom_field_types (
  custom_field_id INTEGER NOT NULL REFERENCES custom_fields ON DELETE CASCADE,
  type_id INTEGER NOT NULL REFERENCES types ON DELETE CASCADE,
  PRIMARY KEY (custom_field_id, type_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  name TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'open',
  created_at TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  start_date TEXT,
  end_date TEXT,
  UNIQUE (project_id, name)
) STRICT;

CREATE TABLE categories (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  name TEXT NOT NULL,
  UNIQUE (project_id, name)
) STRICT;

CREATE TABLE work_packages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project_id INTEGER NOT NULL REFERENCES projects,
  type_id INTEGER NOT NULL REFERENCES types,
  status_id INTEGER NOT NULL REFERENCES statuses,
  priority_id INTEGER NOT NULL REFERENCES priorities,
  author_id INTEGER NOT NULL REFERENCES users,
  assigned_to_id INTEGER REFERENCES users,
  responsible_id INTEGER REFERENCES users,
  version_id INTEGER REFERENCES versions,
  parent_id INTEGER REFERENCES work_packages,
  subject TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  start_date TEXT,
  due_date TEXT,
  schedule_manually INTEGER NOT NULL DEFAULT 1,
  ignore_non_working_days INTEGER NOT NULL DEFAULT 0,
  lock_version INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  category_id INTEGER REFERENCES categories ON DELETE SET NULL,
  -- Work in minutes; the derived values are of a parent and all below it.
  estimated_minutes INTEGER,
  remaining_minutes INTEGER,
  done_ratio INTEGER,
  derived_estimated_minutes INTEGER,
  derived_remaining_minutes INTEGER,
  derived_done_ratio INTEGER
) STRICT;
-- Holds all that a scan counts, groups and sorts by.
CREATE INDEX work_packages_by_status ON work_packages (status_id, type_id, priority_id, project_id, assigned_to_id, due_date);
-- The youngest of the closed ones, and how many there are.
CREATE INDEX work_packages_by_age ON work_packages (status_id, project_id, updated_at);
CREATE INDEX work_packages_by_type ON work_packages (type_id);
CREATE INDEX work_packages_by_priority ON work_packages (priority_id);
CREATE INDEX work_packages_by_project ON work_packages (project_id);
CREATE INDEX work_packages_by_parent ON work_packages (parent_id);
CREATE INDEX work_packages_by_assignee ON work_packages (assigned_to_id);
CREATE INDEX work_packages_by_version ON work_packages (version_id) WHERE version_id IS NOT NULL;

-- Every ancestor of every work package, at any depth, so that the filter `ancestor` is one index look-up.
CREATE TABLE hierarchies (
  ancestor_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  descendant_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  generations INTEGER NOT NULL,
  PRIMARY KEY (ancestor_id, descendant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX hierarchies_by_descendant ON hierarchies (descendant_id, generations);

CREATE TABLE custom_values (
  work_package_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  custom_field_id INTEGER NOT NULL REFERENCES custom_fields ON DELETE CASCADE,
  value TEXT NOT NULL,
  PRIMARY KEY (work_package_id, custom_field_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX custom_values_by_value ON custom_values (custom_field_id, value);

-- In canonical direction: blocks, follows, requires, duplicates, includes, relates.
CREATE TABLE relations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  from_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  to_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  relation_type TEXT NOT NULL,
  lag INTEGER,
  description TEXT,
  UNIQUE (from_id, to_id)
) STRICT;
CREATE INDEX relations_by_target ON relations (to_id, relation_type);

CREATE TABLE journals (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  work_package_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users,
  version INTEGER NOT NULL,
  notes TEXT NOT NULL DEFAULT '',
  data TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (work_package_id, version)
) STRICT;
CREATE INDEX journals_by_time ON journals (created_at);
-- Comments that say something to programs: few among many, and asked for by their age.
CREATE INDEX journals_with_markers ON journals (user_id, updated_at) WHERE instr(notes, '<!-- ') > 0;

CREATE TABLE watchers (
  work_package_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  PRIMARY KEY (work_package_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX watchers_by_user ON watchers (user_id);

-- The contents are files beside the board's file, named by `file`.
CREATE TABLE attachments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  work_package_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  journal_id INTEGER REFERENCES journals ON DELETE CASCADE,
  author_id INTEGER NOT NULL REFERENCES users,
  file TEXT NOT NULL UNIQUE,
  file_name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size INTEGER NOT NULL,
  digest TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX attachments_by_work_package ON attachments (work_package_id);
