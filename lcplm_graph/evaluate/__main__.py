"""``python -m lcplm_graph.evaluate``, the same as ``lcplm evaluate``."""

import sys

from lcplm_graph.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
