"""What tells the person who runs the service how it is doing: its logs.

It may import the standard library and errors; the edge sets it up.
"""
