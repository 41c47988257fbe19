"""DriftGuard: watches models in production and governs what may stay there."""

__version__ = "0.1.0"
