"""``python -m acdc.engine`` is the command ``acdc``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
