"""``python -m lcplm_graph.predict``, the same as ``lcplm predict``."""

import sys

from lcplm_graph.predict import main

if __name__ == "__main__":
    sys.exit(main())
