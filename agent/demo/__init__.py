"""`agent demo`: the whole idea in a minute, on a board and a git repository of its own.

The demo is a play with real actors: pods are `agent run` processes, the board is a real server, the commits are real.
Only the coding model is scripted (`agent.demo.model`), and the human is this package. It knows the fleet from outside,
as a person does: by its commands, the board's API and git; so what it shows has happened.
"""
