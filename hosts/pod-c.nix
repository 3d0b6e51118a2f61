# A host with one pod.
{
  imports = [ ./shared/pods.nix ];

  networking.hostName = "pod-c";
  services.agent.pods.pod-c = { };
}
