"""In which order: the exact scan of a catalogue by scores, and the discount of popular items.

It works on arrays only and may import nothing of the service but errors.
"""
