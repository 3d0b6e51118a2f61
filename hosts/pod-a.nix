# A host with one pod.
{
  imports = [ ./shared/pods.nix ];

  networking.hostName = "pod-a";
  services.agent.pods.pod-a = { };
}
