"""Published models on the disk: their format, reading and writing them, and the models folder.

It may import ``app.model``; only ``training`` may import the modules that write.
"""
