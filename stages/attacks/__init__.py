"""Adversarial pictures: what is attacked, the attacks, and what is left of them in a saved picture.

The threat model of every attack here: the attacker knows the whole classifier, changes the picture's own
pixels in [0, 1], and succeeds only if the picture, saved with 8 bits and read again as embed reads it, is
misread.
"""
