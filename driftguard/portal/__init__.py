"""The server-rendered pages beside the admin: for reading, finding and deciding."""
