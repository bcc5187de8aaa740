"""Name the class of every picture in files, folders and archives, by a trained model: a table and a page.

As a flow, for a deployment, it is `flows.inbox`.
"""

import sys

from flows.command import hand_over
from pets.prediction.arguments import parser

if __name__ == "__main__":
    hand_over("predict", parser(), "pets.prediction.predict", sys.argv[1:])
