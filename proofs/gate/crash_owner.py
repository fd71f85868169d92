"""Stands in for the daemon: plans nothing, runs one spec to its end and says what it hears.

`python -m proofs.gate.crash_owner SPEC_FILE`. To be killed at any moment.
"""

import json
import sys
from pathlib import Path

from shippyard.host.process import Processes
from shippyard.migration.spec import RunSpec
from shippyard.migration.supervise import Supervisor


def main() -> None:
    """Run it, one line of JSON for each event."""
    spec = RunSpec.from_json(Path(sys.argv[1]).read_bytes())
    ending = Supervisor(Processes()).run(
        spec, 120.0, lambda event: print(json.dumps(event), flush=True)
    )
    print(json.dumps({"event": "ending", "outcome": ending.outcome, "message": ending.message}))


if __name__ == "__main__":
    main()
