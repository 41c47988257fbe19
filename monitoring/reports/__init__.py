"""Reports on two files: the registry without a server and without a database."""
