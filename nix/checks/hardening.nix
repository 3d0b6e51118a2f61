# Attacks on the sandbox under the real unit, and on the unit.
{ scenario }: scenario "hardening" { }
