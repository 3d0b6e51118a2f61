-- The page arrives: people sign in and stay signed in, some of them to look only, and a board with a long past opens at once.

CREATE TABLE sessions (
  digest TEXT PRIMARY KEY,
  token TEXT NOT NULL REFERENCES tokens ON DELETE CASCADE,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_token ON sessions (token);

CREATE INDEX work_packages_by_age ON work_packages (status_id, project_id, updated_at);
CREATE INDEX journals_by_time ON journals (created_at);
CREATE INDEX journals_with_markers ON journals (user_id, updated_at) WHERE instr(notes, '<!-- ') > 0;

INSERT INTO roles (name) VALUES ('Viewer') ON CONFLICT DO NOTHING;
INSERT OR IGNORE INTO role_permissions SELECT id, column1 FROM roles JOIN (VALUES
  ('view_work_packages'), ('view_members')
) WHERE name = 'Viewer';
