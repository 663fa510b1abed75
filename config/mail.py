"""Where messages are kept while no mail server is set."""

import os
from typing import Any

from django.conf import settings
from django.core.mail.backends import filebased


class FileBackend(filebased.EmailBackend):
    """Each message a file, for whoever runs Gatehouse and nobody else: there are links in them that let people in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        os.makedirs(settings.EMAIL_FILE_PATH, mode=0o700, exist_ok=True)
        super().__init__(*args, **kwargs)
