"""The command line, one module a command: only here is anything printed or argv read."""
