"""What operators look at: explain, status, doctor, release, and the screen."""
