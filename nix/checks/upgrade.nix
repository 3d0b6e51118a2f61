# A host is switched to another configuration while its pod works.
{ scenario }:
scenario "upgrade" {
  nodes.pod-c.specialisation.upgraded.configuration = {
    services.agent.pods.pod-c.environment.FLEET_GENERATION = "two";
  };
}
