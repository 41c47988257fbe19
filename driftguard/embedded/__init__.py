"""The PostgreSQL that DriftGuard brings along, for when no other one is named."""
