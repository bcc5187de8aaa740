"""A page on this machine that names the class of a photo, by a trained model; and the same as a JSON API."""

import sys

from flows.command import hand_over
from pets.serving.arguments import parser

if __name__ == "__main__":
    hand_over("serve", parser(), "pets.serving.serve", sys.argv[1:])
