"""The settings of the tests: the real ones, on a server of their own beside the one that `make run` uses."""

import os

from config.env import BASE_DIR

os.environ["GATEHOUSE_HOME"] = str(BASE_DIR / ".gatehouse" / "test")

from config.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick; what is tested is never the hash
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
LOGGING = {"version": 1, "disable_existing_loggers": False}
WHITENOISE_AUTOREFRESH = True  # static files from where they are written; there is no collected directory
CONTROL_ROOM_KEEPS = False  # its numbers as they are at this moment
# What one worker of a run breaks on purpose in what is stored, no other worker meets.
STORAGES["default"]["OPTIONS"]["location"] = HOME / "content" / os.environ.get("PYTEST_XDIST_WORKER", "alone")  # noqa: F405
