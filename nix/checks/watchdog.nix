# The event loop of a pod stands: its watchdog kills it, and it goes on where it was.
{ scenario }: scenario "watchdog" { }
