"""Warmth without a daemon: of the server processes of one user, one holds the model and lends it to the others and to hooks.

The one that holds the lock `MEMORY_HOME/run/warm.lock` listens on a socket in the same folder; when it ends, the
lock is free and another takes over. Nobody else can reach the socket: the folder is 0700, the socket 0600, and where
there are no Unix sockets a loopback port asks for a token from a 0600 file.
"""
