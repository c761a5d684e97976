"""The HTTP edge: routers, schemas, and how requests are read and errors answered."""
