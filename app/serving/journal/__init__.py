"""The journal: events written and read for the service, off the event loop.

It may import event stores, events and models; the service uses its front, ``journal.Journal``.
"""
