# The package: the command `agent`, its tests run, with git at hand and shell completions.
{
  git,
  installShellFiles,
  lib,
  python3Packages,
  stdenv,
}:
let
  project = (lib.importTOML ../pyproject.toml).project;
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  # Not the whole repository: an edit of a README would be a rebuild.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../LICENSE
      ../README.md # named by pyproject.toml
      ../agent
      ../pyproject.toml
      ../tests/conftest.py
      ../tests/fixtures
      ../tests/support
      ../tests/unit
    ];
  };

  build-system = [ python3Packages.setuptools ];

  dependencies = with python3Packages; [
    h11
    httpx
    loguru
    markdown-it-py
    msgspec
    rich
    starlette
    tenacity
    typer
    uvicorn
  ];

  nativeBuildInputs = [ installShellFiles ];

  # What no pod can work without. Nix is the host's, of the same version as its daemon; bubblewrap comes from the module.
  makeWrapperArgs = [
    "--prefix"
    "PATH"
    ":"
    (lib.makeBinPath [ git ])
  ];

  # The unit tests: no network, no systemd, no bubblewrap, no Nix.
  nativeCheckInputs = [
    git
  ]
  ++ (with python3Packages; [
    hypothesis
    pytest-asyncio
    pytest-cov
    pytest-httpserver
    pytest-xdist
    pytestCheckHook
  ]);
  enabledTestPaths = [ "tests/unit" ];
  disabledTestMarks = [
    "nix"
    "openproject"
  ];
  pythonImportsCheck = [ "agent" ];

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash zsh fish; do
      PYTHONPATH=$out/${python3Packages.python.sitePackages}:$PYTHONPATH \
        _AGENT_COMPLETE=source_$shell $out/bin/agent > agent.$shell
    done
    installShellCompletion agent.bash agent.zsh agent.fish
  '';

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    mainProgram = "agent";
    platforms = lib.platforms.linux;
  };
}
