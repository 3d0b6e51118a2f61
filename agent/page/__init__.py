"""The board's page: what a browser sees of the fleet and its backlog, served beside the API.

It reads the board's file and judges it as a pod would; all that it changes goes through the API, in the name of whoever is
signed in.
"""
