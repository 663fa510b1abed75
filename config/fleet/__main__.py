"""One member of the fleet, as a process. What it is told comes on its standard input; the token is nobody else's."""

import json
import sys

from config.fleet.client import Broken, Refusal
from config.fleet.members import ROLES, Spec


def main() -> None:
    told = sys.stdin.read()
    if not told.endswith("}"):  # whoever started us was killed meanwhile
        return
    spec = Spec(**json.loads(told))
    try:
        ROLES[spec.role](spec).run()
    except (Broken, Refusal) as problem:
        raise SystemExit(f"{spec.role} {spec.number}: {problem}") from None
    except BrokenPipeError:  # whoever started us is gone
        raise SystemExit(0) from None


main()
