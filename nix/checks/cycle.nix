# One ticket, end to end, with a scripted model and an offline development shell.
{ scenario }: scenario "cycle" { }
