-- Memberships get an id; estimates, categories, watchers and attachments arrive. Whoever wrote a work package watches it.

CREATE TABLE members_2 (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  role_id INTEGER NOT NULL REFERENCES roles,
  created_at TEXT NOT NULL,
  UNIQUE (project_id, user_id)
) STRICT;
INSERT INTO members_2 (project_id, user_id, role_id, created_at)
  SELECT project_id, user_id, role_id, created_at FROM members JOIN projects ON projects.id = project_id ORDER BY project_id, user_id;
DROP TABLE members;
ALTER TABLE members_2 RENAME TO members;
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE categories (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  name TEXT NOT NULL,
  UNIQUE (project_id, name)
) STRICT;

ALTER TABLE versions ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN start_date TEXT;
ALTER TABLE versions ADD COLUMN end_date TEXT;

ALTER TABLE work_packages ADD COLUMN category_id INTEGER REFERENCES categories ON DELETE SET NULL;
ALTER TABLE work_packages ADD COLUMN estimated_minutes INTEGER;
ALTER TABLE work_packages ADD COLUMN remaining_minutes INTEGER;
ALTER TABLE work_packages ADD COLUMN done_ratio INTEGER;
ALTER TABLE work_packages ADD COLUMN derived_estimated_minutes INTEGER;
ALTER TABLE work_packages ADD COLUMN derived_remaining_minutes INTEGER;
ALTER TABLE work_packages ADD COLUMN derived_done_ratio INTEGER;

DROP INDEX work_packages_by_status;
CREATE INDEX work_packages_by_status ON work_packages (status_id, type_id, priority_id, project_id, assigned_to_id, due_date);

CREATE TABLE watchers (
  work_package_id INTEGER NOT NULL REFERENCES work_packages ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  PRIMARY KEY (work_package_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX watchers_by_user ON watchers (user_id);
INSERT INTO watchers SELECT id, author_id FROM work_packages;

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

INSERT OR IGNORE INTO settings VALUES ('attachment_max_bytes', '5242880'), ('attachments_total_bytes', '1073741824');
INSERT OR IGNORE INTO role_permissions SELECT id, column2 FROM roles JOIN (VALUES
  ('Member', 'assign_versions'), ('Member', 'view_work_package_watchers'), ('Member', 'add_work_package_watchers'),
  ('Member', 'delete_work_package_watchers'), ('Member', 'add_work_package_attachments'), ('Member', 'view_members'),
  ('Reader', 'view_members'),
  ('Project admin', 'assign_versions'), ('Project admin', 'view_work_package_watchers'), ('Project admin', 'add_work_package_watchers'),
  ('Project admin', 'delete_work_package_watchers'), ('Project admin', 'add_work_package_attachments'), ('Project admin', 'view_members'),
  ('Project admin', 'manage_versions'), ('Project admin', 'manage_categories'), ('Project admin', 'manage_members')
) ON name = column1;
