# What one pod builds, the next one takes from the shared cache.
{ scenario }: scenario "cache" { }
