"""Change params.yaml from the command line and keep its comments.

python -m stages.params 'run.datasets=[sample]' seed=8
"""

import sys

from pets.core.errors import UserError
from pets.core.params import override

if __name__ == "__main__":
    try:
        override(sys.argv[1:])
    except UserError as error:
        sys.exit(f"params: {error}")
