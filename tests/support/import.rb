# Puts a backlog into a real OpenProject straight through its tables, thousands of work packages in a second.
# Used by tests/support/backlogs.py, which sets BACKLOG to the JSON text: projects and, for each, work packages and relations.
backlog = JSON.parse(BACKLOG)
author = User.find_by!(login: "human")
member = ProjectRole.find_by!(name: "Member")
reader = ProjectRole.find_by!(name: "Reader")
types = Type.all.index_by(&:name)
statuses = Status.all.index_by(&:name)
priorities = IssuePriority.all.index_by(&:name)
fields = WorkPackageCustomField.all.index_by(&:name)
users = User.all.index_by(&:login)
now = Time.current
ids = {}

backlog.fetch("projects").each do |identifier|
  project = Project.find_by(identifier:) || Project.create!(identifier:, name: identifier, workspace_type: "project", types: Type.all, enabled_module_names: %w[work_package_tracking])
  project.work_package_custom_fields = fields.values
  { member => %w[agent agent2 human deutsch], reader => %w[reader] }.each do |role, logins|
    logins.each do |login|
      next if Member.exists?(principal: users.fetch(login), project:)
      Member.create!(principal: users.fetch(login), project:, roles: [role])
    end
  end
end

waves = Hash.new { |hash, depth| hash[depth] = [] }
depths = {}
items = backlog.fetch("work_packages")
items.each do |item|
  depths[item["key"]] = item["parent"] ? depths.fetch(item["parent"]) + 1 : 0
  waves[depths[item["key"]]] << item
end
projects = Project.where(identifier: backlog.fetch("projects")).index_by(&:identifier)

waves.keys.sort.each do |depth|
  waves[depth].each_slice(2000) do |slice|
    rows = slice.map do |item|
      { project_id: projects.fetch(item["project"]).id, author_id: author.id, subject: item["subject"].sub("{parent}") { ids.fetch(item["parent"]).to_s }, description: item["description"] || "",
        type_id: types.fetch(item["type"]).id, status_id: statuses.fetch(item["status"] || "New").id,
        priority_id: priorities.fetch(item["priority"] || "Normal").id, parent_id: item["parent"] && ids.fetch(item["parent"]),
        assigned_to_id: item["assignee"] && users.fetch(item["assignee"]).id, due_date: item["due_date"], start_date: item["due_date"],
        duration: item["due_date"] && 1, created_at: now, updated_at: now, lock_version: 0, schedule_manually: true, ignore_non_working_days: true }
    end
    made = WorkPackage.insert_all!(rows, returning: :id).rows.flatten
    slice.zip(made) { |item, id| ids[item["key"]] = id }
  end
end

above = items.to_h { |item| [item["key"], item["parent"]] }
hierarchy = items.flat_map do |item|
  key, generations, rows = item["key"], 0, []
  while key
    rows << { ancestor_id: ids.fetch(key), descendant_id: ids.fetch(item["key"]), generations: }
    key, generations = above[key], generations + 1
  end
  rows
end
table = Class.new(ActiveRecord::Base) { self.table_name = "work_package_hierarchies" }
hierarchy.each_slice(5000) { |slice| table.insert_all!(slice) }

values = items.flat_map do |item|
  { "pod" => "Agent pod", "run" => "Agent run" }.filter_map do |key, name|
    { customized_type: "WorkPackage", customized_id: ids.fetch(item["key"]), custom_field_id: fields.fetch(name).id, value: item[key] } if item[key]
  end
end
values.each_slice(5000) { |slice| CustomValue.insert_all!(slice) }

relations = backlog.fetch("relations").map do |relation|
  { from_id: ids.fetch(relation["from"]), to_id: ids.fetch(relation["to"]), relation_type: relation["type"] }
end
relations.each_slice(5000) { |slice| Relation.insert_all!(slice) }
ActiveRecord::Base.connection.execute("ANALYZE")
puts "IDS #{JSON.generate(ids)}"
