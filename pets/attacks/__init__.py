"""Adversarial pictures: the attacks, and what they do to a classifier.

The threat model of every attack here: the attacker knows the whole classifier (white box), changes the
picture's own pixels within [0, 1], and succeeds only if the picture is misclassified after it was saved
with 8 bits and read again as embed reads pictures.

To add an attack to the gallery: write its search in a module here, and list it in `pets.attacks.methods`.
"""
