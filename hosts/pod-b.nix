# A host with one pod that has more memory for builds and works with a larger budget.
{
  imports = [ ./shared/pods.nix ];

  networking.hostName = "pod-b";
  services.agent.pods.pod-b = {
    memoryMax = "90%";
    settings.model.max_usd = 50;
  };
}
