# Three pods want one ticket.
{ scenario }: scenario "race" { }
