# A failure becomes a Spike; a person's answer brings the ticket back.
{ scenario }: scenario "escalation" { }
