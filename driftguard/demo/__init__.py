"""The demo: a credit model's real months, replayed through the HTTP interface."""
