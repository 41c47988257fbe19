"""The mathematics: pure functions of arrays and counts, no framework."""
