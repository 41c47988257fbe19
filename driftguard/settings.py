"""All settings, in one file; what differs between deployments is in the environment.

README.md lists the variables. A ``.env`` file beside manage.py is read first;
the real environment wins over it.
"""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dotenv

from driftguard import __version__, environment, logs
from driftguard.unfold import UNFOLD  # noqa: F401

BASE_DIR = Path(__file__).resolve().parent.parent
if _file := environment.raw("DRIFTGUARD_ENV_FILE", str(BASE_DIR / ".env")):
    dotenv.load_dotenv(_file)

# Everything that DriftGuard writes outside an external database lives here.
DATA_DIR = Path(
    environment.text("DRIFTGUARD_DATA_DIR", str(BASE_DIR / ".driftguard"))
).resolve()
# Stands in every result, beside those of the libraries.
VERSION = __version__
# Which part of the house this process is: web, worker, beat or command.
PROCESS = environment.text("DRIFTGUARD_PROCESS", "command")

# The address under which people and services reach DriftGuard.
SITE_URL = environment.text("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
HTTPS = urlsplit(SITE_URL).scheme == "https"
DEBUG = environment.flag("DEBUG", default=False)
ALLOWED_HOSTS = environment.words(
    "ALLOWED_HOSTS",
    sorted({"localhost", "127.0.0.1", "[::1]", urlsplit(SITE_URL).hostname or ""}),
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
# Reverse proxies in front; that many addresses of X-Forwarded-For are believed.
NUM_PROXIES = environment.integer("NUM_PROXIES", 0)

# Database. Without DATABASE_URL an embedded PostgreSQL is started when it is needed.
# Ordinary work is done as driftguard_app, migrations as driftguard_owner.
EXTERNAL_DATABASE = environment.database("DATABASE_URL")
EMBEDDED = EXTERNAL_DATABASE is None
APP_ROLE = "driftguard_app"
# What the role that migrates logs in with, where it differs from DATABASE_URL.
OWNER_DATABASE = environment.database("DATABASE_OWNER_URL")
# A query in a web process that takes longer than this is an error by itself.
STATEMENT_TIMEOUT_SECONDS = environment.integer(
    "DATABASE_STATEMENT_TIMEOUT", 15 if PROCESS == "web" else 0
)
SESSION_OPTIONS = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s -c lock_timeout=3s "
    "-c idle_in_transaction_session_timeout=30s -c synchronous_commit=on"
)
_connection: dict[str, Any] = EXTERNAL_DATABASE or {
    "NAME": "driftguard",
    "USER": APP_ROLE,
    "OPTIONS": {},
}
DATABASES = {
    "default": {
        **_connection,
        "ENGINE": "driftguard.embedded" if EMBEDDED else "driftguard.postgres",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            "application_name": f"driftguard {PROCESS}",
            "options": SESSION_OPTIONS,
            **_connection["OPTIONS"],
            "assume_role": APP_ROLE,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Secrets. Without a key of its own a machine keeps one in its data directory; several
# machines must share one, and `check --deploy` says so.
SECRET_KEY = environment.text("SECRET_KEY") or environment.kept_secret(
    DATA_DIR / "secret-key"
)
# Access tokens are signed with a key of their own, so that it can be changed apart.
JWT_SIGNING_KEY = environment.text(
    "JWT_SIGNING_KEY",
    hashlib.sha256(b"driftguard access tokens\0" + SECRET_KEY.encode()).hexdigest(),
)
# Checkpoints of the audit trail and permits are signed with an Ed25519 key: 32 bytes in
# Base64. Without one here it is made once and kept in the data directory.
SIGNING_KEY = environment.text("SIGNING_KEY")
# The public keys that were in use before it, so that what they signed stays good.
SIGNING_KEYS_BEFORE = environment.words("SIGNING_KEYS_BEFORE", [])
# A trail that has grown gets a signed checkpoint after so many seconds, which is copied
# to these directories: append-only ones on another machine's disk, if you can.
CHECKPOINT_SECONDS = environment.integer("CHECKPOINT_SECONDS", 300)
CHECKPOINT_DIRECTORIES = environment.words(
    "CHECKPOINT_DIRECTORIES", [str(DATA_DIR / "checkpoints")]
)
# Days after which the before and after of an entry of the trail is erased; 0: never.
AUDIT_PAYLOAD_DAYS = environment.integer("AUDIT_PAYLOAD_DAYS", 0)
# How long a login is good for services, and how long they may renew it.
ACCESS_TOKEN_DAYS = environment.integer("ACCESS_TOKEN_DAYS", 30, minimum=1)
REFRESH_TOKEN_DAYS = environment.integer("REFRESH_TOKEN_DAYS", 90, minimum=1)
# May a stranger make a user and an organization?
OPEN_REGISTRATION = environment.flag("OPEN_REGISTRATION", default=EMBEDDED)
# From one network address.
REGISTRATIONS_PER_HOUR = environment.integer("REGISTRATIONS_PER_HOUR", 30, minimum=1)

INSTALLED_APPS = [
    "driftguard",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "driftguard.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "governance",
    "monitoring",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "driftguard.middleware.request_id",
    "driftguard.middleware.content_security_policy",
    "driftguard.middleware.database",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
# What requests to the ingestion endpoints run through instead (wsgi.py).
HOT_MIDDLEWARE = ["driftguard.middleware.request_id"]
PATHS_WITHOUT_DATABASE = ["/healthz", "/readyz", "/openapi.json", "/docs", "/redoc"]
ROOT_URLCONF = "driftguard.urls"
WSGI_APPLICATION = "driftguard.wsgi.application"
# A published path either ends in a slash or it doesn't; no redirect loses a body.
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]
# Baselines are the largest bodies; the views of smaller ones refuse earlier.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024 * 1024

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["driftguard.formats"]

# People.
AUTH_USER_MODEL = "governance.User"
# The e-mail address is unique however it is capitalised, by a constraint that this
# check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATION}.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "governance.api.auth.attempted_username"
AXES_IPWARE_PROXY_COUNT = NUM_PROXIES or None
AXES_VERBOSE = False

# Browsers.
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Health checks come from beside the process, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS and NUM_PROXIES else None
)
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# Unfold's Alpine.js evaluates the expressions in its own templates.
CONTENT_SECURITY_POLICY_EVAL_PATHS = ["/admin/", "/dashboard", "/approvals", "/audit"]

# The HTTP interface.
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "governance.api.authentication.CredentialAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["governance.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["governance.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "governance.api.openapi.Schema",
    "EXCEPTION_HANDLER": "governance.api.exceptions.problem_response",
    "NUM_PROXIES": NUM_PROXIES,
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Governance's own calls keep their Idempotency-Keys where monitoring keeps its own.
REPEATED_REQUESTS = "monitoring.api.repeats"
# Where the receipts are that entries of the trail seal, for the auditor's bundle.
SEALED_RECEIPTS = "monitoring.actions.seals.leaves"
SPECTACULAR_SETTINGS = {
    "TITLE": "DriftGuard",
    "DESCRIPTION": "Monitoring and governance of models in production.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Without the one that gives choices a name: names of `status` collide.
    "POSTPROCESSING_HOOKS": [
        "governance.api.openapi.name_parameters",
        "governance.api.openapi.any_value",
    ],
}

# Background work. The rows of the database are the queue; a message only nudges.
CELERY_BROKER_URL = environment.text("CELERY_BROKER_URL")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
# The directory of the messages, without another broker.
MESSAGE_DIR = None if CELERY_BROKER_URL else DATA_DIR / "messages"
if MESSAGE_DIR:
    CELERY_BROKER_URL = "driftguard-files://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(MESSAGE_DIR),
        "data_folder_out": str(MESSAGE_DIR),
        "control_folder": str(MESSAGE_DIR / "control"),
        "polling_interval": 0.2,
    }
elif CELERY_BROKER_URL.startswith("redis"):
    # Without the second a Redis that hangs would keep whoever sends for ever; reading
    # the queue waits a second at a time.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 5}
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A worker that has lost its broker ends, and its supervisor starts another, which waits
# for the broker: one that reconnects to a restarted Redis never takes a task again.
CELERY_BROKER_CONNECTION_RETRY = False
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = 29 * 60
CELERY_TASK_TIME_LIMIT = 30 * 60
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = environment.integer("WORKER_CONCURRENCY", 2, minimum=1)
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
# A message outlives its interval by little: nothing piles up while no worker runs.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "poll": {
        "task": "monitoring.tasks.poll",
        "schedule": 2.0,
        "options": {"expires": 4.0},
    },
    "record performance": {
        "task": "monitoring.tasks.record_performance",
        "schedule": 10.0,
        "options": {"expires": 20.0},
    },
    "schedule analyses": {
        "task": "monitoring.tasks.schedule_analyses",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
    "analyze": {
        "task": "monitoring.tasks.analyze",
        "schedule": 2.0,
        "options": {"expires": 4.0},
    },
    "compact segments": {
        "task": "monitoring.tasks.compact_segments",
        "schedule": 600.0,
        "options": {"expires": 600.0},
    },
    # More often than the day it takes, for a beat that is restarted daily.
    "create partitions": {
        "task": "monitoring.tasks.create_partitions",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "forget idempotency keys": {
        "task": "monitoring.tasks.forget_idempotency_keys",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "seal receipts": {
        "task": "monitoring.tasks.seal_receipts",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "verify trails": {
        "task": "governance.tasks.verify_trails",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "sign checkpoints": {
        "task": "governance.tasks.sign_checkpoints",
        "schedule": 30.0,
        "options": {"expires": 60.0},
    },
    "purge payloads": {
        "task": "governance.tasks.purge_payloads",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    # Hourly would do for those that expire; a date from which a policy holds is exact.
    "sweep approvals": {
        "task": "governance.tasks.sweep_approvals",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    # What has ended is undone within a minute, also while the worker is busy.
    "watch deployments": {
        "task": "governance.tasks.watch",
        "schedule": 10.0,
        "options": {"expires": 30.0},
    },
    "revalidate": {
        "task": "governance.tasks.revalidate",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "remind of findings": {
        "task": "governance.tasks.remind",
        "schedule": 600.0,
        "options": {"expires": 600.0},
    },
    "purge_limits": {
        "task": "governance.tasks.purge_limits",
        "schedule": 60 * 60.0,
        "options": {"expires": 60 * 60.0},
    },
}

# Detectors that the operator brings along, as `package.module:callable`; each runs in a
# process of its own, within these limits.
CUSTOM_DETECTORS = environment.words("CUSTOM_DETECTORS", [])
CUSTOM_DETECTOR_SECONDS = environment.integer("CUSTOM_DETECTOR_SECONDS", 60, minimum=1)
CUSTOM_DETECTOR_MEMORY_MB = environment.integer(
    "CUSTOM_DETECTOR_MEMORY_MB", 2_048, minimum=64
)

# Artifacts that DriftGuard lets predict; each runs in a process of its own, at most so
# many beside each web process, and within these limits for one answer.
INFERENCE_PROCESSES = environment.integer("INFERENCE_PROCESSES", 4, minimum=1)
INFERENCE_SECONDS = environment.integer("INFERENCE_SECONDS", 2, minimum=1)
INFERENCE_MEMORY_MB = environment.integer("INFERENCE_MEMORY_MB", 512, minimum=64)

# Processes of `manage.py serve`.
WEB_WORKERS = environment.integer("WEB_WORKERS", 2, minimum=1)
WEB_THREADS = environment.integer("WEB_THREADS", 48, minimum=1)

LOGGING = logs.configuration(environment.text("LOG_LEVEL", "INFO"))
