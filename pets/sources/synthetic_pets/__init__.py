"""Synthetic cats and dogs, drawn by a program, not photographs."""

from pets.sources.synthetic_pets.breeds import BREEDS as BREEDS
from pets.sources.synthetic_pets.drawing import draw as draw
