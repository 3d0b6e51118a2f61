# OpenProject itself beside PostgreSQL, as containers: a board for many people.
#
# nixpkgs has no OpenProject, so these are its own images, put together as in its compose file. Before the first start:
#   /run/secrets/openproject.env   SECRET_KEY_BASE=… (openssl rand -hex 64)
#                                  DATABASE_URL=postgres://openproject:PASSWORD@127.0.0.1/openproject?pool=20&encoding=unicode&reconnect=true
#   /run/secrets/postgresql.env    POSTGRES_PASSWORD=PASSWORD
# Afterwards log in as admin/admin, change the password, and go on with "On your OpenProject" in the README. The pods'
# hosts then have services.agent.settings.board.url = "https://openproject.example.org".
{ lib, ... }:
let
  name = "openproject.example.org";

  application = command: {
    image = "docker.io/openproject/openproject:17-slim";
    cmd = [ command ];
    dependsOn = [ "openproject-database" ];
    environment = {
      OPENPROJECT_HOST__NAME = name;
      OPENPROJECT_HTTPS = "true";
      RAILS_CACHE_STORE = "file_store";
    };
    environmentFiles = [ "/run/secrets/openproject.env" ];
    # The host's loopback device is their network: nothing of it is reachable from outside but by caddy.
    extraOptions = [ "--network=host" ];
    volumes = [ "/var/lib/openproject/assets:/var/openproject/assets" ];
  };
in
{
  imports = [ ./shared/machine.nix ];

  networking.hostName = "openproject";
  networking.firewall.allowedTCPPorts = [
    80
    443
  ];

  virtualisation.oci-containers.backend = "podman";
  virtualisation.oci-containers.containers = {
    openproject-database = {
      image = "docker.io/library/postgres:17";
      cmd = [
        "-c"
        "listen_addresses=127.0.0.1"
      ];
      environment = {
        POSTGRES_DB = "openproject";
        POSTGRES_USER = "openproject";
      };
      environmentFiles = [ "/run/secrets/postgresql.env" ];
      extraOptions = [ "--network=host" ];
      volumes = [ "/var/lib/openproject/postgresql:/var/lib/postgresql/data" ];
    };
    openproject-seeder = application "./docker/prod/seeder";
    openproject-web = application "./docker/prod/web";
    openproject-worker = application "./docker/prod/worker";
    openproject-cron = application "./docker/prod/cron";
  };

  # It migrates the database, then ends: once at each boot and each new image, not again and again.
  systemd.services.podman-openproject-seeder.serviceConfig.Restart = lib.mkForce "on-failure";

  # The user of the images is 1000; PostgreSQL's own is 999.
  systemd.tmpfiles.rules = [
    "d /var/lib/openproject 0755 root root -"
    "d /var/lib/openproject/assets 0750 1000 1000 -"
    "d /var/lib/openproject/postgresql 0700 999 999 -"
  ];

  # TLS, with a certificate of its own making from Let's Encrypt.
  services.caddy = {
    enable = true;
    virtualHosts.${name}.extraConfig = "reverse_proxy 127.0.0.1:8080";
  };
}
