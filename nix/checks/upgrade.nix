# A host is switched to another configuration while its pod works.
{ scenario }:
scenario "upgrade" {
  nodes.pod-c = {
    system.switch.enable = true; # off in test machines
    specialisation.upgraded.configuration = {
      services.agent.pods.pod-c.environment.FLEET_GENERATION = "two";
    };
  };
}
