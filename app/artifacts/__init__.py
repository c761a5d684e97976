"""Published models on the disk: their format, reading and writing them, and the models folder.

It imports what a model is made of; only ``training`` may import what writes.
"""
