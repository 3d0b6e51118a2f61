# The power of a pod's host fails in the middle of a run, which is resumed.
{ scenario }: scenario "crash" { }
