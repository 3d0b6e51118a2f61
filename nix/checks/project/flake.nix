# The project of the scenarios: a development shell without inputs, so that it works offline, and one tool to build for it.
{
  outputs =
    { self }:
    let
      shell =
        system:
        let
          bash =
            name: script: variables:
            derivation (
              {
                inherit name system;
                builder = "/bin/bash";
                args = [
                  "-c"
                  script
                ];
                outputs = [ "out" ];
              }
              // variables
            );
        in
        bash "fleet-shell" "export > $out" {
          stdenv = ./stdenv;
          # Never built twice to the same content: two hosts that have the same one share it.
          TOOL = bash "fleet-tool" "read -r it < /proc/sys/kernel/random/uuid; echo $it > $out" { };
          shellHook = "export FLEET_SHELL=entered";
        };
    in
    {
      devShells = builtins.listToAttrs (
        map
          (system: {
            name = system;
            value.default = shell system;
          })
          [
            "x86_64-linux"
            "aarch64-linux"
          ]
      );
    };
}
