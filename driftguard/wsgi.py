"""The WSGI application: one Django, two middleware lists.

Ingestion carries its own credential and has no session, no form and no message, so
that its requests don't pay for the middleware that serves people.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "driftguard.settings")
os.environ.setdefault("DRIFTGUARD_PROCESS", "web")
