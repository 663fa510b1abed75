"""Django's settings. Every choice that a deployment makes is an environment variable, read through `config.env`."""

import django_stubs_ext
from csp.constants import NONE, SELF

from config import embedded
from config.env import (
    BASE_DIR,
    BadSetting,
    app_database,
    archive_address,
    database,
    directory_address,
    env,
    host_of,
    origin_of,
    port,
    read,
    replica_database,
    seconds,
    secret,
    web_address,
    whole,
)

django_stubs_ext.monkeypatch()  # ModelAdmin[T] and Field[S, G] may be written at run time too

ENVIRONMENT = env.str("ENVIRONMENT", "local")  # shown beside the name of the console
DEBUG = read(env.bool, "DEBUG", False, must="be true or false")
PORT = port("PORT", 8000)
CONSOLE_URL = web_address("CONSOLE_URL", f"http://localhost:{PORT}")
HTTPS = CONSOLE_URL.startswith("https://")
LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = read(env.list, "ALLOWED_HOSTS", [*LOCAL_NAMES, host_of(CONSOLE_URL)], must="be host names with commas")
CSRF_TRUSTED_ORIGINS: list[str] = read(
    env.list, "CSRF_TRUSTED_ORIGINS", [origin_of(CONSOLE_URL)] if HTTPS else [], must="be origins with commas"
)
for origin in CSRF_TRUSTED_ORIGINS:
    if "://" not in origin:
        raise BadSetting("CSRF_TRUSTED_ORIGINS", f"needs the scheme too, as in https://{origin}.")

# Without DATABASE_URL Gatehouse brings its own PostgreSQL 18, with its data in HOME.
HOME = embedded.home()
DATABASE_URL = secret("DATABASE_URL")
EMBEDDED = not DATABASE_URL
MIGRATOR_DATABASE_URL = secret("MIGRATOR_DATABASE_URL")

# "default" is what serves people and agents, and always acts as gatehouse_app. "migrator" owns the schema; only
# commands that change the schema ask for it, by name.
if EMBEDDED:
    DATABASES = {
        "default": app_database("DATABASE_URL", embedded.url("gatehouse_app")),
        "migrator": database("MIGRATOR_DATABASE_URL", embedded.url("gatehouse_migrator")),
    }
else:
    DATABASES = {
        "default": app_database("DATABASE_URL", DATABASE_URL),
        "migrator": (
            database("MIGRATOR_DATABASE_URL", MIGRATOR_DATABASE_URL)
            if MIGRATOR_DATABASE_URL
            else database("DATABASE_URL", DATABASE_URL)
        ),
    }
# A standby of the same server, from which pages that only look are read.
DATABASE_REPLICA_URL = secret("DATABASE_REPLICA_URL")
if DATABASE_REPLICA_URL:
    DATABASES["replica"] = replica_database("DATABASE_REPLICA_URL", DATABASE_REPLICA_URL)
    DATABASE_ROUTERS = ["config.replica.routing.Router"]
for alias in DATABASES.values():
    alias["DISABLE_SERVER_SIDE_CURSORS"] = True  # PgBouncer in transaction mode keeps no cursor between statements
    alias["CONN_MAX_AGE"] = 60
    alias["CONN_HEALTH_CHECKS"] = True

SECRET_KEY = secret("SECRET_KEY")
if not SECRET_KEY:
    if not EMBEDDED:
        raise BadSetting("SECRET_KEY", "must be set where DATABASE_URL is: a long random text, the same on every host.")
    SECRET_KEY = embedded.secret_key()
# Keys of before, with which nothing is signed any more: what they signed is still good while they are named here.
SECRET_KEY_FALLBACKS = [key.strip() for key in secret("SECRET_KEY_FALLBACKS").split(",") if key.strip()]

INSTALLED_APPS = [
    "config.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "axes",
    "csp",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "pgtrigger",
    "audit",
    "accounts",
    "agents",
    "campaigns",
    "content",
    "metrics",
    "config.apps.ConfigConfig",  # last: its post_migrate needs the permissions of all the others
]

MIDDLEWARE = [
    "config.security.DoorMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.monitoring.requests.WatchMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.security.SessionAgeMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.middleware.TraceMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "config.middleware.ZoneMiddleware",
    "axes.middleware.AxesMiddleware",
    *(["config.replica.routing.ReplicaMiddleware"] if DATABASE_REPLICA_URL else []),
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
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
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "accounts.passwords.LengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Five wrong passwords for one name from one address: wait fifteen minutes.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"  # the field of the sign-in form, which holds the e-mail address
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_SENSITIVE_PARAMETERS = ["password"]
AXES_VERBOSE = False

# The second factor. Whoever is in one of these groups has to have one.
REQUIRE_SECOND_FACTOR: list[str] = read(env.list, "REQUIRE_SECOND_FACTOR", [], must="be names of groups with commas")
OTP_TOTP_ISSUER = f"Gatehouse ({ENVIRONMENT})"  # how an authenticator names the account

# Mail. Without a server, each message is a file in `mail`, so that an invitation is not lost on a first look.
EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_PORT = port("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = read(env.bool, "EMAIL_USE_TLS", False, must="be true or false")
EMAIL_USE_SSL = read(env.bool, "EMAIL_USE_SSL", False, must="be true or false")
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Gatehouse <gatehouse@localhost>")
EMAIL_FILE_PATH = HOME / "mail"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "config.mail.FileBackend"
if EMAIL_USE_TLS and EMAIL_USE_SSL:
    raise BadSetting("EMAIL_USE_TLS", "and EMAIL_USE_SSL exclude each other: set the one that the server speaks.")
if EMAIL_HOST and not env.str("CONSOLE_URL", ""):
    raise BadSetting("CONSOLE_URL", "must be set where EMAIL_HOST is: e-mails carry links to the console.")
INVITATION_DAYS = 7
RESET_HOURS = 1
PASSWORD_RESET_TIMEOUT = INVITATION_DAYS * 86_400  # seconds, of the longest of these links

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
# A session ends after an hour in which its person did nothing, and after twelve in any case.
SESSION_IDLE_SECONDS = 3600
SESSION_MOST_SECONDS = SESSION_COOKIE_AGE = 12 * 3600

# How many proxies of ours stand before the web processes. Only what these say of who asks, and by which scheme, counts.
TRUSTED_PROXIES = whole("TRUSTED_PROXIES", 0, "proxies")
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Where people come by https, no cookie leaves their browser by http, and no other host of the domain can set one.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    MESSAGE_STORAGE = "config.security.HostMessages"
# Whoever comes by http is sent to https where a proxy tells us which it was; without one that would never end. What
# machines ask from inside stays as it is, and the API refuses instead (`config.security`).
SECURE_SSL_REDIRECT = HTTPS and TRUSTED_PROXIES > 0
SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$", "^api/"]
SECURE_HSTS_SECONDS = whole("HSTS_SECONDS", 365 * 86_400 if HTTPS else 0, "seconds")
SECURE_HSTS_INCLUDE_SUBDOMAINS = read(env.bool, "HSTS_SUBDOMAINS", True, must="be true or false")
# Browsers' built-in list takes whole domains, and months to leave: not for one application in the domain to ask for.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static.root"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = EMBEDDED  # the two-command start serves without collectstatic
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": HOME / "content"}},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if EMBEDDED
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        ),
    },
}

# Where months go that are older than their retention, and how old that is, in days; 0 means that they stay for ever.
ARCHIVE_URL = archive_address("ARCHIVE_URL", (HOME / "archive").as_uri())
METRIC_RETENTION_DAYS = whole("METRIC_RETENTION_DAYS", 180, "days")
AUDIT_RETENTION_DAYS = whole("AUDIT_RETENTION_DAYS", 0, "days")

# Where backups go, and for how many days each moment stays within reach. Without BACKUP_URL there are none.
BACKUP_URL = directory_address("BACKUP_URL")
BACKUP_DAYS = whole("BACKUP_DAYS", 30, "days")
BACKUP_COLD_URL = archive_address("BACKUP_COLD_URL", "") if env.str("BACKUP_COLD_URL", "") else ""
BACKUP_COLD_DAYS = whole("BACKUP_COLD_DAYS", 90, "days")
BACKUP_DATABASE_URL = secret("BACKUP_DATABASE_URL")

# Seconds during which a person may take a decision back; the post leaves no earlier.
REVIEW_UNDO_SECONDS = seconds("REVIEW_UNDO_SECONDS", 60)

# The control room keeps its dearest numbers for some seconds, in each web process for itself.
CONTROL_ROOM_KEEPS = True

# Threads of each web process. Half of them may be kept by agents that wait for work (`wait` of a claim).
WEB_THREADS = 24
API_WAITERS = WEB_THREADS // 2

# What one token may ask of one web process: far above what a fleet does, far below what would starve all others.
API_REQUESTS_PER_SECOND = whole("API_REQUESTS_PER_SECOND", 200, "requests")
API_REQUESTS_PER_MINUTE = whole("API_REQUESTS_PER_MINUTE", 6000, "requests")
API_WRONG_TOKENS_PER_MINUTE = 100  # from one address; then they are told to wait

# Each web process keeps for itself what it may forget: counts for the limits above, and numbers that are dear to get.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# Those who watch from outside. /metrics is not there without its token.
METRICS_TOKEN = secret("METRICS_TOKEN")
if 0 < len(METRICS_TOKEN) < 16:
    raise BadSetting("METRICS_TOKEN", "must have 16 characters or more, such as `openssl rand -hex 24` gives.")

LOG_FORMAT = env.str("LOG_FORMAT", "line")  # json: an object a line, and a line for each request
if LOG_FORMAT not in {"line", "json"}:
    raise BadSetting("LOG_FORMAT", f"must be line or json; it is {LOG_FORMAT!r}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.monitoring.logs.PlainLines",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "config.monitoring.logs.JsonLines"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"gatehouse.access": {"level": "INFO" if LOG_FORMAT == "json" else "WARNING"}},
}

SENTRY_DSN = secret("SENTRY_DSN")  # of Sentry, or of what speaks as it does (GlitchTip, Bugsink)
if SENTRY_DSN:
    from config.monitoring.errors import NotAnAddress, report_to

    try:
        report_to(SENTRY_DSN, ENVIRONMENT)
    except NotAnAddress:
        raise BadSetting("SENTRY_DSN", "must be an address such as https://key@errors.example.org/1.") from None
