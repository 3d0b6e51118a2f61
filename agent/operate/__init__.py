"""What operators look at: explain, status, doctor, release, their screen, and the station they all start from."""
