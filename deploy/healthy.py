"""Whether the web server of this container answers. For HEALTHCHECK: exit status 0 or 1, and a sentence."""

import http.client
import os
import sys

PORT = int(os.environ.get("HEALTH_PORT", "8000"))


def main() -> str:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=4)
    try:
        # As it comes from the proxy that ends TLS, so that it is not sent away to https.
        connection.request("GET", "/healthz", headers={"X-Forwarded-Proto": "https"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web server does not answer: {error}"
    return "" if status < 400 else f"The web server answers {status}."


if __name__ == "__main__":
    sys.exit(main() or 0)
